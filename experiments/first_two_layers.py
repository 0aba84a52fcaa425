"""What experiments do with networks that are compared by their layers 1 and 2.

A network that is not given is trained briefly, as a twin of the others; each is looked at in the
same way: its filters of layer 1 and, of each map of layer 2, the strongest unit, projected.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import DataLoader

from deconv import distributed
from deconv.data import SPLITS, CentreCrops
from deconv.distributed import Share
from deconv.errors import DeconvError, unknown
from deconv.fields import unclipped_field
from deconv.mining.peak_views import peak_views
from deconv.mining.top_activations import CHUNK, top_activations
from deconv.networks import ChainNet
from deconv.pooling import COLLISIONS
from deconv.records import Peaks
from deconv.studies.first_layers.quality import (
    effective_filters,
    faint,
    filter_rms,
    filters_of_half,
)
from deconv.training.snapshots import Snapshot, load_snapshot
from experiments.kit.inputs import log, workers

FIRST, SECOND = "conv1", "conv2"
IDLE = ("epochs", "snapshot_epochs", "keep_last", "save_steps", "eval_every", "test_crops")
IDLE += ("workers", "seed", "compile", "channels_last", "lr_drops")
"""Settings that do not make two trainings unequal, or are compared as far as they were reached."""


def check_common(cfg: DictConfig, roles: Sequence[str], name: str) -> None:
    """Raise DeconvError for one of the settings that all experiments on such networks have.

    roles: the settings that name snapshots. name: of the experiment, whose configuration says how
    to train them.
    """
    missing = [f"{role}=" for role in roles if not cfg[role]]
    if missing and cfg.size_name == "paper":
        raise DeconvError(
            f"size=paper needs trained networks, {', '.join(missing)} missing: "
            f"conf/{name}.yaml lists the trainings"
        )
    if cfg.split not in SPLITS:
        raise unknown("split", cfg.split, SPLITS)
    if cfg.collisions not in COLLISIONS:
        raise unknown("collision policy", cfg.collisions, COLLISIONS)
    if not 0 < cfg.faint < 1:
        raise DeconvError(f"faint is a share between 0 and 1, got {cfg.faint}")
    if cfg.epochs < 1:
        raise DeconvError(f"epochs must be at least 1, got {cfg.epochs}")


def given_networks(cfg: DictConfig, roles: Sequence[str]) -> dict[str, Snapshot]:
    """Role -> the snapshot that cfg names for it, of those that are named."""
    return {role: load_snapshot(cfg[role], cfg.model.name) for role in roles if cfg[role]}


def brief_training(
    cfg: DictConfig, changes: Mapping[str, Any], like: Snapshot | None
) -> DictConfig:
    """The settings of a twin's training: `cfg`, the network of `like` if there is one, `changes`.

    cfg.epochs epochs, cfg.train.epochs at most, validated and kept at the end alone. `cfg` itself
    stays as it is.
    """
    cfg = copy.deepcopy(cfg)
    if like is not None:
        cfg.model = OmegaConf.create(dict(like.recipe))
    epochs = min(cfg.epochs, cfg.train.epochs)
    short = {"train.epochs": epochs, "train.eval_every": epochs, "train.keep_last": 1}
    short |= {"train.snapshot_epochs": [epochs], "train.test_crops": "centre", "pictures": "none"}
    for key, value in (changes | short).items():
        OmegaConf.update(cfg, key, value, force_add=True)
    return cfg


def unequal(one: Snapshot, other: Snapshot, apart: str) -> list[str]:
    """What two trainings differ in, beside `apart`: "network" or a setting such as "max_rms"."""

    def course(snapshot: Snapshot) -> dict[str, Any]:
        recipe = snapshot.config.get("train", {})
        facts = {"epochs": snapshot.epoch, "images": snapshot.config.get("data_fingerprint")}
        facts |= {name: value for name, value in recipe.items() if name not in IDLE}
        facts["lr_drops"] = [e for e in recipe.get("lr_drops", ()) if e < snapshot.epoch]
        network = snapshot.settings()
        return facts | {"max_rms": recipe.get("max_rms"), "network": network}

    left, right = course(one), course(other)
    return sorted(n for n in left | right if n != apart and left.get(n) != right.get(n))


def look(cfg: DictConfig, role: str, net: ChainNet, crops: CentreCrops) -> dict[str, np.ndarray]:
    """What there is to see of one network's layers 1 and 2, and how strong it is, by name.

    filters: C×3×k×k, of layer 1. <layer>/strongest: the largest activation of each map over the
    images. <layer>/rms: of each filter. What `projections` returns of layer 2.
    cfg: its collisions. Under torchrun empty but in process 0.
    """
    log(f"{role}: layers 1 and 2 of {net.name} over {len(crops)} images")
    loader = DataLoader(Share(crops, CHUNK), batch_size=CHUNK, num_workers=workers(cfg))
    peaks = top_activations(net, loader, [FIRST, SECOND], k=1)
    if distributed.rank() > 0:
        return {}
    out = projections(net, crops, peaks[SECOND], cfg.collisions)
    out["filters"] = net.get_submodule(FIRST).weight.detach().cpu().float().numpy()
    for layer in (FIRST, SECOND):
        out[f"{layer}/strongest"] = peaks[layer].value[:, 0].numpy()
        out[f"{layer}/rms"] = filter_rms(net.get_submodule(layer).weight.detach()).cpu().numpy()
    return out


def projections(
    net: ChainNet, crops: CentreCrops, peaks: Peaks, policy: str
) -> dict[str, np.ndarray]:
    """The strongest unit of each map of layer 2, projected; blank and -1 where the map is dead."""
    top, left, bottom, right = unclipped_field(net, SECOND, 0, 0, (net.input_px, net.input_px))
    maps, canvas = len(peaks.value), (bottom - top, right - left)
    out = {
        **{name: np.full(maps, -1) for name in ("image", "y", "x")},
        "box": np.zeros((maps, 4), int),
        "projection": np.zeros((maps, 3, *canvas), np.float32),
        "inside": np.zeros((maps, *canvas), bool),
    }
    live = (peaks.value[:, 0] > 0).nonzero().flatten()
    if len(live):
        views = peak_views(net, crops, SECOND, peaks, live, crops.picture, collisions=policy)
        for name, values in out.items():
            values[live.numpy()] = getattr(views, name)[:, 0].numpy()
    return out


def strengths(
    cfg: DictConfig, role: str, net: ChainNet, found: dict[str, np.ndarray], layer: str
) -> dict[str, Any]:
    """The columns of table.csv on one network and layer that `look` alone tells.

    Dead maps are never above 0 on the images; a faint filter's RMS is below cfg.faint of the
    strongest's.
    """
    conv, rms = net.get_submodule(layer), torch.from_numpy(found[f"{layer}/rms"])
    dead = found[f"{layer}/strongest"] <= 0
    weak = faint(rms, cfg.faint).numpy()
    return {
        "network": role,
        "layer": layer,
        "kernel": conv.kernel_size[0],
        "stride": conv.stride[0],
        "maps": len(rms),
        "dead": int(dead.sum()),
        "faint": int(weak.sum()),
        "dead_or_faint": int((dead | weak).sum()),
        "largest_rms": digits(rms.max()),
        "median_rms": digits(rms.median()),
        "effective_filters": round(effective_filters(rms), 2),
        "filters_of_half": filters_of_half(rms),
    }


def digits(value: Any) -> float | None:
    """A number as tables have it; None where it is not finite."""
    return round(float(value), 5) if math.isfinite(value) else None
