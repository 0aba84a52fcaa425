"""Figure 7: a grey square slid over an image (`maps`), and where the answers fall (`scores`)."""
