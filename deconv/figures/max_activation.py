"""A unit's maximising images, the ascent from each start, and how far the starts agree."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from deconv.figures.drawing import BLUE, FAINT, INK, MARGIN, axes_at, picture, quiet, text, tile
from deconv.figures.style import PAGE_IN, page
from deconv.figures.unit_page import TILE_PX, axis_words, per_row, unit_page, upright


@dataclass(frozen=True)
class UnitOptima:
    """Maximising images of K starts, strongest first.

    picture: K×3×h×w uint8. activation: K. path: K×(steps+1). agreement: K×K correlations.
    """

    picture: np.ndarray
    activation: np.ndarray
    path: np.ndarray
    agreement: np.ndarray


@page(least_in=5.2)
def max_activation(
    optima: UnitOptima, title: str, note: str, caption: str, width_in: float = PAGE_IN
) -> Figure:
    """Draw the maximising images above the activation's course and the starts' correlations."""
    count = len(optima.picture)
    most = per_row(width_in)
    rows, columns = -(-count // most), min(count, most)
    side = min(1.2, (width_in - 2 * MARGIN - (columns - 1) * 0.06) / columns)
    plots = 2.0
    figure, top = unit_page(width_in, rows * (side + 0.2) + plots + 0.85, title, note, caption)
    for i in range(count):
        row, column = divmod(i, most)
        left, down = MARGIN + column * (side + 0.06), top + row * (side + 0.2)
        text(figure, left, down - 0.01, f"{optima.activation[i]:.3g}", 5.6, INK)
        shown = tile(upright(optima.picture[i]), None, 2 * TILE_PX)
        picture(figure, shown, left, down + 0.1, side, side)
    down = top + rows * (side + 0.2) + 0.4
    room = width_in - 2 * MARGIN
    _paths(figure, optima, MARGIN + 0.35, down, 0.524 * room, plots)
    side = min(plots, 0.31 * room)
    _matrix(figure, optima, MARGIN + 0.685 * room, down, side)
    return figure


def _paths(
    figure: Figure, optima: UnitOptima, left: float, top: float, width: float, height: float
) -> None:
    axes = axes_at(figure, left, top, width, height, label="paths")
    quiet(axes)
    for path in optima.path[1:]:
        axes.plot(path, color=FAINT, lw=0.6, alpha=0.7)
    axes.plot(optima.path[0], color=BLUE, lw=1.2, label="the strongest start")
    axes.set_xlim(0, optima.path.shape[1] - 1)
    axes.legend(loc="lower right", fontsize=5.8, frameon=False)
    axis_words(axes, "step", "the unit, before its rectification, on the way up")


def _matrix(figure: Figure, optima: UnitOptima, left: float, top: float, side: float) -> None:
    axes = axes_at(figure, left, top, side, side, label="agreement")
    count = len(optima.agreement)
    axes.imshow(optima.agreement, cmap="PuOr_r", vmin=-1, vmax=1, interpolation="nearest")
    if count <= 10:
        for i, j in np.ndindex(count, count):
            value = optima.agreement[i, j]
            color = "white" if abs(value) > 0.6 else INK
            axes.text(j, i, f"{value:.2f}", size=5, color=color, ha="center", va="center")
    axes.spines[:].set_visible(False)
    axes.set(xticks=[], yticks=[])
    axis_words(axes, "", "correlation of the images, start by start")
