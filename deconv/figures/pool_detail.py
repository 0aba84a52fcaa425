"""The lower panel of Figure 1: pooling windows and their switches, in numbers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from deconv.figures.drawing import FAINT, HAIR, INK
from deconv.figures.sheet import arrow, frame, label


@dataclass(frozen=True)
class PoolWindows:
    """p×q windows of one pool over r×s values of a map.

    up, unpooled: r×s. pooled, signal: p×q. switches: p×q×2 (y, x) within up. windows: p×q×4
    half-open boxes within up. title: of the panel.
    """

    up: np.ndarray
    pooled: np.ndarray
    switches: np.ndarray
    signal: np.ndarray
    unpooled: np.ndarray
    windows: np.ndarray
    title: str


RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")
"""Superscript digits."""
CELL, WIDE, TITLES = 0.205, 1.5, 0.4
"""Inches: largest cell, widest grid, height of the titles."""
_FIRST = ("#f6c6a0", "#bfd8ea", "#bfe3cf", "#f3e3a1", "#e3c9e6")
COLOURS = (*_FIRST, "#d9d2c5", "#f2b8c0", "#c9d98f", "#c4c6f0")
"""Of the windows, cycled."""


def detail_height(detail: PoolWindows) -> float:
    """Height of the panel in inches."""
    return TITLES + _cell(detail) * detail.up.shape[0]


def _cell(detail: PoolWindows) -> float:
    return min(CELL, WIDE / max(detail.up.shape))


def draw_pool_windows(axes: Axes, detail: PoolWindows, top: float, width_in: float) -> None:
    """Draw the panel at `top` inches: signal from above, unpooled, switches, rectified, pooled."""
    label(axes, width_in / 2, top, detail.title, 7, INK, weight="bold")
    (rows, columns), cell = detail.up.shape, _cell(detail)
    wide, small = columns * cell, detail.pooled.shape[1] * cell
    space = (width_in - 0.56 - 3 * wide - 2 * small) / 4
    lefts = np.cumsum([0.28, small + space, wide + space, wide + space, wide + space])
    middle = top + TITLES + rows * cell / 2
    titles = ("from above", "unpooled", "switches", "rectified", "pooled")
    fields = (detail.signal, detail.unpooled, None, detail.up, detail.pooled)
    coming = _power(np.concatenate([detail.signal.ravel(), detail.unpooled.ravel()]))
    powers = (coming, coming, 0, *[_power(detail.up)] * 2)
    for left, words, values, power in zip(lefts, titles, fields, powers, strict=True):
        pooled = words in ("from above", "pooled")
        shape = detail.pooled.shape if pooled else detail.up.shape
        upper = middle - shape[0] * cell / 2
        _grid(axes, detail, values, pooled, left, upper, cell, power)
        unit = f"\nin 10{str(power).translate(RAISED)}" if power else ""
        across = left + shape[1] * cell / 2
        label(axes, across, upper - 0.04, words + unit, 5.8, va="bottom")
    ends = [
        (left - 0.05, left + width + 0.05)
        for left, width in zip(lefts, (small, wide, wide, wide, small), strict=True)
    ]
    arrow(axes, (ends[0][1], middle), (ends[1][0], middle), "unpool")
    arrow(axes, (ends[2][0], middle), (ends[1][1], middle), "guide")
    arrow(axes, (ends[3][0], middle), (ends[2][1], middle), "record")
    arrow(axes, (ends[3][1], middle), (ends[4][0], middle), "pool")


def _grid(
    axes: Axes,
    detail: PoolWindows,
    values: np.ndarray | None,
    pooled: bool,
    left: float,
    top: float,
    cell: float,
    power: int,
) -> None:
    """Draw cells with numbers in units of 10^power, or with dots at switches if `values` is None.

    A window's own cell (pooled) or the one it chose has its colour.
    """
    colours, shape = _colours(detail, pooled), (detail.pooled if pooled else detail.up).shape
    for y in range(shape[0]):
        for x in range(shape[1]):
            corner = (left + x * cell, top + y * cell)
            mine = colours.get((y, x), [])
            for n, colour in enumerate(mine):  # a shared switch has a stripe of each window
                width = cell / len(mine)
                place = (corner[0] + n * width, corner[1])
                axes.add_patch(Rectangle(place, width, cell, facecolor=colour, edgecolor="none"))
            frame(axes, *corner, cell, cell, HAIR, 0.5)
            where = (corner[0] + cell / 2, corner[1] + cell / 2)
            words, weight, faint = "●" * bool(mine), "normal", False
            if values is not None:
                words, faint = _number(values[y, x] / 10.0**power), values[y, x] == 0
                weight = "bold" if mine else "normal"
            label(axes, *where, words, 21 * cell, FAINT if faint else INK, weight=weight)
    if not pooled:
        y, x = divmod(int(np.abs(detail.signal).argmax()), detail.signal.shape[1])
        y0, x0, y1, x1 = detail.windows[y, x]
        extent = (x1 - x0) * cell, (y1 - y0) * cell
        frame(axes, left + x0 * cell, top + y0 * cell, *extent, INK, 1.0)


def _colours(detail: PoolWindows, pooled: bool) -> dict[tuple[int, int], list[str]]:
    """Cell -> colours of the windows that it belongs to (pooled) or whose switch it is."""
    found: dict[tuple[int, int], list[str]] = {}
    columns = detail.pooled.shape[1]
    for y, x in np.ndindex(detail.pooled.shape):
        down, across = (y, x) if pooled else detail.switches[y, x].tolist()
        found.setdefault((down, across), []).append(COLOURS[(y * columns + x) % len(COLOURS)])
    return found


def _power(values: np.ndarray) -> int:
    """The power of ten to print values in; 0 for a largest value of 0 or in 1…1000."""
    largest = float(np.abs(values).max())
    if largest == 0 or 1 <= largest < 1000:
        return 0
    return int(np.floor(np.log10(largest))) - 1


def _number(value: float) -> str:
    if value == 0:
        return "0"
    return f"{value:.0f}" if abs(value) >= 99.5 else f"{value:.1f}"
