"""Primitives of every page: projections as pictures, tiles, placement in inches, files.

Positions and sizes are inches from the page's upper left corner, sizes of text points.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.transforms import Bbox
from PIL import Image

from deconv.figures.lettering import fitted, letter_plainly, words_width, wrapped
from deconv.figures.style import BODY_PT, current, own_style
from deconv.pixels import PERCENTILE, area_average, display_scale

Page = Figure
"""The type of a figure, for callers that do not import matplotlib."""
INK, FAINT = "#222222", "#777777"
HAIR = "#d0d4da"
"""Colour of hairlines."""
BLUE, RED = "#0072b2", "#d55e00"
"""From Okabe and Ito's palette: distinct for colour-blind readers and in grey."""
VOID, BEYOND, HATCHES = (213, 218, 226), (246, 247, 249), 10
"""RGB behind tiles, and between the stripes of what lies outside an image; stripes a tile."""
MARGIN = 0.28
"""Inches at both sides of a page."""
CAPTION, CAPTION_PT, CAPTION_LINE, TITLE_PT = "caption", BODY_PT, 0.135, 10.5
"""A caption's name on its page, size in points and line height in inches; size of titles."""
NOTE_PT, NOTE_GAP, NOTE_LINE = 6.2, 0.1, 0.12
"""Of the note to a panel's title: its size, inches before it, inches that it takes below."""


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
    """Resize h×w×3 uint8 to side×side, hatched where `inside` (h×w bool) is False."""
    out = np.array(Image.fromarray(pixels).resize((side, side), Image.Resampling.BICUBIC))
    if inside is not None and not inside.all():
        mask = Image.fromarray(inside.astype(np.uint8) * 255).resize((side, side))
        outside = np.asarray(mask) < 128
        out[outside] = hatching(side)[outside]
    return out


