"""What the curves of Figure 5 say about the paper's claims: scores of each image, then findings.

Scores and intervals are defined in `deconv.studies.invariance.scores`, the rules below.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deconv.studies.invariance.scores import (
    Interval,
    at_angles,
    difference,
    interval,
    line,
    over_sides,
    reached,
    sharp,
    sides,
)
from deconv.studies.invariance.warping import IDENTITY
from experiments.kit.findings import TRUTH, Finding

LINEAR = 0.9
"""R² from which a curve counts as quasi-linear; √x has 0.64, x^(2/3) about 0.9."""
KEPT = 0.5
"""The share of the class's probability below which the output counts as not invariant."""
SHOWN = 5
"""Images of the paper's figure."""
LEAST = 5
"""Images from which a claim is judged; the paper shows five."""
LAYER = ("layer1", "layer7")
RIGHT, DIAGONAL = [90.0, 180.0, 270.0], [45.0, 135.0, 225.0, 315.0]
OVER = "95 % bootstrap interval over images"


@dataclass(frozen=True)
class Course:
    """What all N images did under one transform of T amounts.

    distance: the lower and the upper layer's N×T. norm: both layers' N, of the untransformed
    images. probability: N×T; clean: N, of the true class.
    """

    kind: str
    amounts: np.ndarray
    distance: tuple[np.ndarray, np.ndarray]
    norm: tuple[np.ndarray, np.ndarray]
    probability: np.ndarray
    clean: np.ndarray

    def kept(self) -> np.ndarray:
        """N×T: the probability as a share of the untransformed image's."""
        clean = np.where(self.clean > 0, self.clean, math.nan)
        return self.probability / clean[:, None]

    def relative(self, layer: int) -> np.ndarray:
        """N×T: the distance over the norm of the untransformed vector; NaN where that is 0."""
        norm = np.where(self.norm[layer] > 0, self.norm[layer], math.nan)
        return self.distance[layer] / norm[:, None]


def image_scores(course: Course) -> dict[str, np.ndarray]:
    """Measure -> N values, one an image.

    line, sharp: as in `invariance_scores`. half: the relative distance at half the range. kept: the
    mean share of the probability kept over all amounts but the identity. Of rotation also
    right_angles: the share kept at 90, 180 and 270° minus that at 45, 135, 225 and 315°; and
    dip: the same of layer 7's relative distance, diagonals minus right angles.
    """
    kind = course.kind
    ways = sides(course.amounts, IDENTITY[kind], 360.0 if kind == "rotation" else None)
    scores = {}
    for i, name in enumerate(LAYER):
        scores[f"{name}/line"] = over_sides(line, course.distance[i], ways)
        scores[f"{name}/sharp"] = over_sides(sharp, course.distance[i], ways)
        scores[f"{name}/half"] = over_sides(
            lambda x, d: reached(x, d, 0.5), course.relative(i), ways
        )
    away = course.amounts != IDENTITY[kind]
    scores["kept"] = course.kept()[:, away].mean(axis=1)
    if kind == "rotation":
        for name, curves, sign in (
            ("right_angles", course.kept(), 1),
            ("dip", course.relative(1), -1),
        ):
            right = at_angles(course.amounts, curves, RIGHT).mean(axis=1)
            scores[name] = sign * (right - at_angles(course.amounts, curves, DIAGONAL).mean(axis=1))
    return scores


Scores = dict[str, dict[str, np.ndarray]]
"""Kind -> measure -> one value an image."""


def summary(scores: Scores, seed: int) -> list[dict[str, Any]]:
    """Rows of scores.csv: the statistic of every measure over the images, and its interval.

    Straight lines by the median, because R² has no lower end; everything else by the mean.
    """
    rows = []
    for kind, measures in scores.items():
        pairs = dict(measures)
        for name in ("line", "sharp"):
            gap = measures[f"layer7/{name}"] - measures[f"layer1/{name}"]
            pairs[f"layer7 - layer1/{name}"] = gap
        for measure, values in pairs.items():
            statistic = np.median if measure.endswith("line") else np.mean
            found = interval(values, statistic, seed)
            rows.append(
                {"kind": kind, "measure": measure, "statistic": statistic.__name__}
                | {name: blank(getattr(found, name)) for name in ("value", "low", "high")}
                | {"images": found.images}
            )
    return rows


def blank(value: float) -> float | str:
    """A number for a table, rounded; empty where there is none."""
    return round(value, 6) if math.isfinite(value) else ""


