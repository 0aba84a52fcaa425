"""Four visualisations of one unit: image crops, projections, maximising images, invariances."""

from __future__ import annotations

import numpy as np
from matplotlib.figure import Figure

from deconv.figures.drawing import (
    FAINT,
    INK,
    MARGIN,
    block,
    label_in,
    patch_tiles,
    picture,
    projection_tiles,
    text,
    tile,
)
from deconv.figures.hessian_invariance import (
    LEAST_CURVES,
    STRIP_SHARE,
    UnitWalks,
    strip_height,
    strips,
    walk_curves,
)
from deconv.figures.image_crops import UnitCrops
from deconv.figures.lettering import LEAST_SHARE, fitted, words_width
from deconv.figures.max_activation import UnitOptima
from deconv.figures.style import PAGE_IN, page
from deconv.figures.unit_page import TILE_PX, unit_page, upright

TILE_GAP = 3
GAP = 0.22
"""Inches between columns."""


@page(least_in=5.2)
def one_unit(
    crops: UnitCrops,
    optima: UnitOptima,
    walks: UnitWalks,
    title: str,
    note: str,
    caption: str,
    width_in: float = PAGE_IN,
) -> Figure:
    """Draw three blocks of pictures side by side and the walks below them."""
    side = (width_in - 2 * MARGIN - 2 * GAP) / 3
    strip = STRIP_SHARE * (width_in - 2 * MARGIN)
    height = max(strip_height(walks, strip), LEAST_CURVES)
    figure, top = unit_page(width_in, side + 0.64 + height + 0.22, title, note, caption)
    patches = patch_tiles(crops.patch, crops.inside, TILE_PX)
    projections = projection_tiles(crops.projection, crops.inside, TILE_PX)
    images = [tile(upright(p), None, TILE_PX) for p in optima.picture]
    blocks = (
        ("Image crops", "Donahue et al. 2013", patches),
        ("Deconvnet", "Zeiler & Fergus, same peaks", projections),
        ("Maximising images", "Erhan et al. 2009", images),
    )
    for i, (name, source, tiles) in enumerate(blocks):
        left = MARGIN + i * (side + GAP)
        heading(figure, left, left + side, top, f"{'abc'[i]}  {name}", source)
        shown = block(tiles, int(np.ceil(np.sqrt(len(tiles)))), TILE_GAP)
        tall = side * shown.shape[0] / shown.shape[1]
        picture(figure, shown, left, top + 0.2, side, tall)
    down = top + side + 0.42
    right = MARGIN + strip
    heading(figure, MARGIN, right, down, "d  Invariances", "Berkes & Wiskott 2006, Le et al. 2010")
    strips(figure, walks, MARGIN, down + 0.22, strip)
    rest = width_in - 2 * MARGIN - strip - 0.57
    walk_curves(figure, walks, MARGIN + strip + 0.55, down + 0.22, rest, min(height, 3.2) - 0.1)
    return figure


def heading(figure: Figure, left: float, right: float, top: float, name: str, source: str) -> None:
    """Write a block's name and, where there is room, who introduced it."""
    name, size = fitted(name, 8.2, right - left, "bold")
    text(figure, left, top, name, size, INK, weight="bold")
    start = left + words_width(name, size, "bold") + 0.06
    if words_width(source, LEAST_SHARE * 6.0) <= right - start:
        label_in(figure, start, right, top + 0.022, source, 6.0, FAINT, ha="right")
