"""The one form of a result: where it comes from, its findings, its short tables.

`collect` reads it from the folder of any run; `experiments/results/<set>/<name>.json` keeps it.
"""

from __future__ import annotations

import csv
import json
import re
import shlex
import statistics
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from deconv.errors import DeconvError
from deconv.training import Recipe, recipe_dict
from experiments.kit.facts import network_facts
from experiments.kit.findings import Finding, judged, read_findings
from experiments.kit.series import STATED

Record = dict[str, Any]
"""experiment, command, commit, network, data, seconds, findings, facts, tables."""

RESULTS = Path(__file__).resolve().parents[1] / "results"
FOLDS = "caltech101_scratch"
"""The set of Table 4's networks from scratch: a record a row, which holds its folds."""
MOST_ROWS = 150
"""Tables with more rows are raw data and are not kept."""
FACTS = (
    "choices",
    "networks",
    "seen",
    "folds",
    "max_rms",
    "collision_rate",
    "live_maps",
    "mining_images_per_second",
    "model",
    "device",
    "threads",
    "versions",
)
"""What is kept of a sidecar beside data, network, command and commit."""
IN_A_LIST = re.compile(r"(?<=[\[,])/[^,\]]*/")
"""The folder of a file in a list of a command: images=[/home/me/cat.png]."""
LAST = ("train_error", "train_loss", "val_top1_error", "val_top5_error", "val_mean_class_accuracy")
TEN_CROPS = ("ten_crop_top1_error", "ten_crop_top5_error", "ten_crop_mean_class_accuracy")
FREE = ("seed", "workers", "eval_every", "keep_last", "save_steps")
"""Settings of a recipe that leave a fold comparable with the others of its row."""


def records(results: Path = RESULTS) -> dict[str, Record]:
    """<set>/<name> -> record, of everything that is kept."""
    found = {path.relative_to(results): path for path in sorted(results.glob("*/*.json"))}
    return {
        name.with_suffix("").as_posix(): json.loads(path.read_text(encoding="utf-8"))
        for name, path in found.items()
    }


def findings(record: Record) -> Iterator[Finding]:
    """The findings of a record."""
    return (Finding(**one) for one in record["findings"])


def collect(folder: Path) -> Record:
    """The result of a run, from its sidecar, findings and tables; of a training, its course.

    Raises DeconvError for a folder that is no finished run.
    """
    if not (folder / "provenance.json").is_file():
        raise DeconvError(f"{folder} holds no provenance.json: name the folder of a finished run")
    facts = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    if (folder / "metrics.csv").is_file():
        return training(folder)
    tables = {path.stem: rows(path) for path in sorted(folder.glob("*.csv"))}
    return {
        "experiment": facts.get("experiment", folder.name),
        "command": portable(facts["command"]),
        "commit": facts["commit"],
        "network": facts.get("judged") or network_facts(facts),
        "data": facts.get("data", {}),
        "seconds": facts.get("seconds"),
        "findings": [vars(one) for one in read_findings(folder)],
        "facts": {key: facts[key] for key in FACTS if key in facts},
        "tables": {name: table for name, table in tables.items() if len(table) <= MOST_ROWS},
    }


def rows(path: Path) -> list[dict[str, str]]:
    """A table, as text."""
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def portable(command: str) -> str:
    """Strip a command of one machine's files and of its folders of data, cache and output."""
    words = []
    for word in shlex.split(IN_A_LIST.sub("", command)):
        key, equals, value = word.partition("=")
        if key in ("cache_dir", "hydra.run.dir"):
            continue
        path = equals and (key == "data.root" or ("/" in value and Path(value).is_absolute()))
        kind = "file" if Path(value).suffix else "folder"
        words.append(f"{key}=<{kind}>" if path else word)
    return shlex.join(words)


# Trainings


def training(folder: Path) -> Record:
    """The course of a training, from its config.yaml, metrics.csv and provenance.json."""
    config = OmegaConf.to_container(OmegaConf.load(folder / "config.yaml"))
    facts = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    epochs, start = rows(folder / "metrics.csv"), (facts.get("starts") or [facts])[0]
    last = {k: round(float(epochs[-1][k]), 3) for k in (*LAST, *TEN_CROPS) if epochs[-1].get(k)}
    validated = [row for row in epochs if row.get("val_top1_error")]
    model, data = facts.get("model") or config["model"], config["data"]
    network = {"name": model["name"], "input_px": model.get("input_px"), "data": data["name"]}
    network |= {"images": facts["training_images"], "classes": model.get("num_classes")}
    network |= {"epochs": len(epochs), "weights_sha256": facts["weights_sha256"]}
    return {
        "experiment": "train",
        "command": portable(start["command"]),
        "commit": start["commit"],
        "network": {key: value for key, value in network.items() if value is not None},
        "data": {k: v for k, v in data.items() if k not in ("root", "workers", "cache")},
        "seconds": None,
        "findings": [],
        "facts": {
            "model": model,
            "recipe": config["train"],
            "seed": config.get("seed"),
            "versions": facts.get("versions"),
            "last_epoch": last,
            "validation_top1_error": {
                r["epoch"]: round(float(r["val_top1_error"]), 2) for r in validated
            },
            "renormalised_filters": renormalised(epochs),
        }
        | _speed(epochs, facts["training_images"]),
        "tables": {},
    }


