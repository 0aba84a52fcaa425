"""All drawing: from arrays that are already computed to figures. Nothing here runs a network."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

PERCENTILE = 99.0
INK, FAINT = "#222222", "#777777"
VOID = (213, 218, 226)
"""RGB behind the tiles and outside an image, so that white patches keep their edges."""
FONT = {"family": "DejaVu Sans"}
DPI = 300


def grey_centred(pixels: np.ndarray, percentile: float = PERCENTILE) -> np.ndarray:
    """A projection as a picture: grey at zero, one symmetric scale for the whole picture.

    pixels: 3×h×w float, around zero. The scale is a percentile of the non-zero absolute values
    (0…100], so that a few extreme pixels do not fade the rest; beyond it colours saturate.
    Returns h×w×3 uint8; all grey (128) if every pixel is 0.
    """
    magnitude = np.abs(pixels[pixels != 0])
    scale = np.percentile(magnitude, percentile) if magnitude.size else 1.0
    levels = np.clip(pixels / scale, -1, 1) * 127 + 128
    return levels.round().astype(np.uint8).transpose(1, 2, 0)


def tile(pixels: np.ndarray, inside: np.ndarray | None, side: int) -> np.ndarray:
    """h×w×3 uint8 enlarged or reduced to side×side, VOID where `inside` (h×w bool) is False."""
    resized = Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC)
    out = np.array(resized)
    if inside is not None and not inside.all():
        mask = Image.fromarray(inside.astype(np.uint8) * 255).resize((side, side))
        out[np.asarray(mask) < 128] = VOID
    return out


def block(tiles: Sequence[np.ndarray], columns: int, gap: int) -> np.ndarray:
    """Tiles of one size in rows of `columns` on VOID, `gap` pixels apart and from the edge."""
    side = tiles[0].shape[0]
    rows = -(-len(tiles) // columns)
    extent = [n * side + (n + 1) * gap for n in (rows, columns)]
    out = np.full((*extent, 3), VOID, np.uint8)
    for i, one in enumerate(tiles):
        top, left = (gap + n * (side + gap) for n in divmod(i, columns))
        out[top : top + side, left : left + side] = one
    return out


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
MARGIN, HALF_GAP, PANEL_GAP, BLOCK_GAP = 0.28, 0.16, 0.3, 0.07
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
    lines = textwrap.wrap(caption, int(width_in * 19.5))
    height = 0.2 + sum(heights) + PAGE_GAP * len(page) + 0.135 * len(lines) + 0.15
    figure = Figure(figsize=(width_in, height), facecolor="white")
    top = 0.2
    for row, side, row_height in zip(page, sides, heights, strict=True):
        left = MARGIN
        for panel in row:
            left = _draw_panel(figure, panel, left, top, side) + PANEL_GAP
        top += row_height + PAGE_GAP
    _text(figure, MARGIN, top - 0.05, "\n".join(lines), 6.6, INK, linespacing=1.45)
    return figure


def _block_side(row: Sequence[Panel], width_in: float) -> float:
    """Side in inches of one map's block, so that a row of panels fills the page."""
    columns = sum(2 * panel.columns for panel in row)
    gaps = sum(2 * (p.columns - 1) * BLOCK_GAP + HALF_GAP for p in row)
    return (width_in - 2 * MARGIN - gaps - (len(row) - 1) * PANEL_GAP) / columns


def _draw_panel(figure: Figure, panel: Panel, left: float, top: float, side: float) -> float:
    """Draw one panel with its upper left corner at (left, top) inches; returns its right edge."""
    half = panel.columns * side + (panel.columns - 1) * BLOCK_GAP
    _text(figure, left, top, panel.title, 10.5, INK, weight="bold")
    _text(figure, left + 0.105 * len(panel.title) - 0.03, top + 0.022, panel.note, 6.2, FAINT)
    right = left + half + HALF_GAP
    _text(
        figure,
        left + half,
        top + TITLE - 0.105,
        "projections",
        5.6,
        FAINT,
        ha="right",
        style="italic",
    )
    _text(figure, right, top + TITLE - 0.105, "image patches", 5.6, FAINT, style="italic")
    grid = int(np.ceil(np.sqrt(panel.patch.shape[1])))
    for i, number in enumerate(panel.maps):
        row, column = divmod(i, panel.columns)
        x = left + column * (side + BLOCK_GAP)
        y = top + TITLE + row * (side + NUMBER + ROW_GAP)
        _text(figure, x, y - 0.105, f"map {number}", 4.6, FAINT)
        projections = [
            tile(grey_centred(pixels), mask, TILE_PX)
            for pixels, mask in zip(panel.projection[i], panel.inside[i], strict=True)
        ]
        patches = [
            tile(pixels.transpose(1, 2, 0), mask, TILE_PX)
            for pixels, mask in zip(panel.patch[i], panel.inside[i], strict=True)
        ]
        for x_half, tiles in ((x, projections), (x + half + HALF_GAP, patches)):
            _picture(figure, block(tiles, grid, TILE_GAP), x_half, y, side, side)
    return left + 2 * half + HALF_GAP


def _picture(
    figure: Figure, pixels: np.ndarray, left: float, top: float, width: float, height: float
) -> None:
    """An image at inches from the upper left corner of the page."""
    across, down = figure.get_size_inches()
    axes = figure.add_axes(
        (left / across, 1 - (top + height) / down, width / across, height / down)
    )
    axes.imshow(pixels, interpolation="nearest", aspect="auto")
    axes.set_axis_off()


def _text(
    figure: Figure, left: float, top: float, text: str, size: float, color: str, **style: object
) -> None:
    across, down = figure.get_size_inches()
    figure.text(
        left / across, 1 - top / down, text, size=size, color=color, va="top", **FONT, **style
    )


def save(figure: Figure, folder: Path, stem: str = "figure") -> None:
    """Write folder/<stem>.png (300 dpi) and .pdf, the same for the same arrays.

    The PDF carries no date, and its text stays text.
    """
    with matplotlib.rc_context({"pdf.fonttype": 42, "pdf.compression": 6}):
        figure.savefig(folder / f"{stem}.png", dpi=DPI, metadata={"Software": None})
        figure.savefig(folder / f"{stem}.pdf", dpi=DPI, metadata={"CreationDate": None})
