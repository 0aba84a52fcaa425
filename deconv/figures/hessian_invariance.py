"""A unit's invariances at its best image: filmstrips of walks on the sphere, and activations."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from deconv.figures.drawing import (
    BLUE,
    FAINT,
    HAIR,
    INK,
    MARGIN,
    RED,
    axes_at,
    label_in,
    picture,
    quiet,
    text,
    tile,
)
from deconv.figures.style import PAGE_IN, page
from deconv.figures.unit_page import TILE_PX, axis_words, unit_page, upright


@dataclass(frozen=True)
class UnitWalks:
    """Walks from the best image along 2·count directions, most invariant first.

    frames: D×F×3×h×w uint8 at frame_deg (F). curves: D×A activations at angles_deg (A). random:
    R×A, along random directions. second_derivative: D. fall_deg: D, NaN where the activation never
    falls. flat: whether the Hessian is zero and the directions therefore arbitrary.
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


@page(least_in=5.2)
def hessian_invariance(
    walks: UnitWalks, title: str, note: str, caption: str, width_in: float = PAGE_IN
) -> Figure:
    """Draw filmstrips along the most and least invariant directions beside the walks' curves."""
    strip = STRIP_SHARE * (width_in - 2 * MARGIN)
    height = max(strip_height(walks, strip), LEAST_CURVES)
    figure, top = unit_page(width_in, height + 0.15, title, note, caption)
    strips(figure, walks, MARGIN, top, strip, full=True)
    rest = width_in - 2 * MARGIN - strip - 0.57
    walk_curves(figure, walks, MARGIN + strip + 0.55, top, rest, min(height, 3.2) - 0.1)
    return figure


STRIP_SHARE = 0.672
"""Of the width inside the margins, that filmstrips take beside the curves."""
LEAST_CURVES = 2.2
"""Inches of the curves' height, also beside fewer filmstrips."""
STRIP_LABEL, FRAME_GAP, ROW_LABEL = 0.16, 0.03, 0.14


def _frame_side(walks: UnitWalks, width: float) -> float:
    frames = walks.frames.shape[1]
    return (width - (frames - 1) * FRAME_GAP) / frames


def strip_height(walks: UnitWalks, width: float) -> float:
    return STRIP_LABEL + len(walks.frames) * (_frame_side(walks, width) + ROW_LABEL)


def strips(
    figure: Figure, walks: UnitWalks, left: float, top: float, width: float, full: bool = False
) -> None:
    side = _frame_side(walks, width)
    for j, angle in enumerate(walks.frame_deg):
        middle = left + j * (side + FRAME_GAP) + side / 2
        text(figure, middle, top, _signed(angle) + "°" if angle else "x⁺", 5.6, FAINT, ha="center")
    for i, frames in enumerate(walks.frames):
        down = top + STRIP_LABEL + i * (side + ROW_LABEL)
        label_in(figure, left, left + width, down, _name(walks, i, full), 5.6, _color(walks, i))
        for j, frame in enumerate(frames):
            shown = tile(upright(frame), None, TILE_PX)
            across = left + j * (side + FRAME_GAP)
            picture(figure, shown, across, down + ROW_LABEL - 0.03, side, side)


def _name(walks: UnitWalks, row: int, full: bool) -> str:
    """Describe a direction, above its filmstrip."""
    fall = walks.fall_deg[row]
    far = (
        f"falls by a fifth within {fall:.0f}°"
        if np.isfinite(fall)
        else f"no fall by a fifth within {walks.angles_deg[-1]:.0f}°"
    )
    if walks.flat:
        return f"arbitrary direction (the Hessian is zero): {far}"
    most = row < walks.count
    rank = row + 1 if most else len(walks.frames) - row
    kind = "most" if most else "least"
    order = "" if rank == 1 else f"{_ORDINALS[rank]} "
    curvature = (
        f"; second derivative {_signed(walks.second_derivative[row])} per rad²" if full else ""
    )
    return f"{order}{kind} invariant: {far}{curvature}"


_ORDINALS = {2: "second", 3: "third", 4: "fourth", 5: "fifth", 6: "sixth"}


def _signed(value: float) -> str:
    """Format with a sign, from 10 on as a whole number, the minus as wide as the plus."""
    return (f"{value:+,.0f}" if abs(value) >= 10 else f"{value:+.2g}").replace("-", "−")


def _color(walks: UnitWalks, row: int) -> str:
    if walks.flat:
        return INK
    return BLUE if row < walks.count else RED


def walk_curves(
    figure: Figure, walks: UnitWalks, left: float, top: float, width: float, height: float
) -> None:
    axes = axes_at(figure, left, top + 0.14, width, height - 0.14, label="walks")
    quiet(axes)
    for i, one in enumerate(walks.random):
        label = "random directions" if i == 0 else None
        axes.plot(walks.angles_deg, one, color=HAIR, lw=0.9, label=label)
    for i, one in enumerate(walks.curves):
        kind = "most invariant" if i < walks.count else "least invariant"
        if walks.flat:
            kind = "arbitrary"
        extreme = i in (0, len(walks.curves) - 1)
        name = kind if extreme and not (walks.flat and i) else None
        width = 1.2 if extreme else 0.7
        axes.plot(walks.angles_deg, one, color=_color(walks, i), lw=width, label=name)
    axes.set_xlim(walks.angles_deg[0], walks.angles_deg[-1])
    low, high = axes.get_ylim()
    axes.set_ylim(low, high + 0.3 * (high - low))
    axes.legend(
        loc="upper center", fontsize=5.8, frameon=False, borderaxespad=0.1, labelspacing=0.25
    )
    axis_words(axes, "angle from x⁺ in degrees", "activation along the walk")
