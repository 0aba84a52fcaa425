"""Scores of the curves of distance under a transform (§4.1, Fig. 5).

The paper states that small transforms change layer 1 dramatically and layer 7 less, quasi-linearly
for translation and scale. Two scores test this on the curve d(x) of one image, x being the distance
from the identity; each is the mean over the sides of the identity (up and down, both directions of
rotation; scale has one):

line      R² of the best straight line through the origin: 1 − Σ(d−sx)² / Σ(d−mean d)², with
          s = Σxd / Σx². 1 for a straight line, 0.64 for √x, below 0 for a step.
sharp     the share of the side's largest distance reached at a tenth of its range: 0.1 for a
          straight line, 1 for a step.

Neither depends on the scale of d, so layers of different size compare. Intervals are percentile
bootstraps over images.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from deconv.errors import DeconvError
from deconv.studies.bootstrap import middle, resamples

Side = tuple[np.ndarray, np.ndarray]
"""Indices of the amounts on one side and their distances from the identity, ascending."""


def sides(amounts: np.ndarray, identity: float, period: float | None = None) -> list[Side]:
    """Split T amounts into the one or two sides of the identity, which belongs to both.

    period: after which amounts repeat (360 for degrees); a side then spans half of it. Sides with
    fewer than two further amounts are left out.
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
    """R² of the straight line through the origin (see above); NaN for a constant curve."""
    slope = (x * d).sum() / (x * x).sum()
    total = ((d - d.mean()) ** 2).sum()
    return float(1 - ((d - slope * x) ** 2).sum() / total) if total > 0 else math.nan


def value_at(x: np.ndarray, d: np.ndarray, part: float) -> float:
    """d at `part` (0…1) of the range of x, interpolated linearly."""
    return float(np.interp(part * x[-1], x, d))


def sharp(x: np.ndarray, d: np.ndarray, part: float = 0.1) -> float:
    """The share of the largest d reached at `part` of the range; NaN if d is 0."""
    return value_at(x, d, part) / float(d.max()) if d.max() > 0 else math.nan


def over_sides(
    score: Callable[[np.ndarray, np.ndarray], float], curves: np.ndarray, ways: list[Side]
) -> np.ndarray:
    """Score N×T curves, each by its mean over the sides, of which there must be one."""
    if not ways:
        raise DeconvError("scores need a range with at least two amounts beside the identity")
    return np.array([np.mean([score(x, curve[at]) for at, x in ways]) for curve in curves])


def at_angles(amounts_deg: np.ndarray, curves: np.ndarray, angles_deg: list[float]) -> np.ndarray:
    """Interpolate N×T curves over degrees at A angles, periodically: N×A."""
    return np.array([np.interp(angles_deg, amounts_deg, curve, period=360) for curve in curves])


@dataclass(frozen=True)
class Interval:
    """A statistic over `images` images and its bootstrap interval; NaN if unknown."""

    value: float
    low: float
    high: float
    images: int

    @property
    def half(self) -> float:
        """Half the interval's width."""
        return (self.high - self.low) / 2

    def row(self) -> dict[str, float | str]:
        """The table cells value, low, high, images."""
        return {name: cell(value) for name, value in vars(self).items()}


def cell(value: float) -> float | str:
    """Round a number for a table; "" if it is not finite."""
    return round(value, 6) if math.isfinite(value) else ""


def interval(
    values: np.ndarray, statistic: Callable[..., np.ndarray] = np.mean, seed: int = 0
) -> Interval:
    """Bootstrap a statistic of N values, one an image, over the images.

    statistic: like np.mean, with an axis. NaN values are left out; fewer than two values have no
    interval.
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
    """Bootstrap the difference of means of two groups of images; `images` counts both."""
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
