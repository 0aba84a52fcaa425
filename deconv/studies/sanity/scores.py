"""How much of a picture survives an exchange, on a scale from chance (0) to identity (1)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

from deconv.records import Box
from deconv.studies.sanity.similarity import NUMBERS, similarity

NEAR_ONE = 0.95
"""Chance similarity above which the scale is undefined."""


def scores(
    original: torch.Tensor, pictures: torch.Tensor, boxes: Sequence[Box], applies: torch.Tensor
) -> np.ndarray:
    """Compare K pairs of pictures K×3×H×W, each inside its own box: K×3 similarities (NUMBERS).

    nan if the variant does not apply to a unit, and for boxes below 3 px.
    """
    out = np.full((len(original), len(NUMBERS)), np.nan)
    for i in applies.nonzero().flatten().tolist():
        one, other = (crop(batch[i], boxes[i]) for batch in (original, pictures))
        if min(one.shape[1:]) >= 3:
            out[i] = similarity(one, other)
    return out


def crop(picture: torch.Tensor, box: Box) -> np.ndarray:
    """Crop 3×H×W to a box."""
    top, left, bottom, right = box
    return picture[:, top:bottom, left:right].numpy()


def kept(values: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """(mean - chance) / (1 - chance) of mean similarities; nan where chance is above NEAR_ONE."""
    room = np.where(chance > NEAR_ONE, np.nan, 1 - np.asarray(chance, float))
    return (values - chance) / room
