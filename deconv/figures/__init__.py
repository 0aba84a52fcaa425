"""All drawing: from arrays that are already computed to figures. Nothing here runs a network.

One module a page: `top_activations` (Figure 2), `feature_evolution` (Figure 4, `animation` its
frames), `error_changes` (Table 3), `training_page` (a run while it runs); `drawing` is what they
share.
"""

from deconv.figures.animation import evolution_frames, save_animation
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
from deconv.figures.error_changes import ErrorChanges, error_changes
from deconv.figures.feature_evolution import Filmstrip, feature_evolution
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
    "ErrorChanges",
    "Filmstrip",
    "Panel",
    "Watched",
    "block",
    "error_changes",
    "evolution_frames",
    "feature_evolution",
    "grey_centred",
    "save",
    "save_animation",
    "tile",
    "top_activations",
    "training_page",
]
