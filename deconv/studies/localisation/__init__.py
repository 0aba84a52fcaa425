"""Localisation of projections: their energy inside ground-truth boxes, compared with chance.

The paper judges by eye that projections show what a unit responds to (§4, Fig. 2); the boxes of
objects and parts in the built-in scenes make it measurable. `boxes` scores one projection, `scores`
maps, `summary` layers; `examples` collects pictures.
"""

from deconv.studies.localisation.boxes import (
    Located,
    Truth,
    area_share,
    energy_share,
    in_crop,
    locate,
    truth_of,
    union,
)
from deconv.studies.localisation.examples import boxed_examples
from deconv.studies.localisation.scores import (
    CHANCE,
    OWN,
    RANDOM,
    excesses,
    locate_peaks,
    other_units,
    preferred_part,
    score,
    score_maps,
)
from deconv.studies.localisation.summary import (
    GROUPS,
    TRAINED,
    UNTRAINED,
    WHAT,
    grouped,
    map_rows,
    summarise,
)

__all__ = [
    "CHANCE",
    "GROUPS",
    "OWN",
    "RANDOM",
    "TRAINED",
    "UNTRAINED",
    "WHAT",
    "Located",
    "Truth",
    "area_share",
    "boxed_examples",
    "energy_share",
    "excesses",
    "grouped",
    "in_crop",
    "locate",
    "locate_peaks",
    "map_rows",
    "other_units",
    "preferred_part",
    "score",
    "score_maps",
    "summarise",
    "truth_of",
    "union",
]
