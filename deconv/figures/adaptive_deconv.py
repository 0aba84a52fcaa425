"""The adaptive deconvolutional network: features, reconstructions and cost of each layer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullFormatter, ScalarFormatter

from deconv.figures.drawing import (
    BLUE,
    FAINT,
    INK,
    MARGIN,
    RED,
    axes_at,
    block,
    captioned,
    grey_centred,
    label_in,
    picture,
    quiet,
    text,
    tile,
)
from deconv.figures.style import page

COLOURS = (BLUE, RED, "#009e73", "#cc79a7")
"""From Okabe and Ito's palette, cycled over layers."""
TOP, HEAD, GAP, COLUMN_GAP, FOOT, TILE_GAP = 0.2, 0.4, 0.2, 0.22, 0.12, 3
FEATURE_PX, IMAGE_PX = 96, 192
SHARE, LABEL = 0.0975, 0.92
"""Side of a reconstruction as a share of the page's width; inches of the row labels."""


@dataclass(frozen=True)
class CodedLayer:
    """One layer.

    features: K×C×s×s float, the projection of each map. rebuilt: M×C×H×W float, reconstructions
    of the M images from this layer. words: M lines below them. parts: C×H×W, the example unit's
    features at this layer. cost: after each step of inference, relative to that of zero maps;
    updates: the steps before which filters changed.
    """

    title: str
    features: np.ndarray
    note: str
    rebuilt: np.ndarray
    words: Sequence[str]
    parts: np.ndarray
    part_note: str
    cost: np.ndarray
    updates: Sequence[int]


@page(least_in=5.9)
def adaptive_deconv(
    layers: Sequence[CodedLayer], images: np.ndarray, caption: str, width_in: float = 8.0
) -> Figure:
    """Draw features by layer, images M×C×H×W, reconstructions, one unit's parts, and the cost."""
    width = (width_in - 2 * MARGIN - (len(layers) - 1) * COLUMN_GAP) / len(layers)
    pictures = [
        block(
            [_pixels(one, FEATURE_PX) for one in layer.features],
            _columns(len(layer.features)),
            TILE_GAP,
        )
        for layer in layers
    ]
    first = max(width * p.shape[0] / p.shape[1] for p in pictures)
    rows_top = TOP + HEAD + first + GAP
    side = SHARE * width_in
    row = side + 0.17
    end = rows_top + 0.28 + row * (len(layers) + 1) + FOOT
    figure = captioned(width_in, end, caption)
    for i, (layer, pixels) in enumerate(zip(layers, pictures, strict=True)):
        left = MARGIN + i * (width + COLUMN_GAP)
        label_in(figure, left, left + width, TOP, layer.title, 8.6, INK, weight="bold")
        label_in(figure, left, left + width, TOP + 0.185, layer.note, 5.6, FAINT)
        picture(figure, pixels, left, TOP + HEAD, width, width * pixels.shape[0] / pixels.shape[1])
    _images(figure, layers, images, rows_top, side)
    right = MARGIN + LABEL + (len(images) + 1) * (side + 0.08) + 0.24
    _cost(figure, layers, right, rows_top, width_in - MARGIN - right, row)
    return figure


def _images(
    figure: Figure, layers: Sequence[CodedLayer], images: np.ndarray, top: float, side: float
) -> None:
    """Draw the images, below them each layer's reconstructions, and one unit in the last column."""
    step, row = side + 0.08, side + 0.17
    parts = MARGIN + LABEL + len(images) * step + 0.12
    text(figure, MARGIN, top, "Reconstructions", 8.6, INK, weight="bold")
    label_in(
        figure, parts, parts + side + 0.2, top + 0.02, "A unit, its parts", 6.6, INK, weight="bold"
    )
    top += 0.24
    shown: list[tuple[str, np.ndarray, Sequence[str]]]
    shown = [("input", images, [""] * len(images))]
    shown += [(f"from {one.title.lower()}", one.rebuilt, one.words) for one in layers]
    for i, (name, pictures, words) in enumerate(shown):
        y = top + i * row
        label_in(figure, MARGIN, MARGIN + LABEL - 0.05, y + side / 2, name, 6.6, INK, va="center")
        for j, (pixels, line) in enumerate(zip(pictures, words, strict=True)):
            left = MARGIN + LABEL + j * step
            picture(figure, _pixels(pixels, IMAGE_PX), left, y, side, side)
            label_in(figure, left, left + step - 0.05, y + side + 0.02, line, 4.9, FAINT)
        if i > 0:
            picture(figure, _pixels(layers[i - 1].parts, IMAGE_PX), parts, y, side, side)
            at = parts, parts + side + 0.1, y + side + 0.02
            label_in(figure, *at, layers[i - 1].part_note, 4.9, FAINT)


def _cost(
    figure: Figure, layers: Sequence[CodedLayer], left: float, top: float, width: float, row: float
) -> None:
    """Draw each layer's cost over the steps of inference, with dots where filters change."""
    right = left + width + MARGIN / 2
    label_in(figure, left, right, top, "Cost while learning", 8.6, INK, weight="bold")
    label_in(figure, left, right, top + 0.17, "share of the cost of empty maps", 5.6, FAINT)
    height = (len(layers) + 1) * row - 0.62
    axes = axes_at(figure, left + 0.36, top + 0.4, width - 0.36, height, "cost")
    quiet(axes)
    for i, layer in enumerate(layers):
        colour = COLOURS[i % len(COLOURS)]
        axes.plot(layer.cost, color=colour, linewidth=1.0, label=layer.title)
        at = [n for n in layer.updates if n < len(layer.cost)]
        axes.plot(at, layer.cost[at], ".", color=colour, markersize=4, markeredgewidth=0)
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ScalarFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.set_xlabel("step of inference", size=6.2, color=INK, labelpad=2)
    axes.legend(frameon=False, prop={"size": 5.6}, loc="upper right")


def _pixels(pixels: np.ndarray, side: int) -> np.ndarray:
    """Render C×h×w float around zero, C = 1 or 3, as a square tile."""
    return tile(grey_centred(np.broadcast_to(pixels, (3, *pixels.shape[1:]))), None, side)


def _columns(count: int) -> int:
    """Columns of a grid about one and a half times as wide as high."""
    wanted = max(1, round((1.5 * count) ** 0.5))
    whole = [n for n in range(1, count + 1) if count % n == 0 and 0.6 < n / wanted < 1.5]
    return min(whole, key=lambda n: abs(n - wanted), default=wanted)
