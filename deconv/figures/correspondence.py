"""Figure 8 with Table 1: faces with one part masked, and Δ of each mask and layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deconv.errors import DeconvError
from deconv.figures.drawing import (
    BLUE,
    HAIR,
    INK,
    MARGIN,
    RED,
    axes_at,
    captioned,
    label_in,
    panel_title,
    picture,
    quiet,
    tile,
)
from deconv.figures.lettering import fitted
from deconv.figures.style import page


@dataclass(frozen=True)
class MaskedFaces:
    """F faces in C versions, the first unmasked.

    titles: C, of the columns. pictures: F×C×3×S×S uint8, the network's inputs. boxes: F×(C-1)×4,
    the mask of each version but the first.
    """

    titles: Sequence[str]
    pictures: np.ndarray
    boxes: np.ndarray


Interval = tuple[float, float, float]
"""A value and its interval: (value, low, high)."""


@dataclass(frozen=True)
class DeltaRow:
    """Δ of one mask at one layer; None where it was not measured.

    all: over all pairs of faces. first: of the first draw, with its standard deviation over pairs.
    borrowed: of masks placed where another face has the part. paper: the printed value and ±.
    p: of the exchange test against random masks.
    """

    name: str
    all: Interval
    first: tuple[float, float]
    borrowed: Interval | None
    paper: tuple[float, float] | None
    p: float | None


@dataclass(frozen=True)
class DeltaPanel:
    """One layer of Table 1."""

    title: str
    note: str
    rows: Sequence[DeltaRow]


# Inches; TILES a share of the width inside the margins; TILE_PX in pixels.
TILES, TILE_GAP, HEAD = 0.585, 0.05, 0.22
BETWEEN, NAMES, TITLE, FOOT, LEGEND = 0.28, 0.68, 0.26, 0.36, 0.42
PANEL = 2.18
TILE_PX = 224
LEVELS = {"paper": 0.31, "all": 0.11, "first": -0.1, "borrowed": -0.3}
"""Vertical offset of each mark within its row, in rows above the middle."""
MARKS = {
    "all": ("o", BLUE, BLUE, 4.4),
    "first": ("o", BLUE, "white", 3.6),
    "borrowed": ("^", RED, "white", 4.0),
    "paper": ("D", INK, INK, 2.8),
}
"""Marker, line colour, face colour and size in points."""
WORDS = {
    "all": "all pairs, 95 % interval",
    "first": "first draw, ± SD over pairs",
    "borrowed": "where another face has it, 95 %",
    "paper": "paper (ImageNet), ±",
}


@page(least_in=4.6)
def correspondence(
    faces: MaskedFaces,
    beside: Sequence[DeltaPanel],
    below: Sequence[DeltaPanel],
    caption: str,
    width_in: float = 8.0,
) -> Figure:
    """Draw rows of faces with their masks on the left, panels of Δ beside and below them.

    Args:
        beside: panels stacked at the right of the faces, at least one.
        below: panels below, two a row.
    """
    if not beside or not len(faces.pictures):
        raise DeconvError("Figure 8 needs at least one face and one layer")
    count, columns = faces.pictures.shape[:2]
    tiles = TILES * (width_in - 2 * MARGIN)
    side = (tiles - (columns - 1) * TILE_GAP) / columns
    tall = HEAD + count * side + (count - 1) * TILE_GAP
    body = max(tall + LEGEND, len(beside) * PANEL)
    end = 0.2 + body + (0.1 + PANEL) * -(-len(below) // 2)
    figure = captioned(width_in, end + 0.12, caption, foot=0.18)
    _draw_faces(figure, faces, side, 0.2)
    _draw_legend(figure, [*beside, *below], MARGIN, 0.2 + tall + 0.14, tiles)
    left = MARGIN + tiles + BETWEEN
    each = body / len(beside)
    for number, panel in enumerate(beside):
        _draw_panel(figure, panel, (left, 0.2 + number * each, width_in - MARGIN - left, each))
    half = (width_in - 2 * MARGIN - BETWEEN) / 2
    for number, panel in enumerate(below):
        row, column = divmod(number, 2)
        top = 0.2 + body + 0.1 + row * (0.1 + PANEL)
        _draw_panel(figure, panel, (MARGIN + column * (half + BETWEEN), top, half, PANEL))
    return figure


def _draw_faces(figure: Figure, faces: MaskedFaces, side: float, top: float) -> None:
    for column, title in enumerate(faces.titles):
        left = MARGIN + column * (side + TILE_GAP)
        label_in(figure, left, left + side, top + 0.03, title, 7, INK, ha="center")
        for row, pixels in enumerate(faces.pictures[:, column]):
            box = faces.boxes[row, column - 1] if column else None
            y = top + HEAD + row * (side + TILE_GAP)
            picture(figure, framed(pixels, box), left, y, side, side)


def framed(pixels: np.ndarray, box: np.ndarray | None) -> np.ndarray:
    """Resize a picture (3×S×S uint8) to a tile, with a frame around `box`."""
    out = tile(pixels.transpose(1, 2, 0), None, TILE_PX)
    if box is None:
        return out
    scale = TILE_PX / pixels.shape[-1]
    top, left, bottom, right = (round(edge * scale) for edge in box)
    frame = np.zeros((TILE_PX, TILE_PX), bool)
    frame[max(top - 2, 0) : bottom + 2, max(left - 2, 0) : right + 2] = True
    frame[top:bottom, left:right] = False
    out[frame] = [round(255 * v) for v in to_rgb(RED)]
    return out


def _limits(panel: DeltaPanel) -> tuple[float, float]:
    """The x limits of a panel: a little beyond the outermost marks, not below 0."""
    ends = [end for row in panel.rows for value in _values(row).values() for end in value]
    room = 0.06 * (max(ends) - min(ends)) or 0.01
    return max(0.0, min(ends) - room), max(ends) + room


def _values(row: DeltaRow) -> dict[str, Interval]:
    """Mark -> (value, low, high), for those that were measured."""
    found = {"all": row.all, "borrowed": row.borrowed}
    for name, pair in (("first", row.first), ("paper", row.paper)):
        found[name] = None if pair is None else (pair[0], pair[0] - pair[1], pair[0] + pair[1])
    return {name: value for name, value in found.items() if value is not None}


def _draw_panel(
    figure: Figure, panel: DeltaPanel, place: tuple[float, float, float, float]
) -> None:
    """Draw one layer with a row a mask. place: left, top, width, height."""
    left, top, width, height = place
    panel_title(figure, left, left + width, top, panel.title, panel.note)
    tall = height - TITLE - FOOT
    axes = axes_at(figure, left + NAMES, top + TITLE, width - NAMES, tall, panel.title)
    quiet(axes)
    axes.set(xlim=_limits(panel), ylim=(len(panel.rows) - 0.5, -0.5), yticks=range(len(panel.rows)))
    axes.set_yticklabels([_label(row) for row in panel.rows])
    axes.tick_params(axis="y", length=0)
    axes.xaxis.set_major_locator(MaxNLocator(4, min_n_ticks=3))
    words, size = fitted("mean change of sign Δ (lower: more alike)", 6.2, width - NAMES + 0.1)
    axes.set_xlabel(words, size=size, color=INK, labelpad=2)
    for number, row in enumerate(panel.rows):
        if number:
            axes.axhline(number - 0.5, color=HAIR, linewidth=0.5, zorder=0)
        for name, value in _values(row).items():
            _mark(axes, name, value, number - LEVELS[name])


def _label(row: DeltaRow) -> str:
    if row.p is None:
        return row.name
    return f"{row.name}\np < 0.001" if row.p < 0.001 else f"{row.name}\np = {row.p:.3f}"


def _mark(axes: Axes, name: str, value: Interval, height: float) -> None:
    shape, line, filling, size = MARKS[name]
    axes.plot(value[1:], [height] * 2, "-", color=line, linewidth=0.9, label=f"{name} interval")
    style: dict[str, Any] = {"markerfacecolor": filling, "markersize": size, "markeredgewidth": 0.8}
    axes.plot(value[0], height, shape, color=line, label=name, **style)


def _draw_legend(
    figure: Figure, panels: Sequence[DeltaPanel], left: float, top: float, width: float
) -> None:
    """Name the marks that occur, in two columns."""
    there = {name for panel in panels for row in panel.rows for name in _values(row)}
    for number, name in enumerate(name for name in LEVELS if name in there):
        row, column = divmod(number, 2)
        x, y = left + width / 2 * column, top + 0.14 * row
        shape, line, filling, size = MARKS[name]
        axes = axes_at(figure, x, y, 0.24, 0.11)
        axes.plot([0, 1], [0, 0], "-", color=line, linewidth=0.9)
        axes.plot(
            0.5, 0, shape, color=line, markerfacecolor=filling, markersize=size, markeredgewidth=0.8
        )
        axes.set(xlim=(-0.05, 1.05), ylim=(-1, 1))
        axes.set_axis_off()
        ends = x + 0.29, x + width / 2
        label_in(figure, *ends, y + 0.055, WORDS[name], 5.8, INK, va="center")
