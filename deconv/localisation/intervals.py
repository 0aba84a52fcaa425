"""Bootstrap intervals of means."""

from __future__ import annotations

import numpy as np

from deconv.errors import DeconvError

LEVEL = 0.95
"""Of the intervals. A convention."""

DRAWS = 2000
"""Resamples; with so many the ends of an interval move by a few percent of its width."""


def bootstrap(
    values: np.ndarray, seed: int, draws: int = DRAWS, level: float = LEVEL
) -> tuple[float, float]:
    """The interval of the mean of M values, from `draws` resamples of M of them.

    Percentiles of the resampled means. Raises DeconvError for no value.
    """
    if len(values) == 0:
        raise DeconvError("an interval needs at least one value")
    means = resampled_means(values, seed, draws)
    low, high = np.percentile(means, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)


def resampled_means(values: np.ndarray, seed: int, draws: int = DRAWS) -> np.ndarray:
    """`draws` means of M values drawn from M with replacement."""
    rows = np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))
    return np.asarray(values, dtype=float)[rows].mean(axis=1)


def bootstrap_difference(
    one: np.ndarray, other: np.ndarray, seed: int, draws: int = DRAWS, level: float = LEVEL
) -> tuple[float, float]:
    """The interval of mean(one) - mean(other) of two groups that are not paired."""
    means = resampled_means(one, seed, draws) - resampled_means(other, seed + 1, draws)
    low, high = np.percentile(means, [50 * (1 - level), 50 * (1 + level)])
    return float(low), float(high)
