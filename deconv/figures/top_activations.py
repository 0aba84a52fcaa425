"""Figure 2: projections of the strongest activations beside the image patches they come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from deconv.figures.drawing import (
    FAINT,
    INK,
    MARGIN,
    block,
    captioned,
    label_in,
    note_height,
    panel_title,
    patch_tiles,
    picture,
    projection_tiles,
    text,
)
from deconv.figures.lettering import words_width
from deconv.figures.style import page
from deconv.pixels import area_average


@dataclass(frozen=True)
class Panel:
    """One layer of Figure 2: M maps in at most `columns` columns, each with k peaks.

    maps: M numbers. projections: heading -> M×k×3×R×S float. patch: M×k×3×R×S uint8. inside:
    M×k×R×S bool. window: M×4 (top, left, bottom, right), what is shown of each map's canvas.
    patches: False leaves them out.
    """

    title: str
    note: str
    columns: int
    maps: np.ndarray
    projections: Mapping[str, np.ndarray]
    patch: np.ndarray
    inside: np.ndarray
    window: np.ndarray
    patches: bool = True


# Inches.
PART_GAP, PANEL_GAP, BLOCK_GAP = 0.16, 0.3, 0.07
TITLE, NUMBER, ROW_GAP, PAGE_GAP = 0.45, 0.11, 0.05, 0.2
FRAME = 0.075
"""Side of the square that stands for a receptive field."""
TWO_PANELS = 4.5
"""Below this width of the page panels stand one below the other."""
DPI, TILE_GAP = 300, 3
"""Dots an inch in which blocks are drawn, and of these between tiles."""
FINEST, SEEN = 220, 150
"""Pixels of an image on an inch: more than the first ask for fewer columns of maps; a projection
that has more than the second is averaged to that, as fine texture hides what it is part of."""
ROOMY = 1.05
"""Inches of a block's side that are enough for any picture."""


@page(least_in=2.2)
def top_activations(page: Sequence[Sequence[Panel]], caption: str, width_in: float = 8.0) -> Figure:
    """Draw Figure 2: rows of panels, each with projections on the left, their patches on the right.

    A map's block is at the same place in all parts, its number above the first. Panels whose
    pictures would be too small side by side stand one below the other, with fewer columns.
    """
    page = [row for one in page for row in _arranged(one, width_in)]
    sides = [_block_side(row, width_in) for row in page]
    notes = [
        max(_note(panel, side) for panel in row) for row, side in zip(page, sides, strict=True)
    ]
    heights = [
        TITLE + note + max(_rows(p) * (_tall(p, side) + NUMBER + ROW_GAP) for p in row)
        for row, side, note in zip(page, sides, notes, strict=True)
    ]
    end = 0.15 + sum(heights) + PAGE_GAP * len(page)
    figure = captioned(width_in, end, caption, foot=0.2)
    top = 0.2
    for row, side, note, row_height in zip(page, sides, notes, heights, strict=True):
        left = MARGIN
        for panel in row:
            left = _draw_panel(figure, panel, left, top, note, side) + PANEL_GAP
        top += row_height + PAGE_GAP
    return figure


def _arranged(row: Sequence[Panel], width_in: float) -> list[list[Panel]]:
    """Split a row of panels, then take columns away, until its pictures are large enough."""
    if len(row) == 1 and row[0].columns == 1:
        return [list(row)]
    enough = _block_side(row, width_in) >= max(map(_least_side, row))
    if enough and (len(row) == 1 or width_in >= TWO_PANELS):
        return [list(row)]
    if len(row) > 1:
        return [one for panel in row for one in _arranged([panel], width_in)]
    return _arranged([replace(row[0], columns=row[0].columns - 1)], width_in)


