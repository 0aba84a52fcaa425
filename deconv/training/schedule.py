"""The learning rate as a function of the recipe and of what validation has said so far."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from deconv.training.recipe import Recipe


def learning_rate(
    recipe: Recipe, epoch: int, history: Sequence[dict[str, Any]] = (), part: float = 0.0
) -> float:
    """The rate during an epoch (the first is 1), of which the fraction `part` is done.

    history: the metrics of the epochs before it. A function of the past alone, so that a resumed
    run has no schedule to restore.
    """
    done = epoch - 1 + part
    rate = recipe.lr
    if recipe.schedule == "fixed":
        rate *= recipe.lr_factor ** sum(epoch > drop for drop in recipe.lr_drops)
    elif recipe.schedule == "plateau":
        rate *= recipe.lr_factor ** len(stalls(recipe, history[: epoch - 1]))
    else:
        rate *= 0.5 * (1 + math.cos(math.pi * done / recipe.epochs))
    if done < recipe.warmup_epochs:
        rate *= done / recipe.warmup_epochs
    return rate


def stalls(recipe: Recipe, history: Sequence[dict[str, Any]]) -> list[int]:
    """The epochs after which the validation error had stalled, as the plateau rule sees it.

    It had if the last `patience` validations have not brought it `min_improvement` points under
    the best before them; the count starts anew after a drop. Only epochs that `eval_every` divides
    count, so that the validation after the last epoch makes no difference to a run that goes on.
    """
    drops: list[int] = []
    best, waiting = math.inf, 0
    for row in history:
        due = row["epoch"] % recipe.eval_every == 0
        if not due or "val_top1_error" not in row or len(drops) == recipe.max_drops:
            continue
        if row["val_top1_error"] <= best - recipe.min_improvement:
            best, waiting = row["val_top1_error"], 0
            continue
        waiting += 1
        if waiting == recipe.patience:
            drops.append(int(row["epoch"]))
            waiting = 0
    return drops