def renormalised(epochs: Sequence[Mapping[str, str]]) -> dict[str, int]:
    """Convolutional layer -> how many filters were scaled back in all epochs together."""
    keys = [key for key in epochs[0] if key.startswith("renormalised_")]
    return {key.removeprefix("renormalised_"): sum(int(row[key]) for row in epochs) for key in keys}


def _speed(epochs: Sequence[Mapping[str, str]], images: int) -> dict[str, Any]:
    speeds = [float(row["images_per_second"]) for row in epochs if row["images_per_second"]]
    median = statistics.median(speeds)
    return {
        "images_per_second": {"median": round(median, 1), "best": max(speeds)},
        # At the median speed, so that an epoch beside other work on the machine weighs no more.
        "training_minutes": round(len(epochs) * images / median / 60, 1),
    }


# Networks from scratch


def fold(folder: Path) -> dict[str, Any]:
    """One network of Table 4 from its training; its accuracy is the final ten-crop one."""
    one = training(folder)
    data, facts, last = one["data"], one["facts"], one["facts"]["last_epoch"]
    if data["name"] != "caltech101" or "ten_crop_mean_class_accuracy" not in last:
        raise DeconvError(
            f"{folder} is not a finished training on Caltech-101 with train.test_crops=ten"
        )
    return {
        "split_seed": data["seed"],
        "images_per_class": data["train_per_class"],
        "mean_class_accuracy": round(last["ten_crop_mean_class_accuracy"], 2),
        "top1_accuracy": round(100 - last["ten_crop_top1_error"], 2),
        "centre_crop_mean_class_accuracy": round(last["val_mean_class_accuracy"], 2),
        "train_error": round(last["train_error"], 2),
        "recipe": facts["recipe"],
        "network": one["network"],
        "command": one["command"],
        "commit": one["commit"],
    } | {k: facts[k] for k in ("renormalised_filters", "images_per_second", "training_minutes")}


def row_of_folds(folds: Sequence[Mapping[str, Any]]) -> Record:
    """Combine folds of one size, network and recipe into a row of Table 4.

    Raises DeconvError for folds that do not belong together.
    """
    folds = sorted(folds, key=lambda one: one["split_seed"])
    first, seeds = folds[0], [one["split_seed"] for one in folds]
    alike = [
        (
            one["images_per_class"],
            {k: v for k, v in one["recipe"].items() if k not in FREE},
            {k: one["network"].get(k) for k in ("name", "input_px", "epochs")},
        )
        for one in folds
    ]
    if any(one != alike[0] for one in alike) or len(set(seeds)) != len(seeds):
        raise DeconvError(
            "a row wants one network, one recipe and one number of images per class, and split "
            f"seeds that differ, got {seeds}: keep these folds under another name"
        )
    values = [one["mean_class_accuracy"] for one in folds]
    mean, n = round(statistics.mean(values), 2), len(values)
    spread = round(statistics.stdev(values), 2) if n > 1 else None
    found, size = [], first["images_per_class"]
    if size in (15, 30):
        as_paper = as_in_table4(first)
        found = [judged(f"table4/scratch/{size}", mean, spread, n, comparable=as_paper)]
    return {
        "experiment": "train",
        "command": first["command"],
        "commit": first["commit"],
        "network": {k: v for k, v in first["network"].items() if k != "weights_sha256"},
        "data": {"name": "caltech101", "split": f"{n} random split{'s' * (n != 1)}"},
        "seconds": None,
        "findings": [vars(one) for one in found],
        "facts": {"images_per_class": size, "mean": mean, "standard_deviation": spread},
        "tables": {"folds": folds},
    }


def as_in_table4(one: Mapping[str, Any]) -> bool:
    """Whether a fold is of the paper's network and recipe; it does not say how long it trained."""
    usual, network = recipe_dict(Recipe()), one["network"]
    recipe = usual | one["recipe"]
    return (
        network["name"] == "zfnet"
        and network.get("input_px") in (None, 224)
        and all(recipe[key] == usual[key] for key in STATED if key != "epochs")
    )
