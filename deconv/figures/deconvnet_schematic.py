"""Figure 1: one unit's forward pass through the network and projection through the deconvnet."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from deconv.figures.drawing import FAINT, INK, MARGIN, captioned, grey_centred, text
from deconv.figures.lettering import fitted
from deconv.figures.pool_detail import PoolWindows, detail_height, draw_pool_windows
from deconv.figures.sheet import arrow, frame, label, pixels_at, sheet, strip
from deconv.figures.signed_maps import signed_map
from deconv.figures.style import page
from deconv.pixels import display_scale
from deconv.records import Box


@dataclass(frozen=True)
class MapRow:
    """One level of maps.

    maps: k numbers, printed below the row if `numbered`. up, down: k×h×w float. box: the positions
    that the unit depends on. winners: k×h×w bool, the switches of the pool above, or None.
    upward, downward: the operations from the level below to this one, and back down.
    switches: whether the operation below is a pool, whose switches cross the page.
    """

    title: str
    note: str
    maps: np.ndarray
    up: np.ndarray
    down: np.ndarray
    box: Box
    winners: np.ndarray | None
    upward: str
    downward: str
    switches: bool
    numbered: bool


@dataclass(frozen=True)
class ImageRow:
    """The lowest level. picture: 3×H×W uint8. projection: 3×H×W float. box: receptive field."""

    title: str
    note: str
    picture: np.ndarray
    projection: np.ndarray
    box: Box


# Inches.
HEAD, MIDDLE, TILE_GAP, PICTURE = 0.62, 1.2, 0.045, 1.0
STRIP, STRIP_ROOM, NUMBER_ROOM, DETAIL_GAP = 0.13, 0.195, 0.085, 0.26
LARGEST_TILE, SMALLEST_TILE, ROWS_HEIGHT = 0.6, 0.36, 6.8
AROUND = 2
"""Positions shown around the unit in the enlarged tiles of its own layer."""


@page(least_in=6.4)
def deconvnet_schematic(
    rows: Sequence[MapRow],
    image: ImageRow,
    detail: PoolWindows | None,
    heading: str,
    caption: str,
    width_in: float = 8.0,
) -> Figure:
    """Draw Figure 1: the way up on the right, the way down on the left, level beside level.

    Args:
        rows: from the top layer down.
        detail: pooling windows in numbers, drawn below; None if there is no pool on the way.
        heading: names the unit.
    """
    gaps = sum(_gap(row) for row in rows)
    most = max(len(row.maps) for row in rows) + 1
    room = ((width_in - MIDDLE) / 2 - MARGIN) / most - TILE_GAP
    side = float(np.clip((ROWS_HEIGHT - gaps) / len(rows), SMALLEST_TILE, LARGEST_TILE))
    page = _Halves(width_in, min(side, room), most)
    upper = HEAD + len(rows) * page.side + gaps + PICTURE
    lower = DETAIL_GAP + detail_height(detail) if detail else 0.0
    figure = captioned(width_in, upper + lower + 0.16, caption, foot=0.19)
    axes = sheet(figure)
    _draw_head(figure, heading, page)
    top = HEAD
    for row in rows:
        _draw_level(axes, row, top, page)
        top += page.side + _gap(row)
        _draw_passage(axes, row, top - STRIP_ROOM / 2, page)
    _draw_crossing(axes, page, HEAD + page.side / 2 - 0.19, "one unit kept")
    _draw_image(axes, image, top, page)
    if detail:
        draw_pool_windows(axes, detail, upper + DETAIL_GAP, width_in)
    return figure


@dataclass(frozen=True)
class _Halves:
    """The two halves of the page in inches, each `tiles` tiles of `side` wide."""

    width: float
    side: float
    tiles: int

    @property
    def middle(self) -> float:
        return self.width / 2

    @property
    def reach(self) -> float:
        """Half the width of the tiles."""
        return self.tiles * (self.side + TILE_GAP) / 2

    @property
    def centres(self) -> tuple[float, float]:
        """Of the way down, of the way up."""
        off = (self.width - 2 * MARGIN + MIDDLE) / 4
        return self.middle - off, self.middle + off

    def lefts(self, centre: float, count: int) -> list[float]:
        """Left edges of a row of tiles, the first a little apart."""
        start, step = centre - self.reach, self.side + TILE_GAP
        return [start + i * step + (TILE_GAP if i else 0) for i in range(count)]


def _gap(row: MapRow) -> float:
    return STRIP_ROOM + (NUMBER_ROOM if row.numbered else 0)


def _draw_head(figure: Figure, heading: str, page: _Halves) -> None:
    text(figure, page.middle, 0.12, heading, 8.5, INK, weight="bold", ha="center")
    ways = ("way down: the deconvnet", "way up: the network")
    style = {"ha": "center", "style": "italic"}
    for centre, words in zip(page.centres, ways, strict=True):
        text(figure, centre, 0.33, words, 7.5, INK, ha="center")
        lefts = page.lefts(centre, page.tiles)
        text(figure, lefts[0] + page.side / 2, 0.5, "whole map", 5, FAINT, **style)
        middle = (lefts[1] + lefts[-1] + page.side) / 2
        text(figure, middle, 0.5, "enlarged: what the unit depends on", 5, FAINT, **style)


def _draw_level(axes: Axes, row: MapRow, top: float, page: _Halves) -> None:
    """Draw one level on both halves, its name between them."""
    down, up = page.centres
    for centre, values, winners in ((down, row.down, None), (up, row.up, row.winners)):
        _draw_tiles(axes, row, values, winners, page.lefts(centre, len(row.maps) + 1), top, page)
    _draw_name(axes, row.title, row.note, page.middle, top + page.side / 2)


def _draw_tiles(
    axes: Axes,
    row: MapRow,
    values: np.ndarray,
    winners: np.ndarray | None,
    lefts: Sequence[float],
    top: float,
    page: _Halves,
) -> None:
    """Draw one level of one half: the first map whole, then in each what the unit depends on."""
    scale, side = display_scale(values), page.side
    whole = (0, 0, *values.shape[1:])
    _draw_map(axes, values[0], whole, scale, lefts[0], top, side)
    _outline(axes, row.box, whole, lefts[0], top, side)
    y0, x0, y1, x1 = row.box
    single = (y1 - y0) * (x1 - x0) == 1
    around = AROUND if single else 0  # one position enlarged shows nothing
    shown = (
        max(0, y0 - around),
        max(0, x0 - around),
        min(values.shape[1], y1 + around),
        min(values.shape[2], x1 + around),
    )
    for i, left in enumerate(lefts[1:]):
        _draw_map(axes, values[i], shown, scale, left, top, side)
        if single:
            _outline(axes, row.box, shown, left, top, side)
        if winners is not None:
            _dots(axes, winners[i], shown, left, top, side)
        if row.numbered:
            label(axes, left + side / 2, top + side + 0.045, f"map {row.maps[i]}", 4.4, FAINT)


def _draw_map(
    axes: Axes, values: np.ndarray, shown: Box, scale: float, left: float, top: float, side: float
) -> None:
    """Draw the positions `shown` of a map as squares in a tile."""
    cut, cell = values[shown[0] : shown[2], shown[1] : shown[3]], _cell(shown, side)
    pixels_at(axes, signed_map(cut, scale), left, top, cut.shape[1] * cell, cut.shape[0] * cell)


def _cell(shown: Box, side: float) -> float:
    """Side of a position in inches, such that the longer side of `shown` fills a tile."""
    return side / max(shown[2] - shown[0], shown[3] - shown[1])


def _draw_passage(axes: Axes, row: MapRow, level: float, page: _Halves) -> None:
    """Draw the two operations below a level and the arrow of the switches between them."""
    (left, right), reach = page.centres, page.reach
    for centre, words, head in ((left, row.downward, "v"), (right, row.upward, "^")):
        strip(axes, centre - reach, level, 2 * reach, STRIP)
        label(axes, centre, level, words, 5.8)
        across = [centre - reach + 0.12, centre + reach - 0.12]
        axes.plot(across, [level] * 2, head, color=FAINT, markersize=3, markeredgewidth=0)
    if row.switches:
        _draw_crossing(axes, page, level, "switches")


def _draw_crossing(axes: Axes, page: _Halves, level: float, words: str) -> None:
    """Draw a dashed arrow from the way up to the way down."""
    left, right = page.centres
    ends = (right - page.reach - 0.03, level), (left + page.reach + 0.03, level)
    arrow(axes, *ends, words, dashed=True)


def _draw_image(axes: Axes, image: ImageRow, top: float, page: _Halves) -> None:
    """Draw the image and the projection, whole and cropped to the receptive field."""
    (y0, x0, y1, x1), (height, width) = image.box, image.picture.shape[1:]
    whole = (grey_centred(image.projection), image.picture.transpose(1, 2, 0))
    aspect = (x1 - x0) / (y1 - y0)
    across, down = PICTURE * min(1, aspect), PICTURE / max(1, aspect)
    for centre, pixels in zip(page.centres, whole, strict=True):
        left, cut = centre - PICTURE - 0.06, centre + 0.06
        pixels_at(axes, pixels, left, top, PICTURE, PICTURE)
        _outline(axes, image.box, (0, 0, height, width), left, top, PICTURE)
        pixels_at(axes, pixels[y0:y1, x0:x1], cut, top, across, down)
    _draw_name(axes, image.title, image.note, page.middle, top + PICTURE / 2)


def _draw_name(axes: Axes, title: str, note: str, x: float, y: float) -> None:
    title, size = fitted(title, 7, MIDDLE - 0.1, "bold")
    label(axes, x, y - 0.06, title, size, weight="bold")
    label(axes, x, y + 0.06, *fitted(note, 5.4, MIDDLE - 0.1), FAINT)


def _outline(axes: Axes, box: Box, shown: Box, left: float, top: float, side: float) -> None:
    """Outline a box of positions in a tile of the positions `shown`."""
    (y0, x0, y1, x1), cell = box, _cell(shown, side)
    corner = (left + (x0 - shown[1]) * cell, top + (y0 - shown[0]) * cell)
    frame(axes, *corner, (x1 - x0) * cell, (y1 - y0) * cell, INK, 0.6)


def _dots(
    axes: Axes, winners: np.ndarray, shown: Box, left: float, top: float, side: float
) -> None:
    """Draw a dot on each switch in a tile of the positions `shown`."""
    y, x = winners[shown[0] : shown[2], shown[1] : shown[3]].nonzero()
    cell = _cell(shown, side)
    places = left + (x + 0.5) * cell, top + (y + 0.5) * cell
    axes.plot(*places, "o", color=INK, markersize=72 * 0.36 * cell, markeredgewidth=0)
