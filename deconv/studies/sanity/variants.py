"""Projections of units, and their variants with one thing exchanged at a time.

A projection depends on the network's weights, the unit, the image (through its switches alone) and
the rules of the way down. Each check exchanges one of them:

    above         weights above the unit, which cannot matter
    cascade       weights from the unit's own layer down to a layer (Adebayo et al. 2018)
    independent   weights of one layer alone (the same)
    unit          the unit for another map's (Mahendran & Vedaldi 2016)
    switches      random ones inside their windows; those of another image
    rule          guided backpropagation, plain gradient
    collisions    the policy where overlapping pooling windows share a switch
    chance        another map's unit on another image: what two unrelated pictures have in common
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from deconv.deconvnet.projection import RULES, project
from deconv.networks import Network
from deconv.pooling import COLLISIONS
from deconv.records import Record
from deconv.studies.sanity.switches import shuffled_switches
from deconv.studies.sanity.units import PLACES, SAME_POSITION, other_units
from deconv.studies.sanity.weights import layers_above, layers_below, randomised

ORIGINAL, ABOVE, CASCADE, INDEPENDENT = "original", "above", "cascade", "independent"
UNIT, SWITCHES, RULE, COLLISION, CHANCE = "unit", "switches", "rule", "collisions", "chance"
SHUFFLED, OTHER_IMAGE = "shuffled in their windows", "of another image"
ALL_ABOVE, UNRELATED = "all layers above", "other map, other image"


@dataclass(frozen=True)
class Variant:
    """K pictures with one thing exchanged.

    check: of the list above. name: of the variant; for weights the lowest random layer.
    pictures: K×3×H×W. applies: K bool, whether a unit has this variant.
    """

    check: str
    name: str
    pictures: torch.Tensor
    applies: torch.Tensor


def variants(
    net: Network,
    layer: str,
    images: torch.Tensor,
    others: torch.Tensor,
    units: torch.Tensor,
    *,
    stops: dict[str, list[str]],
    how: str = "permute",
    collisions: str = "sum",
    seed: int = 0,
) -> Iterator[Variant]:
    """Yield the original pictures, then each variant that exists at this layer.

    Units are seeded with 1: weights and switches change a unit's activation, which only scales the
    picture.

    Args:
        images, others: N×3×H×W, each image and the one that lends it switches.
        units: K×4 (image, map, y, x).
        stops: blocks at which the randomisation of weights halts, from below, each with its layers;
            those above the unit are skipped.
        how, seed: see `randomised`.
    """
    random = np.random.default_rng((seed, *layer.encode()))
    draw = torch.Generator().manual_seed(int(random.integers(2**31)))
    whole = torch.ones(len(units), dtype=torch.bool)
    base = {"seed": "one", "collisions": collisions}

    def seen(batch: torch.Tensor, logits: bool = False) -> Record:
        with torch.no_grad():
            return net.record(batch, [layer], logits=logits)

    def painted(record: Record, of: torch.Tensor = units, **options: Any) -> torch.Tensor:
        return project(net, record, layer, of, **base | options).cpu()

    own, other = seen(images), seen(others)
    yield Variant(ORIGINAL, ORIGINAL, painted(own), whole)
    if above := layers_above(net, layer):
        with randomised(net, above, how, seed):
            yield Variant(ABOVE, ALL_ABOVE, painted(seen(images, logits=True)), whole)
    below = layers_below(net, layer)
    for check in (CASCADE, INDEPENDENT):
        for stop, layers in reversed(stops.items()):
            block = [name for name in below if name in layers]
            if not block:
                continue
            chosen = below[below.index(block[0]) :] if check == CASCADE else block
            with randomised(net, chosen, how, seed):
                yield Variant(check, stop, painted(seen(images)), whole)
    values = own.activations[layer]
    for place in PLACES if values.dim() == 4 else (SAME_POSITION,):
        swapped, found = other_units(values, units, place, random)
        yield Variant(UNIT, place, painted(own, swapped), found)
    if own.switches:
        moved = shuffled_switches(own, draw)
        yield Variant(SWITCHES, SHUFFLED, painted(own, switches=moved), whole)
        yield Variant(SWITCHES, OTHER_IMAGE, painted(own, switches=other.switches), whole)
    for rule in RULES[1:]:
        yield Variant(RULE, rule, painted(own, rule=rule), whole)
    if own.switches:
        for policy in COLLISIONS:
            if policy != collisions:
                yield Variant(COLLISION, policy, painted(own, collisions=policy), whole)
    strangers, found = other_units(other.activations[layer], units, SAME_POSITION, random)
    yield Variant(CHANCE, UNRELATED, painted(other, strangers), found)
