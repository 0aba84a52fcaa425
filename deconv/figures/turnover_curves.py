"""Turnover of the strongest images between snapshots, and since when a layer is settled."""

from __future__ import annotations

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deconv.figures.drawing import FAINT, INK, annotate, axes_at, label_in, quiet
from deconv.figures.learning_curves import spread
from deconv.figures.lettering import told_apart, words_width
from deconv.figures.style import current

LayerTurnover = tuple[str, np.ndarray, int | None]
"""A layer's title, its turnover at each snapshot, and the snapshot where it settles."""

HEAD, FOOT, LABELS, NAMES, ENDS = 0.4, 0.3, 0.44, 0.86, 0.36
"""Inches: title, ticks below, labels on the left, names on the right, a last value behind one."""
NAME_PT = 5.8
ROW, GAP, LINE = 0.125, 0.08, 0.105
"""Inches: height of a bar's row, between curves and bars, line height of names."""


def turnover_curves(
    figure: Figure,
    courses: Sequence[LayerTurnover],
    epochs: Sequence[int],
    threshold: float,
    place: tuple[float, float, float, float],
) -> None:
    """Draw turnover over the snapshots, and below a bar from where each layer is settled.

    Args:
        threshold: turnover (0…1) drawn as a line.
        place: left, top, width, height in inches.
    """
    left, top, width, height = place
    title = "Turnover of the nine strongest images"
    label_in(figure, left, left + width, top, title, 9, INK, weight="bold")
    note = "of a map, against the snapshot before; mean over all live maps of the layer"
    label_in(figure, left, left + width, top + 0.18, note, 5.6, FAINT)
    bars = ROW * len(courses)
    tall = height - HEAD - GAP - bars - FOOT
    names = max(words_width(title, NAME_PT) for title, _, _ in courses)
    names = min(max(names, LABELS - 0.08), width / 4)
    labels, ends = names + 0.08, max(NAMES, names + ENDS)
    inner = width - labels - ends
    upper = axes_at(figure, left + labels, top + HEAD, inner, tall, "turnover")
    lower = axes_at(figure, left + labels, top + HEAD + tall + GAP, inner, bars, "settled")
    shades = matplotlib.colormaps[current().colours](np.linspace(0.74, 0.0, max(len(courses), 2)))
    for axes in (upper, lower):
        quiet(axes)
        axes.set(xlim=(-0.25, len(epochs) - 0.75), xticks=range(len(epochs)))
        axes.set_xticklabels([str(epoch) for epoch in epochs])
    _curves(upper, courses, threshold, shades, LINE / tall, names)
    _bars(lower, courses, epochs, shades, names)


def _curves(
    axes: Axes,
    courses: Sequence[LayerTurnover],
    threshold: float,
    shades: np.ndarray,
    line: float,
    room: float,
) -> None:
    """Draw one line per layer, named at its right end with its last value.

    line: height of a name as a share of the axes' height. room: for a name, in inches.
    """
    axes.set_ylim(0, 100)
    axes.set_ylabel("other images (%)", size=6.2, color=INK)
    axes.tick_params(labelbottom=False)
    axes.axhline(100 * threshold, color=FAINT, linewidth=0.7, linestyle=(0, (4, 3)), zorder=0)
    ends = []
    titles = told_apart([title for title, _, _ in courses], NAME_PT, room)
    for (title, values, _), short, shade in zip(courses, titles, shades, strict=False):
        percent = 100 * np.asarray(values, dtype=float)
        at = np.arange(len(percent))
        axes.plot(
            at,
            percent,
            "-o",
            color=shade,
            linewidth=1.1,
            markersize=2.8,
            markeredgewidth=0,
            label=title,
            clip_on=False,
        )
        known = percent[np.isfinite(percent)]
        ends.append(
            (
                known[-1] / 100 if len(known) else 0.0,
                _last(short, known),
                shade,
            )
        )
    heights = spread([end for end, _, _ in ends], line)
    for height, (_, words, shade) in zip(heights, ends, strict=True):
        annotate(axes, 1.03, height, words, 5.8, shade)


def _last(title: str, percent: np.ndarray) -> str:
    return f"{title}: {percent[-1]:.0f} %" if len(percent) else f"{title}: no live map"


def _bars(
    axes: Axes,
    courses: Sequence[LayerTurnover],
    epochs: Sequence[int],
    shades: np.ndarray,
    room: float,
) -> None:
    """Draw a bar a layer, from the snapshot where it settles to the last one."""
    axes.set(ylim=(len(courses) - 0.5, -0.5), yticks=range(len(courses)))
    axes.set_yticklabels(told_apart([title for title, _, _ in courses], NAME_PT, room))
    axes.tick_params(axis="y", length=0)
    axes.set_xlabel("epoch", size=6.2, color=INK, labelpad=2)
    last = len(epochs) - 1
    for row, ((title, _, settled), shade) in enumerate(zip(courses, shades, strict=False)):
        words = "not settled" if settled is None else f"settled from {epochs[settled]} on"
        if settled is not None:
            axes.barh(row, last - settled, 0.62, left=settled, color=shade, label=title)
        color, place = FAINT if settled is None else INK, axes.get_yaxis_transform()
        annotate(axes, 1.03, row, words, 5.6, color, transform=place)
