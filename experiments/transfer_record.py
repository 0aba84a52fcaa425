"""What a transfer experiment leaves: its table, folds and facts, and the lines of its figure."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from deconv import figures
from deconv.networks import ChainNet
from deconv.studies.probes import tap
from deconv.training.snapshots import Snapshot
from experiments.kit.facts import preprocessing
from experiments.kit.provenance import write_table
from experiments.transfer import TEST_PER_CLASS, Job, trained_on

SAVED = ("arrays.npz", "table.csv", "folds.csv", "provenance.json", "config.yaml", "findings.json")
"""The files that a figure is drawn from, and that go with it."""
HERE, CONTROL, PAPER = "here", "control", "paper"
"""Where a row of a table comes from."""


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


def choices(
    cfg: DictConfig, net: ChainNet, mean: torch.Tensor, jobs: Iterable[Job]
) -> dict[str, str]:
    """What the paper leaves open about a transfer, and how it was decided, for the sidecar."""
    taps = {str(layer): tap(net, layer) for _, layer in jobs}
    at_most = cfg.data.get("test_per_class", TEST_PER_CLASS)
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
        "preprocessing": preprocessing(net, mean),
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


def read_table(source: Path) -> list[dict[str, Any]]:
    """The rows of source/table.csv, numbers as numbers, an unknown spread as NaN."""
    with (source / "table.csv").open() as file:
        return [
            row
            | {name: int(row[name]) for name in ("layer", "per_class")}
            | {"mean": float(row["mean"]), "std": float(row["std"] or math.nan)}
            for row in csv.DictReader(file)
        ]


def lines(table: Sequence[dict[str, Any]], axis: str) -> list[figures.AccuracyLine]:
    """A line for each network of the table along "layer" or "per_class"; the paper's come last."""
    found = []
    order = sorted(table, key=lambda row: ((HERE, CONTROL, PAPER).index(row["source"]), row[axis]))
    for network in dict.fromkeys(row["network"] for row in order):
        rows = [row for row in order if row["network"] == network]
        columns = ([row[name] for row in rows] for name in (axis, "mean", "std"))
        kind = rows[0]["source"]
        found.append(figures.AccuracyLine(network, *columns, kind == PAPER, kind == CONTROL))
    return found


def folds_in_words(folds: int) -> str:
    """How a caption speaks of the folds."""
    many = f"mean and standard deviation over {folds} random splits"
    return many if folds > 1 else "one random split"


def seen_in_words(seen: Sequence[dict[str, Any]]) -> str:
    """What a caption says where a network was trained on images of the pool, and of overlap."""
    words = [f"Note: {s['seen']}. " for s in seen if s.get("caveat")]
    words += [
        f"{s['overlap']['removed']} images with their like in the network's training set are left "
        "out. "
        for s in seen
        if "overlap" in s
    ]
    return "".join(words)


def network_name(snapshot: Snapshot, among: Sequence[Snapshot]) -> str:
    """What a network is called in a table: by its data, numbered where that is not enough."""
    words = [f"{s.recipe['name']}, trained on {trained_on(s)}" for s in among]
    number = next(i for i, s in enumerate(among) if s is snapshot)
    return words[number] + (f" ({number + 1})" if words.count(words[number]) > 1 else "")


def paper_rows(
    table: dict[str, dict[int, tuple[float, float | None]]], rows: dict[str, str], job: Job
) -> list[dict[str, Any]]:
    """Rows of the paper's Table 4 or 5. rows: name there -> name here. job: as which it counts."""
    return [
        {"network": name, "classifier": job[0], "layer": job[1], "per_class": size}
        | {"mean": value, "std": "" if spread is None else spread, "folds": 5, "source": PAPER}
        for row, name in rows.items()
        for size, (value, spread) in table[row].items()
    ]


def log_line(row: dict[str, Any]) -> str:
    """One row of a table for people."""
    spread = row["std"]
    known = spread != "" and not (isinstance(spread, float) and math.isnan(spread))
    return f"{row['mean']:.1f}" + (f" ± {spread:.1f}" if known else "")
