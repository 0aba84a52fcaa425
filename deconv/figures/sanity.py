"""Sanity checks: one unit's projections under each exchange, and similarities with chance."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from deconv.errors import DeconvError
from deconv.figures.drawing import (
    BLUE,
    FAINT,
    HAIR,
    INK,
    MARGIN,
    RED,
    axes_at,
    captioned,
    draw_legend,
    hairline,
    label_in,
    legend_width,
    painted_tile,
    picture,
    quiet,
    text,
    tile,
)
from deconv.figures.lettering import fitted
from deconv.figures.style import page

COLOURS = {"signed": BLUE, "rank": RED, "ssim": "#009e73"}
"""Measure -> its colour, in drawing order."""
LEGEND = {
    "signed": "correlation with signs",
    "rank": "rank correlation of absolute values",
    "ssim": "structural similarity",
}


@dataclass(frozen=True)
class Tile:
    """A projection, 3×h×w float around zero, or an image, 3×h×w uint8. name: of the variant."""

    name: str
    note: str
    pixels: np.ndarray


@dataclass(frozen=True)
class TileGroup:
    """Pictures under one title."""

    title: str
    tiles: Sequence[Tile]


@dataclass(frozen=True)
class Section:
    """Variants under one title, a row each."""

    title: str
    names: Sequence[str]


@dataclass(frozen=True)
class SimilarityPanel:
    """One layer, with a dict a section.

    values: measure -> V×3 (mean, low, high), nan where a variant does not exist. bands: measure ->
    (mean, low, high) of unrelated pictures. notes: lines below the axes.
    """

    title: str
    note: str
    values: Sequence[dict[str, np.ndarray]]
    bands: Sequence[dict[str, np.ndarray]]
    notes: Sequence[str]


# Inches.
TILE, TILE_GAP, GROUP_GAP, FLOW_GAP = 0.84, 0.05, 0.2, 0.1
GROUP_TITLE, TILE_NAME, TILE_NOTE = 0.17, 0.12, 0.12
TILE_PX = 160
ROW, SECTION_ROW, LABELS, BETWEEN, HEAD, FOOT, NOTE_LINE = 0.15, 0.19, 1.62, 0.14, 0.42, 0.32, 0.11
LONGEST = 17
"""Letters that fit above a tile."""


@page(least_in=4.6)
def sanity(
    example: str,
    groups: Sequence[TileGroup],
    sections: Sequence[Section],
    panels: Sequence[SimilarityPanel],
    caption: str,
    width_in: float = 8.0,
) -> Figure:
    """Draw the example's pictures in groups that wrap, below them a panel a layer.

    example: the line above the pictures.
    """
    if not panels:
        raise DeconvError("the page needs at least one panel")
    flows = _flow(groups, width_in - 2 * MARGIN)
    flow = GROUP_TITLE + TILE_NAME + TILE + TILE_NOTE + FLOW_GAP
    above = 0.15 + 0.3 + flow * len(flows)
    plot = sum(SECTION_ROW + ROW * len(s.names) for s in sections) + 0.06
    notes = NOTE_LINE * max(len(p.notes) for p in panels)
    below = above + HEAD + plot + FOOT + notes + 0.14
    figure = captioned(width_in, below, caption)
    label_in(figure, MARGIN, width_in - MARGIN, 0.13, example, 9, INK, weight="bold")
    hairline(figure, MARGIN, width_in - MARGIN, 0.36)
    for i, row in enumerate(flows):
        left = MARGIN
        for group in row:
            left = _draw_group(figure, group, left, 0.45 + i * flow) + GROUP_GAP
    _draw_panels(figure, sections, panels, above, plot, width_in)
    return figure


def _width(group: TileGroup) -> float:
    return len(group.tiles) * (TILE + TILE_GAP) - TILE_GAP


def _flow(groups: Sequence[TileGroup], room: float) -> list[list[TileGroup]]:
    """Wrap groups into rows at most `room` inches wide; a wider group gets its own row."""
    rows: list[list[TileGroup]] = []
    used = 0.0
    for group in groups:
        if rows and used + GROUP_GAP + _width(group) <= room + 1e-6:
            rows[-1].append(group)
            used += GROUP_GAP + _width(group)
        else:
            rows.append([group])
            used = _width(group)
    return rows


def _draw_group(figure: Figure, group: TileGroup, left: float, top: float) -> float:
    text(figure, left, top, group.title, 6.8, INK, weight="bold")
    for i, one in enumerate(group.tiles):
        x = left + i * (TILE + TILE_GAP)
        if one.pixels.dtype == np.uint8:
            shown = tile(one.pixels.transpose(1, 2, 0), None, TILE_PX)
        else:
            shown = painted_tile(one.pixels, None, TILE_PX)
        text(figure, x, top + GROUP_TITLE, _short(one.name), 5.4, INK)
        picture(figure, shown, x, top + GROUP_TITLE + TILE_NAME, TILE, TILE)
        text(figure, x, top + GROUP_TITLE + TILE_NAME + TILE + 0.025, one.note, 5.2, FAINT)
    return left + _width(group)


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"…{name[1 - LONGEST :]}"


def _draw_panels(
    figure: Figure,
    sections: Sequence[Section],
    panels: Sequence[SimilarityPanel],
    top: float,
    plot: float,
    width_in: float,
) -> None:
    places, titles, at = _rows(sections)
    for height, words in titles:
        text(figure, MARGIN, top + HEAD + height, words, 6.2, INK, weight="bold", va="center")
    for height, words in places:
        right, style = MARGIN + LABELS - 0.06, {"ha": "right", "va": "center"}
        text(figure, right, top + HEAD + height, words, 5.8, INK, **style)
    entries: list[tuple[str, str | None]] = [(LEGEND[n], colour) for n, colour in COLOURS.items()]
    entries.append(("bands: two unrelated pictures", None))
    size = 6.2 * min(1.0, (width_in - 2 * MARGIN) / legend_width(entries, 6.2))
    draw_legend(figure, entries, MARGIN, top, size)
    wide = width_in - 2 * MARGIN - LABELS - (len(panels) - 1) * BETWEEN
    wide /= len(panels)
    for i, panel in enumerate(panels):
        left = MARGIN + LABELS + i * (wide + BETWEEN)
        ends = left, left + wide + BETWEEN / 2
        label_in(figure, *ends, top + HEAD - 0.23, panel.title, 7.5, INK, weight="bold")
        axes = axes_at(figure, left, top + HEAD, wide, plot, "similarity")
        _draw_panel(axes, panel, at, plot)
        label_in(figure, *ends, top + HEAD - 0.1, panel.note, 5.0, FAINT)
        for j, line in enumerate(panel.notes):
            down = top + HEAD + plot + FOOT + j * NOTE_LINE
            label_in(figure, *ends, down, line, 5.2, FAINT)


def _rows(
    sections: Sequence[Section],
) -> tuple[list[tuple[float, str]], list[tuple[float, str]], list[list[float]]]:
    """Heights below the axes' top in inches: of names, of titles, of each section's rows."""
    places: list[tuple[float, str]] = []
    titles, at, down = [], [], 0.03
    for section in sections:
        titles.append((down + SECTION_ROW / 2, section.title))
        down += SECTION_ROW
        rows = [down + ROW * (i + 0.5) for i in range(len(section.names))]
        places += zip(rows, section.names, strict=True)
        at.append(rows)
        down += ROW * len(rows)
    return places, titles, at


def _draw_panel(axes: Axes, panel: SimilarityPanel, at: list[list[float]], plot: float) -> None:
    """Draw the mean and interval of each measure in each row, in front of the chance bands."""
    quiet(axes)
    lows = [v[:, 1] for section in panel.values for v in section.values()]
    lows += [np.atleast_1d(b[1]) for section in panel.bands for b in section.values()]
    low = min(-0.1, float(np.nanmin(np.concatenate(lows))) - 0.03)
    for rows, values, bands in zip(at, panel.values, panel.bands, strict=True):
        first, last = rows[0] - ROW / 2, rows[-1] + ROW / 2
        for j, (number, colour) in enumerate(COLOURS.items()):
            mean, start, end = bands[number]
            band = Rectangle((start, first), end - start, last - first, color=colour)
            band.set(alpha=0.16, linewidth=0, zorder=0)
            axes.add_patch(band)
            axes.plot([mean, mean], [first, last], color=colour, linewidth=0.6, alpha=0.6, zorder=1)
            for y, (value, start, end) in zip(rows, values[number], strict=True):
                if not np.isfinite(value):
                    continue
                y += (j - 1) * ROW * 0.25
                axes.plot([start, end], [y, y], color=colour, linewidth=1.0, zorder=3)
                dot: dict[str, Any] = {"markersize": 2.4, "markeredgewidth": 0, "zorder": 4}
                axes.plot(value, y, "o", color=colour, label=number, **dot)
        axes.axhline(first - SECTION_ROW, color=HAIR, linewidth=0.5, zorder=0)
    axes.axvline(0, color=HAIR, linewidth=0.6, zorder=0)
    axes.set(xlim=(low, 1.03), ylim=(plot, 0), yticks=[])
    axes.set_xticks([t for t in (-0.5, 0, 0.5, 1) if t >= low], labels=None)
    assert isinstance(axes.figure, Figure)
    room = axes.get_position().width * axes.figure.get_size_inches()[0] + BETWEEN
    words, size = fitted("similarity with the original", 5.8, room)
    axes.set_xlabel(words, size=size, color=INK, labelpad=1.5)
