"""All drawing: from arrays that are already computed to figures. Nothing here runs a network.

One module a page, named as the experiment that shows it; `animation` draws Figure 4's frames,
`training_page` a run while it runs; `drawing` is what they share, `style` what all are drawn in.
"""

# isort: off
from deconv.figures.style import Look, look, own_style  # before anything else imports matplotlib
# isort: on

from deconv.figures.accuracy_curves import (
    AccuracyLine,
    AccuracyPanel,
    accuracy_curves,
    accuracy_panel,
)
from deconv.figures.adaptive_deconv import CodedLayer, adaptive_deconv
from deconv.figures.animation import evolution_frames, save_animation
from deconv.figures.architecture_boxes import Box, architecture_boxes
from deconv.figures.contrast_normalisation import NumberRow, contrast_normalisation
from deconv.figures.correspondence import DeltaPanel, DeltaRow, MaskedFaces, correspondence
from deconv.figures.deconvnet_schematic import ImageRow, MapRow, deconvnet_schematic
from deconv.figures.drawing import (
    FAINT,
    INK,
    VOID,
    Page,
    block,
    grey_centred,
    save,
    tile,
)
from deconv.figures.error_changes import ErrorChanges, error_changes
from deconv.figures.feature_evolution import Filmstrip, feature_evolution
from deconv.figures.feature_maps import (
    LayerMaps,
    MappedImage,
    SparsityPanel,
    feature_maps,
    shared_boxes,
)
from deconv.figures.filters import FilterGrid, RuleRow, filters
from deconv.figures.first_layers import FirstLayers, first_layers
from deconv.figures.hessian_invariance import UnitWalks, hessian_invariance
from deconv.figures.image_crops import UnitCrops, image_crops
from deconv.figures.invariance import IMAGE_COLOURS, TransformRow, invariance
from deconv.figures.localisation import BoxedExamples, SharePanel, localisation
from deconv.figures.max_activation import UnitOptima, max_activation
from deconv.figures.occlusion import OcclusionRow, occlusion, shorten
from deconv.figures.one_unit import one_unit
from deconv.figures.pool_detail import PoolWindows
from deconv.figures.sanity import Section, SimilarityPanel, Tile, TileGroup, sanity
from deconv.figures.top_activations import Panel, top_activations
from deconv.figures.training_page import SCALES, Watched, training_page
from deconv.pixels import PERCENTILE

__all__ = [
    "FAINT",
    "IMAGE_COLOURS",
    "INK",
    "PERCENTILE",
    "SCALES",
    "VOID",
    "AccuracyLine",
    "AccuracyPanel",
    "Box",
    "BoxedExamples",
    "CodedLayer",
    "DeltaPanel",
    "DeltaRow",
    "ErrorChanges",
    "Filmstrip",
    "FilterGrid",
    "FirstLayers",
    "ImageRow",
    "LayerMaps",
    "Look",
    "MapRow",
    "MappedImage",
    "MaskedFaces",
    "NumberRow",
    "OcclusionRow",
    "Page",
    "Panel",
    "PoolWindows",
    "RuleRow",
    "Section",
    "SharePanel",
    "SimilarityPanel",
    "SparsityPanel",
    "Tile",
    "TileGroup",
    "TransformRow",
    "UnitCrops",
    "UnitOptima",
    "UnitWalks",
    "Watched",
    "accuracy_curves",
    "accuracy_panel",
    "adaptive_deconv",
    "architecture_boxes",
    "block",
    "contrast_normalisation",
    "correspondence",
    "deconvnet_schematic",
    "error_changes",
    "evolution_frames",
    "feature_evolution",
    "feature_maps",
    "filters",
    "first_layers",
    "grey_centred",
    "hessian_invariance",
    "image_crops",
    "invariance",
    "localisation",
    "look",
    "max_activation",
    "occlusion",
    "one_unit",
    "own_style",
    "sanity",
    "save",
    "save_animation",
    "shared_boxes",
    "shorten",
    "tile",
    "top_activations",
    "training_page",
]
