"""Probing frozen networks over folds, as Tables 4, 5 and 7 do: checks, features, accuracies."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig
from torch.utils.data import DataLoader, Subset

from deconv import distributed
from deconv.data import CentreCrops, Squares
from deconv.errors import DeconvError, unknown
from deconv.networks import ChainNet
from deconv.studies.probes import KINDS, SCALINGS, extract, probe, reduced_width, tap
from deconv.training.snapshots import Snapshot, load_snapshot
from experiments.kit.inputs import build_network, device, given, log, stored_side_px, workers
from experiments.kit.training import train_network
from experiments.transfer import Job, Split, check_unseen, overlap, pool, sizes, splits

BATCH = 32


@dataclass(frozen=True)
class Frozen:
    """A network to be probed, with the mean that its inputs have subtracted (3×S×S)."""

    name: str
    net: ChainNet
    mean: torch.Tensor


@dataclass(frozen=True)
class Study:
    """What is to be probed: snapshots, the pool (names and labels alone), its folds.

    seen: for each snapshot what it saw of the pool, and what was removed for that; for the sidecar.
    """

    snapshots: list[Snapshot]
    data: Squares
    folds: list[Split]
    seen: list[dict[str, Any]]


def open_study(
    cfg: DictConfig, folder: Path, jobs: Sequence[Job], per_class: object, wanted: Sequence[int]
) -> Study | None:
    """Check everything, then open the data and the networks; train one where none is named.

    per_class: the setting, wanted: what it stands for where it is empty; see `transfer.sizes`.
    None in the processes of torchrun that have nothing left to do.
    """
    snapshot = given(cfg)
    other = load_snapshot(cfg.compare, cfg.model.name) if cfg.get("compare") else None
    if other and not snapshot:
        raise DeconvError("compare=… stands beside snapshot=…: name both")
    snapshots = [s for s in (snapshot, other) if s]
    for one in snapshots or [None]:
        check(cfg, one, jobs)
    data = pool(cfg, stored_side_px(cfg, snapshot), listed=True)
    numbers = sizes(cfg, data, per_class, wanted)
    folds = splits(cfg, data, numbers)
    seen = [check_unseen(cfg, s, data, folds) for s in snapshots]
    if cfg.remove_overlap and snapshots:
        whole = pool(cfg, stored_side_px(cfg, snapshot))
        twins, seen[0]["overlap"] = overlap(cfg, snapshots[0], whole)
        folds = splits(cfg, data, numbers, [twin.target for twin in twins])
    elif cfg.remove_overlap:
        raise DeconvError("remove_overlap is for a network that was trained elsewhere: snapshot=…")
    if not snapshots:
        log("no snapshot given: training one first")
        snapshots = [train_network(cfg, folder)]
        seen = [check_unseen(cfg, snapshots[0], data, folds)]
    return Study(snapshots, data, folds, seen) if distributed.rank() == 0 else None


def check(cfg: DictConfig, snapshot: Snapshot | None, jobs: Iterable[Job]) -> None:
    """Raise DeconvError for a layer, classifier or setting that cannot be, before anything long."""
    net = snapshot.network() if snapshot else build_network(cfg, 2)
    grid = list(cfg.c) if isinstance(cfg.c, ListConfig) else []
    if not grid or not all(isinstance(c, int | float) and c > 0 for c in grid):
        raise DeconvError(f"c takes a list of positive numbers such as [1,10,100], got {cfg.c}")
    if cfg.scaling not in SCALINGS:
        raise unknown("scaling of features", cfg.scaling, SCALINGS)
    jobs = list(jobs)
    for kind, _ in jobs:
        if kind not in KINDS:
            raise unknown("classifier", kind, KINDS)
    points = list(dict.fromkeys(tap(net, layer) for _, layer in jobs))
    record = net.record(torch.zeros(1, 3, net.input_px, net.input_px), points, logits=False)
    for point in points:
        reduced_width(record.activations[point].shape[1:], cfg.max_features)


def probe_all(
    cfg: DictConfig, frozen: Frozen, jobs: Sequence[Job], splits: Sequence[Split]
) -> tuple[list[dict[str, Any]], list[np.ndarray]]:
    """A row for each job and split, and beside it the accuracy of each class in percent.

    Features are read once, of the images that some split wants.
    """
    where, net = device(cfg), frozen.net.to(device(cfg))
    data = pool(cfg, frozen.mean.shape[-1])
    needed = sorted({i for split in splits for i in (*split.train, *split.test)})
    row_of = {image: row for row, image in enumerate(needed)}
    labels = torch.tensor([data.targets[i] for i in needed])
    crops = Subset(CentreCrops(data, frozen.mean, net.input_px), needed)
    taps = {layer: tap(net, layer) for _, layer in jobs}
    log(f"{frozen.name}: features of {len(needed)} images at {', '.join(taps.values())}")
    loader = DataLoader(crops, batch_size=BATCH, num_workers=workers(cfg))
    features = extract(net, loader, list(dict.fromkeys(taps.values())), cfg.max_features)
    rows, each = [], []
    for kind, layer in jobs:
        x = features[taps[layer]]
        for split in splits:
            at = [torch.tensor([row_of[i] for i in part]) for part in (split.train, split.test)]
            train, test = ((x[rows_].to(where), labels[rows_].to(where)) for rows_ in at)
            found = probe(train, test, kind, list(cfg.c), cfg.scaling, split.seed)
            rows.append(
                {"network": frozen.name, "classifier": kind, "layer": layer, "point": taps[layer]}
                | {"features": x.shape[1], "per_class": split.per_class, "fold": split.fold}
                | {"split_seed": split.seed, "train_images": len(split.train)}
                | {"test_images": len(split.test), "mean_class": round(found.mean_class, 4)}
                | {"c": found.c, "gradient": f"{found.gradient:.1e}"}
            )
            each.append(found.per_class)
            log(
                f"{frozen.name}: {kind} on layer {layer}, {split.per_class} a class, fold "
                f"{split.fold + 1}/{cfg.folds}: {found.mean_class:.1f} % (C = {found.c:g})"
            )
    return rows, each


def summarise(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows of one network, classifier, layer and size as one: mean, standard deviation, folds.

    In percent; the deviation is that of a sample, "" of a single fold.
    """
    keys = ("network", "classifier", "layer", "per_class")
    groups: dict[tuple, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row)
    return [
        dict(zip(keys, key, strict=True)) | mean_and_spread([row["mean_class"] for row in group])
        for key, group in groups.items()
    ]


def mean_and_spread(values: Sequence[float]) -> dict[str, Any]:
    """mean, sample standard deviation ("" of one value) and number of folds."""
    spread = round(statistics.stdev(values), 4) if len(values) > 1 else ""
    return {"mean": round(statistics.mean(values), 4), "std": spread, "folds": len(values)}
