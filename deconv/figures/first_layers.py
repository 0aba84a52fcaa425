"""Figure 6: features of layers 1 and 2: not renormalised, above a coarse and a fine layer 1."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from deconv.figures.drawing import (
    BLUE,
    FAINT,
    INK,
    MARGIN,
    RED,
    VOID,
    axes_at,
    block,
    captioned,
    label_in,
    painted_tile,
    picture,
    quiet,
)
from deconv.figures.style import page
from deconv.figures.training_page import filter_tiles


@dataclass(frozen=True)
class FirstLayers:
    """What the page shows of one network.

    name: in the legends, such as "5×5 stride 2". stride: of layer 1, in pixels.
    filters: C×3×k×k float, of layer 1. rms: C, of these.
    projection: M×3×R×S float, the strongest unit of each map of layer 2; inside: M×R×S bool,
        False where the image ends, throughout for a dead map.
    within: "layer 1" and "layer 2" -> share of spectral energy up to each of the page's
        frequencies, mean over filters and over projections.
    note: a line under the title of the filters.
    """

    name: str
    stride: int
    filters: np.ndarray
    rms: np.ndarray
    projection: np.ndarray
    inside: np.ndarray
    within: dict[str, np.ndarray]
    note: str


# Inches.
TOP, HEAD, GAP, COLUMN_GAP, PLOT, FOOT = 0.2, 0.4, 0.22, 0.26, 1.5, 0.42
FILTER_GAP, TILE_GAP, TILE_PX = 5, 3, 96
DASH = (150, 156, 166)
"""RGB of the dash in the tile of a dead map."""
GREEN = "#009e73"
"""The third colour of Okabe and Ito beside BLUE and RED."""
COLOURS = {"without": GREEN, "coarse": RED, "ours": BLUE}
UPPER = {"without": "a", "coarse": "b", "ours": "c"}
LOWER = {"coarse": "d", "ours": "e"}
"""Role -> its panel of layer 1, and of layer 2."""
LABEL, LEGEND = 9, 30
"""Percent of a spectrum's height that a label takes, and the legend with one."""
LEAST_RMS = 1e-4
"""Of the largest, below which a filter's RMS is drawn at the lower edge."""


@page(least_in=4.8)
def first_layers(
    networks: Mapping[str, FirstLayers],
    frequencies: Sequence[float],
    caption: str,
    *,
    max_rms: float | None = None,
    width_in: float = 8.0,
) -> Figure:
    """Figure 6: (a) to (c) filters of layer 1, (d) and (e) projections of layer 2, and numbers.

    networks: of the roles without, coarse and ours, in this order, or of ours alone, whose (c)
    and (e) stand side by side. frequencies: cycles a pixel, where `within` is known. max_rms: the
    limit of the renormalisation, drawn as a line. caption: printed below, wrapped.
    """
    thirds, halves = ((width_in - 2 * MARGIN - (n - 1) * COLUMN_GAP) / n for n in (3, 2))
    first = [(UPPER[role], of) for role, of in networks.items()]
    second = [(LOWER[role], of) for role, of in networks.items() if role in LOWER]
    upper = {key: filter_pixels(of) for key, of in first}
    lower = {key: projection_pixels(of) for key, of in second}
    titles = {key: f"Layer 1, {of.name if key != 'a' else 'not renormalised'}" for key, of in first}
    titles |= {key: f"Layer 2 above {of.name}" for key, of in second}
    notes = {key: of.note for key, of in first} | {key: _field(of) for key, of in second}
    rows = [(upper, [thirds] * 3), (lower, [halves] * 2)]
    if len(first) == 1:  # side by side, equally high
        wide = [
            pixels.shape[1] / pixels.shape[0] for row in (upper, lower) for pixels in row.values()
        ]
        rows = [(upper | lower, [2 * halves * each / sum(wide) for each in wide])]
    heights = [
        max(w * p.shape[0] / p.shape[1] for p, w in zip(row.values(), widths, strict=True))
        for row, widths in rows
    ]
    plots = TOP + sum(heights) + len(rows) * (HEAD + GAP)
    figure = captioned(width_in, plots + HEAD + PLOT + FOOT, caption)
    for i, (row, widths) in enumerate(rows):
        panels(figure, row, titles, notes, TOP + sum(heights[:i]) + i * (HEAD + GAP), widths)
    _plots(figure, networks, frequencies, max_rms, plots, thirds)
    return figure


def columns(count: int, ratio: float) -> int:
    """Columns of a grid about `ratio` times as wide as high, without a gap at its end if it can."""
    wanted = max(1, round((count * ratio) ** 0.5))
    whole = [n for n in range(1, count + 1) if count % n == 0 and 0.65 < n / wanted < 1.35]
    return min(whole, key=lambda n: abs(n - wanted), default=wanted)


def filter_pixels(of: FirstLayers) -> np.ndarray:
    """The filters as one picture on one scale."""
    return block(filter_tiles(of.filters, "common"), columns(len(of.filters), 4 / 3), FILTER_GAP)


def projection_pixels(of: FirstLayers, ratio: float = 1.8) -> np.ndarray:
    """The projections as one picture, each on its own scale; a dead map leaves a dash.

    ratio: about its width to its height.
    """
    tiles = [
        painted_tile(pixels, inside, TILE_PX) if inside.any() else _dead_tile()
        for pixels, inside in zip(of.projection, of.inside, strict=True)
    ]
    return block(tiles, columns(len(tiles), ratio), TILE_GAP)


