"""Table 7: what a linear classifier can tell from each layer of a frozen network.

    python -m experiments.table7_layer_probes snapshot=<run>/last.pt data=caltech101 data.root=…
    python -m experiments.table7_layer_probes snapshot=<run>/last.pt data=caltech256 data.root=…
    python -m experiments.table7_layer_probes redraw=outputs/table7_layer_probes/<folder>

Paper: a network trained on ImageNet; a linear SVM on its layers 1-5 and 7 and a softmax on 5 and
7, on Caltech-101 with 30 training images a class and Caltech-256 with 60; accuracy rises with
depth. Not stated there: where a layer is read, how features are scaled, how C is chosen, what a
reduction of layers 1-4 there was. Here: what the next layer is given, averaged to at most
max_features values, vectors of length 1, C by a fifth of the training images. Beside it the same
network with its first random weights, so that depth alone is not taken for learning.

Writes figure.png and figure.pdf, table.csv (means), folds.csv (a row a fold), arrays.npz (the
accuracy of each class), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import csv
import json
import math
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from deconv import distributed, figures
from deconv.data import Squares
from deconv.errors import DeconvError
from deconv.models import build
from deconv.snapshots import Snapshot, load_snapshot
from experiments import probing, transfer
from experiments.command import experiment
from experiments.common import data_name, given, log, stored_side_px
from experiments.facts import data_facts, describe_network, training_facts
from experiments.findings import TRUTH, Finding, write_findings
from experiments.probing import Frozen, Job, as_in_paper, probe_all, summarise
from experiments.provenance import write_provenance
from experiments.redrawing import redraw
from experiments.reported import TABLE7
from experiments.trained import train_network

PAPER_SIZE = {"caltech101": 30, "caltech256": 60}
PAPER_ROW = "paper, trained on ImageNet"
CONTROL = "first random weights"
MARGIN = 1.0
"""Percentage points that a rise has to have where a single fold tells no spread."""
LEVEL = 5.0
"""Percentage points within which two layers count as level."""


@experiment("table7_layer_probes")
def main(cfg: DictConfig, folder: Path) -> None:
    """Probe each layer, save, draw; or draw again what an earlier run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    snapshot = given(cfg)
    other = load_snapshot(cfg.compare) if cfg.compare else None
    if other and not snapshot:
        raise DeconvError("compare=… stands beside snapshot=…: name both")
    for one in (snapshot, other) if other else (snapshot,):
        probing.check(cfg, one, jobs(cfg))
    data = transfer.pool(cfg, stored_side_px(cfg, snapshot), listed=True)
    wanted = [cfg.data.get("train_per_class", 30)]
    (per_class,) = transfer.sizes(cfg, data, cfg.train_per_class, wanted)
    folds = transfer.splits(cfg, data, [per_class])
    seen = [transfer.check_unseen(cfg, s, data, folds) for s in (snapshot, other) if s]
    if snapshot is None:
        log("no snapshot given: training one first")
        snapshot = train_network(cfg, folder)
        seen = [transfer.check_unseen(cfg, snapshot, data, folds)]
    if distributed.rank() > 0:
        return
    if cfg.remove_overlap:
        data = transfer.pool(cfg, stored_side_px(cfg, snapshot))
        twins, removed = transfer.overlap(cfg, snapshot, data)
        folds = transfer.splits(cfg, data, [per_class], [twin.target for twin in twins])
        seen[0]["overlap"] = removed
    compute(cfg, folder, [snapshot, *([other] if other else [])], data, folds, seen)
    draw(folder, folder)


def jobs(cfg: DictConfig) -> list[Job]:
    """The columns of the table: (classifier, layer)."""
    found = [(kind, layer) for kind in ("svm", "softmax") for layer in cfg[kind]]
    if not found:
        raise DeconvError("name at least one layer with svm=[…] or softmax=[…]")
    return found


def compute(
    cfg: DictConfig,
    folder: Path,
    snapshots: list[Snapshot],
    data: Squares,
    folds: list[transfer.Split],
    seen: list[dict[str, Any]],
) -> None:
    """Probe every network on every fold and save the table, its folds, facts and findings."""
    networks = [Frozen(name(s, snapshots), s.network(), s.mean) for s in snapshots]
    if cfg.control:
        first = snapshots[0]
        untrained = build(**first.recipe, seed=cfg.seed)
        networks.append(Frozen(CONTROL, untrained, first.mean))
    rows, each = [], []
    for network in networks:
        found = probe_all(cfg, network, jobs(cfg), folds)
        rows += found[0]
        each += found[1]
    table = [
        {"source": "control" if row["network"] == CONTROL else "here"} | row
        for row in summarise(rows)
    ]
    ours = [row for row in table if row["network"] == networks[0].name]
    per_class = folds[0].per_class
    probing.save(folder, table + paper_rows(cfg, per_class), rows, each, data.classes)
    net = networks[0].net
    facts = {
        "table": "7",
        "choices": probing.choices(cfg, net, jobs(cfg)),
        "data": data_facts(cfg, "random splits", data) | {"label": data_name(cfg)},
        "classes": len(data.classes),
        "per_class": per_class,
        "folds": cfg.folds,
        "seen": seen,
        "training": training_facts(snapshots[0], cfg.snapshot),
        "compared": [training_facts(s, cfg.compare) for s in snapshots[1:]],
    }
    write_provenance(folder, net, facts)
    write_findings(folder, judge(cfg, ours, per_class, as_in_paper(cfg, snapshots[0])))
    for row in table:
        spread = f" ± {row['std']:.1f}" if row["std"] != "" else ""
        log(f"{row['network']}, {row['classifier']} ({row['layer']}): {row['mean']:.1f}{spread} %")


