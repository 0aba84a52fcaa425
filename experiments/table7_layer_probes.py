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

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from deconv import figures
from deconv.errors import DeconvError
from deconv.networks import build
from experiments.kit.command import experiment
from experiments.kit.facts import data_facts, describe_network, training_facts
from experiments.kit.findings import TRUTH, Finding, write_findings
from experiments.kit.inputs import log
from experiments.kit.provenance import write_provenance
from experiments.kit.redrawing import redraw
from experiments.kit.reported import TABLE7
from experiments.probing import Frozen, Job, Study, open_study, probe_all, summarise
from experiments.transfer_findings import TABLE7_SIZE, judge_table7
from experiments.transfer_record import (
    CONTROL,
    HERE,
    PAPER,
    SAVED,
    as_in_paper,
    choices,
    folds_in_words,
    lines,
    log_line,
    network_name,
    read_table,
    save,
    seen_in_words,
)

PAPER_ROW = "paper, trained on ImageNet"
UNTRAINED = "first random weights"


@experiment("table7_layer_probes")
def main(cfg: DictConfig, folder: Path) -> None:
    """Probe each layer, save, draw; or draw again what an earlier run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    wanted = [cfg.data.get("train_per_class", 30)]
    study = open_study(cfg, folder, jobs(cfg), cfg.train_per_class, wanted)
    if study is not None:
        compute(cfg, folder, study)
        draw(folder, folder)


def jobs(cfg: DictConfig) -> list[Job]:
    """The columns of the table: (classifier, layer)."""
    found = [(kind, layer) for kind in ("svm", "softmax") for layer in cfg[kind]]
    if not found:
        raise DeconvError("name at least one layer with svm=[…] or softmax=[…]")
    return found


def compute(cfg: DictConfig, folder: Path, study: Study) -> None:
    """Probe every network on every fold and save the table, its folds, facts and findings."""
    snapshots, first = study.snapshots, study.snapshots[0]
    networks = [Frozen(network_name(s, snapshots), s.network(), s.mean) for s in snapshots]
    if cfg.control:
        networks.append(Frozen(UNTRAINED, build(**first.recipe, seed=cfg.seed), first.mean))
    rows, each = [], []
    for network in networks:
        found = probe_all(cfg, network, jobs(cfg), study.folds)
        rows += found[0]
        each += found[1]
    table = [
        {"source": CONTROL if row["network"] == UNTRAINED else HERE} | row
        for row in summarise(rows)
    ]
    ours = [row for row in table if row["network"] == networks[0].name]
    per_class = study.folds[0].per_class
    save(folder, table + paper_rows(cfg, per_class), rows, each, study.data.classes)
    facts = {
        "table": "7",
        "choices": choices(cfg, networks[0].net, networks[0].mean, jobs(cfg)),
        "data": data_facts(cfg, "random splits", study.data),
        "classes": len(study.data.classes),
        "per_class": per_class,
        "folds": cfg.folds,
        "seen": study.seen,
        "training": training_facts(first, cfg.snapshot),
        "compared": [training_facts(s, cfg.compare) for s in snapshots[1:]],
    }
    write_provenance(folder, networks[0].net, facts)
    write_findings(folder, judge(cfg, ours, per_class, as_in_paper(cfg, first)))
    for row in table:
        log(f"{row['network']}, {row['classifier']} on layer {row['layer']}: {log_line(row)} %")


def paper_rows(cfg: DictConfig, per_class: int) -> list[dict[str, Any]]:
    """The paper's table, where the data set and its size are the paper's."""
    if TABLE7_SIZE.get(cfg.data.name) != per_class:
        return []
    column = list(TABLE7_SIZE).index(cfg.data.name)
    return [
        {"source": PAPER, "network": PAPER_ROW, "classifier": kind, "layer": layer}
        | {"per_class": per_class, "mean": pair[column][0], "std": pair[column][1], "folds": 5}
        for (kind, layer), pair in TABLE7.items()
        if (kind, layer) in jobs(cfg)
    ]


def judge(
    cfg: DictConfig, ours: list[dict[str, Any]], per_class: int, comparable: bool
) -> list[Finding]:
    """One finding for each layer: does accuracy move from the layer below as in the paper?"""
    data = cfg.data.name
    if TABLE7_SIZE.get(data) == per_class:
        return judge_table7(data, ours, comparable, f"table7/{data}")
    if data == "scenes":
        return judge_table7(data, ours, comparable, f"{TRUTH}table7_layer_probes")
    return []


TITLES = {"svm": "Linear SVM", "softmax": "Softmax"}


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    table = read_table(source)
    facts = json.loads((source / "provenance.json").read_text())
    panels = []
    for kind, title in TITLES.items():
        own = [row for row in table if row["classifier"] == kind]
        if own:
            layers = sorted({row["layer"] for row in own})
            chance = 100 / facts["classes"]
            panels.append(
                figures.AccuracyPanel(title, "layer", layers, lines(own, "layer"), chance)
            )
    widths = [max(1.2, len(panel.ticks)) for panel in panels]
    figures.save(figures.accuracy_curves(panels, widths, caption(facts, table)), folder)


def caption(facts: dict[str, Any], table: list[dict[str, Any]]) -> str:
    """The text under the figure."""
    sources = {row["source"] for row in table}
    words = (
        f"Linear classifiers on the layers of frozen networks, {facts['per_class']} training "
        f"images a class of {facts['data']['name']} ({facts['classes']} classes). Accuracy is the "
        f"mean over the classes on test images; {folds_in_words(facts['folds'])}. A layer is read "
        "where the next one reads it, after pool and normalisation; its maps are averaged to a "
        "coarser grid where they are large. "
    )
    if PAPER in sources:
        words += "Hollow: Table 7 of the paper, whose network learnt on ImageNet. "
    if CONTROL in sources:
        words += "Grey: the same network before training. "
    return words + seen_in_words(facts["seen"]) + describe_network(facts)


if __name__ == "__main__":
    main()
