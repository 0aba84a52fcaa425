"""Figure 5: translated, scaled and rotated images; feature distances and class probability."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from deconv.errors import DeconvError
from deconv.figures.drawing import (
    BLUE,
    FAINT,
    HAIR,
    INK,
    MARGIN,
    RED,
    axes_at,
    captioned,
    label_in,
    picture,
    quiet,
    text,
    tile,
)
from deconv.figures.lettering import fitted, words_width
from deconv.figures.occlusion import shorten
from deconv.figures.style import page

IMAGE_COLOURS = (BLUE, RED, "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")
"""One an image, from Okabe and Ito's colour-blind-safe palette."""
_DASHED = (0, (5, 1.2))
IMAGE_LINES: tuple[Any, ...] = ("-", _DASHED, (0, (3, 1, 1, 1)), "-", _DASHED, "-", (0, (1, 1)))
"""Line styles keep the images distinct in grey."""


@dataclass(frozen=True)
class TransformRow:
    """One transform of Figure 5: E examples and curves over T amounts, of N images.

    title, unit: of the amounts, e.g. "Vertical translation", "px". amounts: T, ascending.
    examples: E amounts; tiles: N×E×3×h×w uint8, the images transformed by them.
    curves: N×T for each column of the page. band: 3×T for each column, lower quartile, median and
    upper quartile over further images, or None.
    """

    title: str
    unit: str
    amounts: np.ndarray
    examples: np.ndarray
    tiles: np.ndarray
    curves: Sequence[np.ndarray]
    band: Sequence[np.ndarray] | None


# Inches; TILE_PX, FRAME and TILE_GAP in pixels.
TOP, HEAD, ROW_TITLE, AMOUNTS, FOOT = 0.2, 0.36, 0.2, 0.13, 0.4
PICTURES, LABELS, LEGEND_LINE = 0.242, 0.52, 0.135
"""Share of the width that the images take; inches of labels, and of a line of the legend."""
ENTRY = 0.37
"""Width of an entry in the legend without its words."""
LEAST_PLOT, LEGEND_PT, TILE_PX, FRAME, TILE_GAP = 1.45, 7.0, 112, 8, 6


@page(least_in=4.6)
def invariance(
    rows: Sequence[TransformRow],
    names: Sequence[str],
    columns: Sequence[tuple[str, str, str]],
    caption: str,
    width_in: float = 8.0,
) -> Figure:
    """Draw Figure 5: one row per transform, with the images first and then a plot for each column.

    Args:
        names: of the N images, for the legend; at most as many as IMAGE_COLOURS.
        columns: (title, note, axis label) of each plot; the last one holds probabilities (0…1).
    """
    if not rows or not 1 <= len(names) <= len(IMAGE_COLOURS):
        raise DeconvError(f"Figure 5 shows 1 to {len(IMAGE_COLOURS)} images, got {len(names)}")
    pictures = PICTURES * (width_in - 2 * MARGIN)
    height = max(pictures / len(r.examples) * len(names) + AMOUNTS for r in rows)
    height = max(height, LEAST_PLOT)
    step = ROW_TITLE + height + FOOT
    entries = _entries(names, any(row.band is not None for row in rows), width_in)
    first = TOP + LEGEND_LINE * len(entries) + 0.13
    figure = captioned(width_in, first + HEAD + step * len(rows) - 0.04, caption, foot=0.19)
    _legend(figure, entries)
    plot = (width_in - 2 * MARGIN - pictures) / len(columns) - LABELS
    lefts = [MARGIN + pictures + LABELS + i * (plot + LABELS) for i in range(len(columns))]
    for left, (title, note, _) in zip(lefts, columns, strict=True):
        end = left + plot + 0.7 * LABELS if left != lefts[-1] else width_in - MARGIN / 2
        label_in(figure, left, end, first, title, 9, INK, weight="bold")
        label_in(figure, left, end, first + 0.17, note, 5.6, FAINT)
    for number, row in enumerate(rows):
        letter, top = "abcdefg"[number], first + HEAD + number * step
        text(figure, MARGIN, top - 0.02, f"{letter}1", 7, INK, weight="bold")
        text(figure, MARGIN + 0.22, top - 0.02, row.title, 7, INK)
        top += ROW_TITLE
        _pictures(figure, row, top, pictures)
        for i, (left, column) in enumerate(zip(lefts, columns, strict=True)):
            text(figure, left, top - ROW_TITLE - 0.02, f"{letter}{i + 2}", 7, INK, weight="bold")
            axes = axes_at(figure, left, top, plot, height, f"{letter}{i + 2}")
            band = None if row.band is None else row.band[i]
            _curves(axes, row, row.curves[i], band, column[2], i == len(columns) - 1)
    return figure


