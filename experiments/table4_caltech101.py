"""Table 4: Caltech-101 with a softmax on frozen features, beside training from scratch.

    python -m experiments.table4_caltech101 snapshot=<run>/last.pt data=caltech101 data.root=…
    python -m experiments.table4_caltech101 redraw=outputs/table4_caltech101/<folder>

Paper: layers 1-7 of a network trained on ImageNet are kept, a new softmax is trained on top with
15 or 30 images a class; at most 50 test images a class, mean accuracy per class, five random
splits. The same network trained on Caltech-101 alone is far behind. The rows from scratch here are
those that were kept in experiments/results, and those of scratch=[…].

Writes figure.png and figure.pdf, table.csv (means), folds.csv (a row a fold), arrays.npz (the
accuracy of each class), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, ListConfig

from deconv import figures
from deconv.errors import DeconvError
from experiments.kit import kept_results
from experiments.kit.command import experiment
from experiments.kit.facts import data_facts, describe_network, training_facts
from experiments.kit.findings import TRUTH, Finding, write_findings
from experiments.kit.inputs import log
from experiments.kit.provenance import write_provenance
from experiments.kit.redrawing import redraw
from experiments.kit.reported import TABLE4
from experiments.probing import Frozen, Study, open_study, probe_all, summarise
from experiments.transfer_findings import (
    architecture,
    judge_pretrained,
    judge_scratch,
    scratch_table,
)
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

DATA = "caltech101"
SIZES = (15, 30)
JOB = ("softmax", 7)
KEPT = Path(__file__).resolve().parent / "results" / "caltech101_scratch.json"
ROWS = {
    "pretrained": "paper, trained on ImageNet",
    "scratch": "paper, from scratch",
    "Jianchao et al.": "Jianchao et al.",
    "Bo et al.": "Bo et al.",
}
"""The paper's rows and what they are called beside ours."""


@experiment("table4_caltech101")
def main(cfg: DictConfig, folder: Path) -> None:
    """Train the softmax on every fold, save, draw; or draw again what an earlier run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    scratch = scratch_rows(cfg)
    study = open_study(cfg, folder, [JOB], cfg.per_class, SIZES)
    if study is not None:
        compute(cfg, folder, study, scratch)
        draw(folder, folder)


def scratch_rows(cfg: DictConfig, kept: Path = KEPT) -> list[dict[str, Any]]:
    """Our networks from scratch: those kept as a file, and one row a size of cfg.scratch.

    Only where the data set is Caltech-101. Raises DeconvError for a folder that is no result.
    """
    if not isinstance(cfg.scratch, ListConfig):
        raise DeconvError(f"scratch takes a list of folders such as [a,b]: {cfg.scratch}")
    if cfg.data.name != DATA:
        if cfg.scratch:
            raise DeconvError(f"scratch=… are networks for {DATA}, and the data is {cfg.data.name}")
        return []
    results = json.loads(kept.read_text()) if kept.is_file() else {}
    for size, folders in _by_size([Path(one) for one in cfg.scratch]).items():
        results[f"given, {size} a class"] = kept_results.row_of_folds(folders)
    job = {"classifier": JOB[0], "layer": JOB[1], "source": HERE}
    return [row | job for row in scratch_table(results)]


def _by_size(folders: list[Path]) -> dict[int, list[Path]]:
    groups: dict[int, list[Path]] = {}
    for folder in folders:
        try:
            size = kept_results.fold(folder)["images_per_class"]
        except (OSError, KeyError) as error:
            raise DeconvError(f"scratch: {folder} is no finished training: {error}") from error
        groups.setdefault(size, []).append(folder)
    return groups


def compute(cfg: DictConfig, folder: Path, study: Study, scratch: list[dict[str, Any]]) -> None:
    """Probe layer 7 on every fold and save the table, its folds, facts and findings."""
    snapshot = study.snapshots[0]
    frozen = Frozen(network_name(snapshot, study.snapshots), snapshot.network(), snapshot.mean)
    rows, each = probe_all(cfg, frozen, [JOB], study.folds)
    kind = {"architecture": architecture(snapshot.recipe["name"], frozen.net.input_px)}
    ours = [row | {"source": HERE} | kind for row in summarise(rows)]
    theirs = paper_rows(TABLE4, ROWS, JOB) if cfg.data.name == DATA else []
    save(folder, ours + scratch + theirs, rows, each, study.data.classes)
    facts = {
        "table": "4",
        "choices": choices(cfg, frozen.net, frozen.mean, [JOB]),
        "data": data_facts(cfg, "random splits", study.data),
        "classes": len(study.data.classes),
        "folds": cfg.folds,
        "seen": study.seen,
        "training": training_facts(snapshot, cfg.snapshot),
    }
    write_provenance(folder, frozen.net, facts)
    write_findings(folder, judge(cfg, ours, scratch, as_in_paper(cfg, snapshot)))
    for row in ours + scratch + theirs:
        log(f"{row['per_class']:3d} a class  {log_line(row):12s} %  {row['network']}")


def judge(
    cfg: DictConfig, ours: list[dict[str, Any]], scratch: list[dict[str, Any]], comparable: bool
) -> list[Finding]:
    """Does a network that learnt elsewhere beat one that learnt here alone, at every size?"""
    if cfg.data.name == "scenes":
        rule = "a softmax on layer 7, trained on scenes that the network did not learn from"
        return [
            Finding(f"{TRUTH}table4_caltech101/{row['per_class']}", row["mean"],
                    row["std"] or None, None, rule, "%")
            for row in ours
        ]  # fmt: skip
    if cfg.data.name != DATA:
        return []
    return judge_pretrained(ours, scratch, comparable) + judge_scratch(scratch, ours)


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    table = read_table(source)
    facts = json.loads((source / "provenance.json").read_text())
    sizes = sorted({row["per_class"] for row in table})
    title = "Softmax on layer 7" if len(sizes) > 1 else "Softmax"
    panel = figures.AccuracyPanel(
        title, "training images a class", sizes, lines(table, "per_class"), 100 / facts["classes"]
    )
    figures.save(figures.accuracy_curves([panel], [1], caption(facts, table)), folder)


def caption(facts: dict[str, Any], table: list[dict[str, Any]]) -> str:
    """The text under the figure."""
    words = (
        f"Mean accuracy per class on test images of {facts['data']['name']} ({facts['classes']} "
        f"classes); {folds_in_words(facts['folds'])}. A new softmax on the frozen layer 7. "
    )
    if any(row["network"].startswith("from scratch") for row in table):
        words += "From scratch: all layers trained on the same images, ten-crop test. "
    if any(row["source"] == PAPER for row in table):
        words += "Hollow: Table 4 of the paper. "
    return words + seen_in_words(facts["seen"]) + describe_network(facts)


if __name__ == "__main__":
    main()
