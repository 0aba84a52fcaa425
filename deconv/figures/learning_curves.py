"""Errors, loss and learning rate over the epochs of a training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullLocator

from deconv.figures.drawing import BLUE, FAINT, HAIR, INK, RED, annotate, axes_at, quiet

Rows = Sequence[Mapping[str, object]]
"""One mapping an epoch: numbers, or text as `csv.DictReader` reads it."""

Series = tuple[str, str, str, str]
"""Column of the log, name, colour, line style."""

ERRORS: tuple[Series, ...] = (
    ("train_error", "training", BLUE, "-"),
    ("val_top1_error", "validation top-1", RED, "-"),
    ("val_top5_error", "validation top-5", RED, "--"),
)
LOSSES: tuple[Series, ...] = (
    ("train_loss", "training", BLUE, "-"),
    ("val_loss", "validation", RED, "-"),
)

GAP, LABELS, NAMES = 0.1, 0.44, 1.12
"""Inches between the axes, for axis labels on the left, for curve names on the right."""
LINE = 0.106
"""Line height of names in inches."""
SHARES = (0.6, 0.24, 0.16)
"""Heights of errors, loss and rate."""
MOST_MARKS = 30
"""More validations than this get no markers, which would hide the line."""
MOST_DROPS = 8
"""A rate that changes more often than this gets no marks at its steps."""


def column(rows: Rows, key: str) -> tuple[np.ndarray, np.ndarray]:
    """Read (epochs, values) of a column, skipping missing and empty cells."""
    pairs = [(row["epoch"], row[key]) for row in rows if row.get(key) not in (None, "")]
    epochs, values = np.array(pairs, dtype=float).reshape(-1, 2).T
    return epochs, values


def learning_curves(
    figure: Figure,
    rows: Rows,
    place: tuple[float, float, float, float],
    snapshot_epochs: Sequence[int] = (),
) -> None:
    """Draw errors above loss above learning rate. place: left, top, width, height in inches."""
    left, top, width, height = place
    last = column(rows, "epoch")[0].max(initial=1)
    stack = []
    for name, share in zip(("error", "loss", "rate"), SHARES, strict=True):
        tall = share * (height - 2 * GAP)
        axes = axes_at(figure, left + LABELS, top, width - LABELS - NAMES, tall, name)
        quiet(axes)
        words = "error (%)" if name == "error" else name
        axes.set_ylabel(words, size=6.2, color=INK)
        axes.yaxis.set_label_coords(-0.9 * LABELS / (width - LABELS - NAMES), 0.5)
        axes.set_xlim(0, last)
        axes.xaxis.set_major_locator(MaxNLocator(8, integer=True))
        axes.tick_params(labelbottom=name == "rate")
        stack.append(axes)
        top += tall + GAP
    errors, losses, rates = stack
    _curves(errors, rows, ERRORS, "{:.1f} %", cap=100)
    _curves(losses, rows, LOSSES, "{:.2f}")
    rates.set_xlabel("epoch", size=6.2, color=INK, labelpad=2)
    for at in _rate(rates, rows):
        for axes in stack:
            axes.axvline(at, color=HAIR, linewidth=0.6, zorder=0)
    _snapshots(errors, [epoch for epoch in snapshot_epochs if epoch <= last and rows])
    if not rows:
        for axes in stack:
            axes.set(xticks=[], yticks=[])
        annotate(errors, 0.5, 0.5, "no epoch trained yet", 7.5, FAINT, ha="center")


def _curves(
    axes: Axes, rows: Rows, series: Sequence[Series], form: str, cap: float = np.inf
) -> None:
    """Draw lines, each named at its right end with its last value."""
    ends, most = [], 0.0
    for key, name, colour, style in series:
        epochs, values = column(rows, key)
        if not len(values):
            continue
        rare = key.startswith("val_") and len(values) <= MOST_MARKS
        marker = "o" if rare or len(values) == 1 else ""
        axes.plot(
            epochs,
            values,
            style,
            color=colour,
            linewidth=1.1,
            label=key,
            clip_on=False,
            marker=marker,
            markersize=2.6,
            markerfacecolor="white" if style == "--" else colour,
            markeredgewidth=0.7,
        )
        ends.append((values[-1], f"{name} {form.format(values[-1])}", colour))
        most = max(most, values.max())
    top = min(cap, 1.05 * most) or 1.0
    axes.set_ylim(0, top)
    heights = spread([value / top for value, _, _ in ends], _of_height(axes, LINE))
    for height, (_, words, colour) in zip(heights, ends, strict=True):
        annotate(axes, 1.02, height, words, 6.2, colour)


def spread(heights: Sequence[float], gap: float) -> list[float]:
    """Move heights in 0…1 apart to at least `gap`, keeping their order."""
    order = np.argsort(heights, kind="stable")
    placed = np.array(heights, dtype=float)[order]
    for i in range(1, len(placed)):
        placed[i] = max(placed[i], placed[i - 1] + gap)
    for i in reversed(range(len(placed))):
        placed[i] = min(placed[i], 1 - gap * (len(placed) - 1 - i))
    return placed[np.argsort(order)].tolist()


def _rate(axes: Axes, rows: Rows) -> list[float]:
    """Draw the rate as steps with its drops labelled; return the epochs after which it drops.

    A row's rate is that during its epoch, so its step ends at the epoch's number.
    """
    epochs, rates = column(rows, "lr")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(numticks=4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda rate, _: f"{rate:g}"))
    axes.yaxis.set_minor_locator(NullLocator())
    shown = rates[rates > 0]  # a rate of 0 has no place on this axis
    if not len(shown):
        return []
    axes.stairs(rates, [epochs[0] - 1, *epochs], baseline=None, color=INK, linewidth=1.1)
    axes.set_ylim(shown.min() / 3, shown.max() * 3)
    annotate(axes, 1.02, 0.5, f"learning rate {rates[-1]:.3g}", 6.2)
    drops = np.flatnonzero(~np.isclose(rates[1:], rates[:-1], atol=0))
    if len(drops) > MOST_DROPS:
        return []
    for i in drops:
        before, after = rates[i : i + 2]
        words = f"÷{before / after:.3g}" if 0 < after < before else f"to {after:.3g}"
        place = axes.get_xaxis_transform()
        annotate(axes, epochs[i], 0.97, f" {words}", 5.6, FAINT, va="top", transform=place)
    return epochs[drops].tolist()


def _snapshots(axes: Axes, epochs: Sequence[int]) -> None:
    """Mark the epochs with a snapshot on the upper edge."""
    if not epochs:
        return
    height = 1 + _of_height(axes, LINE)
    axes.plot(
        epochs,
        [height] * len(epochs),
        "v",
        color=INK,
        markersize=2.8,
        markeredgewidth=0,
        transform=axes.get_xaxis_transform(),
        clip_on=False,
        label="snapshots",
    )
    annotate(axes, 1.03, height, "▾ snapshot", 6.2, FAINT)


def _of_height(axes: Axes, inches: float) -> float:
    """Inches as a share of the axes' height."""
    assert isinstance(axes.figure, Figure)
    return inches / (axes.get_position().height * axes.figure.get_size_inches()[1])