Entry = tuple[str, Any, Any, float]
"""Of the legend: words, colour, line style, line width."""


def _entries(names: Sequence[str], others: bool, width_in: float) -> list[list[Entry]]:
    """The legend's entries, in as many lines as they need."""
    styles = zip(names, IMAGE_COLOURS, IMAGE_LINES, strict=False)
    entries: list[Entry] = [(shorten(name), colour, line, 1.6) for name, colour, line in styles]
    if others:
        entries.append(("further images: median, middle half", FAINT, "-", 0.9))
    lines: list[list[Entry]] = [[]]
    for entry in entries:
        if lines[-1] and _width([*lines[-1], entry]) > width_in - 2 * MARGIN:
            lines.append([])
        lines[-1].append(entry)
    return lines


def _width(entries: Sequence[Entry]) -> float:
    return sum(ENTRY + words_width(words, LEGEND_PT) for words, *_ in entries)


def _legend(figure: Figure, lines: Sequence[Sequence[Entry]]) -> None:
    """Draw the legend at the top of the page, its lines centred."""
    across, down = figure.get_size_inches()
    for i, entries in enumerate(lines):
        left, top = (across - _width(entries)) / 2, 0.1 + LEGEND_LINE * i
        for words, colour, style, width in entries:
            ends, level = [left / across, (left + 0.2) / across], 1 - (top + 0.06) / down
            line = {"color": colour, "linestyle": style, "linewidth": width}
            figure.add_artist(Line2D(ends, [level, level], **line))
            text(figure, left + 0.25, top, words, LEGEND_PT, INK)
            left += ENTRY + words_width(words, LEGEND_PT)


def _pictures(figure: Figure, row: TransformRow, top: float, width: float) -> None:
    """Draw one row per image and one column per amount, framed in the image's colour."""
    side = width / len(row.examples)
    for column, amount in enumerate(row.examples):
        middle = MARGIN + (column + 0.5) * side
        at = middle - 0.48 * side, middle + 0.48 * side
        label_in(figure, *at, top - 0.01, f"{amount:g}{row.unit}", 5.4, FAINT, ha="center")
    pixels = framed(row.tiles)
    picture(figure, pixels, MARGIN, top + AMOUNTS, width, side * len(row.tiles))


def framed(tiles: np.ndarray) -> np.ndarray:
    """Lay out N×E×3×h×w uint8 on white: one row per image, framed in its colour."""
    cell = TILE_PX + 2 * FRAME + TILE_GAP
    out = np.full((len(tiles) * cell, tiles.shape[1] * cell, 3), 255, np.uint8)
    for i, images in enumerate(tiles):
        colour = tuple(int(IMAGE_COLOURS[i][k : k + 2], 16) for k in (1, 3, 5))
        for j, image in enumerate(images):
            y, x = i * cell, j * cell
            out[y : y + cell - TILE_GAP, x : x + cell - TILE_GAP] = colour
            inner = tile(np.ascontiguousarray(image.transpose(1, 2, 0)), None, TILE_PX)
            out[y + FRAME : y + FRAME + TILE_PX, x + FRAME : x + FRAME + TILE_PX] = inner
    return out


def _curves(
    axes: Axes,
    row: TransformRow,
    curves: np.ndarray,
    band: np.ndarray | None,
    label: str,
    probability: bool,
) -> None:
    quiet(axes)
    if band is not None:
        low, middle, high = band
        axes.fill_between(row.amounts, low, high, color=HAIR, alpha=0.55, linewidth=0, zorder=1)
        axes.plot(row.amounts, middle, color=FAINT, linewidth=0.9, zorder=2)
    for i, curve in enumerate(curves):
        style = {"color": IMAGE_COLOURS[i], "linestyle": IMAGE_LINES[i], "linewidth": 1.1}
        axes.plot(row.amounts, curve, zorder=3, clip_on=False, **style)
    axes.set_xlim(row.amounts[0], row.amounts[-1])
    axes.set_ylim(0, 1 if probability else None)
    steps = [1, 1.5, 3, 4.5, 9, 10] if "°" in row.unit else [1, 2, 2.5, 5, 10]
    assert isinstance(axes.figure, Figure)
    room = axes.get_position().width * axes.figure.get_size_inches()[0]
    axes.xaxis.set_major_locator(MaxNLocator(max(2, min(6, int(room / 0.22))), steps=steps))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.tick_params("x", pad=4)  # its first number stands below the last of the other axis
    words = f"{row.title.lower()} ({row.unit.strip()})" if row.unit.strip() else row.title.lower()
    words, size = fitted(words, 6.2, room + LABELS - 0.1)
    axes.set_xlabel(words, size=size, color=INK, labelpad=2)
    axes.set_ylabel(label, size=6.2, color=INK, labelpad=2)
