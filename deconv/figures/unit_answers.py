"""What one unit looks for: crops, projections, maximising images and walks along the sphere.

A page for each of three answers, and the page that puts all four side by side.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from deconv.figures.drawing import (
    BLUE,
    CAPTION_LINE,
    FAINT,
    HAIR,
    INK,
    MARGIN,
    RED,
    axes_at,
    block,
    caption_lines,
    draw_caption,
    grey_centred,
    picture,
    quiet,
    text,
    tile,
)


@dataclass(frozen=True)
class UnitCrops:
    """A map's k peaks. patch: k×3×R×S uint8; projection: k×3×R×S float; inside: k×R×S bool.

    value, image: k; box: k×4 in the image. picture: k×3×H×W uint8, the whole images, or None.
    """

    patch: np.ndarray
    projection: np.ndarray
    inside: np.ndarray
    value: np.ndarray
    box: np.ndarray
    image: np.ndarray
    picture: np.ndarray | None


@dataclass(frozen=True)
class UnitOptima:
    """Maximising images of K starts, strongest first.

    picture: K×3×h×w uint8. activation: K. path: K×(steps+1). agreement: K×K correlations.
    """

    picture: np.ndarray
    activation: np.ndarray
    path: np.ndarray
    agreement: np.ndarray


@dataclass(frozen=True)
class UnitWalks:
    """Walks from the best image along 2·count directions, most invariant first.

    frames: D×F×3×h×w uint8 at frame_deg (F). curves: D×A activations at angles_deg (A). random:
    R×A, of random directions. second_derivative, fall_deg: D, NaN where it never falls. flat: the
    Hessian is zero and the directions are arbitrary.
    """

    frames: np.ndarray
    frame_deg: np.ndarray
    angles_deg: np.ndarray
    curves: np.ndarray
    random: np.ndarray
    second_derivative: np.ndarray
    fall_deg: np.ndarray
    count: int
    flat: bool


TILE_PX, TILE_GAP = 160, 3
WIDTH_IN = 8.0
HEAD, GAP = 0.36, 0.22
"""Inches: from the title to what it heads, and between columns."""
PER_ROW = 9


def image_crops(crops: UnitCrops, title: str, note: str, caption: str) -> Figure:
    """The crops alone, and below each the image that it comes from with the receptive field."""
    count = len(crops.patch)
    rows = -(-count // PER_ROW)
    columns = min(count, PER_ROW)
    side = min(1.2, (WIDTH_IN - 2 * MARGIN - (columns - 1) * 0.06) / columns)
    figure, top, lines = _page(rows * (2 * side + 0.42) + 0.06, title, note, caption)
    for i in range(count):
        row, column = divmod(i, PER_ROW)
        left, down = MARGIN + column * (side + 0.06), top + row * (2 * side + 0.42)
        text(figure, left, down - 0.01, f"{crops.value[i]:.3g}", 5.6, INK)
        text(figure, left + side, down - 0.01, f"image {crops.image[i]}", 5.0, FAINT, ha="right")
        shown = tile(_upright(crops.patch[i]), crops.inside[i], TILE_PX)
        picture(figure, shown, left, down + 0.1, side, side)
        if crops.picture is not None:
            _boxed(figure, crops.picture[i], crops.box[i], left, down + side + 0.16, side)
    draw_caption(figure, lines, top + rows * (2 * side + 0.42) + 0.06)
    return figure


def max_activation(optima: UnitOptima, title: str, note: str, caption: str) -> Figure:
    """The maximising images, the way of the activation per start, how far the starts agree."""
    count = len(optima.picture)
    columns = min(count, PER_ROW)
    rows = -(-count // PER_ROW)
    side = min(1.2, (WIDTH_IN - 2 * MARGIN - (columns - 1) * 0.06) / columns)
    plots = 2.0
    figure, top, lines = _page(rows * (side + 0.2) + plots + 0.85, title, note, caption)
    for i in range(count):
        row, column = divmod(i, PER_ROW)
        left, down = MARGIN + column * (side + 0.06), top + row * (side + 0.2)
        text(figure, left, down - 0.01, f"{optima.activation[i]:.3g}", 5.6, INK)
        shown = tile(_upright(optima.picture[i]), None, 2 * TILE_PX)
        picture(figure, shown, left, down + 0.1, side, side)
    down = top + rows * (side + 0.2) + 0.4
    _paths(figure, optima, MARGIN + 0.35, down, 3.9, plots)
    _matrix(figure, optima, MARGIN + 5.1, down, plots)
    draw_caption(figure, lines, down + plots + 0.45)
    return figure


def hessian_invariance(walks: UnitWalks, title: str, note: str, caption: str) -> Figure:
    """Filmstrips along the most and least invariant directions above the curves of all walks."""
    strip = 5.0
    height = _strip_height(walks, strip)
    figure, top, lines = _page(max(height, 2.3) + 0.15, title, note, caption)
    _strips(figure, walks, MARGIN, top, strip, full=True)
    _walk_curves(figure, walks, MARGIN + strip + 0.55, top, 1.82, min(height, 2.6) - 0.1)
    draw_caption(figure, lines, top + max(height, 2.3) + 0.15)
    return figure


def one_unit(
    crops: UnitCrops, optima: UnitOptima, walks: UnitWalks, title: str, note: str, caption: str
) -> Figure:
    """The four answers: three blocks of pictures beside each other, the walks below them."""
    side = (WIDTH_IN - 2 * MARGIN - 2 * GAP) / 3
    strip = 5.0
    height = _strip_height(walks, strip)
    figure, top, lines = _page(side + 0.64 + max(height, 2.2) + 0.12, title, note, caption)
    masks = crops.inside
    blocks = (
        ("Image crops", "Donahue et al. 2013",
         [tile(_upright(p), m, TILE_PX) for p, m in zip(crops.patch, masks, strict=True)]),
        ("Deconvnet", "Zeiler & Fergus, same peaks",
         [tile(grey_centred(p), m, TILE_PX) for p, m in zip(crops.projection, masks, strict=True)]),
        ("Maximising images", "Erhan et al. 2009",
         [tile(_upright(p), None, TILE_PX) for p in optima.picture]),
    )  # fmt: skip
    for i, (name, source, tiles) in enumerate(blocks):
        left = MARGIN + i * (side + GAP)
        _heading(figure, left, left + side, top, f"{'abc'[i]}  {name}", source)
        shown = block(tiles, int(np.ceil(np.sqrt(len(tiles)))), TILE_GAP)
        tall = side * shown.shape[0] / shown.shape[1]
        picture(figure, shown, left, top + 0.2, side, tall)
    down = top + side + 0.42
    right = MARGIN + strip
    _heading(figure, MARGIN, right, down, "d  Invariances", "Berkes & Wiskott 2006, Le et al. 2010")
    _strips(figure, walks, MARGIN, down + 0.22, strip)
    _walk_curves(figure, walks, MARGIN + strip + 0.55, down + 0.22, 1.82, min(height, 2.6) - 0.1)
    draw_caption(figure, lines, down + 0.22 + max(height, 2.2) + 0.12)
    return figure


# Parts of the pages


def _page(body: float, title: str, note: str, caption: str) -> tuple[Figure, float, list[str]]:
    """(figure, inches to the top of the body, lines of the caption)."""
    lines = caption_lines(caption, WIDTH_IN)
    height = 0.2 + HEAD + body + CAPTION_LINE * len(lines) + 0.2
    figure = Figure(figsize=(WIDTH_IN, height), facecolor="white")
    text(figure, MARGIN, 0.2, title, 10.5, INK, weight="bold")
    text(figure, WIDTH_IN - MARGIN, 0.222, note, 6.2, FAINT, ha="right")
    return figure, 0.2 + HEAD, lines


def _heading(figure: Figure, left: float, right: float, top: float, name: str, source: str) -> None:
    text(figure, left, top, name, 8.2, INK, weight="bold")
    text(figure, right, top + 0.022, source, 6.0, FAINT, ha="right")


def _upright(pixels: np.ndarray) -> np.ndarray:
    return pixels.transpose(1, 2, 0)


def _boxed(
    figure: Figure, pixels: np.ndarray, box: Sequence[int], left: float, top: float, side: float
) -> None:
    axes = axes_at(figure, left, top, side, side, label="image")
    axes.imshow(_upright(pixels), interpolation="bilinear", aspect="auto")
    y, x, bottom, right = (float(edge) - 0.5 for edge in box)
    for color, width in (("white", 1.6), (RED, 0.8)):
        frame = Rectangle((x, y), right - x, bottom - y, fill=False, edgecolor=color, lw=width)
        axes.add_patch(frame)
    axes.set_axis_off()


def _axis_words(axes: Axes, below: str, above: str) -> None:
    axes.set_xlabel(below, size=6.2, color=INK, labelpad=2)
    axes.set_title(above, size=6.6, color=INK, loc="left", pad=4)


def _paths(
    figure: Figure, optima: UnitOptima, left: float, top: float, width: float, height: float
) -> None:
    axes = axes_at(figure, left, top, width, height, label="paths")
    quiet(axes)
    for path in optima.path[1:]:
        axes.plot(path, color=FAINT, lw=0.6, alpha=0.7)
    axes.plot(optima.path[0], color=BLUE, lw=1.2, label="the strongest start")
    axes.set_xlim(0, optima.path.shape[1] - 1)
    axes.legend(loc="lower right", fontsize=5.8, frameon=False)
    _axis_words(axes, "step", "the unit, before its rectification, on the way up")


def _matrix(figure: Figure, optima: UnitOptima, left: float, top: float, side: float) -> None:
    axes = axes_at(figure, left, top, side, side, label="agreement")
    count = len(optima.agreement)
    axes.imshow(optima.agreement, cmap="PuOr_r", vmin=-1, vmax=1, interpolation="nearest")
    if count <= 10:
        for i, j in np.ndindex(count, count):
            value = optima.agreement[i, j]
            color = "white" if abs(value) > 0.6 else INK
            axes.text(j, i, f"{value:.2f}", size=5, color=color, ha="center", va="center")
    axes.set_xticks([])
    axes.set_yticks([])
    axes.set_title("correlation of the images, start by start", size=6.6, color=INK, loc="left",
                   pad=4)  # fmt: skip


STRIP_LABEL, FRAME_GAP, ROW_LABEL = 0.16, 0.03, 0.14


def _frame_side(walks: UnitWalks, width: float) -> float:
    frames = walks.frames.shape[1]
    return (width - (frames - 1) * FRAME_GAP) / frames


def _strip_height(walks: UnitWalks, width: float) -> float:
    return STRIP_LABEL + len(walks.frames) * (_frame_side(walks, width) + ROW_LABEL)


def _strips(
    figure: Figure, walks: UnitWalks, left: float, top: float, width: float, full: bool = False
) -> None:
    side = _frame_side(walks, width)
    for j, angle in enumerate(walks.frame_deg):
        middle = left + j * (side + FRAME_GAP) + side / 2
        text(figure, middle, top, f"{angle:+.0f}°" if angle else "x⁺", 5.6, FAINT, ha="center")
    for i, frames in enumerate(walks.frames):
        down = top + STRIP_LABEL + i * (side + ROW_LABEL)
        text(figure, left, down, _name(walks, i, full), 5.6, _color(walks, i))
        for j, frame in enumerate(frames):
            shown = tile(_upright(frame), None, TILE_PX)
            across = left + j * (side + FRAME_GAP)
            picture(figure, shown, across, down + ROW_LABEL - 0.03, side, side)


def _name(walks: UnitWalks, row: int, full: bool) -> str:
    """The words over a filmstrip."""
    fall = walks.fall_deg[row]
    far = f"falls by a fifth within {fall:.0f}°" if np.isfinite(fall) else "never falls by a fifth"
    if walks.flat:
        return f"arbitrary direction (the Hessian is zero): {far}"
    most = row < walks.count
    rank = row + 1 if most else len(walks.frames) - row
    kind = "most" if most else "least"
    order = "" if rank == 1 else f"{_ORDINALS[rank]} "
    curvature = f"; second derivative {walks.second_derivative[row]:+.3g} per rad²" if full else ""
    return f"{order}{kind} invariant: {far}{curvature}"


_ORDINALS = {2: "second", 3: "third", 4: "fourth", 5: "fifth", 6: "sixth"}


def _kind(walks: UnitWalks, row: int) -> str:
    return "most invariant" if row < walks.count else "least invariant"


def _color(walks: UnitWalks, row: int) -> str:
    if walks.flat:
        return INK
    return BLUE if row < walks.count else RED


def _walk_curves(
    figure: Figure, walks: UnitWalks, left: float, top: float, width: float, height: float
) -> None:
    axes = axes_at(figure, left, top + 0.14, width, height - 0.14, label="walks")
    quiet(axes)
    for i, one in enumerate(walks.random):
        label = "random directions" if i == 0 else None
        axes.plot(walks.angles_deg, one, color=HAIR, lw=0.9, label=label)
    named = set()
    for i, one in enumerate(walks.curves):
        kind = "arbitrary" if walks.flat else _kind(walks, i)
        first = i in (0, len(walks.curves) - 1)
        axes.plot(
            walks.angles_deg, one, color=_color(walks, i), lw=1.2 if first else 0.7,
            label=None if kind in named else kind,
        )  # fmt: skip
        named.add(kind)
    axes.set_xlim(walks.angles_deg[0], walks.angles_deg[-1])
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.3 * (high - low))
    axes.legend(loc="upper center", fontsize=5.4, frameon=False, ncols=1, borderaxespad=0.1,
                labelspacing=0.25)  # fmt: skip
    _axis_words(axes, "angle from x⁺ in degrees", "activation along the walk")
