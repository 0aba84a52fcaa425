"""Do deconvnet pictures depend on what they claim to show? One thing exchanged at a time.

`variants` makes the pictures, from `weights` (random ones), `switches` and `units` (others);
`classes` asks what mining over a single class would show. `deconv.similarity` compares.
"""

from deconv.sanity.classes import (
    balanced,
    favoured,
    favoured_by_chance,
    mean_picture,
    strongest_among,
)
from deconv.sanity.switches import shuffled, shuffled_switches
from deconv.sanity.units import OWN_PEAK, PLACES, SAME_POSITION, other_units
from deconv.sanity.variants import (
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
from deconv.sanity.weights import WAYS, layers_above, layers_below, randomised, spread_evenly

__all__ = [
    "ABOVE",
    "ALL_ABOVE",
    "CASCADE",
    "CHANCE",
    "COLLISION",
    "INDEPENDENT",
    "ORIGINAL",
    "OTHER_IMAGE",
    "OWN_PEAK",
    "PLACES",
    "RULE",
    "SAME_POSITION",
    "SHUFFLED",
    "SWITCHES",
    "UNIT",
    "UNRELATED",
    "WAYS",
    "Variant",
    "balanced",
    "favoured",
    "favoured_by_chance",
    "layers_above",
    "layers_below",
    "mean_picture",
    "other_units",
    "randomised",
    "shuffled",
    "shuffled_switches",
    "spread_evenly",
    "strongest_among",
    "variants",
]
