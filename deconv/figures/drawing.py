"""What the pages share: the display scale, tiles, things placed in inches, writing to files."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from deconv.figures.lettering import letter_plainly
from deconv.pixels import PERCENTILE, display_scale

Page = Figure
"""What a figure is drawn on, for those who do not draw themselves."""
INK, FAINT = "#222222", "#777777"
HAIR = "#d0d4da"
"""Hairlines that lead the eye."""
BLUE, RED = "#0072b2", "#d55e00"
"""Two of the colours of Okabe and Ito, which stay apart for colour-blind readers and in grey."""
VOID = (213, 218, 226)
"""RGB behind the tiles and outside an image, so that white patches keep their edges."""
FONT: dict[str, Any] = {"family": "DejaVu Sans"}
DPI = 300
MARGIN = 0.28
"""Inches left empty at the sides of a page."""
CAPTION_LINE = 0.135
"""Inches from one line of a caption to the next."""


def grey_centred(pixels: np.ndarray, percentile: float = PERCENTILE) -> np.ndarray:
    """A projection as a picture: grey at zero, one symmetric scale for the whole picture.

    pixels: 3×h×w float, around zero. Beyond their `display_scale` colours saturate.
    Returns h×w×3 uint8; all grey (128) if every pixel is 0.
    """
    levels = np.clip(pixels / display_scale(pixels, percentile), -1, 1) * 127 + 128
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


def axes_at(
    figure: Figure, left: float, top: float, width: float, height: float, label: str = ""
) -> Axes:
    """Axes at inches from the upper left corner of the page. label: a name to find them by."""
    across, down = figure.get_size_inches()
    place = (left / across, 1 - (top + height) / down, width / across, height / down)
    return figure.add_axes(place, label=label)


def picture(
    figure: Figure, pixels: np.ndarray, left: float, top: float, width: float, height: float
) -> None:
    """An image at inches from the upper left corner of the page."""
    axes = axes_at(figure, left, top, width, height)
    axes.imshow(pixels, interpolation="nearest", aspect="auto")
    axes.set_axis_off()


def text(
    figure: Figure, left: float, top: float, words: str, size: float, color: str, **style: Any
) -> None:
    """Words with their upper left corner at inches from that of the page; size in points."""
    across, down = figure.get_size_inches()
    style = {"va": "top"} | style
    figure.text(left / across, 1 - top / down, words, size=size, color=color, **FONT, **style)


def hairline(figure: Figure, left: float, right: float, top: float) -> None:
    """A faint level line between inches from the left edge, at inches from the upper one."""
    across, down = figure.get_size_inches()
    ends, level = [left / across, right / across], 1 - top / down
    figure.add_artist(Line2D(ends, [level, level], color=HAIR, linewidth=0.5, zorder=0))


def quiet(axes: Axes) -> None:
    """Small tick labels, faint lines on the left and below, none on the other sides."""
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
    """A white page with its caption, wrapped, from `end` inches on and `foot` inches below it."""
    lines = textwrap.wrap(caption, int(width_in * 19.5))
    height = end + CAPTION_LINE * len(lines) + foot
    figure = Figure(figsize=(width_in, height), facecolor="white")
    text(figure, MARGIN, end, "\n".join(lines), 6.6, INK, linespacing=1.45)
    return figure


def save(figure: Figure, folder: Path, stem: str = "figure") -> None:
    """Write folder/<stem>.png (300 dpi) and .pdf, the same for the same arrays.

    The PDF carries no date, and its text stays text. Names are drawn as they are written.
    """
    letter_plainly(figure)
    with matplotlib.rc_context({"pdf.fonttype": 42, "pdf.compression": 6}):
        figure.savefig(folder / f"{stem}.png", dpi=DPI, metadata={"Software": None})
        figure.savefig(folder / f"{stem}.pdf", dpi=DPI, metadata={"CreationDate": None})
