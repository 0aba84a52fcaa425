"""Figure 4: the projected strongest activation of some maps over the snapshots of a training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from deconv.errors import DeconvError
from deconv.figures.drawing import (
    FAINT,
    INK,
    MARGIN,
    RED,
    VOID,
    block,
    captioned,
    note_height,
    painted_tile,
    panel_title,
    picture,
    text,
    tile,
)
from deconv.figures.style import page
from deconv.figures.turnover_curves import turnover_curves


@dataclass(frozen=True)
class Filmstrip:
    """One layer of Figure 4: M of its maps at T snapshots, and the turnover of all its maps.

    maps: M numbers. projection: M×T×3×R×S float around zero. patch: M×T×3×R×S uint8, the unit's
    field. inside: M×T×R×S bool, which of it is in the image; all False for a dead map.
    jumped: M×T bool, whether the strongest image changed since the snapshot before.
    turnover: T shares in 0…1 or NaN. settled: the snapshot after which it stays low, or None.
    """

    title: str
    note: str
    maps: np.ndarray
    projection: np.ndarray
    patch: np.ndarray
    inside: np.ndarray
    jumped: np.ndarray
    turnover: np.ndarray
    settled: int | None


# Inches; TILE_PX, TILE_GAP and MARK_FROM in pixels.
BETWEEN, BELOW, NUMBERS, MOST, WANTED = 0.34, 0.26, 0.27, 0.66, 0.34
"""Between blocks, below them, width of the maps' numbers, largest and least side of a tile."""
TITLE, EPOCHS, PLOT, LEAST_PLOT = 0.24, 0.15, 2.3, 2.9
"""Heights of a title and of the epochs' numbers, height and least width of the curves."""
TILE_PX, TILE_GAP, MARK_FROM = 112, 8, 22
MARK = tuple(round(255 * v) for v in to_rgb(RED))


@page(least_in=2.4)
def feature_evolution(
    strips: Sequence[Filmstrip],
    epochs: Sequence[int],
    threshold: float,
    caption: str,
    width_in: float = 8.0,
) -> Figure:
    """Draw Figure 4: for each layer rows of maps and columns of epochs; then turnover curves.

    Args:
        epochs: of the T snapshots.
        threshold: the turnover (0…1) below which a layer counts as settled, drawn as a line.
    """
    if not strips or not epochs:
        raise DeconvError("Figure 4 needs at least one layer and one snapshot")
    room = width_in - 2 * MARGIN
    across = _across(len(strips), len(epochs), room)
    width = (room - (across - 1) * BETWEEN) / across
    side = min(MOST, (width - NUMBERS) / len(epochs))
    note = note_height([(strip.title, strip.note) for strip in strips], width)
    rows = [list(strips[i : i + across]) for i in range(0, len(strips), across)]
    rest = room - len(rows[-1]) * (width + BETWEEN)
    if rest < LEAST_PLOT:
        rows.append([])
        rest = room
    heights = [
        TITLE + note + EPOCHS + side * max((len(s.maps) for s in row), default=0) for row in rows
    ]
    heights[-1] = max(heights[-1], PLOT)
    end = 0.2 + sum(heights) + BELOW * len(rows)
    figure = captioned(width_in, end - 0.03, caption, foot=0.18)
    top = 0.2
    for row, height in zip(rows, heights, strict=True):
        for column, strip in enumerate(row):
            left = MARGIN + column * (width + BETWEEN)
            panel_title(figure, left, left + width, top, strip.title, strip.note)
            _draw_strip(figure, strip, epochs, left, top + TITLE + note, side)
        top += height + BELOW
    courses = [(strip.title, strip.turnover, strip.settled) for strip in strips]
    place = (MARGIN + room - rest, top - heights[-1] - BELOW, rest, heights[-1])
    turnover_curves(figure, courses, epochs, threshold, place)
    return figure


def _across(layers: int, snapshots: int, room: float) -> int:
    """How many layers stand side by side, such that their tiles and the curves fill the page."""
    fit = int((room + BETWEEN) / (NUMBERS + snapshots * WANTED + BETWEEN))
    if fit > layers and room - layers * (room + BETWEEN) / fit < LEAST_PLOT:
        fit = layers
    return max(1, fit)


def _draw_strip(
    figure: Figure, strip: Filmstrip, epochs: Sequence[int], left: float, top: float, side: float
) -> None:
    """Draw a layer with its upper left corner at (left, top) and columns `side` wide, in inches."""
    line = top + 0.02
    text(figure, left, line, "epoch", 5.2, FAINT, style="italic")
    for column, epoch in enumerate(epochs):
        middle = left + NUMBERS + (column + 0.5) * side
        text(figure, middle, line - 0.005, str(epoch), 6.2, INK, ha="center")
    first = top + EPOCHS
    for row, number in enumerate(strip.maps):
        middle = first + (row + 0.5) * side
        text(figure, left, middle, f"{number}", 5.2, FAINT, va="center")
    height, width = len(strip.maps) * side, len(epochs) * side
    picture(figure, strip_pixels(strip), left + NUMBERS, first, width, height)


def strip_pixels(strip: Filmstrip) -> np.ndarray:
    """Lay out a row a map and a column a snapshot, a bar where the image last changed."""
    count, snapshots = strip.jumped.shape
    tiles = [
        projection_tile(strip, row, column, TILE_PX)
        for row in range(count)
        for column in range(snapshots)
    ]
    out = block(tiles, snapshots, TILE_GAP)
    step = TILE_PX + TILE_GAP
    for row, column in last_changes(strip.jumped):
        top, left = TILE_GAP + row * step, column * step
        out[top + MARK_FROM : top + TILE_PX - MARK_FROM, left + 1 : left + TILE_GAP - 1] = MARK
    return out


def last_changes(jumped: np.ndarray) -> list[tuple[int, int]]:
    """List (map, snapshot) from which a map's strongest image stays the same.

    jumped: M×T bool. At most one a map: none where the image never changed, nor where it changed
    at the last snapshot, after which nothing is known.
    """
    last = jumped.shape[1] - 1
    changes = [(row, np.flatnonzero(jumped[row])) for row in range(len(jumped))]
    return [(row, int(at[-1])) for row, at in changes if len(at) and at[-1] < last]


def projection_tile(strip: Filmstrip, row: int, column: int, side: int) -> np.ndarray:
    """Render one projection on its own scale as side×side×3 uint8; VOID for a dead map."""
    inside = strip.inside[row, column]
    if not inside.any():
        return np.full((side, side, 3), VOID, np.uint8)
    return painted_tile(strip.projection[row, column], inside, side)


def patch_tile(strip: Filmstrip, row: int, column: int, side: int) -> np.ndarray:
    """Render one unit's image patch as side×side×3 uint8; VOID for a dead map."""
    inside = strip.inside[row, column]
    if not inside.any():
        return np.full((side, side, 3), VOID, np.uint8)
    return tile(strip.patch[row, column].transpose(1, 2, 0), inside, side)
