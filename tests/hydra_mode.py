"""Imported: Hydra composes a command's settings once, not twice."""

import sys

from hydra._internal.hydra import Hydra


def mode_of(hydra, config_name, overrides, composed=Hydra.get_mode):
    """Whether a job is a sweep, which Hydra learns by composing it once more, half of its time."""
    folder = ("hydra.run.dir=", "hydra.sweep.dir=")
    words = [word for word in sys.argv if not word.startswith(folder)]
    said = any("hydra" in word or word.startswith(("-c", "--c")) for word in words)
    return composed(hydra, config_name, overrides) if said else None


Hydra.get_mode = mode_of
