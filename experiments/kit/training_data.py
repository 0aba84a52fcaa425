"""Without data= a figure looks at the data that its network was trained on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from deconv.data import SPLITS
from deconv.errors import DataMissing
from deconv.training.snapshots import Snapshot
from experiments.kit.settings import DATA, Comparison


def named_network(cfg: Any) -> str | None:
    """The snapshot, or the newest of a run, that settings name; of a comparison the first one."""
    if isinstance(cfg, Comparison):
        return next(filter(None, (getattr(cfg, role) for role in cfg.roles)), None)
    if run := getattr(cfg, "run", None):
        return str(Path(run) / "last.pt")
    return getattr(cfg, "snapshot", None)


def trained_on(snapshot: Snapshot) -> dict[str, Any] | None:
    """The settings of the data that a snapshot's network was trained on; None if not known."""
    stored = snapshot.config.get("settings", {}).get("data") or {}
    return dict(stored) if stored.get("name") in DATA else None


def training_data(stored: dict[str, Any], config: DictConfig, asked: list[str]) -> DictConfig:
    """The data of a training as settings. asked: what is otherwise, `data.root=…`, as typed."""
    data = OmegaConf.structured(DATA[stored["name"]])
    data.merge_with({key: value for key, value in stored.items() if key in data})
    for one in asked:
        if (key := one.partition("=")[0].lstrip("+")).startswith("data."):
            data[key.removeprefix("data.")] = OmegaConf.select(config, key)
    return data


def missing(error: DataMissing, cfg: Any) -> DataMissing:
    """The error for the data of a training that are gone."""
    return DataMissing(
        f"the network was trained on {cfg.data.name}, which is not in "
        f"{Path(cfg.data.root).absolute()} now: say where it is by data.root=<folder>, or look at "
        f"other images by data=… ({str(error).partition('. ')[0]})"
    )


def same_images(snapshot: Snapshot, split: str, fingerprint: str, parts: list[str]) -> bool | None:
    """Whether a split is the one that a network was trained or validated on; None: not known.

    parts: fingerprints of the splits that a joined data set consists of.
    """
    names = dict(zip(SPLITS, ("data_fingerprint", "val_fingerprint"), strict=True))
    known = [snapshot.config.get(names[one]) for one in ([split] if split in names else SPLITS)]
    return None if None in known else known == (parts or [fingerprint])
