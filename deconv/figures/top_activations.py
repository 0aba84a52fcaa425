"""Figure 2: projections of the strongest activations beside the image patches they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

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


@dataclass(frozen=True)
class Panel:
    """One layer of Figure 2: up to `rows`×`columns` maps, each with k projections and k patches.

    projection: M×k×3×R×S float. patch: M×k×3×R×S uint8. inside: M×k×R×S bool. maps: M numbers.
    """

    title: str
    note: str
    rows: int
    columns: int
    maps: np.ndarray
    projection: np.ndarray
    patch: np.ndarray
    inside: np.ndarray


# Inches; TILE_* in pixels.
HALF_GAP, PANEL_GAP, BLOCK_GAP = 0.16, 0.3, 0.07
TITLE, NUMBER, ROW_GAP, PAGE_GAP = 0.45, 0.11, 0.05, 0.2
TWO_PANELS = 4.5
"""Below this width of the page panels stand one below the other."""
TILE_PX, TILE_GAP = 96, 3


@page(least_in=2.2)
def top_activations(page: Sequence[Sequence[Panel]], caption: str, width_in: float = 8.0) -> Figure:
    """Draw Figure 2: rows of panels, each with projections on the left, their patches on the right.

    A map's block is at the same place in both halves, its number above the projections.
    """
    if width_in < TWO_PANELS:
        page = [[panel] for row in page for panel in row]
    sides = [_block_side(row, width_in) for row in page]
    notes = [
        max(_note(panel, side) for panel in row) for row, side in zip(page, sides, strict=True)
    ]
    heights = [
        TITLE + note + max(p.rows for p in row) * (side + NUMBER + ROW_GAP)
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


def _block_side(row: Sequence[Panel], width_in: float) -> float:
    """Side in inches of a map's block, such that a row of panels fills the page."""
    columns = sum(2 * panel.columns for panel in row)
    gaps = sum(2 * (p.columns - 1) * BLOCK_GAP + HALF_GAP for p in row)
    return (width_in - 2 * MARGIN - gaps - (len(row) - 1) * PANEL_GAP) / columns


def _half(panel: Panel, side: float) -> float:
    """Width of a panel's projections, and of its patches."""
    return panel.columns * side + (panel.columns - 1) * BLOCK_GAP


def _note(panel: Panel, side: float) -> float:
    """Height of a panel's note, if it does not fit behind the title."""
    return note_height([(panel.title, panel.note)], 2 * _half(panel, side) + HALF_GAP)


def _draw_panel(
    figure: Figure, panel: Panel, left: float, top: float, note: float, side: float
) -> float:
    """Draw a panel with its upper left corner at (left, top); return its right edge.

    note: height of the notes in its row of panels.
    """
    half = _half(panel, side)
    right, end = left + half + HALF_GAP, left + 2 * half + HALF_GAP
    panel_title(figure, left, end, top, panel.title, panel.note)
    top += TITLE + note
    for x, words in ((left, "projections"), (right, "image patches")):
        label_in(figure, x, x + half, top - 0.22, words, 5.8, INK, style="italic")
    grid = int(np.ceil(np.sqrt(panel.patch.shape[1])))
    for i, number in enumerate(panel.maps):
        row, column = divmod(i, panel.columns)
        x = left + column * (side + BLOCK_GAP)
        y = top + row * (side + NUMBER + ROW_GAP)
        words = f"map {number}" if words_width(f"map {number}", 4.6) <= side else str(number)
        text(figure, x, y - 0.105, words, 4.6, FAINT)
        projections = projection_tiles(panel.projection[i], panel.inside[i], TILE_PX)
        patches = patch_tiles(panel.patch[i], panel.inside[i], TILE_PX)
        for x_half, tiles in ((x, projections), (x + half + HALF_GAP, patches)):
            picture(figure, block(tiles, grid, TILE_GAP), x_half, y, side, side)
    return end
