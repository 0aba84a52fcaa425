"""First-layer filters and others as pictures, and what a change of the input does to them."""

from deconv.studies.first_layers.input_change import (
    CHANGES,
    Change,
    changed,
    entry,
    make_change,
    same_response,
)
from deconv.studies.first_layers.pictures import (
    RULES,
    LayerFilters,
    ends,
    intensities,
    layer_filters,
    pictures,
    showable,
)

__all__ = [
    "CHANGES",
    "RULES",
    "Change",
    "LayerFilters",
    "changed",
    "ends",
    "entry",
    "intensities",
    "layer_filters",
    "make_change",
    "pictures",
    "same_response",
    "showable",
]
