"""One module for each figure or table of the paper, plus training; Hydra enters here."""
