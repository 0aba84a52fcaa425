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

    Fixed drops of the rate keep their share of the way where train.epochs changes.
    """
    out = copy.deepcopy(cfg)
    for key, value in changes.items():
        OmegaConf.update(out, key, value, force_add=True)
    if (epochs := changes.get("train.epochs")) and epochs != cfg.train.epochs:
        drops = [max(1, round(drop * epochs / cfg.train.epochs)) for drop in cfg.train.lr_drops]
        out.train.lr_drops = sorted({drop for drop in drops if drop < epochs})
    return out


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
