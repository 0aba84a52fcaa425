"""Figure 8 with Table 1: faces with one part hidden, and how alike their features change."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

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


@dataclass(frozen=True)
class MaskedFaces:
    """F faces in C versions, the first one whole.

    titles: C words above the columns. pictures: F×C×3×S×S uint8, as the network is fed.
    boxes: F×(C-1)×4, what is hidden in each version but the first.
    """

    titles: Sequence[str]
    pictures: np.ndarray
    boxes: np.ndarray


Interval = tuple[float, float, float]
"""A value and its interval: (value, low, high)."""


@dataclass(frozen=True)
class DeltaRow:
    """Δ of one mask at one layer, in all the ways it was measured; None: not there.

    all: over all pairs of all faces. first: of the first draw and its standard deviation over
    pairs. borrowed: masks where another face has the part. paper: the printed value and ±.
    p: of lying below random by chance.
    """

    name: str
    all: Interval
    first: tuple[float, float]
    borrowed: Interval | None
    paper: tuple[float, float] | None
    p: float | None


@dataclass(frozen=True)
class DeltaPanel:
    """One layer of Table 1. title, note: the line above it, strong and faint."""

    title: str
    note: str
    rows: Sequence[DeltaRow]


# Inches on the page, but for the tiles' pixels.
TILES, TILE_GAP, HEAD = 4.35, 0.05, 0.22
BETWEEN, NAMES, TITLE, FOOT, LEGEND = 0.28, 0.68, 0.26, 0.36, 0.42
PANEL = 2.18
TILE_PX = 224
LEVELS = {"paper": 0.31, "all": 0.11, "first": -0.1, "borrowed": -0.3}
"""Where the marks of a row stand, in rows above its middle."""
MARKS = {
    "all": ("o", BLUE, BLUE, 4.4),
    "first": ("o", BLUE, "white", 3.6),
    "borrowed": ("^", RED, "white", 4.0),
    "paper": ("D", INK, INK, 2.8),
}
"""Shape, line, filling and size in points."""
WORDS = {
    "all": "all pairs, 95 % interval",
    "first": "first draw, ± SD over pairs",
    "borrowed": "where another face has it, 95 %",
    "paper": "paper (ImageNet), ±",
}


def correspondence(
    faces: MaskedFaces,
    beside: Sequence[DeltaPanel],
    below: Sequence[DeltaPanel],
    caption: str,
    width_in: float = 8.0,
) -> Figure:
    """Rows of faces with their masks on the left, Δ as dots beside and below them.

    beside: panels under each other, at the right of the faces. below: two in a row.
    caption: printed below, wrapped. width_in: page width. Raises DeconvError for nothing beside.
    """
    if not beside or not len(faces.pictures):
        raise DeconvError("Figure 8 needs at least one face and one layer")
    count, columns = faces.pictures.shape[:2]
    side = (TILES - (columns - 1) * TILE_GAP) / columns
    tall = HEAD + count * side + (count - 1) * TILE_GAP
    body = max(tall + LEGEND, len(beside) * PANEL)
    rows = [below[i : i + 2] for i in range(0, len(below), 2)]
    end = 0.2 + body + (0.1 + PANEL) * len(rows)
    figure = captioned(width_in, end + 0.12, caption, foot=0.18)
    _draw_faces(figure, faces, side, 0.2)
    _draw_legend(figure, [*beside, *below], MARGIN, 0.2 + tall + 0.14)
    left = MARGIN + TILES + BETWEEN
    each = body / len(beside)
    for number, panel in enumerate(beside):
        place = left, 0.2 + number * each, width_in - MARGIN - left, each
        _draw_panel(figure, panel, place)
    half = (width_in - 2 * MARGIN - BETWEEN) / 2
    for number, row in enumerate(rows):
        top = 0.2 + body + 0.1 + number * (0.1 + PANEL)
        for column, panel in enumerate(row):
            place = MARGIN + column * (half + BETWEEN), top, half, PANEL
            _draw_panel(figure, panel, place)
    return figure


def _draw_faces(figure: Figure, faces: MaskedFaces, side: float, top: float) -> None:
    """The grid of pictures; what is hidden has a thin frame."""
    for column, title in enumerate(faces.titles):
        middle = MARGIN + column * (side + TILE_GAP) + side / 2
        text(figure, middle, top + 0.03, title, 7, INK, ha="center")
    for row, versions in enumerate(faces.pictures):
        for column, pixels in enumerate(versions):
            y = top + HEAD + row * (side + TILE_GAP)
            box = faces.boxes[row, column - 1] if column else None
            shown = framed(pixels, box)
            picture(figure, shown, MARGIN + column * (side + TILE_GAP), y, side, side)


def framed(pixels: np.ndarray, box: np.ndarray | None) -> np.ndarray:
    """A picture (3×S×S uint8) enlarged to a tile, with a frame around the pixels of `box`."""
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
    """The ends of a panel's axis: a little beyond the outermost marks, not below 0."""
    ends = [end for row in panel.rows for value in _values(row).values() for end in value]
    room = 0.06 * (max(ends) - min(ends)) or 0.01
    return max(0.0, min(ends) - room), max(ends) + room