def name(snapshot: Snapshot, among: list[Snapshot]) -> str:
    """What a network is called in the table: by its data, and by its epochs where that is not
    enough."""
    words = f"{snapshot.recipe['name']}, trained on {snapshot.config.get('data')}"
    twice = sum(s.config.get("data") == snapshot.config.get("data") for s in among) > 1
    number = f" ({'first' if snapshot is among[0] else 'second'})" if twice else ""
    return words + number


def paper_rows(cfg: DictConfig, per_class: int) -> list[dict[str, Any]]:
    """The paper's table, where the data set and its size are the paper's."""
    if PAPER_SIZE.get(cfg.data.name) != per_class:
        return []
    column = list(PAPER_SIZE).index(cfg.data.name)
    return [
        {"source": "paper", "network": PAPER_ROW, "classifier": kind, "layer": layer}
        | {"per_class": per_class, "mean": pair[column][0], "std": pair[column][1], "folds": 5}
        for (kind, layer), pair in TABLE7.items()
        if (kind, layer) in jobs(cfg)
    ]


def judge(
    cfg: DictConfig, ours: list[dict[str, Any]], per_class: int, comparable: bool
) -> list[Finding]:
    """One finding for each layer: does accuracy move from the layer below as in the paper?"""
    if PAPER_SIZE.get(cfg.data.name) == per_class:
        prefix = f"table7/{cfg.data.name}"
        column = list(PAPER_SIZE).index(cfg.data.name)
    elif cfg.data.name == "scenes":
        prefix, column = f"{TRUTH}table7_layer_probes", None
    else:
        return []
    found = []
    below: dict[str, dict[str, Any]] = {}
    for row in sorted(ours, key=lambda row: row["layer"]):
        kind, layer = row["classifier"], row["layer"]
        under = below.get(kind)
        below[kind] = row
        key = f"{prefix}/{kind}/layer{layer}"
        if column is not None and (kind, layer) not in TABLE7:
            continue
        values = {"value": row["mean"], "spread": row["std"] if row["std"] != "" else None}
        holds, rule = _moves(row, under, column)
        found.append(Finding(key, **values, holds=holds, rule=rule, unit="%",
                             comparable=comparable))  # fmt: skip
    return found


def _moves(
    row: dict[str, Any], under: dict[str, Any] | None, column: int | None
) -> tuple[bool | None, str]:
    """Whether the step from the layer below is that of the paper, and the rule it is judged by."""
    if under is None:
        return None, "the lowest layer that was probed: there is none to compare it with"
    step = row["mean"] - under["mean"]
    spreads = [r["std"] for r in (row, under)]
    margin = sum(spreads) if "" not in spreads else MARGIN
    text = f"layer {under['layer']} ({under['mean']:.1f} %)"
    if column is not None and (row["classifier"], under["layer"]) in TABLE7:
        here, there = (TABLE7[row["classifier"], r["layer"]][column] for r in (row, under))
        if abs(here[0] - there[0]) <= here[1] + there[1]:
            return abs(step) <= LEVEL, f"within {LEVEL:g} points of {text}, as in the paper"
    rule = (
        f"more than {margin:.1f} points above {text}: both spreads together, or {MARGIN:g} where a "
        "single fold has none"
    )
    return step > margin, rule


SAVED = ("arrays.npz", "table.csv", "folds.csv", "provenance.json", "config.yaml", "findings.json")
TITLES = {"svm": "Linear SVM", "softmax": "Softmax"}


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    with (source / "table.csv").open() as file:
        table = list(csv.DictReader(file))
    facts = json.loads((source / "provenance.json").read_text())
    panels = []
    for kind, title in TITLES.items():
        own = [row for row in table if row["classifier"] == kind]
        if not own:
            continue
        layers = sorted({int(row["layer"]) for row in own})
        lines = [
            figures.AccuracyLine(
                network,
                [int(row["layer"]) for row in rows],
                [float(row["mean"]) for row in rows],
                [float(row["std"] or math.nan) for row in rows],
                rows[0]["source"] == "paper",
                rows[0]["source"] == "control",
            )
            for network in dict.fromkeys(row["network"] for row in own)
            if (
                rows := sorted(
                    (row for row in own if row["network"] == network),
                    key=lambda row: int(row["layer"]),
                )
            )
        ]
        chance = 100 / facts["classes"]
        panels.append(figures.AccuracyPanel(title, "layer", layers, lines, chance))
    widths = [max(1.2, len(panel.ticks)) for panel in panels]
    figures.save(figures.accuracy_curves(panels, widths, caption(facts, table)), folder)


def caption(facts: dict[str, Any], table: list[dict[str, str]]) -> str:
    """The text under the figure."""
    many = f"mean and standard deviation over {facts['folds']} random splits"
    folds = many if facts["folds"] > 1 else "one random split"
    sources = {row["source"] for row in table}
    words = (
        f"Linear classifiers on the layers of frozen networks, {facts['per_class']} training "
        f"images a class of {facts['data']['label']} ({facts['classes']} classes); accuracy is the "
        f"mean over the classes, on test images, {folds}. A layer is read where the next one reads "
        "it, after pool and normalisation; its maps are averaged to a coarser grid where they are "
        "large. "
    )
    if "paper" in sources:
        words += "Hollow: Table 7 of the paper, whose network learnt on ImageNet. "
    if "control" in sources:
        words += "Grey: the same network before training. "
    for one in facts["seen"]:
        if "classifiers are trained on" in one["seen"]:
            words += f"Here {one['seen']}. "
    return words + describe_network(facts)


if __name__ == "__main__":
    main()
