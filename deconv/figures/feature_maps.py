"""Feature maps before (z) and after (a) the ReLU, receptive fields of their peaks, sparsity."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.patheffects import withStroke

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
from deconv.figures.lettering import told_apart, words_width
from deconv.figures.signed_maps import signed_map
from deconv.figures.style import page


@dataclass(frozen=True)
class LayerMaps:
    """One layer of one image: M maps.

    z, a: M×h×w float, or one of them None; z_name, a_name: their points. maps: M numbers.
    unit: M×2 (y, x) of each map's strongest unit; box: M×4, its receptive field (top, left,
    bottom, right) in pixels. scale_z, scale_a: M values at which colours saturate.
    """

    title: str
    note: str
    z: np.ndarray | None
    a: np.ndarray | None
    z_name: str
    a_name: str
    maps: np.ndarray
    unit: np.ndarray
    box: np.ndarray
    scale_z: np.ndarray
    scale_a: np.ndarray

    def across(self, columns: int) -> int:
        """Maps side by side, of `columns` for z or a: twice as many where only one is there."""
        return columns * (1 if self.z is not None and self.a is not None else 2)


@dataclass(frozen=True)
class MappedImage:
    """One image, H×W×3 uint8, with a title and its layers."""

    title: str
    picture: np.ndarray
    rows: Sequence[LayerMaps]


@dataclass(frozen=True)
class SparsityPanel:
    """L measured layers in order of depth.

    active: L×3, 10th percentile, mean and 90th percentile of the maps' shares of values above 0.
    dead, saturated: L shares of maps. numbers: L positions on the depth axis. shown: L bool, which
    names are ticks.
    """

    numbers: np.ndarray
    names: Sequence[str]
    shown: np.ndarray
    active: np.ndarray
    dead: np.ndarray
    saturated: np.ndarray


# Inches on the page.
HEADING, TITLE, NUMBER, TILE_GAP, GAP, ROW_GAP = 0.3, 0.2, 0.105, 0.045, 0.16, 0.13
PANEL = 1.25
LONG_NAMES, LONGEST, BELOW, BELOW_LONG = 6, 0.62, 0.3, 0.56
"""Tick labels of more than LONG_NAMES letters are turned, to at most LONGEST; room below."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#6a3d9a", "#7f7f7f")
"""Of the maps' numbers and boxes, cycled."""
FEWEST_COLUMNS = 2


