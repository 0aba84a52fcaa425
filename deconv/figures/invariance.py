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
    FONT,
    HAIR,
    INK,
    MARGIN,
    RED,
    axes_at,
    captioned,
    picture,
    quiet,
    text,
    tile,
)
from deconv.figures.occlusion import shorten
from deconv.figures.style import own_style

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
TOP, LEGEND, HEAD, ROW_TITLE, AMOUNTS, FOOT = 0.2, 0.27, 0.36, 0.2, 0.13, 0.4
PICTURES, LABELS = 1.8, 0.52
LETTER, ENTRY = 0.066, 0.46
"""Widths in the legend: a letter, and an entry without its letters."""
LEAST_PLOT, TILE_PX, FRAME, TILE_GAP = 1.45, 112, 8, 6


@own_style()
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
    height = max(PICTURES / len(r.examples) * len(names) + AMOUNTS for r in rows)
    height = max(height, LEAST_PLOT)
    step = ROW_TITLE + height + FOOT
    end = TOP + LEGEND + HEAD + step * len(rows)
    figure = captioned(width_in, end - 0.04, caption, foot=0.19)
    _legend(figure, names, any(row.band is not None for row in rows))
    plot = (width_in - 2 * MARGIN - PICTURES) / len(columns) - LABELS
    lefts = [MARGIN + PICTURES + LABELS + i * (plot + LABELS) for i in range(len(columns))]
    for left, (title, note, _) in zip(lefts, columns, strict=True):
        text(figure, left, TOP + LEGEND, title, 9, INK, weight="bold")
        text(figure, left, TOP + LEGEND + 0.17, note, 5.6, FAINT)
    for number, row in enumerate(rows):
        letter, top = "abcdefg"[number], TOP + LEGEND + HEAD + number * step
        text(figure, MARGIN, top - 0.02, f"{letter}1", 7, INK, weight="bold")
        text(figure, MARGIN + 0.22, top - 0.02, row.title, 7, INK)
        top += ROW_TITLE
        _pictures(figure, row, top)
        for i, (left, column) in enumerate(zip(lefts, columns, strict=True)):
            text(figure, left, top - ROW_TITLE - 0.02, f"{letter}{i + 2}", 7, INK, weight="bold")
            axes = axes_at(figure, left, top, plot, height, f"{letter}{i + 2}")
            band = None if row.band is None else row.band[i]
            _curves(axes, row, row.curves[i], band, column[2], i == len(columns) - 1)
    return figure


def _legend(figure: Figure, names: Sequence[str], others: bool) -> None:
    """Draw the legend at the top of the page, in two lines if one is too short."""
    handles = [
        Line2D([], [], color=colour, linestyle=style, linewidth=1.6)
        for colour, style in zip(IMAGE_COLOURS, IMAGE_LINES, strict=True)
    ][: len(names)]
    labels = [shorten(name) for name in names]
    if others:
        handles.append(Line2D([], [], color=FAINT, linewidth=0.9))
        labels.append("further images: median, middle half")
    width, height = figure.get_size_inches()
    wide = LETTER * sum(map(len, labels)) + ENTRY * len(labels) > width - 2 * MARGIN
    columns = -(-len(labels) // 2) if wide else len(labels)
    top = 1 - (0.04 if wide else 0.09) / height
    figure.legend(
        handles,
        labels,
        loc="upper center",
        ncols=columns,
        frameon=False,
        bbox_to_anchor=(0.5, top),
        borderaxespad=0,
        handlelength=2.2,
        columnspacing=1.6,
        prop={"size": 7, **FONT},
        labelcolor=INK,
    )


def _pictures(figure: Figure, row: TransformRow, top: float) -> None:
    """Draw one row per image and one column per amount, framed in the image's colour."""
    side = PICTURES / len(row.examples)
    for column, amount in enumerate(row.examples):
        middle = MARGIN + (column + 0.5) * side
        text(figure, middle, top - 0.01, f"{amount:g}{row.unit}", 5.4, FAINT, ha="center")
    pixels = framed(row.tiles)
    picture(figure, pixels, MARGIN, top + AMOUNTS, PICTURES, side * len(row.tiles))


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
    axes.xaxis.set_major_locator(MaxNLocator(6, steps=steps))
    axes.yaxis.set_major_locator(MaxNLocator(5))
    words = f"{row.title.lower()} ({row.unit.strip()})" if row.unit.strip() else row.title.lower()
    axes.set_xlabel(words, size=6.2, color=INK, labelpad=2, **FONT)
    axes.set_ylabel(label, size=6.2, color=INK, labelpad=2, **FONT)
