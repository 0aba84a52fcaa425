"""Shared layout of the pages about one unit: heading, tile sizes, axis labels."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deconv.figures.drawing import INK, MARGIN, captioned, note_height, panel_title
from deconv.figures.lettering import fitted

TILE_PX = 160
HEAD = 0.36
"""Inches from the title to the body."""


def per_row(width_in: float) -> int:
    """How many pictures with their numbers stand side by side: nine on a page of 8 inches."""
    return max(2, min(9, int((width_in - 2 * MARGIN) / 0.75)))


def unit_page(
    width_in: float, body: float, title: str, note: str, caption: str
) -> tuple[Figure, float]:
    """Make a page with title, note and caption; also return the top of its body in inches."""
    start = 0.2 + HEAD + note_height([(title, note)], width_in - 2 * MARGIN)
    figure = captioned(width_in, start + body, caption, foot=0.2)
    panel_title(figure, MARGIN, width_in - MARGIN, 0.2, title, note)
    return figure, start


def upright(pixels: np.ndarray) -> np.ndarray:
    return pixels.transpose(1, 2, 0)


def axis_words(axes: Axes, below: str, above: str) -> None:
    axes.set_xlabel(below, size=6.2, color=INK, labelpad=2)
    assert isinstance(axes.figure, Figure)
    room = (1 - axes.get_position().x0) * axes.figure.get_figwidth() - MARGIN / 2
    above, size = fitted(above, 6.6, room)
    axes.set_title(above, size=size, color=INK, loc="left", pad=4)
