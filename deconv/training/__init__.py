"""Training (§3): SGD with filter renormalisation, in runs that can be resumed.

`fit` is the training loop, `Recipe` its settings; `run_folder` stores the snapshots.
"""

from deconv.training.fit import Hooks, check_classes, fit
from deconv.training.recipe import PAPER_EPOCHS, Recipe, recipe_dict
from deconv.training.renormalisation import renormalise
from deconv.training.run_folder import (
    check_unused,
    lock_folder,
    newest_intact,
    rename_damaged,
    snapshots,
    writing,
)
from deconv.training.schedule import learning_rate, stalls

__all__ = [
    "PAPER_EPOCHS",
    "Hooks",
    "Recipe",
    "check_classes",
    "check_unused",
    "fit",
    "learning_rate",
    "lock_folder",
    "newest_intact",
    "recipe_dict",
    "rename_damaged",
    "renormalise",
    "snapshots",
    "stalls",
    "writing",
]
