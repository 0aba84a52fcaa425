"""Maps' strongest images and mean pictures, mined over all classes and over a single one."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import torch
from torch.utils.data import Dataset

from deconv.errors import DeadUnitWarning
from deconv.mining.peak_views import peak_views
from deconv.networks import Network
from deconv.records import Peaks
from deconv.studies.sanity.classes import (
    ANOTHER_CLASS,
    ANOTHER_MAP,
    FAVOURED,
    MINING,
    OF_NINE,
    OTHER_HALF,
    SHARES,
    favoured,
    favoured_by_chance,
    mean_picture,
    strongest_among,
)
from deconv.studies.sanity.similarity import similarity

EVERY, FIRST_HALF, SECOND_HALF = "all classes", "first half", "second half"


def mine_classes(
    net: Network,
    data: Dataset,
    labels: np.ndarray,
    layer: str,
    maxima: Peaks,
    maps: torch.Tensor,
    *,
    picture: Callable[[int], torch.Tensor],
    k: int,
    collisions: str,
    seed: int,
) -> dict[str, np.ndarray]:
    """Compare what M maps show over all classes with what they show over a single one.

    Args:
        data, picture: as for `peak_views`. labels: of its N images.
        maxima: C×N, the strongest unit of each map and image.
        k: strongest images of a map.

    Returns:
        mining/<variant>/scores, M×3 similarities of mean pictures, and shares/<name>, M values.
    """
    groups = _groups(layer, maxima, labels, maps, k, seed)
    means = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadUnitWarning)  # a class may leave a map at 0
        for name, peaks in groups.items():
            views = peak_views(net, data, layer, peaks, maps, picture, collisions=collisions)
            means[name] = [mean_picture(one) for one in views.projection.numpy()]
    every = means[EVERY]
    pairs = {
        OTHER_HALF: (means[FIRST_HALF], means[SECOND_HALF]),
        FAVOURED: (every, means[FAVOURED]),
        ANOTHER_CLASS: (every, means[ANOTHER_CLASS]),
        ANOTHER_MAP: (every, [*every[1:], every[0]]),
    }
    found = {
        f"{MINING}/{name}/scores": np.array([similarity(*two) for two in zip(*both, strict=True)])
        for name, both in pairs.items()
    }
    shares = _shares(groups, labels, maps, k, seed)
    return found | {f"{SHARES}/{name}": np.array(values) for name, values in shares.items()}


def _groups(
    layer: str, maxima: Peaks, labels: np.ndarray, maps: torch.Tensor, k: int, seed: int
) -> dict[str, Peaks]:
    """The k strongest among all images, either half, the favoured class, a random other one."""
    random = np.random.default_rng((seed, *layer.encode(), 2))
    known = torch.from_numpy(labels)
    everything = torch.ones(len(labels), dtype=torch.bool)
    every = strongest_among(maxima, everything, k)
    own, other = (everything.expand(len(maxima.value), -1).clone() for _ in range(2))
    for number in maps.tolist():
        label, _ = favoured(known[every.image[number]].tolist())
        own[number] = known == label
        other[number] = known == int(random.choice(np.unique(labels[labels != label])))
    first = torch.zeros(len(labels), dtype=torch.bool)
    # Neighbours of one class go to different halves.
    first[torch.from_numpy(np.argsort(labels, kind="stable")[::2].copy())] = True
    masks = {FIRST_HALF: first, SECOND_HALF: ~first, FAVOURED: own, ANOTHER_CLASS: other}
    among = {name: strongest_among(maxima, mask, k) for name, mask in masks.items()}
    return {EVERY: every} | among


def _shares(
    groups: dict[str, Peaks], labels: np.ndarray, maps: torch.Tensor, k: int, seed: int
) -> dict[str, list[float]]:
    """Shares of one class among the strongest, and comparisons with a single class's strongest."""
    every = groups[EVERY]
    by_chance = favoured_by_chance(labels.tolist(), k, seed)
    own = [favoured(labels[every.image[number].numpy()].tolist())[1] for number in maps.tolist()]
    shares = dict(zip(OF_NINE, (own, [by_chance] * len(maps)), strict=True))
    strength = every.value[maps].mean(dim=1)
    for name in (FAVOURED, ANOTHER_CLASS):
        some = groups[name]
        common = [np.isin(some.image[m], every.image[m]).mean() for m in maps.tolist()]
        shares[f"same images, {name}"] = common
        shares[f"strength, {name}"] = (some.value[maps].mean(dim=1) / strength).tolist()
    return shares
