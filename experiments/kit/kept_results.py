"""Collects the results kept in experiments/results from the folders of runs."""

from __future__ import annotations

import csv
import json
import shlex
import statistics
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from deconv.errors import DeconvError
from experiments.kit.facts import network_words
from experiments.kit.findings import read_findings
from experiments.kit.reported import CALTECH101_SCRATCH

LAST = ("train_error", "train_loss", "val_top1_error", "val_top5_error", "val_mean_class_accuracy")
PROBE = ("source", "network", "classifier", "layer", "per_class", "mean", "std", "folds")
FREE = ("seed", "workers", "eval_every", "keep_last", "save_steps")
"""Settings of a recipe that leave a fold comparable with the others of its row."""
TEN_CROPS = ("ten_crop_top1_error", "ten_crop_top5_error", "ten_crop_mean_class_accuracy")
FIGURE = (
    "data",
    "collision_rate",
    "live_maps",
    "mining_images_per_second",
    "choices",
    "seconds",
    "device",
    "threads",
)


def training(folder: Path) -> dict[str, Any]:
    """Collect one training from its config.yaml, metrics.csv and provenance.json."""
    config, rows, provenance = _config(folder), _rows(folder / "metrics.csv"), _facts(folder)
    validated = [row for row in rows if row["val_top1_error"]]
    last = {k: round(float(rows[-1][k]), 3) for k in (*LAST, *TEN_CROPS) if rows[-1].get(k)}
    return {
        "model": provenance["model"],
        "data": {k: v for k, v in config["data"].items() if k not in ("root", "workers", "cache")},
        "recipe": config["train"],
        "seed": config["seed"],
        "weights_sha256": provenance["weights_sha256"],
        "versions": provenance["versions"],
        "last_epoch": last,
        "validation_top1_error": {
            r["epoch"]: round(float(r["val_top1_error"]), 2) for r in validated
        },
        "renormalised_filters": renormalised(rows),
        "training_images": provenance["training_images"],
    } | _speed(rows, provenance["training_images"])


def renormalised(rows: list[dict[str, str]]) -> dict[str, int]:
    """Convolutional layer -> how many filters were scaled back in all epochs together."""
    keys = [key for key in rows[0] if key.startswith("renormalised_")]
    return {key.removeprefix("renormalised_"): sum(int(row[key]) for row in rows) for key in keys}


def _speed(rows: list[dict[str, str]], images: int) -> dict[str, Any]:
    speeds = [float(row["images_per_second"]) for row in rows if row["images_per_second"]]
    median = statistics.median(speeds)
    return {
        "images_per_second": {"median": round(median, 1), "best": max(speeds)},
        # At the median speed, so that an epoch beside other work on the machine weighs no more.
        "training_minutes": round(len(rows) * images / median / 60, 1),
    }


def figure(folder: Path) -> dict[str, Any]:
    """Collect one figure."""
    facts = _facts(folder)
    return {"figure": facts["figure"]} | {name: facts[name] for name in FIGURE}


def fold(run: Path) -> dict[str, Any]:
    """Collect one network of Table 4 from its training; its accuracy is the final ten-crop one."""
    trained, rows, facts = _config(run), _rows(run / "metrics.csv"), _facts(run)
    last = rows[-1]
    if trained["data"]["name"] != "caltech101" or not last.get("ten_crop_mean_class_accuracy"):
        raise DeconvError(
            f"{run} is not a finished training on Caltech-101 with train.test_crops=ten"
        )
    starts = facts.get("starts") or [facts]
    return {
        "split_seed": trained["data"]["seed"],
        "images_per_class": trained["data"]["train_per_class"],
        "training_images": facts["training_images"],
        "mean_class_accuracy": round(float(last["ten_crop_mean_class_accuracy"]), 2),
        "top1_accuracy": round(100 - float(last["ten_crop_top1_error"]), 2),
        "centre_crop_mean_class_accuracy": round(float(last["val_mean_class_accuracy"]), 2),
        "train_error": round(float(last["train_error"]), 2),
        "epochs": len(rows),
        "renormalised_filters": renormalised(rows),
        "recipe": trained["train"],
        "weights_sha256": facts["weights_sha256"],
        "command": portable(starts[0]["command"]),
        "commit": starts[0]["commit"],
    } | _speed(rows, facts["training_images"])


def portable(command: str) -> str:
    """Strip a command of one machine's folders of data, cache and output."""
    words = []
    for word in shlex.split(command):
        key, equals, value = word.partition("=")
        if key in ("cache_dir", "hydra.run.dir"):
            continue
        path = equals and (key == "data.root" or ("/" in value and Path(value).is_absolute()))
        words.append(f"{key}=<folder>" if path else word)
    return shlex.join(words)


