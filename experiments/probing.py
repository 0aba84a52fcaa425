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

from deconv.data import CentreCrops
from deconv.errors import DeconvError, unknown
from deconv.models import ChainNet
from deconv.probes import KINDS, SCALINGS, extract, probe, reduced_width, tap
from deconv.snapshots import Snapshot
from experiments.common import build_network, device, log, workers
from experiments.facts import preprocessing
from experiments.provenance import write_table
from experiments.transfer import Split, pool

Job = tuple[str, int]
"""Kind of classifier and the layer it stands on."""
BATCH = 32


@dataclass(frozen=True)
class Frozen:
    """A network to be probed, with the mean that its inputs have subtracted (3×S×S)."""

    name: str
    net: ChainNet
    mean: torch.Tensor


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


def save(
    folder: Path,
    table: Sequence[dict[str, Any]],
    rows: Sequence[dict[str, Any]],
    each: Sequence[np.ndarray],
    classes: Sequence[str],
) -> None:
    """table.csv (means), folds.csv (a row a fold) and arrays.npz (its rows × classes, percent)."""
    write_table(folder / "table.csv", list(table))
    write_table(folder / "folds.csv", list(rows))
    np.savez_compressed(
        folder / "arrays.npz",
        class_accuracy=np.array(each, dtype=np.float32),
        classes=np.array(list(classes)),
    )


def choices(cfg: DictConfig, net: ChainNet, jobs: Iterable[Job]) -> dict[str, str]:
    """What the paper leaves open about a transfer, and how it was decided, for the sidecar."""
    taps = {str(layer): tap(net, layer) for _, layer in jobs}
    at_most = cfg.data.get("test_per_class", 50)
    return {
        "layers": ", ".join(f"{layer} is {point}" for layer, point in taps.items())
        + ": what the next layer is given, after pool and normalisation",
        "features": f"of the centre crop alone; maps with more than {cfg.max_features} values in "
        "all averaged to a square grid",
        "scaling": f"{cfg.scaling}, then minus the training mean, mean squared length 1",
        "c": f"out of {list(cfg.c)} by a fifth of the training images, then trained on all",
        "svm": "linear, one class against the rest, squared hinge",
        "folds": f"{cfg.folds} random splits; spread: sample standard deviation over them",
        "test_images": "all that are not trained on"
        if at_most is None
        else f"at most {at_most} a class",
        "preprocessing": preprocessing(net),
    }


def as_in_paper(cfg: DictConfig, snapshot: Snapshot) -> bool:
    """Whether the network and the folds are the paper's, so that its numbers are targets."""
    plain = all(
        value in (None, (), [], 1000, "zfnet") or key in ("init", "input_px")
        for key, value in snapshot.recipe.items()
    )
    trained = snapshot.config.get("data") == "imagenet" and snapshot.recipe["name"] == "zfnet"
    at_most = {"caltech101": 50, "caltech256": None}.get(cfg.data.name, 0)
    return plain and trained and cfg.folds == 5 and cfg.data.get("test_per_class") == at_most
