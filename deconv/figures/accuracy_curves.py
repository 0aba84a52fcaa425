"""Accuracy against depth or training images, with its numbers below (Tables 4, 5 and 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from deconv.figures.drawing import (
    BLUE,
    FAINT,
    INK,
    MARGIN,
    RED,
    annotate,
    axes_at,
    captioned,
    hairline,
    label_in,
    quiet,
    text,
)
from deconv.figures.style import page

Tick = float | str
"""A place on the x axis."""


@dataclass(frozen=True)
class AccuracyLine:
    """One row of the table and line of a panel.

    at, mean, spread: position on the axis, percent, percent; NaN if unknown. paper: from the
    paper, drawn grey with hollow markers. control: a baseline, drawn grey.
    """

    name: str
    at: Sequence[Tick]
    mean: Sequence[float]
    spread: Sequence[float]
    paper: bool = False
    control: bool = False


@dataclass(frozen=True)
class AccuracyPanel:
    """One panel. axis: name of its x axis. chance: accuracy of guessing in percent.

    columns: the ticks that the table shows, () for all. to_scale: whether ticks are spaced by
    their values or equally, as those that are words are.
    """

    title: str
    axis: str
    ticks: Sequence[Tick]
    lines: Sequence[AccuracyLine]
    chance: float
    columns: Sequence[Tick] = ()
    to_scale: bool = True


NAMES_OF_AXES = {"layer": "layer", "per_class": "training images a class"}


def accuracy_panel(
    title: str, rows: Sequence[Mapping[str, Any]], axis: str, chance: float
) -> AccuracyPanel:
    """Make a panel from table rows, one line per network, the paper's last.

    rows: with keys network, source ("here", "control" or "paper"), mean, std and `axis`, which is
    one of NAMES_OF_AXES; its values are numbers, or words in the order of the first rows.
    """
    named = any(isinstance(row[axis], str) for row in rows)
    ticks = list(dict.fromkeys(row[axis] for row in rows))
    ticks = ticks if named else sorted(ticks)
    sources = ("here", "control", "paper")
    order = sorted(rows, key=lambda r: (sources.index(r["source"]), ticks.index(r[axis])))
    lines = []
    for network in dict.fromkeys(row["network"] for row in order):
        own = [row for row in order if row["network"] == network]
        at, mean, spread = ([row[name] for row in own] for name in (axis, "mean", "std"))
        kind = own[0]["source"]
        lines.append(AccuracyLine(network, at, mean, spread, kind == "paper", kind == "control"))
    return AccuracyPanel(title, NAMES_OF_AXES[axis], ticks, lines, chance, to_scale=not named)


# Inches on the page.
TOP, HEAD, HEIGHT, FOOT = 0.2, 0.28, 2.5, 0.46
LABELS, GAP, NAMES, ROW, CELL = 0.42, 0.5, 2.0, 0.185, 1.05
MARKERS = "os^Dv"
PAPER_MARKERS = "DsvP"
PAPER_GREYS = ("#333333", "#7a7a7a", "#9a9a9a", "#b4b4b4")
OURS = (BLUE, RED, "#009e73", "#cc79a7")
OUR_STYLE: dict[str, Any] = {
    "linestyle": "-",
    "linewidth": 1.4,
    "markersize": 4.4,
    "markeredgewidth": 0,
    "zorder": 3,
}
CONTROL_STYLE = OUR_STYLE | {"color": FAINT, "linewidth": 0.9, "zorder": 2.5}
PAPER_STYLE = OUR_STYLE | {
    "linestyle": (0, (1.5, 2)),
    "linewidth": 0.8,
    "markersize": 4.2,
    "markeredgewidth": 0.8,
    "markerfacecolor": "white",
    "zorder": 2,
}


@page(least_in=4.8)
def accuracy_curves(
    panels: Sequence[AccuracyPanel], widths: Sequence[float], caption: str, width_in: float = 8.0
) -> Figure:
    """Draw panels side by side on one scale above a table of their numbers, which is the legend.

    widths: relative widths of the panels.
    """
    names = list(dict.fromkeys(line.name for panel in panels for line in panel.lines))
    styles = _styles(panels)
    table = TOP + HEAD + HEIGHT + FOOT
    foot = table + ROW * (len(names) + 2) + 0.22
    figure = captioned(width_in, foot, caption)
    inner = width_in - 2 * MARGIN - (LABELS + GAP) * len(panels) + GAP
    left = MARGIN
    top = _ceiling(panels)
    for panel, share in zip(panels, widths, strict=True):
        width = inner * share / sum(widths)
        label_in(figure, left, left + LABELS + width, TOP, panel.title, 9, INK, weight="bold")
        axes = axes_at(figure, left + LABELS, TOP + HEAD, width, HEIGHT, panel.title)
        _draw(axes, panel, styles, top)
        left += LABELS + width + GAP
    _table(figure, panels, names, styles, table, width_in)
    return figure


def _styles(panels: Sequence[AccuracyPanel]) -> dict[str, dict[str, Any]]:
    """Name of a line -> its style in all panels."""
    styles: dict[str, dict[str, Any]] = {}
    ours = theirs = 0
    for line in (line for panel in panels for line in panel.lines):
        if line.name in styles:
            continue
        if line.paper:
            style = PAPER_STYLE | {"color": PAPER_GREYS[theirs % len(PAPER_GREYS)]}
            style["marker"] = PAPER_MARKERS[theirs % len(PAPER_MARKERS)]
            theirs += 1
        else:
            style = CONTROL_STYLE if line.control else OUR_STYLE | {"color": OURS[ours % len(OURS)]}
            style = style | {"marker": MARKERS[ours % len(MARKERS)]}
            ours += 1
        styles[line.name] = style
    return styles


def _ceiling(panels: Sequence[AccuracyPanel]) -> float:
    """The smallest multiple of ten percent above all error bars."""
    reach = [
        m + (0 if np.isnan(s) else s)
        for panel in panels
        for line in panel.lines
        for m, s in zip(line.mean, line.spread, strict=True)
        if not np.isnan(m)
    ]
    return min(100.0, 10 * np.ceil((max([*reach, 5.0]) + 1) / 10))


def _draw(axes: Axes, panel: AccuracyPanel, styles: dict, top: float) -> None:
    quiet(axes)
    places = panel.ticks if panel.to_scale else range(len(panel.ticks))
    place = {tick: float(at) for tick, at in zip(panel.ticks, places, strict=True)}
    ends = list(place.values())
    room = max(0.04 * (ends[-1] - ends[0]), 0.35 if not panel.to_scale else 0.5)
    axes.set(xlim=(ends[0] - room, ends[-1] + room), ylim=(0, top), xticks=ends)
    axes.yaxis.set_major_locator(MaxNLocator(10, steps=[1, 2, 5, 10], integer=True))
    axes.set_xticklabels(_sparse(panel, ends))
    axes.set_xlabel(panel.axis, size=6.4, color=INK, labelpad=3)
    axes.set_ylabel("mean accuracy per class (%)", size=6.4, color=INK, labelpad=3)
    axes.grid(axis="y", color="#eceef1", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.axhline(panel.chance, color=FAINT, linewidth=0.7, linestyle=(0, (4, 3)), zorder=1)
    at_end = {"ha": "right", "va": "baseline", "transform": axes.get_yaxis_transform()}
    annotate(axes, 0.995, panel.chance + 0.012 * top, "guessing", 5.2, FAINT, **at_end)
    for line in panel.lines:
        mean, spread = np.asarray(line.mean, float), np.asarray(line.spread, float)
        at = np.array([place[x] for x in line.at])
        style = styles[line.name]
        axes.plot(at, mean, label=line.name, clip_on=False, **style)
        known = np.isfinite(spread) & np.isfinite(mean)
        bars = {"ecolor": style["color"], "elinewidth": 0.8, "capsize": 1.8, "capthick": 0.8}
        bars |= {"fmt": "none", "zorder": style["zorder"]}
        axes.errorbar(at[known], mean[known], spread[known], **bars)


def _words(tick: Tick) -> str:
    return tick if isinstance(tick, str) else f"{tick:g}"


def _sparse(panel: AccuracyPanel, places: Sequence[float]) -> list[str]:
    """Tick labels, "" where one would overlap the one before."""
    labels, last = [], -np.inf
    span = max(places[-1] - places[0], 1e-9)
    for tick, at in zip(panel.ticks, places, strict=True):
        wide = (at - last) / span >= 0.03
        labels.append(_words(tick) if wide else "")
        last = at if wide else last
    return labels


def _table(
    figure: Figure,
    panels: Sequence[AccuracyPanel],
    names: Sequence[str],
    styles: dict,
    top: float,
    width_in: float,
) -> None:
    """Draw one row per line and one column per tick, grouped by panel, with the lines' styles."""
    columns = [(p, tick) for p in panels for tick in (p.columns or p.ticks)]
    cell = min(CELL, (width_in - 2 * MARGIN - NAMES - 0.15 * (len(panels) - 1)) / len(columns))
    lefts, x = [], MARGIN + NAMES
    for i, (panel, _) in enumerate(columns):
        x += 0.15 if i and columns[i - 1][0] is not panel else 0.0
        lefts.append(x)
        x += cell
    for panel in panels:
        own = [left for left, (p, _) in zip(lefts, columns, strict=True) if p is panel]
        ends = own[0] + 0.08, own[-1] + cell
        words = panel.title + f": {panel.axis}" * (len(own) > 1)
        label_in(figure, *ends, top, words, 6, INK, weight="bold")
        hairline(figure, own[0] + 0.08, own[-1] + cell, top + 2 * ROW - 0.05)
    for left, (_, tick) in zip(lefts, columns, strict=True):
        text(figure, left + cell, top + ROW - 0.02, _words(tick), 6, FAINT, ha="right")
    for row, name in enumerate(names):
        y = top + (row + 2) * ROW
        _legend(figure, styles[name], y + 0.045)
        label_in(figure, MARGIN + 0.42, MARGIN + NAMES, y, name, 6, INK)
        for left, (panel, tick) in zip(lefts, columns, strict=True):
            words = _number(panel, name, tick)
            text(figure, left + cell, y, words, 6, INK if words != "–" else FAINT, ha="right")


def _number(panel: AccuracyPanel, name: str, tick: Tick) -> str:
    for line in panel.lines:
        if line.name == name and tick in list(line.at):
            i = list(line.at).index(tick)
            if np.isfinite(line.mean[i]):
                spread = f" ± {line.spread[i]:.1f}" if np.isfinite(line.spread[i]) else ""
                return f"{line.mean[i]:.1f}{spread}"
    return "–"


def _legend(figure: Figure, style: dict, top: float) -> None:
    axes = axes_at(figure, MARGIN, top - 0.04, 0.34, 0.08)
    axes.set_axis_off()
    axes.set(xlim=(0, 2), ylim=(0, 1))
    axes.plot([0, 1, 2], [0.5] * 3, markevery=[1], clip_on=False, **style)
