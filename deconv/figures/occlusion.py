"""Figure 7: an image under a sliding grey square, and the network's response at each position."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from deconv.figures.drawing import (
    FAINT,
    INK,
    MARGIN,
    NOTE_GAP,
    NOTE_PT,
    VOID,
    axes_at,
    block,
    captioned,
    label_in,
    picture,
    projection_tiles,
    text,
)
from deconv.figures.lettering import words_width, wrapped
from deconv.figures.style import current, page
from deconv.pixels import energy_window

COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#cc79a7", "#d55e00", "#f0e442", "#0072b2", "#000000")
"""Okabe and Ito's colour-blind-safe palette; the first is the true class's."""
OTHER = "#bbbbbb"
"""Colour of all labels beyond the eight most frequent."""
TICKS: dict[str, Any] = {"width": 0.5, "color": FAINT}


@dataclass(frozen=True)
class OcclusionRow:
    """One image of Figure 7.

    picture: H×W×3 uint8 with a square at one position; square: its box (top, left, bottom, right).
    centres: rows × columns × 2, the squares' centres (y, x) in pixels, stride_px apart.
    probability, activation, label: rows × columns; clean: the first two without a square.
    true: the true class. names: class -> name, for every label that occurs.
    projection: T×3×R×S, this image's first; inside: T×R×S bool.
    """

    title: str
    note: str
    picture: np.ndarray
    square: tuple[int, int, int, int]
    centres: np.ndarray
    stride_px: int
    probability: np.ndarray
    activation: np.ndarray
    label: np.ndarray
    clean: tuple[float, float]
    true: int
    names: dict[int, str]
    projection: np.ndarray
    inside: np.ndarray


# Inches; TILE_* in pixels, *_LENGTH in letters, TITLE_PT in points.
GAP, LEGEND, HEADING, LINE, TITLE, BELOW, PAGE_GAP = 0.13, 0.94, 0.09, 0.125, 0.21, 0.34, 0.08
SWATCH, TICK_PT = 0.085, 5.2
TILE_PX, TILE_GAP = 150, 8
NAME_LENGTH, TITLE_LENGTH, TITLE_PT, HEADING_PT = 19, 24, 8.5, 6.6


@page(least_in=4.8)
def occlusion(
    rows: Sequence[OcclusionRow], layer: str, caption: str, width_in: float = 8.0
) -> Figure:
    """Draw one row per image with panels (a) to (e) and the legend of (e).

    layer: the watched map in words.
    """
    side = (width_in - 2 * MARGIN - LEGEND - 5 * GAP) / 5
    lefts = [MARGIN + i * (side + GAP) for i in range(6)]
    headings = [
        wrapped(words, HEADING_PT, side + GAP / 2)
        for words in (
            "(a) input, with the square at one position",
            f"(b) summed activation of {layer}",
            "(c) that map projected: this image (frame), others",
            "(d) probability of the true class",
            "(e) most probable label",
        )
    ]
    notes = [_note(row, lefts[1], width_in) for row in rows]
    heights = [TITLE + LINE * below + side + BELOW + PAGE_GAP for _, _, below in notes]
    top = 0.15 + HEADING + LINE * max(map(len, headings))
    figure = captioned(width_in, top + sum(heights), caption)
    for left, lines in zip(lefts[:5], headings, strict=True):
        for i, words in enumerate(lines):
            label_in(figure, left, left + side + GAP / 2, 0.15 + LINE * i, words, HEADING_PT, INK)
    for row, (left, lines, below), height in zip(rows, notes, heights, strict=True):
        title = shorten(row.title, TITLE_LENGTH)
        text(figure, MARGIN, top, title, TITLE_PT, INK, weight="bold")
        for i, words in enumerate(lines):
            text(
                figure,
                left,
                top + 0.026 + (LINE * (i + 1) + 0.04) * (below > 0),
                words,
                NOTE_PT,
                FAINT,
            )
        _draw_row(figure, row, lefts, top + TITLE + LINE * below, side)
        top += height
    return figure


def _note(row: OcclusionRow, second: float, width_in: float) -> tuple[float, list[str], int]:
    """Place a row's note: its left edge, its lines, and how many of them lie below the title.

    second: left edge of the second panel, where the note begins if the title leaves room.
    """
    title = words_width(shorten(row.title, TITLE_LENGTH), TITLE_PT, "bold")
    behind = max(second, MARGIN + title + NOTE_GAP)
    if words_width(row.note, NOTE_PT) <= width_in - MARGIN - behind:
        return behind, [row.note], 0
    lines = wrapped(row.note, NOTE_PT, width_in - 2 * MARGIN)
    return MARGIN, lines, len(lines)


def _draw_row(
    figure: Figure, row: OcclusionRow, lefts: Sequence[float], top: float, side: float
) -> None:
    boxes = {
        label: axes_at(figure, lefts[i], top, side, side, label)
        for i, label in enumerate("abcde")
        if label != "c"
    }
    boxes["a"].imshow(row.picture, interpolation="nearest", aspect="auto", extent=extent_of(row))
    _outline(boxes["a"], row.square)
    for at, values, clean in (
        ("b", row.activation, row.clean[1]),
        ("d", row.probability, row.clean[0]),
    ):
        low, high = scale_of(values, clean)
        _cells(boxes[at], row, values, cmap=current().colours, vmin=low, vmax=high)
        bar = axes_at(figure, lefts["abcde".index(at)], top + side + 0.1, side, 0.06, "bar")
        _colour_bar(bar, low, high, clean)
    picture(figure, _tiles(row), lefts[2], top, side, side)
    shares = legend(row)
    colours = {label: colour for label, colour, _ in shares}
    cells = np.array([to_rgb(colours.get(n, OTHER)) for n in row.label.flatten().tolist()])
    _cells(boxes["e"], row, cells.reshape(*row.label.shape, 3))
    for label, axes in boxes.items():
        _frame(axes, row, numbered=label == "a")
    _draw_legend(figure, row, shares, lefts[5] - 0.03, top)


def scale_of(values: np.ndarray, clean: float) -> tuple[float, float]:
    """The ends of a colour scale: of the values and the unoccluded image's, never equal."""
    low, high = min(float(values.min()), clean), max(float(values.max()), clean)
    if high > low:
        return low, high
    return (low - abs(low) / 2, high + abs(high) / 2) if low else (0.0, 1.0)