def _rows(panel: Panel) -> int:
    return -(-len(panel.maps) // panel.columns)


def _grid(panel: Panel) -> int:
    """How many tiles stand side by side in a block."""
    return int(np.ceil(np.sqrt(panel.patch.shape[1])))


def _tall(panel: Panel, side: float) -> float:
    """Height of a block, whose last rows of tiles may be missing."""
    grid = _grid(panel)
    return side * -(-panel.patch.shape[1] // grid) / grid


def _least_side(panel: Panel) -> float:
    """Side in inches of a map's block below which its pictures are too small."""
    wanted = _grid(panel) * float(np.median(panel.window[:, 2] - panel.window[:, 0])) / FINEST
    return min(wanted, ROOMY)


def _parts(panel: Panel) -> int:
    """How many pictures are shown of a peak: a projection or several, and the patch."""
    return len(panel.projections) + panel.patches


def _block_side(row: Sequence[Panel], width_in: float) -> float:
    """Side in inches of a map's block, such that a row of panels fills the page."""
    columns = sum(_parts(p) * p.columns for p in row)
    gaps = sum(_width(p, 0) for p in row) + (len(row) - 1) * PANEL_GAP
    return (width_in - 2 * MARGIN - gaps) / columns


def _part(panel: Panel, side: float) -> float:
    """Width of a panel's projections, and of its patches."""
    return panel.columns * side + (panel.columns - 1) * BLOCK_GAP


def _width(panel: Panel, side: float) -> float:
    return _parts(panel) * (_part(panel, side) + PART_GAP) - PART_GAP


def _note(panel: Panel, side: float) -> float:
    """Height of a panel's note, if it does not fit behind the title."""
    return note_height([(panel.title, panel.note)], _width(panel, side))


def _draw_panel(
    figure: Figure, panel: Panel, left: float, top: float, note: float, side: float
) -> float:
    """Draw a panel with its upper left corner at (left, top); return its right edge.

    note: height of the notes in its row of panels.
    """
    part, end, tall = _part(panel, side), left + _width(panel, side), _tall(panel, side)
    panel_title(figure, left, end, top, panel.title, panel.note)
    top += TITLE + note
    starts = [left + n * (part + PART_GAP) for n in range(_parts(panel))]
    for x, words in zip(starts, (*panel.projections, "image patches"), strict=False):
        label_in(figure, x, x + part, top - 0.22, words, 5.8, INK, style="italic")
    for i in range(len(panel.maps)):
        row, column = divmod(i, panel.columns)
        x, y = column * (side + BLOCK_GAP), top + row * (tall + NUMBER + ROW_GAP)
        _heading(figure, panel, i, left + x, y - 0.105, side)
        for start, pixels in zip(starts, _blocks(panel, i, side), strict=True):
            picture(figure, pixels, start + x, y, side, tall)
    return end


def _blocks(panel: Panel, i: int, side: float) -> list[np.ndarray]:
    """Render the blocks of a map, cut to its window, in dots."""
    grid = _grid(panel)
    dots = max(1, (round(side * DPI) - TILE_GAP) // grid - TILE_GAP)
    seen = max(1, dots * SEEN // DPI)
    top, left, bottom, right = panel.window[i]
    rows, columns = slice(top, bottom), slice(left, right)
    inside = panel.inside[i, :, rows, columns]
    parts = []
    for pixels in panel.projections.values():
        shown = pixels[i, :, :, rows, columns]
        if max(shown.shape[2:]) > seen:
            shown = area_average(shown, seen)
        parts.append(projection_tiles(shown, inside, dots))
    if panel.patches:
        parts.append(patch_tiles(panel.patch[i, :, :, rows, columns], inside, dots))
    return [block(tiles, grid, TILE_GAP) for tiles in parts]


def _heading(figure: Figure, panel: Panel, i: int, x: float, y: float, side: float) -> None:
    """Write a map's number above its block and, where a part of the field is shown, which."""
    number, (top, left, bottom, right) = panel.maps[i], panel.window[i]
    height, width = panel.patch.shape[-2:]
    cut, room = (bottom - top, right - left) != (height, width), side
    shown = [f"map {number}", f"{number}"]
    if cut:
        room -= FRAME
        shown = [f"map {number}, {bottom - top}×{right - left} px", *shown]
    text(figure, x, y, _longest(shown, room), 4.6, FAINT)
    if cut:
        corner, scale = (x + side - FRAME, y + 0.012), FRAME / max(height, width)
        _rectangle(figure, *corner, width * scale, height * scale, fill=False)
        place = (corner[0] + left * scale, corner[1] + top * scale)
        _rectangle(figure, *place, (right - left) * scale, (bottom - top) * scale, fill=True)


def _longest(words: Sequence[str], room: float) -> str:
    """Choose the first of several words that fits, else the last."""
    return next((one for one in words if words_width(one, 4.6) <= room), words[-1])


def _rectangle(
    figure: Figure, left: float, top: float, width: float, height: float, fill: bool
) -> None:
    """Draw a small rectangle at a position in inches: an outline, or filled."""
    across, down = figure.get_size_inches()
    place = (left / across, 1 - (top + height) / down)
    style = {"facecolor": FAINT, "linewidth": 0} if fill else {"fill": False, "linewidth": 0.4}
    figure.add_artist(Rectangle(place, width / across, height / down, edgecolor=FAINT, **style))
