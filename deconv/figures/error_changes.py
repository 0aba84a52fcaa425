"""Table 3 as dots: change of error under each ablation of a network, ours beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

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
    panel_title,
    quiet,
    text,
)
from deconv.figures.lettering import fitted
from deconv.figures.style import page


@dataclass(frozen=True)
class ErrorChanges:
    """One network: R ablations × C errors, in percentage points against the unchanged network.

    changes, notes: R names and what is written small below them. columns: C names. ours,
    reported: R×C, NaN if unknown. bar: R×C, half length of the error bar at ours. theirs: R, the
    paper's network that a row is compared with, "" for none.
    """

    title: str
    note: str
    changes: Sequence[str]
    notes: Sequence[str]
    columns: Sequence[str]
    ours: np.ndarray
    reported: np.ndarray
    bar: np.ndarray
    theirs: Sequence[str]


NAMES, GAP, ROW = 1.95, 0.28, 0.27
"""Inches: width of row names, between axes, height of a row."""
HEAD, FOOT, BETWEEN = 0.62, 0.42, 0.2
"""Inches: title and column names, ticks below, between networks."""
LINK = "#a8aeb6"
"""Colour of the line from ours to the paper's."""
MARKS = ("o", "s")
"""Markers of the paper's networks, in order of appearance."""
LINEAR = 2.0
"""The axis is linear up to this many percentage points; removing four layers costs thirty."""
TICKS = (-20, -5, -2, -1, 0, 1, 2, 5, 20)


@page(least_in=4.8)
def error_changes(networks: Sequence[ErrorChanges], caption: str, width_in: float = 8.0) -> Figure:
    """Draw a panel a network: rows of dots, filled for ours, open for the paper's."""
    heights = [HEAD + ROW * len(one.changes) + FOOT for one in networks]
    end = 0.28 + sum(heights) + BETWEEN * (len(heights) - 1)
    figure = captioned(width_in, end, caption, foot=0.17)
    marks = _marks(networks)
    _legend(figure, marks, width_in)
    top = 0.2
    for one, tall in zip(networks, heights, strict=True):
        _draw_network(figure, one, top, width_in, _reach(networks), marks)
        top += tall + BETWEEN
    return figure


def _marks(networks: Sequence[ErrorChanges]) -> dict[str, str]:
    """The paper's network -> its marker."""
    names = dict.fromkeys(name for one in networks for name in one.theirs if name)
    return dict(zip(names, MARKS, strict=True)) if len(names) == 2 else dict.fromkeys(names, "o")


def _legend(figure: Figure, marks: dict[str, str], width_in: float) -> None:
    """Draw the legend at the upper right."""
    entries = [("ours", "o", BLUE, BLUE)]
    entries += [(f"paper, {name}", mark, RED, "white") for name, mark in marks.items()]
    height = figure.get_size_inches()[1]
    left = _legend_left(marks, width_in)
    for name, mark, edge, face in entries:
        dot = Line2D([left / width_in], [1 - 0.27 / height], marker=mark, color=edge, linestyle="")
        dot.set(markersize=4.8, markerfacecolor=face, markeredgewidth=1.2)
        figure.add_artist(dot)
        text(figure, left + 0.08, 0.27, name, 6.2, INK, va="center_baseline")
        left += 0.5 if name == "ours" else 0.95


def _legend_left(marks: dict[str, str], width_in: float) -> float:
    return width_in - MARGIN - 0.6 - 0.95 * len(marks)


def _reach(networks: Sequence[ErrorChanges]) -> tuple[float, float]:
    """The limits of all axes, in percentage points."""
    values = [0.0]
    for one in networks:
        bars = np.nan_to_num(one.bar)
        for part in (one.ours - bars, one.ours + bars, one.reported):
            values += part[np.isfinite(part)].tolist()
    return min(1.25 * min(values), -1.5 * LINEAR), max(1.25 * max(values), 1.5 * LINEAR)


def _draw_network(
    figure: Figure,
    one: ErrorChanges,
    top: float,
    width_in: float,
    reach: tuple[float, float],
    marks: dict[str, str],
) -> None:
    panel_title(figure, MARGIN, _legend_left(marks, width_in) - 0.1, top, one.title, one.note)
    count = len(one.columns)
    wide = (width_in - 2 * MARGIN - NAMES - GAP * (count - 1)) / count
    for row, (name, note) in enumerate(zip(one.changes, one.notes, strict=True)):
        y = top + HEAD + ROW * (row + 0.5)
        ends = MARGIN, MARGIN + NAMES - 0.1
        label_in(figure, *ends, y - (0.045 if note else 0), name, 6.8, INK, va="center")
        label_in(figure, *ends, y + 0.062, note, 5.2, FAINT, va="center")
    for column, name in enumerate(one.columns):
        left = MARGIN + NAMES + column * (wide + GAP)
        text(figure, left + wide / 2, top + HEAD - 0.22, name, 6.8, INK, ha="center")
        axes = axes_at(figure, left, top + HEAD, wide, ROW * len(one.changes), f"{name}")
        _draw_column(axes, one, column, reach, marks)


def _draw_column(
    axes: Axes, one: ErrorChanges, column: int, reach: tuple[float, float], marks: dict[str, str]
) -> None:
    _level(axes, reach, len(one.changes))
    for row in range(len(one.changes)):
        ours, theirs = one.ours[row, column], one.reported[row, column]
        axes.axhline(row, color=HAIR, linewidth=0.5, zorder=0)
        if np.isfinite(ours) and np.isfinite(theirs):
            axes.plot([ours, theirs], [row, row], color=LINK, linewidth=0.9, zorder=2)
        if np.isfinite(ours):
            style: dict[str, Any] = {"color": BLUE, "elinewidth": 2.2, "alpha": 0.35, "zorder": 2}
            axes.errorbar(ours, row, xerr=one.bar[row, column], **style)
            axes.plot(ours, row, "o", color=BLUE, markersize=5.2, zorder=4)
        if np.isfinite(theirs):
            style = {"markersize": 6.6, "markerfacecolor": "white", "markeredgewidth": 1.1}
            axes.plot(theirs, row, marks[one.theirs[row]], color=RED, zorder=3, **style)


def _signed(value: float) -> str:
    """Format a tick with its sign, the minus as wide as the plus."""
    return f"{value:+g}".replace("-", "−") if value else "0"


def _level(axes: Axes, reach: tuple[float, float], rows: int) -> None:
    """Set up the axis of all columns: linear in the middle, logarithmic outside."""
    quiet(axes)
    axes.spines["left"].set_visible(False)
    axes.set_xscale("symlog", linthresh=LINEAR, linscale=0.8)
    axes.set(xlim=reach, ylim=(rows - 0.5, -0.5), yticks=[])
    axes.xaxis.set_major_locator(FixedLocator([t for t in TICKS if reach[0] <= t <= reach[1]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _signed(value)))
    assert isinstance(axes.figure, Figure)
    room = axes.get_position().width * axes.figure.get_size_inches()[0] + GAP - 0.05
    words, size = fitted("percentage points against no change", 6.2, room)
    axes.set_xlabel(words, size=size, color=INK, labelpad=2)
    axes.axvline(0, color=FAINT, linewidth=0.8, zorder=1)
    for edge in (-LINEAR, LINEAR):
        axes.axvline(edge, color=HAIR, linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
