"""Figure 3: a network's layers as stacks of maps, with the operations between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Polygon, Rectangle

from deconv.figures.drawing import BLUE, FAINT, HAIR, INK, MARGIN, captioned, label_in
from deconv.figures.lettering import fitted
from deconv.figures.sheet import arrow, label, sheet
from deconv.figures.style import page


@dataclass(frozen=True)
class Box:
    """The output of one operation, drawn as a stack of maps.

    title: e.g. "conv1". group: e.g. "Layer 1"; neighbours of one group share a bracket.
    operation: lines above the arrow to the box. maps, side: number of maps and their larger side
    in positions; side 1 is drawn as a column of units. kernel: side of the next operation's window
    on this map, 0 for none. facts: lines below, one for each of the page's `row_names`.
    """

    title: str
    group: str
    operation: tuple[str, ...]
    maps: int
    side: int
    kernel: int
    facts: tuple[str, ...]


STEP = 0.5
"""Least room of a box in inches; lines of the page hold as many as fit."""
HEAD, OPERATIONS, STACK, FACTS, LINE, LINE_GAP = 0.4, 0.62, 0.82, 0.42, 0.125, 0.24
NAMES, SHIFT, LEAST_SIDE, LEAST_WINDOW, MOST_PLANES = 0.78, 0.011, 0.06, 0.03, 9
"""Inches, except MOST_PLANES: the most planes of a drawn stack."""


@page(least_in=2.4)
def architecture_boxes(
    boxes: Sequence[Box],
    row_names: Sequence[str],
    heading: str,
    caption: str,
    width_in: float = 8.0,
) -> Figure:
    """Draw boxes from left to right, in lines as long as the page allows, with their facts below.

    A stack's side is proportional to the square root of the map's.
    """
    fit = max(1, int((width_in - 2 * MARGIN - NAMES) / STEP))
    lines = -(-len(boxes) // fit)
    per_line = -(-len(boxes) // lines)
    row_height = OPERATIONS + STACK + FACTS + LINE * len(row_names) + LINE_GAP
    figure = captioned(width_in, HEAD + lines * row_height, caption)
    axes = sheet(figure)
    label_in(figure, MARGIN, width_in - MARGIN, 0.14, heading, 9.5, INK, weight="bold")
    step = (width_in - 2 * MARGIN - NAMES) / per_line
    largest = max(box.side for box in boxes)
    widest = min(0.84 * step, STACK - 0.1) - SHIFT * (MOST_PLANES - 1)
    for line in range(lines):
        some = boxes[line * per_line : (line + 1) * per_line]
        top = HEAD + line * row_height
        centres = [MARGIN + NAMES + (i + 0.5) * step for i in range(len(some))]
        edges = [
            _draw_stack(axes, box, x, top + OPERATIONS + STACK / 2, widest / largest**0.5)
            for box, x in zip(some, centres, strict=True)
        ]
        for i, box in enumerate(some):
            start = edges[i - 1][1] if i else centres[0] - 0.62 * step
            if box.operation:
                _draw_operation(axes, box, start + 0.03, edges[i][0] - 0.02, top, step)
        _draw_facts(axes, some, row_names, centres, top + OPERATIONS + STACK, step)
        _draw_groups(axes, some, centres, top + OPERATIONS + STACK + 0.2, step)
    return figure


def _draw_operation(
    axes: Axes, box: Box, start: float, end: float, top: float, step: float
) -> None:
    """Draw the arrow to a box with its operation above."""
    level, place = top + OPERATIONS + STACK / 2, (start + end) / 2
    arrow(axes, (start, level), (end, level))
    words, bottom = "\n".join(box.operation), top + OPERATIONS - 0.06
    size = min(fitted(line, 4.7, 0.95 * step, least=0.5)[1] for line in box.operation)
    label(axes, place, bottom, words, size, va="bottom", linespacing=1.3)
    axes.plot([place] * 2, [bottom + 0.02, level - 0.02], color=HAIR, linewidth=0.5, zorder=0)


def _draw_facts(
    axes: Axes,
    boxes: Sequence[Box],
    names: Sequence[str],
    centres: Sequence[float],
    top: float,
    step: float,
) -> None:
    """Write titles and facts of a line of boxes."""
    for box, x in zip(boxes, centres, strict=True):
        words, size = fitted(box.title, 5.8, 0.95 * step, "bold")
        label(axes, x, top + 0.08, words, size, weight="bold")
        for n, fact in enumerate(box.facts):
            label(axes, x, top + FACTS + n * LINE, *fitted(fact, 4.9, 0.95 * step))
    for n, name in enumerate(names):
        label(axes, MARGIN, top + FACTS + n * LINE, name, 5.0, FAINT, ha="left")


def _draw_groups(
    axes: Axes, boxes: Sequence[Box], centres: Sequence[float], level: float, step: float
) -> None:
    """Draw a bracket with its name below the neighbours of each group."""
    start = 0
    for i in range(1, len(boxes) + 1):
        if i < len(boxes) and boxes[i].group == boxes[start].group:
            continue
        left, right = centres[start] - 0.44 * step, centres[i - 1] + 0.44 * step
        levels = [level - 0.02, level, level, level - 0.02]
        axes.plot([left, left, right, right], levels, color=FAINT, linewidth=0.5)
        words, size = fitted(boxes[start].group, 6, right - left)
        label(axes, (left + right) / 2, level + 0.07, words, size, FAINT)
        start = i


def _draw_stack(axes: Axes, box: Box, x: float, level: float, scale: float) -> tuple[float, float]:
    """Draw a stack centred at (x, level); return its left and right edge in inches."""
    if box.side == 1:
        return _draw_units(axes, box, x, level)
    side = max(LEAST_SIDE, scale * box.side**0.5)
    count = int(np.clip(round(np.log2(box.maps)), 1, MOST_PLANES))
    left, top = (centre - (side + SHIFT * (count - 1)) / 2 for centre in (x, level))
    style: dict[str, Any] = {"facecolor": "white", "edgecolor": INK, "linewidth": 0.45}
    for n in range(count):
        axes.add_patch(Rectangle((left + n * SHIFT, top + n * SHIFT), side, side, **style))
    front = (left + (count - 1) * SHIFT, top + (count - 1) * SHIFT)
    if box.kernel:
        window = min(side, max(LEAST_WINDOW, side * box.kernel / box.side))
        corner = (front[0] + (side - window) * 0.62, front[1] + (side - window) * 0.4)
        style = {"facecolor": "#cfe3f0", "edgecolor": BLUE, "linewidth": 0.5}
        axes.add_patch(Rectangle(corner, window, window, **style))
    label(axes, front[0] + side / 2, front[1] + side + 0.055, str(box.side), 4.8)
    return left, front[0] + side


def _draw_units(axes: Axes, box: Box, x: float, level: float) -> tuple[float, float]:
    """Draw a fully connected layer as a column, its height by the logarithm of its units."""
    height, half, slant = 0.1 + 0.045 * float(np.log2(max(2, box.maps))), 0.035, 0.03
    top, bottom = level - height / 2, level + height / 2
    front = [(x - half, top), (x + half, top), (x + half, bottom), (x - half, bottom)]
    axes.add_patch(Polygon(front, facecolor="white", edgecolor=INK, linewidth=0.5))
    back = x + half + slant
    flank = [(x + half, top), (back, top - slant), (back, bottom - slant), (x + half, bottom)]
    axes.add_patch(Polygon(flank, facecolor="#eef0f3", edgecolor=INK, linewidth=0.5))
    return x - half, back
