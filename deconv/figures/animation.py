"""Figure 4 as an animation: a frame a snapshot, projections beside their image patches."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from deconv.figures.drawing import (
    BEYOND,
    FAINT,
    INK,
    MARGIN,
    RED,
    VOID,
    axes_at,
    block,
    picture,
    text,
)
from deconv.figures.feature_evolution import MARK, Filmstrip, patch_tile, projection_tile
from deconv.figures.lettering import letter_plainly
from deconv.figures.style import own_style

FRAME_DPI = 120
HEAD, TITLE, FOOT, BETWEEN = 0.62, 0.22, 0.3, 0.16
"""Inches: epoch and timeline, a layer's title, foot, between layers."""
TILE_PX, TILE_GAP = 76, 4
GREY = (128, 128, 128)
"""Zero of a projection."""


@own_style()
def evolution_frames(
    strips: Sequence[Filmstrip], epochs: Sequence[int], width_in: float = 8.0
) -> list[np.ndarray]:
    """Draw a frame a snapshot, h×w×3 uint8, with a column of (projection, patch) pairs a layer.

    A pair is framed where the strongest image changed since the snapshot before.
    """
    return [_frame(strips, epochs, index, width_in) for index in range(len(epochs))]


def _frame(
    strips: Sequence[Filmstrip], epochs: Sequence[int], index: int, width_in: float
) -> np.ndarray:
    width = (width_in - 2 * MARGIN - (len(strips) - 1) * BETWEEN) / len(strips)
    blocks = [_pairs(strip, index) for strip in strips]
    tall = max(b.shape[0] / b.shape[1] for b in blocks) * width
    figure = Figure(
        figsize=(width_in, HEAD + TITLE + tall + FOOT), facecolor="white", dpi=FRAME_DPI
    )
    text(figure, MARGIN, 0.16, f"Epoch {epochs[index]}", 13, INK, weight="bold")
    _timeline(figure, epochs, index, width_in)
    for column, (strip, pixels) in enumerate(zip(strips, blocks, strict=True)):
        left = MARGIN + column * (width + BETWEEN)
        text(figure, left, HEAD, strip.title, 8.5, INK, weight="bold")
        height = pixels.shape[0] / pixels.shape[1] * width
        picture(figure, pixels, left, HEAD + TITLE, width, height)
    words = "left: strongest activation, painted; right: its image patch; framed: another image"
    text(figure, MARGIN, HEAD + TITLE + tall + 0.1, words, 6.2, FAINT)
    letter_plainly(figure)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., :3].copy()


def _pairs(strip: Filmstrip, index: int) -> np.ndarray:
    """Lay out a layer at one snapshot: one row per map, its projection and patch."""
    tiles = [
        make(strip, row, index, TILE_PX)
        for row in range(len(strip.maps))
        for make in (projection_tile, patch_tile)
    ]
    out = block(tiles, 2, TILE_GAP)
    step = TILE_PX + TILE_GAP
    for row in np.flatnonzero(strip.jumped[:, index]):
        around = out[row * step : (row + 1) * step + TILE_GAP]
        within = around[TILE_GAP:-TILE_GAP, TILE_GAP:-TILE_GAP].copy()
        around[1:-1, 1:-1] = MARK
        around[TILE_GAP:-TILE_GAP, TILE_GAP:-TILE_GAP] = within
    return out


def _timeline(figure: Figure, epochs: Sequence[int], index: int, width_in: float) -> None:
    """Draw the epochs on a line, equally spaced, the present one marked."""
    left = MARGIN + 1.6
    axes = axes_at(figure, left, 0.2, width_in - MARGIN - left, 0.12)
    axes.plot([0, len(epochs) - 1], [0, 0], color=FAINT, linewidth=0.6, zorder=0)
    axes.plot(range(len(epochs)), np.zeros(len(epochs)), "o", color=FAINT, markersize=2.5)
    axes.plot([index], [0], "o", color=RED, markersize=5.5, clip_on=False)
    axes.set(xlim=(-0.3, len(epochs) - 0.7), ylim=(-1, 1))
    axes.set_axis_off()
    step = (width_in - MARGIN - left) / (len(epochs) - 0.4)
    for i, epoch in enumerate(epochs):
        style = {"weight": "bold"} if i == index else {}
        color = INK if i == index else FAINT
        text(figure, left + (i + 0.3) * step, 0.36, str(epoch), 6.2, color, ha="center", **style)


def save_animation(
    frames: Sequence[np.ndarray], path: Path, seconds: float = 1.2, last_seconds: float = 3.0
) -> None:
    """Write frames (h×w×3 uint8, one size) as a looping GIF, deterministically.

    A common palette keeps still areas from flickering.
    """
    palette = _palette(Image.fromarray(np.concatenate(frames)))
    first, *others = (
        Image.fromarray(frame).quantize(palette=palette, dither=Image.Dither.FLOYDSTEINBERG)
        for frame in frames
    )
    times = [round(1000 * seconds)] * len(others) + [round(1000 * last_seconds)]
    first.save(
        path,
        format="GIF",
        save_all=True,
        append_images=others,
        duration=times,
        loop=0,
        optimize=False,
        disposal=1,
    )


def _palette(pixels: Image.Image) -> Image.Image:
    """Make a palette for `pixels` that holds the colours of flat areas exactly."""
    exact = [
        channel for colour in ((255, 255, 255), VOID, BEYOND, MARK, GREY) for channel in colour
    ]
    free = 256 - len(exact) // 3
    common = pixels.quantize(free, method=Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)
    out = Image.new("P", (1, 1))
    colours = (common.getpalette() or [])[: 3 * free]
    out.putpalette(exact + colours + exact[:3] * (free - len(colours) // 3))
    return out
