"""Schematics on one axes over the page, in inches: pictures, labels, frames and arrows."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from deconv.figures.drawing import HAIR, INK

STRIP = "#eef0f3"
"""Background of an operation's name."""


def sheet(figure: Figure) -> Axes:
    """Add invisible axes over the whole page, in inches from its upper left corner."""
    across, down = figure.get_size_inches()
    axes = figure.add_axes((0, 0, 1, 1), label="sheet")
    axes.set(xlim=(0, across), ylim=(down, 0), autoscale_on=False)
    axes.set_axis_off()
    return axes


def label(
    axes: Axes, x: float, y: float, words: str, size: float, color: str = INK, **style: Any
) -> None:
    """Write words centred at (x, y) inches; size in points."""
    style = {"ha": "center", "va": "center"} | style
    axes.text(x, y, words, size=size, color=color, **style)


def pixels_at(
    axes: Axes, pixels: np.ndarray, left: float, top: float, width: float, height: float
) -> None:
    """Draw h×w×3 uint8, its pixels as sharp squares, in a hairline frame."""
    extent = (left, left + width, top + height, top)
    axes.imshow(pixels, extent=extent, interpolation="nearest", aspect="auto")
    frame(axes, left, top, width, height, HAIR, 0.5)


def frame(
    axes: Axes, left: float, top: float, width: float, height: float, color: str, line: float
) -> None:
    """Draw the outline of a rectangle, `line` points wide."""
    axes.add_patch(
        Rectangle((left, top), width, height, fill=False, edgecolor=color, linewidth=line)
    )


def strip(axes: Axes, left: float, middle: float, width: float, height: float) -> None:
    """Draw a faint rounded background for words, vertically centred at `middle`."""
    axes.add_patch(
        FancyBboxPatch(
            (left, middle - height / 2),
            width,
            height,
            facecolor=STRIP,
            edgecolor="none",
            boxstyle="round,pad=0,rounding_size=0.05",
        )
    )


def arrow(
    axes: Axes,
    start: tuple[float, float],
    end: tuple[float, float],
    words: str = "",
    dashed: bool = False,
) -> None:
    """Draw an arrow with words at its middle: on white if dashed, else above it."""
    style = {"arrowstyle": "-|>,head_width=0.12,head_length=0.25", "color": INK, "linewidth": 0.7}
    style |= {"shrinkA": 0, "shrinkB": 0, "linestyle": (0, (4, 2)) if dashed else "-"}
    axes.annotate("", end, start, arrowprops=style)
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    if dashed:
        background = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        label(axes, x, y, words, 5.4, style="italic", bbox=background)
    else:
        label(axes, x, y - 0.07, words, 5.4, style="italic")
