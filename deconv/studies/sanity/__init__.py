"""Sanity checks: do projections depend on what they claim to show? One exchange at a time.

`variants` makes the pictures from random `weights`, other `switches` and other `units`; `classes`
compares with mining over a single class. `similarity` compares pictures, `scores` relates that to
chance.
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
from deconv.studies.sanity.scores import kept, scores
from deconv.studies.sanity.switches import shuffled
from deconv.studies.sanity.units import OWN_PEAK, SAME_POSITION, other_units
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
    variants,
)
from deconv.studies.sanity.weights import (
    WAYS,
    choose_stops,
    layers_above,
    layers_below,
    randomised,
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
    "RULE",
    "SAME_POSITION",
    "SHARES",
    "SHUFFLED",
    "SWITCHES",
    "UNIT",
    "UNRELATED",
    "WAYS",
    "balanced",
    "choose_stops",
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
    "strongest_among",
    "variants",
]