def _values(row: DeltaRow) -> dict[str, Interval]:
    """Name of the mark -> (value, low, high), of those that are there."""
    found = {"all": row.all, "borrowed": row.borrowed}
    for name, pair in (("first", row.first), ("paper", row.paper)):
        found[name] = None if pair is None else (pair[0], pair[0] - pair[1], pair[0] + pair[1])
    return {name: value for name, value in found.items() if value is not None}


def _draw_panel(
    figure: Figure, panel: DeltaPanel, place: tuple[float, float, float, float]
) -> None:
    """One layer: a row a mask, from the paper's table. place: left, top, width, height."""
    left, top, width, height = place
    text(figure, left, top, panel.title, 10.5, INK, weight="bold")
    text(figure, left + 0.105 * len(panel.title) - 0.03, top + 0.022, panel.note, 6.2, FAINT)
    tall = height - TITLE - FOOT
    axes = axes_at(figure, left + NAMES, top + TITLE, width - NAMES, tall, panel.title)
    quiet(axes)
    axes.set(xlim=_limits(panel), ylim=(len(panel.rows) - 0.5, -0.5), yticks=range(len(panel.rows)))
    axes.set_yticklabels([_label(row) for row in panel.rows])
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel(
        "mean change of sign Δ (lower: more alike)", size=6.2, color=INK, labelpad=2, **FONT
    )
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
    axes.plot(
        value[1:],
        [height, height],
        "-",
        color=line,
        linewidth=0.9,
        label=f"{name} interval",
        clip_on=True,
    )
    axes.plot(
        value[0],
        height,
        shape,
        color=line,
        markerfacecolor=filling,
        markersize=size,
        markeredgewidth=0.8,
        label=name,
    )


def _draw_legend(figure: Figure, panels: Sequence[DeltaPanel], left: float, top: float) -> None:
    """What the marks mean, in two columns, of those that are drawn."""
    there = {name for panel in panels for row in panel.rows for name in _values(row)}
    for number, name in enumerate(name for name in LEVELS if name in there):
        row, column = divmod(number, 2)
        x, y = left + 2.1 * column, top + 0.14 * row
        shape, line, filling, size = MARKS[name]
        axes = axes_at(figure, x, y, 0.24, 0.11)
        axes.plot([0, 1], [0, 0], "-", color=line, linewidth=0.9)
        axes.plot(
            0.5, 0, shape, color=line, markerfacecolor=filling, markersize=size, markeredgewidth=0.8
        )
        axes.set(xlim=(-0.05, 1.05), ylim=(-1, 1))
        axes.set_axis_off()
        text(figure, x + 0.29, y + 0.055, WORDS[name], 5.8, INK, va="center")
