"""How sure a mean is: percentile intervals from the bootstrap (Efron), drawn by a seed."""

from __future__ import annotations

import numpy as np

from deconv.errors import DeconvError

LEVEL = 0.95
"""Of the intervals. A convention."""

DRAWS = 2000
"""Resamples; with so many the ends of an interval move by a few percent of its width."""


# Not scipy.stats.bootstrap, which draws the same resamples by the same seed: it refuses a single
# value, and hands out no resamples for medians, differences and NaN.
def resamples(values: np.ndarray, seed: int, draws: int = DRAWS) -> np.ndarray:
    """`draws`×M: each row M of the M values, drawn with replacement."""
    values = np.asarray(values, dtype=float)
    return values[np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))]


def middle(statistics: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The ends of the middle `level` of resampled statistics; NaN are left out."""
    tail = 50 * (1 - level)
    low, high = np.nanpercentile(statistics, [tail, 100 - tail])
    return float(low), float(high)


def bootstrap(
    values: np.ndarray, seed: int, draws: int = DRAWS, level: float = LEVEL
) -> tuple[float, float]:
    """The interval of the mean of M values. Raises DeconvError for no value."""
    if len(values) == 0:
        raise DeconvError("an interval needs at least one value")
    return middle(resamples(values, seed, draws).mean(axis=1), level)


def bootstrap_difference(
    one: np.ndarray, other: np.ndarray, seed: int, draws: int = DRAWS, level: float = LEVEL
) -> tuple[float, float]:
    """The interval of mean(one) - mean(other) of two groups that are not paired."""
    first, second = resamples(one, seed, draws), resamples(other, seed + 1, draws)
    return middle(first.mean(axis=1) - second.mean(axis=1), level)
