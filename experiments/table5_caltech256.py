"""Table 5 and Figure 9: Caltech-256 with a softmax on frozen features, by training images a class.

    python -m experiments.table5_caltech256 snapshot=<run>/last.pt data=caltech256 data.root=…
    python -m experiments.table5_caltech256 redraw=outputs/table5_caltech256/<folder>

Paper: layers 1-7 of a network trained on ImageNet are kept, a new softmax is trained on top with
15, 30, 45 or 60 images a class, and for Figure 9 with fewer: 6 a class are enough to pass the best
result before, which used 60. Mean accuracy per class over five random splits. Which sizes Figure 9
shows and how many images are tested on is not stated; here 1, 2, 3, 6, 10, 20 besides, and all
images that are not trained on.

Writes figure.png and figure.pdf (Figure 9, with Table 5 below it), table.csv (means), folds.csv (a
row a fold), arrays.npz (the accuracy of each class), findings.json, config.yaml and
provenance.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig

from deconv import figures
from experiments.kit.command import experiment
from experiments.kit.facts import data_facts, describe_network, training_facts
from experiments.kit.findings import TRUTH, Finding, write_findings
from experiments.kit.inputs import log
from experiments.kit.provenance import write_provenance
from experiments.kit.redrawing import redraw
from experiments.kit.reported import TABLE5
from experiments.probing import Frozen, Study, open_study, probe_all, summarise
from experiments.transfer_findings import judge_table5
from experiments.transfer_record import (
    HERE,
    PAPER,
    SAVED,
    as_in_paper,
    choices,
    folds_in_words,
    lines,
    log_line,
    network_name,
    paper_rows,
    read_table,
    save,
    seen_in_words,
)

DATA = "caltech256"
SIZES = (1, 2, 3, 6, 10, 15, 20, 30, 45, 60)
JOB = ("softmax", 7)
ROWS = {
    "pretrained": "paper, trained on ImageNet",
    "scratch": "paper, from scratch",
    "Bo et al.": "Bo et al.",
    "Sohn et al.": "Sohn et al.",
}
"""The paper's rows and what they are called beside ours."""


@experiment("table5_caltech256")
def main(cfg: DictConfig, folder: Path) -> None:
    """Train the softmax on every fold and size, save, draw; or draw again what was saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    study = open_study(cfg, folder, [JOB], cfg.per_class, SIZES)
    if study is not None:
        compute(cfg, folder, study)
        draw(folder, folder)


def compute(cfg: DictConfig, folder: Path, study: Study) -> None:
    """Probe layer 7 on every fold and save the table, its folds, facts and findings."""
    snapshot = study.snapshots[0]
    frozen = Frozen(network_name(snapshot, study.snapshots), snapshot.network(), snapshot.mean)
    rows, each = probe_all(cfg, frozen, [JOB], study.folds)
    ours = [row | {"source": HERE} for row in summarise(rows)]
    theirs = paper_rows(TABLE5, ROWS, JOB) if cfg.data.name == DATA else []
    save(folder, ours + theirs, rows, each, study.data.classes)
    facts = {
        "table": "5",
        "figure": "9",
        "choices": choices(cfg, frozen.net, frozen.mean, [JOB]),
        "data": data_facts(cfg, "random splits", study.data),
        "classes": len(study.data.classes),
        "folds": cfg.folds,
        "seen": study.seen,
        "training": training_facts(snapshot, cfg.snapshot),
    }
    write_provenance(folder, frozen.net, facts)
    write_findings(folder, judge(cfg, ours, as_in_paper(cfg, snapshot)))
    for row in ours + theirs:
        log(f"{row['per_class']:3d} a class  {log_line(row):12s} %  {row['network']}")


def judge(cfg: DictConfig, ours: list[dict[str, Any]], comparable: bool) -> list[Finding]:
    """Does it beat training from scratch at each size, and with few images the best before?"""
    if cfg.data.name == "scenes":
        rule = "a softmax on layer 7, trained on scenes that the network did not learn from"
        return [
            Finding(f"{TRUTH}table5_caltech256/{row['per_class']}", row["mean"],
                    row["std"] or None, None, rule, "%")
            for row in ours
        ]  # fmt: skip
    if cfg.data.name != DATA or cfg.data.clutter:
        return []
    return judge_table5(ours, comparable)


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    table = read_table(source)
    facts = json.loads((source / "provenance.json").read_text())
    sizes = sorted({row["per_class"] for row in table})
    panel = figures.AccuracyPanel(
        "Softmax on layer 7",
        "training images a class",
        sizes,
        lines(table, "per_class"),
        100 / facts["classes"],
    )
    figures.save(figures.accuracy_curves([panel], [1], caption(facts, table)), folder)


def caption(facts: dict[str, Any], table: list[dict[str, Any]]) -> str:
    """The text under the figure."""
    words = (
        f"Mean accuracy per class on test images of {facts['data']['name']} ({facts['classes']} "
        "classes) against the number of training images a class; "
        f"{folds_in_words(facts['folds'])}. A new softmax on the frozen layer 7. "
    )
    if any(row["source"] == PAPER for row in table):
        words += "Hollow: Table 5 of the paper. "
    return words + seen_in_words(facts["seen"]) + describe_network(facts)


if __name__ == "__main__":
    main()
