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
    grey_centred,
    picture,
    text,
    tile,
)


@dataclass(frozen=True)
class Panel:
    """One layer of Figure 2: `rows`×`columns` maps, each with k projections and k patches.

    projection: M×k×3×R×S float. patch: M×k×3×R×S uint8. inside: M×k×R×S bool. maps: M numbers.
    title, note: the line above it, strong and faint.
    """

    title: str
    note: str
    rows: int
    columns: int
    maps: np.ndarray
    projection: np.ndarray
    patch: np.ndarray
    inside: np.ndarray


# Inches on the page, but for the tiles' pixels.
HALF_GAP, PANEL_GAP, BLOCK_GAP = 0.16, 0.3, 0.07
TITLE, NUMBER, ROW_GAP, PAGE_GAP = 0.36, 0.11, 0.05, 0.24
TILE_PX, TILE_GAP = 96, 3


def top_activations(page: Sequence[Sequence[Panel]], caption: str, width_in: float = 8.0) -> Figure:
    """Figure 2: rows of panels; in each, projections on the left and their patches on the right.

    The block of a map stands at the same place in both halves; its number is printed above the
    projections. caption: printed below, wrapped. width_in: page width in inches.
    """
    sides = [_block_side(row, width_in) for row in page]
    heights = [
        TITLE + max(p.rows for p in row) * (side + NUMBER + ROW_GAP)
        for row, side in zip(page, sides, strict=True)
    ]
    end = 0.15 + sum(heights) + PAGE_GAP * len(page)
    figure = captioned(width_in, end, caption, foot=0.2)
    top = 0.2
    for row, side, row_height in zip(page, sides, heights, strict=True):
        left = MARGIN
        for panel in row:
            left = _draw_panel(figure, panel, left, top, side) + PANEL_GAP
        top += row_height + PAGE_GAP
    return figure


def _block_side(row: Sequence[Panel], width_in: float) -> float:
    """Side in inches of one map's block, so that a row of panels fills the page."""
    columns = sum(2 * panel.columns for panel in row)
    gaps = sum(2 * (p.columns - 1) * BLOCK_GAP + HALF_GAP for p in row)
    return (width_in - 2 * MARGIN - gaps - (len(row) - 1) * PANEL_GAP) / columns


def _draw_panel(figure: Figure, panel: Panel, left: float, top: float, side: float) -> float:
    """Draw one panel with its upper left corner at (left, top) inches; returns its right edge."""
    half = panel.columns * side + (panel.columns - 1) * BLOCK_GAP
    text(figure, left, top, panel.title, 10.5, INK, weight="bold")
    text(figure, left + 0.105 * len(panel.title) - 0.03, top + 0.022, panel.note, 6.2, FAINT)
    right, line = left + half + HALF_GAP, top + TITLE - 0.105
    text(figure, left + half, line, "projections", 5.6, FAINT, ha="right", style="italic")
    text(figure, right, line, "image patches", 5.6, FAINT, style="italic")
    grid = int(np.ceil(np.sqrt(panel.patch.shape[1])))
    for i, number in enumerate(panel.maps):
        row, column = divmod(i, panel.columns)
        x = left + column * (side + BLOCK_GAP)
        y = top + TITLE + row * (side + NUMBER + ROW_GAP)
        text(figure, x, y - 0.105, f"map {number}", 4.6, FAINT)
        projections = [
            tile(grey_centred(pixels), mask, TILE_PX)
            for pixels, mask in zip(panel.projection[i], panel.inside[i], strict=True)
        ]
        patches = [
            tile(pixels.transpose(1, 2, 0), mask, TILE_PX)
            for pixels, mask in zip(panel.patch[i], panel.inside[i], strict=True)
        ]
        for x_half, tiles in ((x, projections), (x + half + HALF_GAP, patches)):
            picture(figure, block(tiles, grid, TILE_GAP), x_half, y, side, side)
    return left + 2 * half + HALF_GAP
