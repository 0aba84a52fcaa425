"""The image patches that excite a unit most, each above its whole image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from deconv.figures.drawing import FAINT, INK, MARGIN, RED, axes_at, picture, text, tile
from deconv.figures.style import PAGE_IN, page
from deconv.figures.unit_page import TILE_PX, per_row, unit_page, upright


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


@page(least_in=5.2)
def image_crops(
    crops: UnitCrops, title: str, note: str, caption: str, width_in: float = PAGE_IN
) -> Figure:
    """Draw the crops, and below each its image with the receptive field framed."""
    count = len(crops.patch)
    most = per_row(width_in)
    rows, columns = -(-count // most), min(count, most)
    side = min(1.2, (width_in - 2 * MARGIN - (columns - 1) * 0.06) / columns)
    figure, top = unit_page(width_in, rows * (2 * side + 0.42) + 0.06, title, note, caption)
    for i in range(count):
        row, column = divmod(i, most)
        left, down = MARGIN + column * (side + 0.06), top + row * (2 * side + 0.42)
        text(figure, left, down - 0.01, f"{crops.value[i]:.3g}", 5.6, INK)
        text(figure, left + side, down - 0.01, f"image {crops.image[i]}", 5.0, FAINT, ha="right")
        shown = tile(upright(crops.patch[i]), crops.inside[i], TILE_PX)
        picture(figure, shown, left, down + 0.1, side, side)
        if crops.picture is not None:
            _boxed(figure, crops.picture[i], crops.box[i], left, down + side + 0.16, side)
    return figure


def _boxed(
    figure: Figure, pixels: np.ndarray, box: Sequence[int], left: float, top: float, side: float
) -> None:
    axes = axes_at(figure, left, top, side, side, label="image")
    axes.imshow(upright(pixels), interpolation="bilinear", aspect="auto")
    y, x, bottom, right = (float(edge) - 0.5 for edge in box)
    for color, width in (("white", 1.6), (RED, 0.8)):
        frame = Rectangle((x, y), right - x, bottom - y, fill=False, edgecolor=color, lw=width)
        axes.add_patch(frame)
    axes.set_axis_off()
