"""Table 1: masked parts of faces (`faces`), consistency of feature changes (`delta_table`)."""
