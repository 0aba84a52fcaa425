"""Shared layout of the pages about one unit: heading, tile sizes, axis labels."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deconv.figures.drawing import FAINT, INK, MARGIN, captioned, text

TILE_PX = 160
WIDTH_IN, HEAD = 8.0, 0.36
"""Inches: width of the page, and from the title to the body."""
PER_ROW = 9


def unit_page(body: float, title: str, note: str, caption: str) -> tuple[Figure, float]:
    """Make a page with title, note and caption; also return the top of its body in inches."""
    figure = captioned(WIDTH_IN, 0.2 + HEAD + body, caption, foot=0.2)
    text(figure, MARGIN, 0.2, title, 10.5, INK, weight="bold")
    text(figure, WIDTH_IN - MARGIN, 0.222, note, 6.2, FAINT, ha="right")
    return figure, 0.2 + HEAD


def upright(pixels: np.ndarray) -> np.ndarray:
    return pixels.transpose(1, 2, 0)


def axis_words(axes: Axes, below: str, above: str) -> None:
    axes.set_xlabel(below, size=6.2, color=INK, labelpad=2)
    axes.set_title(above, size=6.6, color=INK, loc="left", pad=4)
