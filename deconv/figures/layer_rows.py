"""One row per layer: filters rescaled over the epochs, RMS of the filters, dead maps."""

from __future__ import annotations

from collections.abc import Mapping
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
    hairline,
    quiet,
    text,
)
from deconv.figures.learning_curves import Rows, column

Arrays = Mapping[str, np.ndarray]
"""Layer -> a value for each filter or map."""

HEAD, ROW, FOOT = 0.46, 0.29, 0.34
"""Inches: column titles, one layer, ticks and labels of the axes."""
CLIPS, RMS, DEAD = (0.5, 2.3), (3.75, 1.7), (5.75, 0.95)
"""Left edge and width of each column, in inches from the margin of an 8-inch page."""
GOLDEN = 0.6180339887
"""Its multiples modulo 1 spread evenly: the heights of dots within their row."""


def rows_height(layers: int) -> float:
    """Height of the rows of `layers` layers in inches."""
    return HEAD + layers * ROW + FOOT


def layer_rows(
    figure: Figure,
    rows: Rows,
    filter_rms: Arrays,
    strongest: Arrays,
    top: float,
    max_rms: float | None,
    updates_per_epoch: int | None,
) -> None:
    """Draw the rows and their titles below `top` inches; other arguments as in `training_page`."""
    width_in, layers = figure.get_size_inches()[0], list(strongest)
    scale = (width_in - 2 * MARGIN) / (8.0 - 2 * MARGIN)
    clips, rms, dead = ((MARGIN + a * scale, b * scale) for a, b in (CLIPS, RMS, DEAD))
    first = top + HEAD
    for i, layer in enumerate(layers):
        text(figure, MARGIN, first + (i + 0.5) * ROW, layer, 6.6, INK, va="center")
        hairline(figure, MARGIN, width_in - MARGIN, first + i * ROW)
    counts = {name: column(rows, f"renormalised_{name}") for name in filter_rms}
    counts = {name: (at, n / (updates_per_epoch or 1)) for name, (at, n) in counts.items()}
    most = max((n.max(initial=0) for _, n in counts.values()), default=0)
    per = "an update, mean of each epoch" if updates_per_epoch else "an epoch"
    note = f"filters {per}; full height: {_short(most)}" if most else ""
    _title(figure, clips[0], top, "Rescaled filters", note)
    if most:
        place = {name: (clips[0], first + i * ROW, clips[1]) for i, name in enumerate(layers)}
        sizes = {n: len(r) if updates_per_epoch else None for n, r in filter_rms.items()}
        _strips(figure, counts, sizes, place, most)
    else:
        middle = first + ROW * (max(len(filter_rms) - 1, 0) // 2 + 0.5)
        text(figure, clips[0], middle, _none(rows, filter_rms, max_rms), 7.5, INK, va="center")
    _title(figure, rms[0], top, "RMS of each filter", "a dot a filter, a tick at the median")
    height = ROW * len(layers)
    _rms(axes_at(figure, rms[0], first, rms[1], height, "rms"), filter_rms, layers, max_rms)
    _title(figure, dead[0], top, "Dead maps", "never above 0 on the watched images")
    _dead(axes_at(figure, dead[0], first, dead[1], height, "dead"), strongest)


def _title(figure: Figure, left: float, top: float, title: str, note: str) -> None:
    text(figure, left, top, title, 9, INK, weight="bold")
    text(figure, left, top + 0.18, note, 5.6, FAINT)


def _none(rows: Rows, filter_rms: Arrays, max_rms: float | None) -> str:
    """Why no filter was rescaled."""
    if not filter_rms:
        return "the network has no convolutional layer"
    if max_rms is None:
        return "the RMS of filters is not limited"
    if not rows:
        return "no epoch trained yet"
    epochs = f"{len(rows)} epoch{'s' * (len(rows) > 1)}"
    return f"in {epochs} no filter reached RMS {max_rms:g}, in any layer"


def _strips(
    figure: Figure,
    counts: Mapping[str, tuple[np.ndarray, np.ndarray]],
    sizes: Mapping[str, int | None],
    place: Mapping[str, tuple[float, float, float]],
    most: float,
) -> None:
    """Draw bars over the epochs for each convolutional layer, all on one scale.

    counts: layer -> (epochs, filters rescaled). sizes: layer -> number of filters, None where
    counts do not compare with it. place: layer -> left, top and width in inches.
    """
    last = max(epochs.max(initial=1) for epochs, _ in counts.values())
    for layer, (epochs, values) in counts.items():
        left, top, width = place[layer]
        axes = axes_at(figure, left, top + 0.15 * ROW, width, 0.75 * ROW, f"clips {layer}")
        quiet(axes)
        if len(epochs):
            edges = [epochs[0] - 1, *epochs]
            axes.stairs(values, edges, fill=True, color=BLUE, linewidth=0, label=layer)
        axes.set(xlim=(0, last), ylim=(0, most), yticks=[])
        axes.spines["left"].set_visible(False)
        axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        axes.tick_params(labelbottom=layer == list(counts)[-1])
        peak = values.max(initial=0)
        words = f"at most {_short(peak)}" if peak else "none"
        words += f" of {sizes[layer]}" if sizes[layer] else ""
        annotate(axes, 1.03, 0.53, words, 5.8, INK if peak else FAINT)
    axes.set_xlabel("epoch", size=6.2, color=INK, labelpad=2)


def _short(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.2g}"


def _rms(axes: Axes, filter_rms: Arrays, layers: list[str], max_rms: float | None) -> None:
    """Draw a dot a filter; its height within the row only keeps dots apart."""
    _in_rows(axes, len(layers))
    for i, layer in enumerate(layers):
        if layer not in filter_rms:
            continue
        rms = np.sort(filter_rms[layer])
        heights = i - 0.06 + 0.6 * (np.arange(len(rms)) * GOLDEN % 1 - 0.5)
        dots: dict[str, Any] = {"markersize": 2.6, "markeredgewidth": 0, "alpha": 0.6}
        axes.plot(rms, heights, ".", color=BLUE, label=layer, clip_on=False, **dots)
        axes.plot([np.median(rms)] * 2, [i + 0.27, i + 0.45], color=INK, linewidth=1.0)
    largest = max((rms.max(initial=0) for rms in filter_rms.values()), default=0)
    if max_rms is not None:
        axes.axvline(max_rms, color=RED, linewidth=0.9, linestyle="--", label="limit")
        style = {"ha": "right", "va": "bottom", "transform": axes.get_xaxis_transform()}
        annotate(axes, max_rms, 1.0, f"limit {max_rms:g}", 5.6, RED, **style)
    axes.set_xlim(0, 1.04 * max(largest, max_rms or 0) or 1)
    axes.xaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlabel("RMS", size=6.2, color=INK, labelpad=2)


def _dead(axes: Axes, strongest: Arrays) -> None:
    """Draw a bar a layer with its count."""
    _in_rows(axes, len(strongest))
    for i, (layer, values) in enumerate(strongest.items()):
        dead = int((values <= 0).sum())
        axes.barh(i, 100 * dead / len(values), 0.5, color=RED, label=layer)
        words, place = f"{dead} of {len(values)}", axes.get_yaxis_transform()
        annotate(axes, 1.04, i, words, 5.8, INK if dead else FAINT, transform=place)
    axes.set_xlim(0, 100)
    axes.set_xlabel("share of the layer's maps (%)", size=6.2, color=INK, labelpad=2)
    axes.xaxis.set_major_locator(MaxNLocator(4))


def _in_rows(axes: Axes, layers: int) -> None:
    """Set the y axis to rows of height 1, row 0 on top."""
    quiet(axes)
    axes.set(ylim=(layers - 0.5, -0.5), yticks=[])
