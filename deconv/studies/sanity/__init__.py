"""Do deconvnet pictures depend on what they claim to show? One thing exchanged at a time.

`variants` makes the pictures, from `weights` (random ones), `switches` and `units` (others);
`classes` asks what mining over a single class would show. `similarity` compares, `scores` says how
much that is.
"""

from deconv.studies.sanity.classes import (
    ANOTHER_CLASS,
    ANOTHER_MAP,
    FAVOURED,
    HALVES_OVER_CLASS,
    MINING,
    OF_NINE,
    OTHER_HALF,
    SHARES,
    balanced,
    favoured,
    favoured_by_chance,
    mean_picture,
    strongest_among,
)
from deconv.studies.sanity.scores import cut, kept, scores
from deconv.studies.sanity.switches import shuffled, shuffled_switches
from deconv.studies.sanity.units import OWN_PEAK, PLACES, SAME_POSITION, other_units
from deconv.studies.sanity.variants import (
    ABOVE,
    ALL_ABOVE,
    CASCADE,
    CHANCE,
    COLLISION,
    INDEPENDENT,
    ORIGINAL,
    OTHER_IMAGE,
    RULE,
    SHUFFLED,
    SWITCHES,
    UNIT,
    UNRELATED,
    Variant,
    variants,
)
from deconv.studies.sanity.weights import (
    WAYS,
    layers_above,
    layers_below,
    randomised,
    spread_evenly,
)

__all__ = [
    "ABOVE",
    "ALL_ABOVE",
    "ANOTHER_CLASS",
    "ANOTHER_MAP",
    "CASCADE",
    "CHANCE",
    "COLLISION",
    "FAVOURED",
    "HALVES_OVER_CLASS",
    "INDEPENDENT",
    "MINING",
    "OF_NINE",
    "ORIGINAL",
    "OTHER_HALF",
    "OTHER_IMAGE",
    "OWN_PEAK",
    "PLACES",
    "RULE",
    "SAME_POSITION",
    "SHARES",
    "SHUFFLED",
    "SWITCHES",
    "UNIT",
    "UNRELATED",
    "WAYS",
    "Variant",
    "balanced",
    "cut",
    "favoured",
    "favoured_by_chance",
    "kept",
    "layers_above",
    "layers_below",
    "mean_picture",
    "other_units",
    "randomised",
    "scores",
    "shuffled",
    "shuffled_switches",
    "spread_evenly",
    "strongest_among",
    "variants",
]
