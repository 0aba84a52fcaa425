"""Seeded percentile bootstrap intervals (Efron)."""

from __future__ import annotations

import numpy as np

from deconv.errors import DeconvError

LEVEL = 0.95
"""Level of the intervals, by convention."""

DRAWS = 2000
"""Resamples; at this number the ends of an interval vary by a few percent of its width."""


# Not scipy.stats.bootstrap: it refuses a single value and does not return the resamples, which
# medians, differences and NaN need.
def resamples(values: np.ndarray, seed: int, draws: int = DRAWS) -> np.ndarray:
    """Resample M values with replacement: `draws`×M."""
    values = np.asarray(values, dtype=float)
    return values[np.random.default_rng(seed).integers(0, len(values), (draws, len(values)))]


def middle(statistics: np.ndarray, level: float = LEVEL) -> tuple[float, float]:
    """The percentile interval of resampled statistics, ignoring NaN."""
    tail = 50 * (1 - level)
    low, high = np.nanpercentile(statistics, [tail, 100 - tail])
    return float(low), float(high)


def bootstrap(
    values: np.ndarray, seed: int, draws: int = DRAWS, level: float = LEVEL
) -> tuple[float, float]:
    """The interval of the mean of M ≥ 1 values."""
    if len(values) == 0:
        raise DeconvError("an interval needs at least one value")
    return middle(resamples(values, seed, draws).mean(axis=1), level)


def bootstrap_difference(
    one: np.ndarray, other: np.ndarray, seed: int, draws: int = DRAWS, level: float = LEVEL
) -> tuple[float, float]:
    """The interval of mean(one) - mean(other) for two unpaired groups."""
    first, second = resamples(one, seed, draws), resamples(other, seed + 1, draws)
    return middle(first.mean(axis=1) - second.mean(axis=1), level)
