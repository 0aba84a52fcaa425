"""The claims of Figure 5 about curves under translation, scale and rotation (§4.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from deconv.studies.invariance.courses import Scores
from deconv.studies.invariance.scores import Interval, difference, interval
from experiments.kit.claims import FEWEST_IMAGES, KEPT, LINEAR
from experiments.kit.findings import Finding, judged

LEAST = FEWEST_IMAGES["fig5"]
"""Images from which a claim is judged; the paper shows five."""


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
    quasi = all(fit.value >= LINEAR for fit in fits) and all(gap.low > 0 for gap in gaps)
    found = [
        _smallest("fig5/layer1_sharp", leaps, all(leap.low > 0 for leap in leaps)),
        _smallest("fig5/quasi_linear", fits, quasi),
        _smallest("fig5/not_rotation", [kept], kept.high < KEPT),
    ]
    if drawn_scenes:
        right = interval(turned["right_angles"], np.mean, seed)
        found.append(_smallest("control/fig5/right_angles", [right], right.low > 0))
    if drawn_scenes and symmetric is not None:
        gap = difference(turned["kept"][symmetric], turned["kept"][~symmetric], seed)
        groups = {"symmetric": int(symmetric.sum()), "others": int((~symmetric).sum())}
        holds = gap.low > 0 if min(groups.values()) >= LEAST else None
        found.append(_smallest("control/fig5/rotation_symmetric", [gap], holds, **groups))
    return found


def _smallest(key: str, intervals: Sequence[Interval], holds: bool | None, **facts: Any) -> Finding:
    """The smallest of some statistics; not tested where one has too few images for an interval."""
    known = all(one.images >= LEAST and math.isfinite(one.low) for one in intervals)
    worst = min(intervals, key=lambda one: one.value if math.isfinite(one.value) else -math.inf)
    value = worst.value if math.isfinite(worst.value) else None
    ends = (worst.low, worst.high) if math.isfinite(worst.half) else None
    holds = bool(holds) if known and holds is not None else None
    return judged(key, value, ends, worst.images, holds=holds, **facts)