def extent_of(row: OcclusionRow) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) of the image in pixels, as axes take them."""
    height, width = row.picture.shape[:2]
    return 0.0, float(width), float(height), 0.0


def cell_extent(row: OcclusionRow) -> tuple[float, float, float, float]:
    """(left, right, bottom, top) of the cells: each reaches half a stride around its centre."""
    half = row.stride_px / 2
    (top, left), (bottom, right) = row.centres[0, 0], row.centres[-1, -1]
    return left - half, right + half, bottom + half, top - half


def legend(row: OcclusionRow) -> list[tuple[int | None, str, float]]:
    """List (label, colour, share of positions): the true class, then by frequency.

    The first colour belongs to the true class alone. Labels beyond the palette are gathered in
    one entry with label None.
    """
    counts = Counter(row.label.flatten().tolist())
    ranked = sorted(counts, key=lambda n: (n != row.true, -counts[n], n))
    colours = COLOURS[0 if row.true in counts else 1 :]
    named = [(n, c, counts[n] / row.label.size) for n, c in zip(ranked, colours, strict=False)]
    rest = sum(counts[n] for n in ranked[len(colours) :]) / row.label.size
    return named + ([(None, OTHER, rest)] if rest else [])


def _cells(axes: Axes, row: OcclusionRow, values: np.ndarray, **style: Any) -> None:
    red, green, blue = (level / 255 for level in VOID)
    axes.set_facecolor((red, green, blue))
    axes.imshow(values, interpolation="nearest", aspect="auto", extent=cell_extent(row), **style)
    y, x = ((row.square[i] + row.square[i + 2]) / 2 for i in (0, 1))
    nearest = np.abs(row.centres - (y, x)).sum(axis=2).argmin()
    cy, cx = row.centres.reshape(-1, 2)[nearest]
    half = row.stride_px / 2
    _outline(axes, (cy - half, cx - half, cy + half, cx + half))


def _outline(axes: Axes, box: Sequence[float]) -> None:
    """Draw a square outline that shows on any colour: black within white."""
    place = (box[1], box[0]), box[3] - box[1], box[2] - box[0]
    for colour, width in (("white", 1.5), ("black", 0.6)):
        axes.add_patch(Rectangle(*place, fill=False, edgecolor=colour, linewidth=width))


def _frame(axes: Axes, row: OcclusionRow, numbered: bool) -> None:
    """Set the image's extent as limits; `numbered` axes show it in pixels."""
    left, right, bottom, top = extent_of(row)
    axes.set(xlim=(left, right), ylim=(bottom, top))
    axes.set_xticks([left, right], [f"{left:.0f}", f"{right:.0f} px"] if numbered else ["", ""])
    axes.set_yticks([])
    axes.tick_params(**TICKS, length=2 if numbered else 0, pad=1.5, labelsize=5, labelcolor=FAINT)
    if numbered:
        first, last = axes.get_xticklabels()
        first.set(ha="left")
        last.set(ha="right")
    axes.spines[:].set(color=FAINT, linewidth=0.4)


