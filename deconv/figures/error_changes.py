"""Table 3 as dots: how far each change of a network moves its errors, ours beside the paper's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from deconv.figures.drawing import (
    BLUE,
    CAPTION_LINE,
    FAINT,
    FONT,
    HAIR,
    INK,
    MARGIN,
    RED,
    axes_at,
    caption_lines,
    draw_caption,
    quiet,
    text,
)


@dataclass(frozen=True)
class ErrorChanges:
    """One network: rows are changes, columns errors, all in percentage points against no change.

    title, note: the line above it, strong and faint. changes: names of R rows. columns: names of
    C errors. ours, reported: R×C; NaN where there is none. bar: R×C, half length of the bar at
    ours.
    """

    title: str
    note: str
    changes: Sequence[str]
    columns: Sequence[str]
    ours: np.ndarray
    reported: np.ndarray
    bar: np.ndarray


NAMES, GAP, ROW = 1.95, 0.28, 0.27
"""Inches: for the names of changes, between the axes, from one row to the next."""
HEAD, FOOT, BETWEEN = 0.62, 0.42, 0.2
"""Inches: title and names of columns, ticks below, from one network to the next."""
LINEAR = 2.0
"""Percentage points up to which the axis is linear; removing four layers costs thirty."""
TICKS = (-20, -10, -5, -2, -1, 0, 1, 2, 5, 10, 20, 40)


def error_changes(networks: Sequence[ErrorChanges], caption: str, width_in: float = 8.0) -> Figure:
    """A panel a network: rows of dots, filled for ours, open for the paper's.

    caption: printed below, wrapped. width_in: page width in inches.
    """
    heights = [HEAD + ROW * len(one.changes) + FOOT for one in networks]
    lines = caption_lines(caption, width_in)
    height = 0.2 + sum(heights) + BETWEEN * (len(heights) - 1) + CAPTION_LINE * len(lines) + 0.25
    figure = Figure(figsize=(width_in, height), facecolor="white")
    top = 0.2
    for one, tall in zip(networks, heights, strict=True):
        _draw_network(figure, one, top, width_in, _reach(networks))
        top += tall + BETWEEN
    draw_caption(figure, lines, top - BETWEEN + 0.08)
    return figure


def _reach(networks: Sequence[ErrorChanges]) -> tuple[float, float]:
    """The ends of all axes, in percentage points."""
    values = [0.0]
    for one in networks:
        bars = np.nan_to_num(one.bar)
        for part in (one.ours - bars, one.ours + bars, one.reported):
            values += part[np.isfinite(part)].tolist()
    return min(1.25 * min(values), -1.5 * LINEAR), max(1.25 * max(values), 1.5 * LINEAR)


def _draw_network(
    figure: Figure, one: ErrorChanges, top: float, width_in: float, reach: tuple[float, float]
) -> None:
    text(figure, MARGIN, top, one.title, 10.5, INK, weight="bold")
    text(figure, MARGIN + 0.105 * len(one.title) + 0.05, top + 0.022, one.note, 6.2, FAINT)
    count = len(one.columns)
    wide = (width_in - 2 * MARGIN - NAMES - GAP * (count - 1)) / count
    for row, name in enumerate(one.changes):
        y = top + HEAD + ROW * (row + 0.5)
        text(figure, MARGIN, y, name, 6.8, INK, va="center")
    for column, name in enumerate(one.columns):
        left = MARGIN + NAMES + column * (wide + GAP)
        text(figure, left + wide / 2, top + HEAD - 0.22, name, 6.8, INK, ha="center")
        axes = axes_at(figure, left, top + HEAD, wide, ROW * len(one.changes), f"{name}")
        _draw_column(axes, one, column, reach)


def _draw_column(axes: Axes, one: ErrorChanges, column: int, reach: tuple[float, float]) -> None:
    quiet(axes)
    axes.spines["left"].set_visible(False)
    axes.set_xscale("symlog", linthresh=LINEAR, linscale=0.8)
    axes.set_xlim(*reach)
    axes.set_ylim(len(one.changes) - 0.5, -0.5)
    axes.set_yticks([])
    axes.xaxis.set_major_locator(FixedLocator([t for t in TICKS if reach[0] <= t <= reach[1]]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:+g}" if value else "0"))
    axes.set_xlabel("percentage points against no change", size=6.2, color=INK, labelpad=2, **FONT)
    axes.axvline(0, color=FAINT, linewidth=0.8, zorder=1)
    for edge in (-LINEAR, LINEAR):
        axes.axvline(edge, color=HAIR, linewidth=0.6, linestyle=(0, (4, 3)), zorder=0)
    for row in range(len(one.changes)):
        ours, theirs = one.ours[row, column], one.reported[row, column]
        axes.axhline(row, color=HAIR, linewidth=0.5, zorder=0)
        if np.isfinite(ours) and np.isfinite(theirs):
            axes.plot([ours, theirs], [row, row], color=FAINT, linewidth=1.0, zorder=2)
        if np.isfinite(ours):
            axes.errorbar(
                ours, row, xerr=one.bar[row, column], color=BLUE, elinewidth=2.2, alpha=0.35,
                zorder=2,
            )  # fmt: skip
            axes.plot(ours, row, "o", color=BLUE, markersize=5.2, zorder=4)
        if np.isfinite(theirs):
            axes.plot(theirs, row, "o", color=RED, markersize=5.2, markerfacecolor="white",
                      markeredgewidth=1.2, zorder=3)  # fmt: skip
