"""Table 1: parts of faces are hidden (`faces`); do features change alike (`delta_table`)?"""
