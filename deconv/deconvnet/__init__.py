"""The deconvnet: from one unit of a layer back down to pixels (§2.1).

`projection.project` is the entry point. It takes the explicit `mirror` of a chain, as the paper
describes it, or runs any module under rules and lets autograd go down (`vjp`). `round_trip` keeps
what both ways leave between the stages (Figure 1), `blank` says why a picture is blank, and
`attribution` offers the deconvnet through captum's interface.
"""
