"""Scores of occlusion maps by regions: does the response drop where the square covers the object?

A region marks the positions of the square that lie on the object's box, a part or the projection.
A score compares the drop inside the region with that outside. Since objects tend to be central,
where occlusion hurts most anyway, each score is compared with the *other* images' regions on the
same map.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from deconv.errors import DeconvError
from deconv.records import Box
from deconv.studies.bootstrap import middle
from deconv.studies.boxes import covered_share

RESAMPLES = 10_000


@dataclass(frozen=True)
class Comparison:
    """Mean scores over N images and 95 % bootstrap intervals over them.

    own: each image with its own region. shuffled: with the regions of the others. beyond: own
    minus shuffled, paired. chance: p of a permutation test, the share of 10,000 random
    permutations of regions (the true one among them) that score as high as the true one.
    """

    images: int
    own: float
    own_interval: tuple[float, float]
    shuffled: float
    beyond: float
    beyond_interval: tuple[float, float]
    chance: float


def squares_on(boxes: Sequence[Box], corners: np.ndarray, size_px: int, least: float) -> np.ndarray:
    """rows × columns bool: whether at least `least` of the square lies on one of the boxes."""
    return _grid(corners, size_px, lambda s: any(covered_share(b, s) >= least for b in boxes))


def squares_over(
    boxes: Sequence[Box], corners: np.ndarray, size_px: int, least: float
) -> np.ndarray:
    """rows × columns bool: whether the square covers at least `least` of one of the boxes."""
    return _grid(corners, size_px, lambda s: any(covered_share(s, b) >= least for b in boxes))


def _grid(corners: np.ndarray, size_px: int, test: Callable[[Box], bool]) -> np.ndarray:
    flat = [test((y, x, y + size_px, x + size_px)) for y, x in corners.reshape(-1, 2).tolist()]
    return np.array(flat, bool).reshape(corners.shape[:2])


def squares_over_most(
    pixels: np.ndarray, corners: np.ndarray, size_px: int, share: float
) -> np.ndarray:
    """rows × columns bool: the `share` of positions that cover the most energy of `pixels`.

    pixels: 3×H×W, around zero; energy is the sum of squares. Ties go to the first position.
    """
    energy = (pixels.astype(np.float64) ** 2).sum(axis=0)
    covered = [
        energy[max(y, 0) : y + size_px, max(x, 0) : x + size_px].sum()
        for y, x in corners.reshape(-1, 2).tolist()
    ]
    order = np.argsort(-np.array(covered), kind="stable")
    out = np.zeros(len(covered), bool)
    out[order[: round(share * len(covered))]] = True
    return out.reshape(corners.shape[:2])


def contrast(fall: np.ndarray, region: np.ndarray) -> float:
    """Mean of `fall` inside the region minus its mean outside; NaN if either is empty."""
    if region.all() or not region.any():
        return float("nan")
    return float(fall[region].mean() - fall[~region].mean())


def hit(fall: np.ndarray, region: np.ndarray) -> float:
    """1 if the largest fall (the first on ties) lies in the region, else 0."""
    return float(region.flat[fall.argmax()])


def compare(scores: np.ndarray, seed: int = 0) -> Comparison | None:
    """Compare own with others' regions, from N×N scores (image × whose region).

    Images whose own score is NaN, because their region is empty or the whole map, are left out as
    rows and columns. None for fewer than two images.
    """
    scores = np.asarray(scores, np.float64)
    if scores.ndim != 2 or scores.shape[0] != scores.shape[1]:
        raise DeconvError(f"scores are a square matrix, got {scores.shape}")
    kept = ~np.isnan(scores.diagonal())
    scores = scores[np.ix_(kept, kept)]
    count = len(scores)
    if count < 2:
        return None
    own = scores.diagonal()
    shuffled = (scores.sum(axis=1) - own) / (count - 1)
    random = np.random.default_rng(seed)
    draws = random.integers(count, size=(RESAMPLES, count))
    swaps = random.permuted(np.tile(np.arange(count), (RESAMPLES, 1)), axis=1)
    exchanged = scores[np.arange(count), swaps].mean(axis=1)
    reached = (exchanged >= own.mean() - 1e-12).sum()
    return Comparison(
        count,
        float(own.mean()),
        middle(own[draws].mean(axis=1)),
        float(shuffled.mean()),
        float((own - shuffled).mean()),
        middle((own - shuffled)[draws].mean(axis=1)),
        float((reached + 1) / (RESAMPLES + 1)),
    )
