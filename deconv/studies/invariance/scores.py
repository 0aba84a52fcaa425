"""What curves of distance and probability under a transform say, as numbers (§4.1, Fig. 5).

The paper says of its curves that small transforms change layer 1 dramatically and layer 7 less,
quasi-linearly for translation and scale. Defined here, for the curve d(x) of one image, x the
distance from the untransformed image, on each side of it (up and down, larger, one turn and the
other; the mean over sides counts):

line      R² of the best straight line through the origin: 1 − Σ(d−sx)² / Σ(d−mean d)², with
          s = Σxd / Σx². A straight line has 1, √x 0.64, a constant behind a step less than 0.
sharp     the share of the side's largest distance that is reached at a tenth of its range: 0.1 for
          a straight line, 1 for a step.

Both do not change when distances are multiplied by a constant, so layers of different size
compare. Intervals are percentiles of the bootstrap over images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deconv.errors import DeconvError
from deconv.studies.bootstrap import middle, resamples

Side = tuple[np.ndarray, np.ndarray]
"""Indices of a side's amounts and their distances from the identity, ascending."""


def sides(amounts: np.ndarray, identity: float, period: float | None = None) -> list[Side]:
    """The one or two directions away from the identity among T amounts.

    period: after which amounts repeat (360 for degrees); then a side reaches half of it. The
    identity belongs to both sides. A side with fewer than two amounts beside it is left out.
    """
    away = np.asarray(amounts, dtype=float) - identity
    if period is not None:
        away = away % period
        both = (away, (period - away) % period)
        masks = [one <= period / 2 for one in both]
    else:
        both = (away, -away)
        masks = [one >= 0 for one in both]
    found = []
    for distance, mask in zip(both, masks, strict=True):
        at = np.flatnonzero(mask)
        at = at[np.argsort(distance[at], kind="stable")]
        if (distance[at] > 0).sum() >= 2:
            found.append((at, distance[at]))
    return found


def line(x: np.ndarray, d: np.ndarray) -> float:
    """R² of the straight line through the origin (see above); NaN for a curve that is constant."""
    slope = (x * d).sum() / (x * x).sum()
    total = ((d - d.mean()) ** 2).sum()
    return float(1 - ((d - slope * x) ** 2).sum() / total) if total > 0 else math.nan


def reached(x: np.ndarray, d: np.ndarray, part: float) -> float:
    """d at `part` (0…1) of the range of x, linear between the amounts that were measured."""
    return float(np.interp(part * x[-1], x, d))


def sharp(x: np.ndarray, d: np.ndarray, part: float = 0.1) -> float:
    """The share of the largest d that is reached at `part` of the range; NaN if d is 0."""
    return reached(x, d, part) / float(d.max()) if d.max() > 0 else math.nan


def over_sides(
    score: Callable[[np.ndarray, np.ndarray], float], curves: np.ndarray, ways: list[Side]
) -> np.ndarray:
    """N scores of N×T curves, each the mean over the sides. Raises DeconvError without a side."""
    if not ways:
        raise DeconvError("scores need a range with at least two amounts beside the identity")
    return np.array([np.mean([score(x, curve[at]) for at, x in ways]) for curve in curves])


def at_angles(amounts_deg: np.ndarray, curves: np.ndarray, angles_deg: list[float]) -> np.ndarray:
    """N×A: N×T curves over degrees read at other angles, linear between, round the circle."""
    return np.array([np.interp(angles_deg, amounts_deg, curve, period=360) for curve in curves])


@dataclass(frozen=True)
class Interval:
    """A statistic over `images` images, and its bootstrap interval; NaN if unknown."""

    value: float
    low: float
    high: float
    images: int

    @property
    def half(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2

    def row(self) -> dict[str, float | str]:
        """Its cells in a table: value, low, high, images."""
        return {name: cell(value) for name, value in vars(self).items()}


def cell(value: float) -> float | str:
    """A number for a table, rounded; empty where there is none."""
    return round(value, 6) if math.isfinite(value) else ""


def interval(
    values: np.ndarray, statistic: Callable[..., np.ndarray] = np.mean, seed: int = 0
) -> Interval:
    """The statistic of N values, one an image, and its interval over images drawn anew.

    NaN among the values is left out. statistic: as np.mean and np.median, with an axis. Fewer
    than two values have no interval.
    """
    known = np.asarray(values, dtype=float)
    known = known[np.isfinite(known)]
    if not len(known):
        return Interval(math.nan, math.nan, math.nan, 0)
    value = float(statistic(known, axis=0))
    if len(known) == 1:
        return Interval(value, math.nan, math.nan, 1)
    low, high = middle(statistic(resamples(known, seed), axis=1))
    return Interval(value, low, high, len(known))


def difference(first: np.ndarray, second: np.ndarray, seed: int = 0) -> Interval:
    """Mean of one group of images minus that of another, both drawn anew; `images` counts both."""
    groups = [np.asarray(g, dtype=float) for g in (first, second)]
    groups = [g[np.isfinite(g)] for g in groups]
    count = sum(map(len, groups))
    if min(map(len, groups)) == 0:
        return Interval(math.nan, math.nan, math.nan, count)
    value = float(groups[0].mean() - groups[1].mean())
    if min(map(len, groups)) == 1:
        return Interval(value, math.nan, math.nan, count)
    drawn = [resamples(g, seed + i).mean(axis=1) for i, g in enumerate(groups)]
    low, high = middle(drawn[0] - drawn[1])
    return Interval(value, low, high, count)
