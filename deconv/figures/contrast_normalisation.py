"""What contrast normalisation does to the features of layers 1 and 2: one column per network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from matplotlib.figure import Figure

from deconv.figures.drawing import (
    FAINT,
    INK,
    MARGIN,
    captioned,
    hairline,
    label_in,
    text,
)
from deconv.figures.first_layers import (
    COLUMN_GAP,
    GAP,
    HEAD,
    TOP,
    FirstLayers,
    filter_pixels,
    panels,
    projection_pixels,
)
from deconv.figures.style import page


@dataclass(frozen=True)
class NumberRow:
    """A line of numbers: its name, then for each network the words of layer 1 and of layer 2.

    What belongs to a network and not to a layer is one word alone.
    """

    name: str
    words: Sequence[Sequence[str]]
    note: str = ""


# Inches.
ROW, NOTE = 0.185, 0.105
NAMES = 2.0
"""Width of the names of the numbers."""
UPRIGHT = 0.67
"""Width to height of the grid of layer 2's projections, so that a tile can be seen."""


@page(least_in=4.8)
def contrast_normalisation(
    columns: Sequence[FirstLayers],
    rows: Sequence[NumberRow],
    caption: str,
    *,
    width_in: float = 8.0,
) -> Figure:
    """Filters of layer 1 over projections of layer 2, one column per network; below them numbers.

    columns: their `name` is the normalisation; spectra are not shown. caption: printed below,
    wrapped.
    """
    width = (width_in - 2 * MARGIN - (len(columns) - 1) * COLUMN_GAP) / len(columns)
    letters = "abcdefgh"
    upper = {letters[i]: filter_pixels(of) for i, of in enumerate(columns)}
    count = len(columns)
    lower = {letters[count + i]: projection_pixels(of, UPRIGHT) for i, of in enumerate(columns)}
    first, second = (
        max(width * p.shape[0] / p.shape[1] for p in pictures.values())
        for pictures in (upper, lower)
    )
    numbers = TOP + 2 * HEAD + first + second + 2 * GAP
    end = numbers + HEAD + sum(_height(row) for row in rows) + GAP
    figure = captioned(width_in, end, caption)
    for layer, (pictures, top) in enumerate(((upper, TOP), (lower, TOP + HEAD + first + GAP)), 1):
        titles = {k: f"Layer {layer}, {of.name}" for k, of in zip(pictures, columns, strict=True)}
        notes = {
            k: of.note if layer == 1 else _field(of)
            for k, of in zip(pictures, columns, strict=True)
        }
        panels(figure, pictures, titles, notes, top, [width] * len(pictures))
    _numbers(figure, [of.name for of in columns], rows, numbers, width_in)
    return figure


def _field(of: FirstLayers) -> str:
    size = "×".join(map(str, of.projection.shape[2:]))
    return f"{len(of.projection)} maps, {size} px each, every picture on its own scale"


def _height(row: NumberRow) -> float:
    return ROW + (NOTE if row.note else 0)


def _numbers(
    figure: Figure, names: Sequence[str], rows: Sequence[NumberRow], top: float, width_in: float
) -> None:
    """A table of two columns a network, layers 1 and 2, under the networks' names."""
    each = (width_in - 2 * MARGIN - NAMES) / len(names)
    centres = [MARGIN + NAMES + (i + 0.5) * each for i in range(len(names))]
    text(figure, MARGIN, top, "Contrast normalisation", 7.2, INK, weight="bold")
    for centre, name in zip(centres, names, strict=True):
        text(figure, centre, top, name, 7.2, INK, weight="bold", ha="center")
        for side, words in ((-1, "layer 1"), (1, "layer 2")):
            text(figure, centre + side * each / 4, top + 0.185, words, 6.2, FAINT, ha="center")
    at = top + HEAD - 0.05
    for row in rows:
        hairline(figure, MARGIN, width_in - MARGIN, at - 0.035)
        label_in(figure, MARGIN, MARGIN + NAMES, at, row.name, 7.0, INK)
        if row.note:
            label_in(figure, MARGIN, MARGIN + NAMES, at + 0.125, row.note, 5.6, FAINT)
        for centre, cells in zip(centres, row.words, strict=True):
            sides = (0,) if len(cells) == 1 else (-1, 1)
            for side, word in zip(sides, cells, strict=True):
                text(figure, centre + side * each / 4, at, word, 7.0, INK, ha="center")
        at += _height(row)
    hairline(figure, MARGIN, width_in - MARGIN, at - 0.035)