def _dead_tile() -> np.ndarray:
    """Empty but for a dash."""
    out = np.full((TILE_PX, TILE_PX, 3), VOID, np.uint8)
    out[TILE_PX // 2 - 2 : TILE_PX // 2 + 2, TILE_PX // 3 : -TILE_PX // 3] = DASH
    return out


def _field(of: FirstLayers) -> str:
    dead = int((~of.inside.any(axis=(1, 2))).sum())
    words = "{} maps, {} px each, every picture on its own scale".format(
        len(of.projection), "×".join(map(str, of.projection.shape[2:]))
    )
    return f"{words}; {dead} never above 0" if dead else words


def panels(
    figure: Figure,
    pictures: dict[str, np.ndarray],
    titles: dict[str, str],
    notes: dict[str, str],
    top: float,
    widths: Sequence[float],
) -> None:
    """Pictures side by side, each under its letter, its title and its note."""
    for i, (letter, pixels) in enumerate(pictures.items()):
        width = widths[i]
        left = MARGIN + sum(widths[:i]) + i * COLUMN_GAP
        title = f"({letter})  {titles[letter]}"
        label_in(figure, left, left + width, top, title, 8.6, INK, weight="bold")
        label_in(figure, left, left + width, top + 0.185, notes[letter], 5.6, FAINT)
        picture(figure, pixels, left, top + HEAD, width, width * pixels.shape[0] / pixels.shape[1])


def _plots(
    figure: Figure,
    networks: Mapping[str, FirstLayers],
    frequencies: Sequence[float],
    max_rms: float | None,
    top: float,
    width: float,
) -> None:
    """The strengths of the filters, and the spectra of layers 1 and 2."""
    label = 0.34
    words = (
        ("Strength of the filters", "RMS of layer 1's filters, strongest first"),
        ("Spectrum of layer 1", "energy up to a frequency, mean over filters"),
        ("Spectrum of layer 2", "energy up to a frequency, mean over projections"),
    )
    for i, (title, note) in enumerate(words):
        left = MARGIN + i * (width + COLUMN_GAP)
        label_in(figure, left, left + width, top, title, 8.6, INK, weight="bold")
        label_in(figure, left, left + width, top + 0.185, note, 5.6, FAINT)
        name = ("rms", "layer 1", "layer 2")[i]
        axes = axes_at(figure, left + label, top + HEAD, width - label - 0.04, PLOT, name)
        quiet(axes)
        if i == 0:
            _rms(axes, networks, max_rms)
        else:
            _spectrum(axes, {r: networks[r] for r in networks if r in LOWER}, frequencies, name)


def _rms(axes: Axes, networks: Mapping[str, FirstLayers], max_rms: float | None) -> None:
    """RMS by rank, as a share of the filters, so that layers of other sizes compare."""
    largest = max(float(of.rms.max()) for of in networks.values()) or 1.0
    for role, of in networks.items():
        ranked = np.sort(of.rms)[::-1].clip(LEAST_RMS * largest)
        at = 100 * (np.arange(len(ranked)) + 0.5) / len(ranked)
        name = "not renormalised" if role == "without" else of.name
        axes.plot(at, ranked, color=COLOURS[role], linewidth=1.1, label=name, clip_on=False)
    if max_rms is not None:
        axes.axhline(max_rms, color=INK, linewidth=0.7, linestyle=(0, (4, 3)), label="limit")
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(xlim=(0, 100))
    _labels(axes, "filters (%)", "RMS")
    _legend(axes, "best")


def _spectrum(
    axes: Axes, networks: Mapping[str, FirstLayers], frequencies: Sequence[float], layer: str
) -> None:
    """Cumulative energy; a dot where the stride's Nyquist frequency cuts the curve."""
    axes.plot(
        frequencies,
        100 * (2 * np.asarray(frequencies)) ** 2,
        color=FAINT,
        linewidth=0.8,
        linestyle=(0, (1, 2)),
        label="white noise",
    )
    limits = [1 / (2 * of.stride) for of in networks.values()]
    carried = [
        float(np.interp(limit, frequencies, 100 * np.asarray(of.within[layer])))
        for of, limit in zip(networks.values(), limits, strict=True)
    ]
    for role, limit, height in zip(networks, limits, carried, strict=True):
        of, colour = networks[role], COLOURS[role]
        within = 100 * np.asarray(of.within[layer])
        axes.plot(frequencies, within, color=colour, linewidth=1.1, clip_on=False, label=of.name)
        axes.plot(
            [limit, limit, 0.5],
            [0, height, height],
            color=colour,
            linewidth=0.6,
            linestyle=(0, (4, 3)),
        )
        axes.plot([limit], [height], "o", color=colour, markersize=3.4, markeredgewidth=0)
        below = height == min(carried) and height > LABEL
        axes.text(
            0.5,
            height - 1 if below else height + 1,
            f"{100 - height:.0f} % aliases",
            size=5.6,
            color=colour,
            ha="right",
            va="top" if below else "bottom",
            bbox={"facecolor": "white", "alpha": 0.8, "linewidth": 0, "pad": 0.4},
        )
    axes.set(xlim=(0, 0.5), ylim=(0, 100))
    axes.xaxis.set_major_locator(MaxNLocator(5))
    _labels(axes, "frequency (cycles a pixel)", "energy (%)")
    _legend(axes, "upper left" if min(carried) < LEGEND else "lower right")


def _labels(axes: Axes, across: str, up: str) -> None:
    axes.set_xlabel(across, size=6.2, color=INK, labelpad=2)
    axes.set_ylabel(up, size=6.2, color=INK, labelpad=2)


def _legend(axes: Axes, place: Literal["best", "upper left", "lower right"]) -> None:
    font = {"size": 5.6}
    axes.legend(
        loc=place,
        frameon=True,
        framealpha=0.8,
        edgecolor="none",
        handlelength=1.6,
        labelspacing=0.3,
        prop=font,
    )