def findings(
    scores: Scores, symmetric: np.ndarray | None, drawn_scenes: bool, seed: int
) -> list[Finding]:
    """The findings of a figure. symmetric: N bool, whose object looks alike when turned, or None.

    drawn_scenes: whether the images are the built-in scenes, whose objects are known.
    """
    straight = {k: s for k, s in scores.items() if k != "rotation"}
    found = [_sharp(straight, seed), _linear(straight, seed), _turning(scores["rotation"], seed)]
    if drawn_scenes:
        found.append(_right_angles(scores["rotation"], seed))
        if symmetric is not None:
            found.append(_symmetric(scores["rotation"], symmetric, seed))
    return found


def _sharp(scores: Scores, seed: int) -> Finding:
    gaps = [interval(s["layer1/sharp"] - s["layer7/sharp"], np.mean, seed) for s in scores.values()]
    worst = min(gaps, key=lambda gap: _number(gap.value, -math.inf))
    return Finding(
        "fig5/layer1_sharp",
        _finite(worst.value),
        _finite(worst.half),
        _judge(gaps, all(gap.low > 0 for gap in gaps)),
        "share of the largest distance that is reached at a tenth of the range, layer 1 minus "
        f"layer 7, mean over {worst.images} images, the smaller one of translation and scale; "
        f"spread: half the {OVER}; holds if both intervals lie above 0",
    )


def _linear(scores: Scores, seed: int) -> Finding:
    fits = [interval(s["layer7/line"], np.median, seed) for s in scores.values()]
    gaps = [interval(s["layer7/line"] - s["layer1/line"], np.median, seed) for s in scores.values()]
    worst = min(fits, key=lambda fit: _number(fit.value, -math.inf))
    better = all(fit.value >= LINEAR for fit in fits) and all(gap.low > 0 for gap in gaps)
    return Finding(
        "fig5/quasi_linear",
        _finite(worst.value),
        _finite(worst.half),
        _judge(fits, better),
        "R² of the straight line through the origin of layer 7's distance, median over "
        f"{worst.images} images, the smaller one of translation and scale; spread: half the "
        f"{OVER}; holds if both are at least {LINEAR:g} and the interval of the difference to "
        "layer 1's R² lies above 0 in both",
    )


def _turning(scores: dict[str, np.ndarray], seed: int) -> Finding:
    kept = interval(scores["kept"], np.mean, seed)
    return Finding(
        "fig5/not_rotation",
        _finite(kept.value),
        _finite(kept.half),
        _judge([kept], kept.high < KEPT),
        "share of the true class's probability that is kept, mean over all angles and "
        f"{kept.images} images; "
        f"spread: half the {OVER}; holds if the interval lies below {KEPT:g}. The exception for "
        f"symmetric objects is {TRUTH}fig5_invariance/rotation_symmetric",
    )


def _right_angles(scores: dict[str, np.ndarray], seed: int) -> Finding:
    gap = interval(scores["right_angles"], np.mean, seed)
    return Finding(
        f"{TRUTH}fig5_invariance/right_angles",
        _finite(gap.value),
        _finite(gap.half),
        _judge([gap], gap.low > 0),
        "share of the probability kept at 90, 180 and 270° minus that at 45, 135, 225 and 315°, "
        f"mean over {gap.images} images; spread: half the {OVER}; holds if the interval lies "
        "above 0",
    )


def _symmetric(scores: dict[str, np.ndarray], symmetric: np.ndarray, seed: int) -> Finding:
    gap = symmetric_gap(scores, symmetric, seed)
    enough = min(symmetric.sum(), (~symmetric).sum()) >= LEAST
    return Finding(
        f"{TRUTH}fig5_invariance/rotation_symmetric",
        _finite(gap.value),
        _finite(gap.half),
        _judge([gap], gap.low > 0) if enough else None,
        "share of the probability kept over all angles, of the "
        f"{symmetric.sum()} images of classes whose objects are roughly alike when turned minus "
        f"the {(~symmetric).sum()} others; spread: half the {OVER}, drawn within each group; "
        f"holds if the interval lies above 0, open below {LEAST} images in a group",
    )


def symmetric_gap(scores: dict[str, np.ndarray], symmetric: np.ndarray, seed: int) -> Interval:
    """The probability kept under rotation, symmetric objects minus others."""
    return difference(scores["kept"][symmetric], scores["kept"][~symmetric], seed)


def _judge(intervals: Sequence[Interval], verdict: bool) -> bool | None:
    """The verdict; None where there are too few images for it."""
    known = all(one.images >= LEAST and math.isfinite(one.low) for one in intervals)
    return bool(verdict) if intervals and known else None


def _number(value: float, otherwise: float) -> float:
    return value if math.isfinite(value) else otherwise


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
