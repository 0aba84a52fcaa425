"""The learning rate as a function of the recipe and the validation history."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from deconv.training.recipe import Recipe


def learning_rate(
    recipe: Recipe, epoch: int, history: Sequence[dict[str, Any]] = (), part: float = 0.0
) -> float:
    """Compute the learning rate; it has no state, so a resumed run has none to restore.

    Args:
        epoch: counted from 1.
        history: the metrics of the epochs before it.
        part: fraction of the epoch that is done.
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
    """List the epochs after which the plateau rule drops the learning rate.

    It drops when `patience` validations in a row did not lower the best error by `min_improvement`
    points; counting restarts after a drop. Only epochs divisible by `eval_every` count, so the
    extra validation after the last epoch does not affect a run that is resumed with more epochs.
    """
    drops: list[int] = []
    best, stalled = math.inf, 0
    for row in history:
        due = row["epoch"] % recipe.eval_every == 0
        if not due or "val_top1_error" not in row or len(drops) == recipe.max_drops:
            continue
        if row["val_top1_error"] <= best - recipe.min_improvement:
            best, stalled = row["val_top1_error"], 0
            continue
        stalled += 1
        if stalled == recipe.patience:
            drops.append(int(row["epoch"]))
            stalled = 0
    return drops
