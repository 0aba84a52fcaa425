"""Figure 7: occlusion maps (`maps`) and how well their drops match known regions (`scores`)."""
