"""All drawing: from arrays that are already computed to figures. Nothing here runs a network.

One module a page: `top_activations` (Figure 2), `feature_evolution` (Figure 4, `animation` its
frames), `deconvnet_schematic` (Figure 1, `pool_detail` its lower panel), `architecture_boxes`
(Figure 3), `training_page` (a run while it runs); `drawing` is what they share.
"""

from deconv.figures.animation import evolution_frames, save_animation
from deconv.figures.architecture_boxes import Box, architecture_boxes
from deconv.figures.deconvnet_schematic import ImageRow, MapRow, deconvnet_schematic
from deconv.figures.drawing import (
    DPI,
    FAINT,
    FONT,
    INK,
    PERCENTILE,
    VOID,
    block,
    grey_centred,
    save,
    tile,
)
from deconv.figures.feature_evolution import Filmstrip, feature_evolution
from deconv.figures.pool_detail import PoolWindows
from deconv.figures.top_activations import Panel, top_activations
from deconv.figures.training_page import SCALES, Watched, training_page

__all__ = [
    "DPI",
    "FAINT",
    "FONT",
    "INK",
    "PERCENTILE",
    "SCALES",
    "VOID",
    "Box",
    "Filmstrip",
    "ImageRow",
    "MapRow",
    "Panel",
    "PoolWindows",
    "Watched",
    "architecture_boxes",
    "block",
    "deconvnet_schematic",
    "evolution_frames",
    "feature_evolution",
    "grey_centred",
    "save",
    "save_animation",
    "tile",
    "top_activations",
    "training_page",
]