def _colour_bar(axes: Axes, low: float, high: float, clean: float) -> None:
    """Draw the scale from `low` to `high` with a mark at the unoccluded image's value."""
    ramp = np.linspace(0, 1, 256)[None]
    axes.imshow(
        ramp,
        cmap=current().colours,
        aspect="auto",
        extent=(low, high, 0, 1),
        interpolation="nearest",
    )
    axes.set_yticks([])
    ticks = [low, (low + high) / 2, high]
    words, sides = told(ticks), ["left", "center", "right"]
    assert isinstance(axes.figure, Figure)
    room = axes.get_position().width * axes.figure.get_size_inches()[0]
    if 1.1 * sum(words_width(one, TICK_PT) for one in words) > room:  # the ends alone
        ticks, words, sides = ticks[::2], words[::2], sides[::2]
    size = TICK_PT * min(1.0, room / (1.1 * sum(words_width(one, TICK_PT) for one in words)))
    axes.set_xticks(ticks, words)
    axes.tick_params(**TICKS, length=1.5, pad=1.2, labelsize=size, labelcolor=INK)
    for label, side in zip(axes.get_xticklabels(), sides, strict=True):
        label.set(ha=side)
    axes.spines[:].set(color=FAINT, linewidth=0.4)
    style: dict[str, Any] = {"color": INK, "markersize": 3.4, "markeredgewidth": 0, "zorder": 5}
    axes.plot(clean, 1.0, "v", clip_on=False, **style)
    axes.set(xlim=(low, high), ylim=(0, 1))


def told(values: Sequence[float]) -> list[str]:
    """Format values with as few digits, from three on, as tell the first from the last.

    Never as a power of ten above 1.
    """
    for digits in range(3, 8):
        words = [
            f"{v:.{max(0, digits - 3)}f}" if abs(v) >= 100 else f"{v:.{digits}g}" for v in values
        ]
        if words[0] != words[-1]:
            break
    return words


def _tiles(row: OcclusionRow) -> np.ndarray:
    """Lay out the projections, cut alike to their energy; the first has a black frame."""
    top, left, bottom, right = energy_window(row.projection)
    cut = np.s_[..., top:bottom, left:right]
    tiles = projection_tiles(row.projection[cut], row.inside[cut], TILE_PX)
    columns = int(np.ceil(np.sqrt(len(tiles))))
    shown = block(tiles, columns, TILE_GAP)
    missing = columns * (TILE_PX + TILE_GAP) + TILE_GAP - shown.shape[0]
    if missing:
        shown = np.pad(shown, ((0, missing), (0, 0), (0, 0)), constant_values=255)
    reach = TILE_PX + 2 * TILE_GAP
    frame = np.ones((reach, reach), bool)
    frame[TILE_GAP:-TILE_GAP, TILE_GAP:-TILE_GAP] = False
    shown[:reach, :reach][frame] = 0
    return shown


def _draw_legend(
    figure: Figure,
    row: OcclusionRow,
    shares: Sequence[tuple[int | None, str, float]],
    left: float,
    top: float,
) -> None:
    across, down = figure.get_size_inches()
    for i, (label, colour, _) in enumerate(shares):
        at = top + i * 0.135
        corner = left / across, 1 - (at + SWATCH) / down
        swatch = Rectangle(corner, SWATCH / across, SWATCH / down, transform=figure.transFigure)
        swatch.set(facecolor=colour, edgecolor=FAINT, linewidth=0.3)
        figure.add_artist(swatch)
        name = "others" if label is None else shorten(row.names[label])
        weight = "bold" if label == row.true else "normal"
        label_in(figure, left + 0.125, across - 0.05, at - 0.008, name, 5.6, INK, weight=weight)


def shorten(name: str, length: int = NAME_LENGTH) -> str:
    """Cut a name to `length` letters with an ellipsis, keeping a trailing " (number)"."""
    if len(name) <= length:
        return name
    number = re.findall(r" \(\d+\)$|$", name)[0]
    return name[: length - 1 - len(number)].rstrip() + "…" + number
