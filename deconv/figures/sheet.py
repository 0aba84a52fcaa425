"""A page as one drawing sheet in inches, for schematics: pixels, labels, frames and arrows."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, Rectangle

from deconv.figures.drawing import FONT, HAIR, INK

STRIP = "#eef0f3"
"""Behind the name of an operation."""


def sheet(figure: Figure) -> Axes:
    """Axes over the whole page in inches from its upper left corner, y downwards, unseen."""
    across, down = figure.get_size_inches()
    axes = figure.add_axes((0, 0, 1, 1), label="sheet")
    axes.set(xlim=(0, across), ylim=(down, 0), autoscale_on=False)
    axes.set_axis_off()
    return axes


def label(
    axes: Axes, x: float, y: float, words: str, size: float, color: str = INK, **style: Any
) -> None:
    """Words centred at (x, y) inches, unless `style` says otherwise; size in points."""
    axes.text(
        x, y, words, **({"ha": "center", "va": "center"} | style), size=size, color=color, **FONT
    )


def pixels_at(
    axes: Axes, pixels: np.ndarray, left: float, top: float, width: float, height: float
) -> None:
    """h×w×3 uint8 as a picture with a hairline around it; its pixels stay sharp squares."""
    extent = (left, left + width, top + height, top)
    axes.imshow(pixels, extent=extent, interpolation="nearest", aspect="auto")
    frame(axes, left, top, width, height, HAIR, 0.5)


def frame(
    axes: Axes, left: float, top: float, width: float, height: float, color: str, line: float
) -> None:
    """An empty rectangle; line: its width in points."""
    axes.add_patch(
        Rectangle((left, top), width, height, fill=False, edgecolor=color, linewidth=line)
    )


def strip(axes: Axes, left: float, middle: float, width: float, height: float) -> None:
    """A faint rounded background for words, `middle` being its level."""
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
    """An arrow with words in the middle of it, on white if dashed and else above it."""
    style = {"arrowstyle": "-|>,head_width=0.12,head_length=0.25", "color": INK, "linewidth": 0.7}
    style |= {"shrinkA": 0, "shrinkB": 0, "linestyle": (0, (4, 2)) if dashed else "-"}
    axes.annotate("", end, start, arrowprops=style)
    x, y = (start[0] + end[0]) / 2, (start[1] + end[1]) / 2
    if dashed:
        background = {"facecolor": "white", "edgecolor": "none", "pad": 0.8}
        label(axes, x, y, words, 5.4, style="italic", bbox=background)
    else:
        label(axes, x, y - 0.07, words, 5.4, style="italic")
