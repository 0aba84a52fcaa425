"""How the claims of a figure or table are judged, where the rules are long: one module each."""