@page(least_in=4.6)
def feature_maps(
    images: Sequence[MappedImage],
    sparsity: SparsityPanel | None,
    caption: str,
    width_in: float = 8.0,
) -> Figure:
    """Draw each image's layers as rows, and sparsity over depth below, if it is given.

    A row holds the image with the receptive fields of the strongest units, the maps of z and the
    maps of a; numbers link boxes and tiles.
    """
    most = max(-(-len(row.maps) // row.across(1)) for image in images for row in image.rows)
    columns = max(FEWEST_COLUMNS, int(np.ceil(most / 2))) if most <= 16 else 8
    heights = [
        [TITLE + _maps_height(row, columns, width_in) + ROW_GAP for row in image.rows]
        for image in images
    ]
    body = sum(HEADING + sum(rows) for rows in heights)
    below = 0.0
    if sparsity is not None:
        below = 0.3 + PANEL + (BELOW_LONG if _rotated(sparsity) else BELOW)
    figure = captioned(width_in, 0.15 + body + below, caption)
    top = 0.15
    for image, rows in zip(images, heights, strict=True):
        label_in(figure, MARGIN, width_in - MARGIN, top, image.title, 10.5, INK, weight="bold")
        hairline(figure, MARGIN, width_in - MARGIN, top + 0.22)
        top += HEADING
        for row, height in zip(image.rows, rows, strict=True):
            _draw_row(figure, image.picture, row, top, columns, width_in)
            top += height
    if sparsity is not None:
        _draw_sparsity(figure, sparsity, top + 0.1, width_in)
    return figure


def _rotated(panel: SparsityPanel) -> bool:
    return max(len(panel.names[i]) for i in np.flatnonzero(panel.shown).tolist()) > LONG_NAMES


def _tile_side(columns: int, width_in: float) -> float:
    """Side of a map in inches; the image is as high as two rows of maps."""
    room = width_in - 2 * MARGIN - 2 * GAP - NUMBER * 2 - TILE_GAP - 2 * (columns - 1) * TILE_GAP
    return room / (2 * columns + 2)


def _maps_height(row: LayerMaps, columns: int, width_in: float) -> float:
    """Height of a layer's maps in inches, at least two rows."""
    rows = max(2, -(-len(row.maps) // row.across(columns)))
    return rows * (_tile_side(columns, width_in) + NUMBER) + (rows - 1) * TILE_GAP


def _draw_row(
    figure: Figure, pixels: np.ndarray, row: LayerMaps, top: float, columns: int, width_in: float
) -> None:
    side = _tile_side(columns, width_in)
    seen = 2 * (side + NUMBER) + TILE_GAP
    label_in(figure, MARGIN, MARGIN + seen, top, row.title, 7.5, INK, weight="bold")
    half = columns * side + (columns - 1) * TILE_GAP
    lefts = [MARGIN + seen + GAP, MARGIN + seen + 2 * GAP + half]
    if row.z is None:
        lefts.reverse()
    for left, name in zip(lefts, (row.z_name, row.a_name), strict=True):
        room = half if left == min(lefts) else half / 2
        label_in(figure, left, left + room, top + 0.022, name, 6.0, FAINT)
    ends = width_in - MARGIN - half / 2 + GAP / 2, width_in - MARGIN
    label_in(figure, *ends, top + 0.022, row.note, 6.0, FAINT, ha="right")
    _draw_boxes(axes_at(figure, MARGIN, top + TITLE, seen, seen, "image"), pixels, row.box)
    for left, maps, scales in zip(lefts, (row.z, row.a), (row.scale_z, row.scale_a), strict=True):
        if maps is None:
            continue
        for i, values in enumerate(maps):
            down, across = divmod(i, row.across(columns))
            x = left + across * (side + TILE_GAP) + (across >= columns) * (GAP - TILE_GAP)
            y = top + TITLE + down * (side + NUMBER + TILE_GAP)
            text(figure, x, y, f"{i + 1}", 4.8, _colour(i + 1), weight="bold")
            words = f"map {row.maps[i]}"
            words = words if words_width(words, 4.4) < side - 0.12 else str(row.maps[i])
            text(figure, x + side, y, words, 4.4, FAINT, ha="right")
            axes = axes_at(figure, x, y + NUMBER, side, side, "map")
            axes.imshow(signed_map(values, scales[i]), interpolation="nearest", aspect="auto")
            ring: dict[str, Any] = {
                "markersize": 3.2,
                "markeredgecolor": INK,
                "markeredgewidth": 0.5,
            }
            axes.plot(*row.unit[i][::-1], "o", markerfacecolor="none", clip_on=False, **ring)
            height, width = values.shape
            axes.set(xlim=(-0.5, width - 0.5), ylim=(height - 0.5, -0.5), xticks=[], yticks=[])
            axes.spines[:].set(color=FAINT, linewidth=0.3)


def _draw_boxes(axes: Axes, pixels: np.ndarray, boxes: np.ndarray) -> None:
    """Draw the image with each distinct box and, in its middle, the numbers of its maps."""
    height, width = pixels.shape[:2]
    axes.imshow(pixels, interpolation="nearest", aspect="auto", extent=(0, width, height, 0))
    written: list[tuple[float, float, float]] = []
    for (top, left, bottom, right), numbers in shared_boxes(boxes):
        colour = _colour(numbers[0])
        place = (left, top), right - left, bottom - top
        for edge, line in (("white", 1.5), (colour, 0.8)):
            axes.add_patch(Rectangle(*place, fill=False, edgecolor=edge, linewidth=line))
        words = " ".join(map(str, numbers))
        y, x = (top + bottom) / 2, (left + right) / 2
        near = 0.035 * len(words) * width
        reach = 0.075 * height
        x = min(max(x, near), width - near)
        y = _free(y, x, near, reach, written, height)
        written.append((y, x, near))
        halo = [withStroke(linewidth=1.4, foreground="white")]
        style = {"weight": "bold", "ha": "center", "transform": axes.transData}
        annotate(axes, x, y, words, 4.8, colour, path_effects=halo, **style)
    axes.set(xlim=(0, width), ylim=(height, 0), xticks=[], yticks=[])
    axes.spines[:].set(color=FAINT, linewidth=0.3)


def _colour(number: int) -> str:
    return COLOURS[(number - 1) % len(COLOURS)]


def _free(
    y: float,
    x: float,
    near: float,
    reach: float,
    taken: Sequence[tuple[float, float, float]],
    height: int,
) -> float:
    """Find the height nearest to y at which words at x overlap none of those written."""
    places = sorted(np.arange(reach / 2, height - reach / 2, reach / 4), key=lambda at: abs(at - y))
    for place in [min(max(y, reach / 2), height - reach / 2), *places]:
        if all(abs(place - b) >= reach or abs(x - c) >= near + far for b, c, far in taken):
            return float(place)
    return y


def shared_boxes(boxes: np.ndarray) -> list[tuple[tuple[int, ...], list[int]]]:
    """Group the boxes M×4: each distinct box with the numbers, from 1, that have it."""
    found: dict[tuple[int, ...], list[int]] = {}
    for number, box in enumerate(boxes.tolist(), 1):
        found.setdefault(tuple(box), []).append(number)
    return list(found.items())


def _draw_sparsity(figure: Figure, panel: SparsityPanel, top: float, width_in: float) -> None:
    """Draw shares of values above 0 over depth (left), of dead and saturated maps (right)."""
    names = told_apart(panel.names, 5.6, LONGEST)
    width = (width_in - 2 * MARGIN - 1.0) / 2
    lefts = MARGIN + 0.36, MARGIN + 0.36 + width + 0.62
    one, two = (
        axes_at(figure, left, top + 0.2, width, PANEL, name)
        for left, name in zip(lefts, ("active", "dead"), strict=True)
    )
    at = panel.numbers
    marker: dict[str, Any] = {"marker": "o", "markersize": 2.4, "linewidth": 1.0}
    one.fill_between(at, *(100 * panel.active[:, [0, 2]].T), color=BLUE, alpha=0.18, linewidth=0)
    one.plot(at, 100 * panel.active[:, 1], color=BLUE, **marker)
    two.plot(at, 100 * panel.dead, color=INK, label="dead: never above 0", **marker)
    dashed = marker | {"color": RED, "linestyle": "--"}
    two.plot(at, 100 * panel.saturated, label="saturated: always above 0", **dashed)
    headings = ("values above 0, %: mean, 10th to 90th percentile", "maps, %")
    for axes, left, heading in zip((one, two), lefts, headings, strict=True):
        label_in(figure, left - 0.3, left + width + 0.2, top, heading, 6.6, INK)
        quiet(axes)
        axes.set_xlim(at.min() - 0.5, at.max() + 0.5)
        high = axes.get_ylim()[1]
        axes.set_ylim(0, 100 if axes is one else max(5, 1.15 * high))
        shown = np.flatnonzero(panel.shown).tolist()
        axes.set_xticks(at[shown], [names[i] for i in shown])
        if _rotated(panel):
            for label in axes.get_xticklabels():
                label.set(rotation=25, ha="right", rotation_mode="anchor")
    place: dict[str, Any] = {"loc": "upper right", "borderpad": 0, "labelspacing": 0.3}
    two.legend(frameon=False, prop={"size": 5.8}, **place)
