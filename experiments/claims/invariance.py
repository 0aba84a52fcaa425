"""The claims of Figure 5 about curves under translation, scale and rotation (§4.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from deconv.studies.invariance.courses import Scores
from deconv.studies.invariance.scores import Interval, difference, interval
from experiments.kit.findings import TRUTH, Finding

LINEAR = 0.9
"""R² from which a curve counts as quasi-linear; √x has 0.64, x^(2/3) about 0.9."""
KEPT = 0.5
"""The share of the class's probability below which the output counts as not invariant."""
LEAST = 5
"""Images from which a claim is judged; the paper shows five."""
OVER = "spread: half the 95 % bootstrap interval over images"


def findings(
    scores: Scores, symmetric: np.ndarray | None, drawn_scenes: bool, seed: int
) -> list[Finding]:
    """Judge the claims of Figure 5 and, on the built-in scenes, what turning does to known objects.

    symmetric: N bool, whose object looks alike when turned, or None.
    """
    straight, turned = [scores["translation"], scores["scale"]], scores["rotation"]
    leaps = [interval(s["layer1/sharp"] - s["layer7/sharp"], np.mean, seed) for s in straight]
    fits = [interval(s["layer7/line"], np.median, seed) for s in straight]
    gaps = [interval(s["layer7/line"] - s["layer1/line"], np.median, seed) for s in straight]
    kept = interval(turned["kept"], np.mean, seed)
    symmetric_key = f"{TRUTH}fig5_invariance/rotation_symmetric"
    found = [
        _finding(
            "fig5/layer1_sharp",
            leaps,
            all(gap.low > 0 for gap in leaps),
            "share of the largest distance that is reached at a tenth of the range, layer 1 minus "
            "layer 7, mean over {images} images, the smaller of translation and scale; "
            f"{OVER}; holds if both intervals lie above 0",
        ),
        _finding(
            "fig5/quasi_linear",
            fits,
            all(fit.value >= LINEAR for fit in fits) and all(gap.low > 0 for gap in gaps),
            "R² of the straight line through the origin of layer 7's distance, median over "
            f"{{images}} images, the smaller of translation and scale; {OVER}; holds if both are "
            f"at least {LINEAR:g} and the intervals of their differences to layer 1's R² lie "
            "above 0",
        ),
        _finding(
            "fig5/not_rotation",
            [kept],
            kept.high < KEPT,
            "share of the true class's probability that is kept, mean over all angles and "
            f"{{images}} images; {OVER}; holds if the interval lies below {KEPT:g}. The exception "
            f"for symmetric objects is {symmetric_key}",
        ),
    ]
    if drawn_scenes:
        right = interval(turned["right_angles"], np.mean, seed)
        rule = (
            "share of the probability kept at 90, 180 and 270° minus that at 45, 135, 225 and "
            f"315°, mean over {{images}} images; {OVER}; holds if the interval lies above 0"
        )
        found.append(_finding(f"{TRUTH}fig5_invariance/right_angles", [right], right.low > 0, rule))
    if drawn_scenes and symmetric is not None:
        gap = difference(turned["kept"][symmetric], turned["kept"][~symmetric], seed)
        alike, others = int(symmetric.sum()), int((~symmetric).sum())
        rule = (
            f"share of the probability kept over all angles, of the {alike} images of classes "
            f"whose objects are roughly alike when turned minus the {others} others; {OVER}, drawn "
            f"within each group; holds if the interval lies above 0, open below {LEAST} images in "
            "a group"
        )
        holds = gap.low > 0 if min(alike, others) >= LEAST else None
        found.append(_finding(symmetric_key, [gap], holds, rule))
    return found


def _finding(key: str, intervals: Sequence[Interval], holds: bool | None, rule: str) -> Finding:
    """The smallest of some statistics; not judged where one has too few images for an interval."""
    known = all(one.images >= LEAST and math.isfinite(one.low) for one in intervals)
    worst = min(intervals, key=lambda one: one.value if math.isfinite(one.value) else -math.inf)
    value, half = (x if math.isfinite(x) else None for x in (worst.value, worst.half))
    holds = bool(holds) if known and holds is not None else None
    return Finding(key, value, half, holds, rule.format(images=worst.images))
