"""The strongest images of maps, and their pictures, over all classes and over a single one."""

from __future__ import annotations

import warnings

import numpy as np
import torch
from omegaconf import DictConfig
from torch.utils.data import Subset

from deconv.data import CentreCrops
from deconv.errors import DeadUnitWarning
from deconv.mining.peak_views import peak_views
from deconv.networks import ChainNet
from deconv.records import Peaks
from deconv.studies import sanity
from deconv.studies.sanity.similarity import similarity


def mining(
    cfg: DictConfig,
    net: ChainNet,
    crops: CentreCrops,
    pool: list[int],
    labels: np.ndarray,
    layer: str,
    maxima: Peaks,
    maps: torch.Tensor,
) -> dict[str, np.ndarray]:
    """How alike the mean pictures of the k strongest are, mined over all classes and over one."""
    groups, shares = mined(cfg, layer, maxima, labels, maps)
    means = {}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadUnitWarning)  # a class may leave a map at 0
        for name, peaks in groups.items():
            views = peak_views(
                net, Subset(crops, pool), layer, peaks, maps, lambda i: crops.picture(pool[i]),
                collisions=cfg.collisions,
            )  # fmt: skip
            means[name] = [sanity.mean_picture(one) for one in views.projection.numpy()]
    every, half = means["all classes"], means.pop("first half")
    pairs = {
        sanity.OTHER_HALF: zip(half, means.pop("second half"), strict=True),
        sanity.FAVOURED: zip(every, means[sanity.FAVOURED], strict=True),
        sanity.ANOTHER_CLASS: zip(every, means[sanity.ANOTHER_CLASS], strict=True),
        sanity.ANOTHER_MAP: zip(every, [*every[1:], every[0]], strict=True),
    }
    found = {
        f"{layer}/{sanity.MINING}/{name}/scores": np.array([similarity(*pair) for pair in some])
        for name, some in pairs.items()
    }
    return found | {f"{layer}/{sanity.SHARES}/{name}": values for name, values in shares.items()}


def mined(
    cfg: DictConfig, layer: str, maxima: Peaks, labels: np.ndarray, maps: torch.Tensor
) -> tuple[dict[str, Peaks], dict[str, np.ndarray]]:
    """The k strongest by what was mined, and what is to be said of them, map by map."""
    random = np.random.default_rng((cfg.seed, *layer.encode(), 2))
    known = torch.from_numpy(labels)
    everything = torch.ones(len(labels), dtype=torch.bool)
    every = sanity.strongest_among(maxima, everything, cfg.k)
    own, other = (everything.expand(len(maxima.value), -1).clone() for _ in range(2))
    shares: dict[str, list[float]] = {name: [] for name in sanity.OF_NINE}
    by_chance = sanity.favoured_by_chance(labels.tolist(), cfg.k, cfg.seed)
    for number in maps.tolist():
        label, share = sanity.favoured(known[every.image[number]].tolist())
        own[number] = known == label
        other[number] = known == int(random.choice(np.unique(labels[labels != label])))
        shares[sanity.OF_NINE[0]].append(share)
        shares[sanity.OF_NINE[1]].append(by_chance)
    # Neighbours of one class go to different halves.
    order = np.argsort(labels, kind="stable")
    first = torch.zeros(len(labels), dtype=torch.bool)
    first[torch.from_numpy(order[::2].copy())] = True
    masks = {"first half": first, "second half": ~first, sanity.FAVOURED: own,
             sanity.ANOTHER_CLASS: other}  # fmt: skip
    groups = {"all classes": every} | {
        name: sanity.strongest_among(maxima, mask, cfg.k) for name, mask in masks.items()
    }
    strength = every.value[maps].mean(dim=1)
    for name in (sanity.FAVOURED, sanity.ANOTHER_CLASS):
        some = groups[name]
        common = [np.isin(some.image[m], every.image[m]).mean() for m in maps.tolist()]
        shares[f"same images, {name}"] = common
        shares[f"strength, {name}"] = (some.value[maps].mean(dim=1) / strength).tolist()
    return groups, {name: np.array(values) for name, values in shares.items()}
