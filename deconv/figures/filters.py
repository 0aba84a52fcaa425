"""Weights as pictures: first-layer filters, scaling rules compared, deeper filters by channel."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from deconv.figures.drawing import FAINT, INK, MARGIN, VOID, captioned, label_in, picture, text
from deconv.figures.lettering import words_width
from deconv.figures.style import page


@dataclass(frozen=True)
class FilterGrid:
    """A grid of N filters.

    tiles: N×h×w×3 float in 0…1. constant: N bool, filters without contrast. columns: None for the
    best fit. black, white: labels of the grey scale's ends. rows, heads: labels of the rows and
    columns of a grid of filters by channels.
    """

    title: str
    note: str
    tiles: np.ndarray
    constant: np.ndarray
    black: str
    white: str
    columns: int | None = None
    rows: Sequence[str] = ()
    heads: Sequence[str] = ()


@dataclass(frozen=True)
class RuleRow:
    """The same few filters scaled by one rule. ends: labels under the tiles."""

    title: str
    formula: str
    tiles: np.ndarray
    ends: Sequence[str]


TOP, HEAD, KEY, GAP, BETWEEN = 0.18, 0.48, 0.32, 0.2, 0.3  # inches
LABEL, HEADS, WORDS, WORDS_SHARE = 0.42, 0.12, 2.5, 0.36
RULE_GAP, RULE_ENDS = 0.06, 0.06  # between tiles; what their ends take below that
RATIO, SIDE_PX, LINE_PX = 1.25, 64, 5
"""Aspect ratio of a grid without `columns`; pixels of a tile and between tiles."""
DASH = (0.35, 0.38, 0.42)


@page(least_in=4.8)
def filters(
    first: Sequence[FilterGrid],
    rules: Sequence[RuleRow],
    deeper: Sequence[FilterGrid],
    caption: str,
    width_in: float = 8.0,
) -> Figure:
    """Draw one or two grids of the first layer, the rules below them, then grids by channel."""
    room = width_in - 2 * MARGIN
    wide = (room - BETWEEN * (len(first) - 1)) / max(1, len(first))
    upper = [grid_pixels(one) for one in first]
    heights = [wide * p.shape[0] / p.shape[1] for p in upper]
    words = min(WORDS, WORDS_SHARE * room)
    side = (room - words) / max((len(row.tiles) for row in rules), default=1)
    below = [_grid_height(one, room) for one in deeper]
    top_rules = TOP + (HEAD + max(heights) + KEY + GAP if first else 0)
    lines = max((row.formula.count("\n") for row in rules), default=0)
    tall = max(side + RULE_ENDS, 0.36 + 0.113 * lines) + 0.06
    top_deep = top_rules + (HEAD - 0.18 + len(rules) * tall + GAP if rules else 0)
    end = top_deep + sum(HEAD + HEADS + h + KEY + GAP for h in below)
    figure = captioned(width_in, end, caption)
    for i, (one, pixels, height) in enumerate(zip(first, upper, heights, strict=True)):
        left = MARGIN + i * (wide + BETWEEN)
        _heading(figure, one, left, TOP, wide)
        picture(figure, pixels, left, TOP + HEAD, wide, height)
        _key(figure, one, left, TOP + HEAD + height + 0.08, wide)
    if rules:
        _draw_rules(figure, rules, top_rules, words, side, tall)
    top = top_deep
    for one, height in zip(deeper, below, strict=True):
        _draw_deeper(figure, one, top, height, room)
        top += HEAD + HEADS + height + KEY + GAP
    return figure


def grid_pixels(grid: FilterGrid) -> np.ndarray:
    """Lay out the tiles on VOID, enlarged by a whole factor; constant ones carry a dash."""
    height, width = grid.tiles.shape[1:3]
    times = max(1, round(SIDE_PX / max(height, width)))
    columns = grid.columns or best_columns(len(grid.tiles), RATIO * height / width)
    rows = -(-len(grid.tiles) // columns)
    high, wide = height * times, width * times
    shape = (rows * (high + LINE_PX) + LINE_PX, columns * (wide + LINE_PX) + LINE_PX, 3)
    out = np.full(shape, VOID, np.uint8)
    for i, (one, flat) in enumerate(zip(grid.tiles, grid.constant, strict=True)):
        y, x = (
            LINE_PX + n * (s + LINE_PX)
            for n, s in zip(divmod(i, columns), (high, wide), strict=True)
        )
        tile = one.repeat(times, 0).repeat(times, 1)
        if flat:
            tile[high // 2 - 1 : high // 2 + 2, wide // 4 : -(wide // 4)] = DASH
        out[y : y + high, x : x + wide] = (tile * 255).round()
    return out


def best_columns(count: int, ratio: float) -> int:
    """Columns of a grid about `ratio` times as wide as high, with a full last row if possible."""
    wanted = max(1, round((count * ratio) ** 0.5))
    whole = [n for n in range(1, count + 1) if count % n == 0 and 0.65 < n / wanted < 1.5]
    return min(whole, key=lambda n: abs(n - wanted), default=min(count, wanted))


def _heading(figure: Figure, one: FilterGrid, left: float, top: float, room: float) -> None:
    label_in(figure, left, left + room, top, one.title, 8.6, INK, weight="bold")
    for i, line in enumerate(one.note.split("\n")):
        label_in(figure, left, left + room, top + 0.19 + 0.105 * i, line, 5.8, FAINT)


def _key(figure: Figure, one: FilterGrid, left: float, top: float, width: float) -> None:
    """Draw the grey scale with its labels."""
    bar = min(0.9, width / 4)
    ramp = np.linspace(0, 255, 256).round().astype(np.uint8)[None, :, None].repeat(3, 2)
    at = left + (width - bar) / 2
    ends = (left - 0.1, at - 0.06), (at + bar + 0.06, left + width + 0.1)
    picture(figure, ramp, at, top, bar, 0.09)
    label_in(figure, *ends[0], top - 0.01, one.black, 5.8, INK, ha="right")
    label_in(figure, *ends[1], top - 0.01, one.white, 5.8, INK)


def _draw_rules(
    figure: Figure, rows: Sequence[RuleRow], top: float, room: float, side: float, tall: float
) -> None:
    text(figure, MARGIN, top, "The same filters by each rule", 8.6, INK, weight="bold")
    top += HEAD - 0.24
    for row in rows:
        label_in(figure, MARGIN, MARGIN + room - 0.1, top + 0.06, row.title, 7, INK)
        for i, line in enumerate(row.formula.split("\n")):
            down = top + 0.22 + 0.113 * i
            label_in(figure, MARGIN, MARGIN + room - 0.1, down, line, 5.8, FAINT)
        for i, (one, words) in enumerate(zip(row.tiles, row.ends, strict=True)):
            left = MARGIN + room + i * side
            pixels = (one * 255).round().astype(np.uint8)
            high = side - RULE_GAP
            picture(figure, pixels, left, top, high * one.shape[1] / one.shape[0], high)
            middle = left + high / 2
            ends = middle - 0.47 * side, middle + 0.47 * side
            label_in(figure, *ends, top + high + 0.02, words, 4.4, FAINT, ha="center")
        top += tall


def _grid_height(one: FilterGrid, room: float) -> float:
    assert one.columns is not None  # one a channel
    pixels = grid_pixels(one)
    return (room - LABEL) * min(1.0, one.columns / 16) * pixels.shape[0] / pixels.shape[1]


def _some(labels: Sequence[str], each: float, room: float) -> list[tuple[int, str]]:
    """Every label, or every second, third … such that `each` inches are left for one."""
    step = max(1, math.ceil(each * len(labels) / room))
    return [*enumerate(labels)][::step]


def _draw_deeper(figure: Figure, one: FilterGrid, top: float, height: float, room: float) -> None:
    """Draw a grid of filters (rows) by channels (columns) with their labels."""
    _heading(figure, one, MARGIN, top, room)
    pixels, left = grid_pixels(one), MARGIN + LABEL
    width = height * pixels.shape[1] / pixels.shape[0]
    start = top + HEAD - 0.08 + HEADS
    picture(figure, pixels, left, start, width, height)
    widest = max((words_width(words, 4.6) for words in one.heads), default=0.0)
    for i, words in _some(one.heads, 1.2 * widest, width):
        at = left + (i + 0.5) * width / len(one.heads)
        text(figure, at, start - 0.1, words, 4.6, FAINT, ha="center")
    for i, words in _some(one.rows, 0.085, height):
        at = start + (i + 0.5) * height / len(one.rows)
        text(figure, left - 0.05, at, words, 4.8, FAINT, ha="right", va="center")
    _key(figure, one, left, start + height + 0.08, max(width, 3.2))
