"""Probes over random splits (folds) of a data set, and their accuracies as rows (§5.2)."""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch

from deconv.data import CentreCrops, Squares, train_and_test
from deconv.errors import DeconvError
from deconv.networks import Network
from deconv.networks.depths import point_of
from deconv.studies.probes import Reduction, probe
from deconv.studies.probes.kept_features import features_of

Job = tuple[str, str]
"""A classifier ("svm" or "softmax") and the layer that it is trained on, see `point_of`."""


@dataclass(frozen=True)
class Fold:
    """One random split: positions in a data set to train and to test on.

    number: from 0. seed: of the split. per_class: training images a class.
    """

    number: int
    seed: int
    per_class: int
    train: tuple[int, ...]
    test: tuple[int, ...]


def random_folds(
    data: Squares,
    per_class: Sequence[int],
    count: int,
    seed: int,
    test_per_class: int | None,
    without: Sequence[int] = (),
) -> list[Fold]:
    """Draw `count` splits for each number of training images a class; fold f has seed + f.

    Args:
        data: the images; only their labels are read.
        test_per_class: most test images a class; None for all that are not trained on.
        without: positions to exclude.

    Raises:
        DeconvError: if a class has too few images.
    """
    kept = np.setdiff1d(np.arange(len(data)), np.asarray(without, dtype=int))
    targets = [data.targets[i] for i in kept]
    found = []
    for k, number in product(per_class, range(count)):
        parts = train_and_test(targets, data.classes, k, test_per_class, seed + number)
        train, test = (tuple(kept[parts[name]].tolist()) for name in ("train", "val"))
        found.append(Fold(number, seed + number, k, train, test))
    return found


def sizes_within(data: Squares, wanted: Sequence[int]) -> list[int]:
    """Keep the training set sizes (images a class) that leave half of each class for testing.

    If none does, half of the smallest class, which must have two images.
    """
    images = np.bincount(data.targets, minlength=len(data.classes))
    if (smallest := int(images.min())) < 2:
        raise DeconvError(
            f"{data.classes[int(images.argmin())]} is a class of {smallest} image(s): training and "
            "testing want at least one each"
        )
    return sorted(k for k in wanted if k <= smallest // 2) or [smallest // 2]


def probe_folds(
    net: Network,
    crops: CentreCrops,
    jobs: Sequence[Job],
    folds: Sequence[Fold],
    grid: Sequence[float],
    scaling: str,
    reduction: Reduction,
    workers: int = 0,
    folder: str | None = None,
) -> Iterator[tuple[dict[str, Any], np.ndarray]]:
    """Train and test each classifier on each fold; features are extracted once.

    Args:
        grid, scaling: see `probe`. folder: see `features_of`.

    Yields:
        A row and the accuracy of each class in percent.
    """
    needed = sorted({i for fold in folds for i in (*fold.train, *fold.test)})
    labels = torch.tensor(list(crops.data.targets))
    points = {layer: point_of(net, layer) for _, layer in jobs}
    unique = list(dict.fromkeys(points.values()))
    features, images = features_of(net, crops, unique, reduction, needed, workers, folder)
    row_of = {image: row for row, image in enumerate(images)}
    for (kind, layer), fold in product(jobs, folds):
        x = features[points[layer]]
        train, test = (
            (x[[row_of[i] for i in part]].to(net.device), labels[list(part)].to(net.device))
            for part in (fold.train, fold.test)
        )
        found = probe(train, test, kind, grid, scaling, fold.seed)
        yield (
            {
                "classifier": kind,
                "layer": layer,
                "point": points[layer],
                "features": x.shape[1],
                "per_class": fold.per_class,
                "fold": fold.number,
                "split_seed": fold.seed,
                "train_images": len(fold.train),
                "test_images": len(fold.test),
                "mean_class": round(found.mean_class, 4),
                "c": f"{found.c:g}",
                "gradient": f"{found.gradient:.1e}",
            },
            found.per_class,
        )


def over_folds(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Average rows over folds: mean and sample standard deviation in percent, "" for one fold."""
    keys = ("network", "classifier", "layer", "point", "per_class")
    groups: dict[tuple, list[float]] = {}
    for row in rows:
        groups.setdefault(tuple(row[key] for key in keys), []).append(row["mean_class"])
    return [
        dict(zip(keys, key, strict=True))
        | {"mean": round(statistics.mean(values), 4)}
        | {"std": round(statistics.stdev(values), 4) if len(values) > 1 else ""}
        | {"folds": len(values)}
        for key, values in groups.items()
    ]
