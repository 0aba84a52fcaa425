"""Several trainings of one experiment, each in a folder of its own, finished once and for all."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from deconv import distributed
from deconv.errors import DeconvError
from deconv.training import Recipe, recipe_dict, snapshots
from deconv.training.snapshots import Snapshot, is_code, load_snapshot
from experiments.kit.provenance import write_provenance
from experiments.kit.training import train_network

FREE = (
    "cache_dir",
    "data.cache",
    "data.download",
    "data.root",
    "data.workers",
    "device",
    "train.workers",
)
"""What may be otherwise when a training goes on: where it runs and finds things."""

LAPTOP_SHARE = 4
"""A training of a series takes this part of train.epochs at size=laptop, unless told."""


def epochs_of_each(cfg: DictConfig) -> int:
    """The epochs of each training: cfg.epochs_each, or train.epochs, a quarter on a laptop."""
    if cfg.epochs_each is not None:
        if cfg.epochs_each < 1:
            raise DeconvError(f"epochs_each must be 1 or more, got {cfg.epochs_each}")
        return cfg.epochs_each
    share = LAPTOP_SHARE if cfg.size_name == "laptop" else 1
    return max(1, round(cfg.train.epochs / share))


def altered(cfg: DictConfig, changes: Mapping[str, Any]) -> DictConfig:
    """A copy of `cfg` with dotted settings changed; what follows from them by reference does too.

    Fixed drops of the rate keep their share of the way where train.epochs alone changes.
    """
    out = copy.deepcopy(cfg)
    for key, value in changes.items():
        OmegaConf.update(out, key, value, force_add=True)
    epochs = changes.get("train.epochs", cfg.train.epochs)
    if epochs != cfg.train.epochs and "train.lr_drops" not in changes:
        drops = [max(1, round(drop * epochs / cfg.train.epochs)) for drop in cfg.train.lr_drops]
        out.train.lr_drops = sorted({drop for drop in drops if drop < epochs})
    return out


def twin(cfg: DictConfig, changes: Mapping[str, Any], like: Snapshot | None = None) -> DictConfig:
    """The settings of a brief training that differs from others of its kind in `changes` alone.

    It takes cfg.epochs epochs, cfg.train.epochs at most, and is validated and kept at the end
    alone. The rate falls where that of a whole training does, so that a given snapshot of an early
    epoch has an equal twin. like: the network is this one's in place of cfg.model.
    """
    epochs = min(cfg.epochs, cfg.train.epochs)
    brief = {
        "pictures": "none",
        "train.epochs": epochs,
        "train.eval_every": epochs,
        "train.keep_last": 1,
        "train.lr_drops": cfg.train.lr_drops,
        "train.snapshot_epochs": [epochs],
        "train.test_crops": "centre",
    }
    if like is not None:
        cfg = copy.deepcopy(cfg)
        cfg.model = OmegaConf.create(dict(like.recipe))
    return altered(cfg, changes | brief)


def trained_in(cfg: DictConfig, folder: Path) -> Snapshot:
    """The end of the training by `cfg` in `folder`: read, gone on with, or trained from the start.

    Raises DeconvError as a training does; what it has saved by then stays, to go on with.
    """
    there = distributed.from_first(_finished(folder, cfg.train.epochs))
    if there is not None:
        return load_snapshot(there, cfg.model.name)
    begun = distributed.from_first(bool(folder.is_dir() and snapshots(folder)))
    quiet = {"pictures": "none", "resume": str(folder) if begun else None}
    free = [f"{key}=" for key in FREE if OmegaConf.select(cfg, key) is not None]
    free += ["model.name="] if is_code(cfg.model.name) else []
    snapshot = train_network(altered(cfg, quiet), folder, free)
    if distributed.rank() == 0:
        facts = snapshot.config | {"epochs": snapshot.epoch, "metrics": snapshot.metrics}
        write_provenance(folder, snapshot.network(), facts)
    return snapshot


def _finished(folder: Path, epochs: int) -> Path | None:
    path = folder / f"epoch_{epochs:03d}.pt"
    return path if (folder / "provenance.json").is_file() and path.is_file() else None


STATED = (
    "epochs",
    "batch_size",
    "optimizer",
    "lr",
    "momentum",
    "weight_decay",
    "lr_factor",
    "warmup_epochs",
    "label_smoothing",
    "max_rms",
    "crops",
)
"""Settings of `Recipe` that train=paper fixes and that change what a network becomes."""


def as_in_the_paper(snapshot: Snapshot, network: str) -> bool:
    """Whether a snapshot is `network` trained to the end on ImageNet by the paper's recipe (§3).

    The layers that Table 3 changes may be changed.
    """
    recipe, usual = snapshot.config.get("train") or {}, recipe_dict(Recipe())
    build = snapshot.recipe
    return (
        snapshot.config.get("data") == "imagenet"
        and len(snapshot.classes) == 1000
        and snapshot.epoch == usual["epochs"]
        and all(recipe.get(key) == usual[key] for key in STATED)
        and build.get("name") == network
        and build.get("init") in (None, "paper")
        and build.get("input_px") in (None, 224)
        and build.get("dropout") in (None, 0.5)
    )


NO_DIFFERENCE = (
    "epochs",
    "snapshot_epochs",
    "keep_last",
    "save_steps",
    "eval_every",
    "test_crops",
    "workers",
    "seed",
    "compile",
    "channels_last",
    "lr_drops",
)
"""Settings that do not make trainings unequal, or are compared as far as they were reached."""


def unequal(one: Snapshot, other: Snapshot, apart: str) -> list[str]:
    """What two trainings differ in beside `apart`: "network", or a setting such as "max_rms"."""
    left, right = _course(one), _course(other)
    return sorted(n for n in left | right if n != apart and left.get(n) != right.get(n))


def _course(snapshot: Snapshot) -> dict[str, Any]:
    recipe = snapshot.config.get("train", {})
    return {name: value for name, value in recipe.items() if name not in NO_DIFFERENCE} | {
        "epochs": snapshot.epoch,
        "images": snapshot.config.get("data_fingerprint"),
        "lr_drops": [epoch for epoch in recipe.get("lr_drops", ()) if epoch < snapshot.epoch],
        "max_rms": recipe.get("max_rms"),
        "network": snapshot.settings(),
    }
