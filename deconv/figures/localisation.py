"""Shares of projection energy inside ground-truth boxes, and examples with the boxes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from deconv.errors import DeconvError
from deconv.figures.drawing import (
    BLUE,
    FAINT,
    INK,
    MARGIN,
    RED,
    axes_at,
    captioned,
    draw_legend,
    grey_centred,
    label_in,
    legend_width,
    quiet,
)
from deconv.figures.lettering import told_apart
from deconv.figures.style import page

GROUPS = {
    "trained": ("trained", BLUE),
    "random_map": ("random map, same image", RED),
    "untrained": ("untrained network", "#999999"),
    "chance": ("chance (area)", INK),
}
"""Group -> its name in the legend and its colour."""


@dataclass(frozen=True)
class SharePanel:
    """One plot with a column of dots a layer and group.

    values: for each layer, group of GROUPS -> the share of each map (0…1 or nan). means: for each
    layer, group -> (mean, low, high).
    """

    title: str
    layers: Sequence[str]
    values: Sequence[Mapping[str, np.ndarray]]
    means: Sequence[Mapping[str, np.ndarray]]


@dataclass(frozen=True)
class BoxedExamples:
    """M maps with k peaks each. picture: M×k×3×S×S uint8; projection: M×k×3×S×S float.

    parts: M names. energy, chance: M shares. object_box: M×k×4; part_boxes: M×k×n×4, padded with
    empty boxes; half-open (top, left, bottom, right) in pixels of the picture.
    """

    title: str
    maps: np.ndarray
    parts: np.ndarray
    energy: np.ndarray
    chance: np.ndarray
    picture: np.ndarray
    projection: np.ndarray
    object_box: np.ndarray
    part_boxes: np.ndarray


# Inches.
PLOT, HEAD, FOOT, LABELS, BETWEEN = 2.1, 0.52, 0.3, 0.36, 0.3
COLUMNS, GAP, BLOCK_GAP, NOTE, HEADING = 3, 0.04, 0.2, 0.3, 0.3
SPREAD = 0.13
"""Spread of a column of dots, in layers."""


@page(least_in=3.2)
def localisation(
    panels: Sequence[SharePanel], examples: BoxedExamples, caption: str, width_in: float = 8.0
) -> Figure:
    """Draw plots side by side and examples below."""
    if not panels:
        raise DeconvError("the page needs at least one panel")
    ranks = examples.picture.shape[1]
    rows = -(-len(examples.maps) // COLUMNS)
    block = (width_in - 2 * MARGIN - (COLUMNS - 1) * BLOCK_GAP) / COLUMNS
    side = (block - (ranks - 1) * GAP) / ranks
    tall = NOTE + 2 * side + GAP
    below = 0.15 + HEAD + PLOT + FOOT
    figure = captioned(width_in, below + HEADING + rows * (tall + 0.12) + 0.08, caption)
    wide = (width_in - 2 * MARGIN - (len(panels) - 1) * BETWEEN) / len(panels)
    _legend(figure, 0.13)
    for i, panel in enumerate(panels):
        left = MARGIN + i * (wide + BETWEEN)
        label_in(figure, left, left + wide, 0.15 + 0.2, panel.title, 9, INK, weight="bold")
        _dots(axes_at(figure, left + LABELS, 0.15 + HEAD, wide - LABELS, PLOT, "shares"), panel)
    words = f"{examples.title}: a random choice of maps"
    label_in(figure, MARGIN, width_in - MARGIN, below + 0.04, words, 9, INK, weight="bold")
    for i in range(len(examples.maps)):
        row, column = divmod(i, COLUMNS)
        left = MARGIN + column * (block + BLOCK_GAP)
        _example(figure, examples, i, left, below + HEADING + row * (tall + 0.12), side)
    return figure


def _legend(figure: Figure, top: float) -> None:
    entries = [*GROUPS.values()]
    room = figure.get_size_inches()[0] - 2 * MARGIN
    size = 6.5 * min(1.0, room / legend_width(entries, 6.5))
    draw_legend(figure, entries, MARGIN, top, size)


def _dots(axes: Axes, panel: SharePanel) -> None:
    """Draw a faint dot a map, and in front each group's mean and interval."""
    quiet(axes)
    for at, (values, means) in enumerate(zip(panel.values, panel.means, strict=True)):
        for place, (group, (_, colour)) in enumerate(GROUPS.items()):
            centre = at + (place - (len(GROUPS) - 1) / 2) * 0.21
            some = values[group][np.isfinite(values[group])]
            # Deterministic jitter: the same shares give the same picture.
            across = centre + SPREAD * 0.6 * (((np.arange(len(some)) * 7) % 11) / 5 - 1)
            axes.scatter(
                across, 100 * some, s=3.2, color=colour, alpha=0.28, linewidths=0, clip_on=False
            )
            mean, low, high = 100 * np.asarray(means[group])
            axes.plot([centre] * 2, [low, high], color=colour, linewidth=1.1, zorder=4)
            ends, name = [centre - 0.09, centre + 0.09], f"{panel.layers[at]}/{group}"
            axes.plot(ends, [mean] * 2, color=colour, linewidth=1.8, zorder=5, label=name)
    axes.set(xlim=(-0.55, len(panel.layers) - 0.45), ylim=(0, 100), xticks=range(len(panel.layers)))
    assert isinstance(axes.figure, Figure)
    room = axes.get_position().width * axes.figure.get_size_inches()[0] / (len(panel.layers) + 0.1)
    axes.set_xticklabels(told_apart(panel.layers, 5.6, 0.95 * room))
    axes.tick_params(axis="x", length=0)
    axes.set_ylabel("share of energy (%)", size=6.2, color=INK)


def _example(
    figure: Figure, examples: BoxedExamples, i: int, left: float, top: float, side: float
) -> None:
    """Draw one map: its description, its images, their projections below."""
    words = f"map {examples.maps[i]} prefers: {str(examples.parts[i]).replace('_', ' ')}"
    shares = f"{100 * examples.energy[i]:.0f} % of its energy there, by chance "
    right = left + examples.picture.shape[1] * (side + GAP)
    shares += f"{100 * examples.chance[i]:.0f} %"
    label_in(figure, left, right, top, words, 6.6, INK)
    label_in(figure, left, right, top + 0.125, shares, 5.6, FAINT)
    for rank in range(examples.picture.shape[1]):
        x = left + rank * (side + GAP)
        image = examples.picture[i, rank].transpose(1, 2, 0)
        for row, pixels in enumerate((image, grey_centred(examples.projection[i, rank]))):
            axes = axes_at(figure, x, top + NOTE + row * (side + GAP), side, side, "example")
            axes.imshow(pixels, interpolation="bilinear", aspect="auto")
            axes.set_axis_off()
            for box in examples.part_boxes[i, rank]:
                _box(axes, box, 1.0)
            _box(axes, examples.object_box[i, rank], 0.5)


def _box(axes: Axes, box: np.ndarray, width: float) -> None:
    """Outline a box along the edges of its pixels; nothing if it is empty."""
    top, left, bottom, right = (float(at) - 0.5 for at in box)
    if bottom <= top or right <= left:
        return
    place = (left, top), right - left, bottom - top
    axes.add_patch(Rectangle(*place, fill=False, edgecolor="white", linewidth=width + 0.6))
    axes.add_patch(Rectangle(*place, fill=False, edgecolor=RED, linewidth=width))