def row_of_folds(folders: list[Path], already: Sequence[dict[str, Any]] = ()) -> dict[str, Any]:
    """Combine folds into a row: mean and sample standard deviation, beside the paper's.

    already: folds kept before, whose folders may be gone; a new fold replaces the same split's.
    """
    new = [fold(folder) for folder in folders]
    seeds = [one["split_seed"] for one in new]
    folds = [one for one in already if one["split_seed"] not in seeds] + new
    folds.sort(key=lambda one: one["split_seed"])
    sizes = {one["images_per_class"] for one in folds}
    recipes = [{k: v for k, v in one["recipe"].items() if k not in FREE} for one in folds]
    if len(sizes) != 1 or len(set(seeds)) != len(seeds) or any(r != recipes[0] for r in recipes):
        raise DeconvError(
            f"a row wants one recipe and one number of images per class, got {sorted(sizes)}, and "
            f"split seeds that differ, got {seeds}: keep these folds as a row of another name"
        )
    values = [one["mean_class_accuracy"] for one in folds]
    mean, spread = CALTECH101_SCRATCH[sizes.pop()]
    return {
        "mean": round(statistics.mean(values), 2),
        "standard_deviation": round(statistics.stdev(values), 2) if len(values) > 1 else None,
        "reported": {"mean": mean, "spread": spread},
        "folds": folds,
    }


def probes(folder: Path) -> dict[str, Any]:
    """Collect Table 4, 5 or 7: a row a network, classifier, layer and size; the protocol.

    Without the paper's rows, which are in experiments/kit/reported.py. comparable: whether network
    and splits are the paper's.
    """
    facts = _facts(folder)
    if "folds" not in facts or "seen" not in facts:
        raise DeconvError(f"{folder} is no folder of table4_…, table5_… or table7_…")
    rows = [row for row in _rows(folder / "table.csv") if row["source"] != "paper"]
    return {
        "rows": [{k: row[k] for k in PROBE if row.get(k, "") != ""} for row in rows],
        "data": facts["data"]["name"],
        "choices": facts["choices"],
        "seen": facts["seen"],
        "comparable": any(one["comparable"] for one in _found(folder)),
        "weights_sha256": facts["weights_sha256"],
        "command": portable(facts["command"]),
        "commit": facts["commit"],
    }


def onset(folders: list[Path]) -> dict[str, Any]:
    """Collect `experiments.renormalisation`: the rows of one or more of its folders.

    Raises DeconvError for folders of different networks, data or limits, or with a pair of input
    scale and rate in common.
    """
    facts = [_facts(folder) for folder in folders]
    tables = [_rows(folder / "table.csv") for folder in folders]
    if any("max_rms" not in one for one in facts):
        raise DeconvError(f"{folders} are not all folders of experiments.renormalisation")
    kept = []
    for one in facts:
        model = {key: value for key, value in one["model"].items() if value is not None}
        kept.append({"model": model} | {key: one[key] for key in ("data", "max_rms", "versions")})
    pairs = [pair for rows in tables for pair in {(row["scale"], row["rate"]) for row in rows}]
    if any(one != kept[0] for one in kept) or len(set(pairs)) != len(pairs):
        raise DeconvError(
            "one table wants one network, one data set, one limit and each pair of scale and rate "
            "once: keep these folders under names of their own"
        )
    return kept[0] | {"rows": [row for rows in tables for row in rows]}


NETWORK = ("model", "weights_sha256", "max_rms", "accuracy")
"""What is kept of each network where an experiment compares several."""
MOST_ROWS = 100
"""Tables with more rows are raw data and are not kept."""


def tables(folder: Path) -> dict[str, Any]:
    """Collect the short tables of an experiment's folder by file name, with their provenance.

    Raises DeconvError if none has at most MOST_ROWS rows.
    """
    read = {path.stem: _rows(path) for path in sorted(folder.glob("*.csv"))}
    short = {name: rows for name, rows in read.items() if len(rows) <= MOST_ROWS}
    if not short or not (folder / "provenance.json").is_file():
        raise DeconvError(
            f"{folder} is no folder of an experiment with a table of at most {MOST_ROWS} rows"
        )
    facts = _facts(folder)
    kept = {key: facts[key] for key in ("data", "choices", "weights_sha256", "commit")}
    if isinstance(networks := facts.get("networks"), dict):
        kept["networks"] = {
            role: {key: one[key] for key in NETWORK if key in one} for role, one in networks.items()
        }
    found = [asdict(one) for one in read_findings(folder)]
    if words := network_words(facts):
        kept["network"] = words
    return kept | {"command": portable(facts["command"]), "findings": found, "tables": short}


def _config(folder: Path) -> dict[str, Any]:
    return OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def _facts(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "provenance.json").read_text(encoding="utf-8"))


def _found(folder: Path) -> list[dict[str, Any]]:
    return json.loads((folder / "findings.json").read_text(encoding="utf-8"))
