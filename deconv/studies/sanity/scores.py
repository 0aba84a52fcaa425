"""How much of a picture stays when one thing is exchanged, on a scale from chance to all of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from deconv.records import Box
from deconv.studies.sanity.similarity import NUMBERS, similarity

NEAR_ONE = 0.95
"""Chance similarities above it leave no room in which something could stay."""


def scores(
    original: torch.Tensor, pictures: torch.Tensor, boxes: Sequence[Box], applies: torch.Tensor
) -> np.ndarray:
    """K×3 similarities (NUMBERS) of K pairs of pictures K×3×H×W, each inside its own box.

    nan for a unit to which the variant does not apply, and for a box too small to compare in.
    """
    out = np.full((len(original), len(NUMBERS)), np.nan)
    for i in applies.nonzero().flatten().tolist():
        one, other = (cut(pictures_[i], boxes[i]) for pictures_ in (original, pictures))
        if min(one.shape[1:]) >= 3:
            out[i] = similarity(one, other)
    return out


def cut(picture: torch.Tensor, box: Box) -> np.ndarray:
    """3×H×W inside a box."""
    top, left, bottom, right = box
    return picture[:, top:bottom, left:right].numpy()


def kept(values: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """(mean - chance) / (1 - chance): 0 for what unrelated pictures have in common, 1 for all.

    values, chance: means, of one shape; nan where chance is above NEAR_ONE.
    """
    room = np.where(chance > NEAR_ONE, np.nan, 1 - np.asarray(chance, float))
    return (values - chance) / room
