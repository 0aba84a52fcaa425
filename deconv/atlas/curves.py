"""Small line charts of a training, as the points of SVG polylines."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

WIDTH, HEIGHT = 240, 80


@dataclass(frozen=True)
class Chart:
    """One curve. points: of a polyline in WIDTH×HEIGHT. lowest … last: values of x and y."""

    name: str
    points: str
    lowest: float
    highest: float
    first_x: float
    last_x: float
    last: float


def charts(curves: Mapping[str, Sequence[tuple[float, float]]]) -> list[Chart]:
    """Draw every curve that has two finite points, each on its own scale."""
    found = []
    for name, curve in curves.items():
        finite = [(x, y) for x, y in curve if math.isfinite(x) and math.isfinite(y)]
        if len(finite) < 2:
            continue
        xs, ys = zip(*finite, strict=True)
        across, up = max(xs) - min(xs) or 1.0, max(ys) - min(ys) or 1.0
        points = " ".join(
            f"{WIDTH * (x - min(xs)) / across:.1f},{HEIGHT * (1 - (y - min(ys)) / up):.1f}"
            for x, y in finite
        )
        found.append(Chart(name, points, min(ys), max(ys), xs[0], xs[-1], ys[-1]))
    return found
