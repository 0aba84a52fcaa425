"""How the claims of a figure or table are judged, where that is long: one module each.

The rules in words are in `experiments.kit.claims` and `experiments.kit.controls`.
"""
