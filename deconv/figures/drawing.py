"""Primitives of every page: projections as pictures, tiles, placement in inches, files.

Positions and sizes are inches from the page's upper left corner, sizes of text points.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from deconv.figures.lettering import letter_plainly
from deconv.figures.style import own_style
from deconv.pixels import PERCENTILE, display_scale

Page = Figure
"""The type of a figure, for callers that do not import matplotlib."""
INK, FAINT = "#222222", "#777777"
HAIR = "#d0d4da"
"""Colour of hairlines."""
BLUE, RED = "#0072b2", "#d55e00"
"""From Okabe and Ito's palette: distinct for colour-blind readers and in grey."""
VOID = (213, 218, 226)
"""RGB behind tiles and outside an image; not white, so that white patches keep their edges."""
FONT: dict[str, Any] = {"family": "DejaVu Sans"}
DPI = 300
MARGIN = 0.28
"""Inches at both sides of a page."""
CAPTION_LINE = 0.135
"""Line height of a caption in inches."""


def grey_centred(pixels: np.ndarray, percentile: float = PERCENTILE) -> np.ndarray:
    """Render a projection with grey at zero, on one symmetric scale.

    Args:
        pixels: 3×h×w float around zero; values beyond their `display_scale` saturate.

    Returns:
        h×w×3 uint8; 128 everywhere if every pixel is 0.
    """
    levels = np.clip(pixels / display_scale(pixels, percentile), -1, 1) * 127 + 128
    return levels.round().astype(np.uint8).transpose(1, 2, 0)


def tile(pixels: np.ndarray, inside: np.ndarray | None, side: int) -> np.ndarray:
    """Resize h×w×3 uint8 to side×side, with VOID where `inside` (h×w bool) is False."""
    out = np.array(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))
    if inside is not None and not inside.all():
        mask = Image.fromarray(inside.astype(np.uint8) * 255).resize((side, side))
        out[np.asarray(mask) < 128] = VOID
    return out


def projection_tiles(pixels: np.ndarray, inside: np.ndarray, side: int) -> list[np.ndarray]:
    """Render projections M×3×h×w as tiles, each on its own scale; inside: M×h×w bool."""
    return [tile(grey_centred(p), mask, side) for p, mask in zip(pixels, inside, strict=True)]


def patch_tiles(pixels: np.ndarray, inside: np.ndarray, side: int) -> list[np.ndarray]:
    """Render image patches M×3×h×w uint8 as tiles; inside: M×h×w bool."""
    return [tile(p.transpose(1, 2, 0), mask, side) for p, mask in zip(pixels, inside, strict=True)]


def block(tiles: Sequence[np.ndarray], columns: int, gap: int) -> np.ndarray:
    """Lay out tiles of one size in rows of `columns` on VOID, with gaps and borders of `gap` px."""
    side = tiles[0].shape[0]
    rows = -(-len(tiles) // columns)
    extent = [n * side + (n + 1) * gap for n in (rows, columns)]
    out = np.full((*extent, 3), VOID, np.uint8)
    for i, one in enumerate(tiles):
        top, left = (gap + n * (side + gap) for n in divmod(i, columns))
        out[top : top + side, left : left + side] = one
    return out


def axes_at(
    figure: Figure, left: float, top: float, width: float, height: float, label: str = ""
) -> Axes:
    """Add axes at a position in inches; tests find them by `label`."""
    across, down = figure.get_size_inches()
    place = (left / across, 1 - (top + height) / down, width / across, height / down)
    return figure.add_axes(place, label=label)


def picture(
    figure: Figure, pixels: np.ndarray, left: float, top: float, width: float, height: float
) -> None:
    """Draw an image at a position in inches."""
    axes = axes_at(figure, left, top, width, height)
    axes.imshow(pixels, interpolation="nearest", aspect="auto")
    axes.set_axis_off()


def text(
    figure: Figure, left: float, top: float, words: str, size: float, color: str, **style: Any
) -> None:
    """Write words with their upper left corner at a position in inches."""
    across, down = figure.get_size_inches()
    style = {"va": "top"} | style
    figure.text(left / across, 1 - top / down, words, size=size, color=color, **FONT, **style)


def panel_title(figure: Figure, left: float, top: float, title: str, note: str) -> None:
    """Write a panel's title and, faint behind it, a note."""
    text(figure, left, top, title, 10.5, INK, weight="bold")
    text(figure, left + 0.105 * len(title) - 0.03, top + 0.022, note, 6.2, FAINT)


def annotate(
    axes: Axes, x: float, y: float, words: str, size: float, color: str = INK, **style: Any
) -> None:
    """Write words at a share of the axes' width and height; `transform` changes the coordinates."""
    style = FONT | {"va": "center", "transform": axes.transAxes} | style
    axes.text(x, y, words, size=size, color=color, **style)


def hairline(figure: Figure, left: float, right: float, top: float) -> None:
    """Draw a faint horizontal line from `left` to `right` at `top`, in inches."""
    across, down = figure.get_size_inches()
    ends, level = [left / across, right / across], 1 - top / down
    figure.add_artist(Line2D(ends, [level, level], color=HAIR, linewidth=0.5, zorder=0))


def quiet(axes: Axes) -> None:
    """Style axes: small tick labels, faint left and bottom spines, no others."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.spines[["left", "bottom"]].set(color=FAINT, linewidth=0.6)
    axes.tick_params(
        which="both",
        length=2,
        width=0.6,
        pad=2,
        color=FAINT,
        labelsize=5.6,
        labelcolor=INK,
        labelfontfamily=FONT["family"],
    )
    axes.patch.set_visible(False)


def captioned(width_in: float, end: float, caption: str, foot: float = 0.15) -> Figure:
    """Make a white page whose wrapped caption starts at `end` inches, with `foot` inches below."""
    lines = textwrap.wrap(caption, int(width_in * 19.5))
    height = end + CAPTION_LINE * len(lines) + foot
    figure = Figure(figsize=(width_in, height), facecolor="white")
    text(figure, MARGIN, end, "\n".join(lines), 6.6, INK, linespacing=1.45)
    return figure


@own_style()
def save(figure: Figure, folder: Path, stem: str = "figure") -> None:
    """Write folder/<stem>.png (300 dpi) and .pdf, deterministically.

    The PDF carries no date and keeps its text as text. Names are drawn without markup.
    """
    letter_plainly(figure)
    figure.savefig(folder / f"{stem}.png", dpi=DPI, metadata={"Software": None})
    figure.savefig(folder / f"{stem}.pdf", dpi=DPI, metadata={"CreationDate": None})