def hatching(side: int) -> np.ndarray:
    """Make side×side×3 uint8 of faint diagonal stripes: what lies outside an image."""
    step = max(4, side // HATCHES)
    stripe = np.add.outer(np.arange(side), np.arange(side)) % step < max(1, step // 4)
    return np.array((BEYOND, VOID), np.uint8)[stripe.astype(int)]


def projection_tiles(pixels: np.ndarray, inside: np.ndarray, side: int) -> list[np.ndarray]:
    """Render projections M×3×h×w as tiles, each on its own scale; inside: M×h×w bool."""
    return [painted_tile(p, mask, side) for p, mask in zip(pixels, inside, strict=True)]


def painted_tile(pixels: np.ndarray, inside: np.ndarray | None, side: int) -> np.ndarray:
    """Render a projection 3×h×w as `tile`; averaged where it shrinks, then scaled.

    In that order its colours reach as far as they would in a picture of that size: scaled first,
    the fine texture of a high layer would average to grey.
    """
    if side < max(pixels.shape[1:]):
        pixels = area_average(pixels, side)
    return tile(grey_centred(pixels), inside, side)


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
    figure.text(left / across, 1 - top / down, words, size=size, color=color, **style)


def label_in(
    figure: Figure,
    left: float,
    right: float,
    top: float,
    words: str,
    size: float,
    color: str,
    **style: Any,
) -> None:
    """Write words between two positions: smaller, then cut, where they are too long."""
    weight = style.get("weight", "normal")
    words, size = fitted(words, size, right - left, weight)
    at = {"left": left, "center": (left + right) / 2, "right": right}[style.get("ha", "left")]
    text(figure, at, top, words, size, color, **style)


def panel_title(
    figure: Figure, left: float, right: float, top: float, title: str, note: str
) -> None:
    """Write a panel's title and, faint behind it or else below it, a note."""
    below = not _note_behind(title, note, right - left)
    title, size = fitted(title, TITLE_PT, right - left, "bold")
    text(figure, left, top, title, size, INK, weight="bold")
    start = left if below else left + words_width(title, size, "bold") + NOTE_GAP
    note, small = fitted(note, NOTE_PT, right - start)
    text(figure, start, top + (0.19 if below else 0.022), note, small, FAINT)


def note_height(titles: Iterable[tuple[str, str]], room: float) -> float:
    """Inches that titles with notes take more than a title where a note does not fit behind."""
    return 0.0 if all(_note_behind(*one, room) for one in titles) else NOTE_LINE


def _note_behind(title: str, note: str, room: float) -> bool:
    widths = words_width(title, TITLE_PT, "bold") + NOTE_GAP + words_width(note, NOTE_PT)
    return not note or widths <= room


Entries = Sequence[tuple[str, str | None]]
"""Words of a legend, each with the colour of its dot, or None for faint words without one."""


def legend_width(entries: Entries, size: float) -> float:
    """Measure a legend in one line, in inches."""
    return sum(words_width(words, size) + 0.043 * size for words, _ in entries)


def draw_legend(figure: Figure, entries: Entries, left: float, top: float, size: float) -> None:
    """Write a legend in one line."""
    for words, colour in entries:
        dot = 0.017 * size if colour else 0.0
        if colour:
            text(figure, left, top, "●", size, colour)
        text(figure, left + dot, top, words, size, INK if colour else FAINT)
        left += words_width(words, size) + 0.043 * size


def annotate(
    axes: Axes, x: float, y: float, words: str, size: float, color: str = INK, **style: Any
) -> None:
    """Write words at a share of the axes' width and height; `transform` changes the coordinates."""
    style = {"va": "center", "transform": axes.transAxes, **style}
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
    )
    axes.patch.set_visible(False)


def captioned(width_in: float, end: float, caption: str, foot: float = 0.15) -> Figure:
    """Make a white page whose wrapped caption starts at `end` inches, with `foot` inches below."""
    lines = wrapped(caption, CAPTION_PT, width_in - 2 * MARGIN)
    height = end + CAPTION_LINE * len(lines) + foot
    figure = Figure(figsize=(width_in, height), facecolor="white")
    words = "\n".join(lines)
    text(figure, MARGIN, end, words, CAPTION_PT, INK, linespacing=1.45, gid=CAPTION)
    return figure


@own_style()
def save(figure: Figure, folder: Path, stem: str = "figure") -> list[Path]:
    """Write folder/<stem> in each format of the look, deterministically; a figure's caption, too.

    PDF and SVG carry no date and keep their text as text. Names are drawn without markup.

    Returns:
        The files written.
    """
    now = current()
    caption = next((one for one in figure.texts if one.get_gid() == CAPTION), None)
    across, down = figure.get_size_inches()
    low, high = 0.0, down
    if caption is not None and not now.caption:
        low = caption.get_position()[1] * down
        caption.set_visible(False)
    if now.title:
        high += _title(figure, now.title)
    letter_plainly(figure)
    box = None if (low, high) == (0.0, down) else Bbox.from_extents(0, low, across, high)
    written = []
    for ending in now.endings:
        written.append(folder / f"{stem}.{ending}")
        figure.savefig(written[-1], bbox_inches=box, metadata={UNDATED[ending]: None})
    if caption is not None and stem == "figure":
        written.append(folder / "caption.txt")
        words = " ".join(caption.get_text().split())
        written[-1].write_text(words + "\n", encoding="utf-8", errors="backslashreplace")
    return written


UNDATED = {"png": "Software", "pdf": "CreationDate", "svg": "Date"}
"""Format -> what matplotlib would write into it that changes from day to day."""


def _title(figure: Figure, words: str) -> float:
    """Write a title above a page's upper edge; its height in inches."""
    across, down = figure.get_size_inches()
    size = TITLE_PT * current().body_pt / BODY_PT
    lines = wrapped(words, size, across - 2 * MARGIN, "bold")
    line = 1.3 * size / 72
    style: dict[str, Any] = {"va": "top", "weight": "bold", "color": INK, "size": size}
    tall = line * len(lines) + MARGIN / 2
    figure.text(MARGIN / across, 1 + tall / down - MARGIN / 2 / down, "\n".join(lines), **style)
    return tall
