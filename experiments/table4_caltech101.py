"""Table 4: Caltech-101 with a softmax on frozen features, beside training from scratch.

    python -m experiments.table4_caltech101 snapshot=<run>/last.pt data=caltech101 data.root=…
    python -m experiments.table4_caltech101 redraw=outputs/table4_caltech101/<folder>

Paper: layers 1-7 of a network trained on ImageNet are kept, a new softmax is trained on top with
15 or 30 images a class; at most 50 test images a class, mean accuracy per class, five random
splits. The same network trained on Caltech-101 alone is far behind. The rows from scratch here are
those that were kept in experiments/results, and those of scratch=[…].

Cost: one pass over 8677 images, then about a minute a fold on 2 CPU cores. laptop: a minute or two
after the training.
Expected at size=paper data=caltech101: 83.8 ± 0.5 % with 15 images a class, 86.5 ± 0.5 % with 30.

Writes figure.png and figure.pdf, table.csv (means), folds.csv (one row per fold), arrays.npz (the
accuracy of each class), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from deconv import figures
from deconv.errors import DeconvError
from deconv.figures import Page
from deconv.networks import input_side
from experiments.kit import Finding, Result, Saved, Subject, experiment, kept_results, probing
from experiments.kit.probe_rows import (
    HERE,
    PAPER,
    PAPER_SPLITS,
    Row,
    beats,
    folds_in_words,
    on_scenes,
    paper_rows,
    saved_rows,
)
from experiments.kit.probing import Probing
from experiments.kit.reported import TABLE4

DATA = "caltech101"
SIZES = (15, 30)
JOB = ("softmax", 7)
KEPT = Path(__file__).resolve().parent / "results" / "caltech101_scratch.json"


@dataclass
class Transfer(Probing):
    scratch: list[str] = field(default_factory=list)  # folders of trainings on Caltech-101 alone,
    # one a split, as scripts.keep_results takes them
    per_class: list[int] = field(default_factory=list)  # training images a class; empty: 15 and
    # 30, or half a class of other data with fewer


def compute(cfg: Transfer, it: Subject) -> Result:
    """Probe layer 7 on every fold and set the networks from scratch beside it."""
    scratch = scratch_rows(cfg)
    study = probing.open_study(it, [JOB], cfg.per_class, SIZES)
    (ours,) = study.probe_snapshots()
    kind = {"architecture": architecture(it.net.recipe["name"], it.net.input_px)}
    ours = [row | kind for row in ours]
    found, theirs = [], []
    if cfg.data.name == "scenes":
        found = on_scenes("table4_caltech101", ours)
    if cfg.data.name == DATA:
        theirs = paper_rows(TABLE4, JOB)
        found = judge_pretrained(ours, scratch, study.as_in_paper) + judge_scratch(scratch, ours)
    return study.result([*ours, *scratch, *theirs], found, {"table": "4"})


# Networks from scratch


def scratch_rows(cfg: Transfer) -> list[Row]:
    """Our networks from scratch: those kept in KEPT, and one row per size of cfg.scratch.

    Only where the data set is Caltech-101. Raises DeconvError for a folder that is no result.
    """
    if cfg.data.name != DATA:
        if cfg.scratch:
            raise DeconvError(f"scratch=… are networks for {DATA}, and the data is {cfg.data.name}")
        return []
    groups: dict[int, list[Path]] = {}
    for folder in map(Path, cfg.scratch):
        try:
            size = kept_results.fold(folder)["images_per_class"]
        except (OSError, KeyError) as error:
            raise DeconvError(f"scratch: {folder} is no finished training: {error}") from error
        groups.setdefault(size, []).append(folder)
    results = json.loads(KEPT.read_text(encoding="utf-8")) if KEPT.is_file() else {}
    for size, folders in groups.items():
        results[f"given, {size} a class"] = kept_results.row_of_folds(folders)
    return scratch_table(results)


def scratch_table(results: Mapping[str, Any]) -> list[Row]:
    """Kept rows of folds (experiments/results/caltech101_scratch.json) as rows of a table.

    The first of each size is "from scratch", another recipe for the same size has its name beside.
    A row whose command is kept has its architecture.
    """
    rows: list[Row] = []
    for key, kept in results.items():
        first, size = kept["folds"][0], kept["folds"][0]["images_per_class"]
        another = any(row["per_class"] == size for row in rows)
        row = {"source": HERE, "network": f"from scratch{f', {key}' * another}"}
        row |= {"classifier": JOB[0], "layer": JOB[1], "per_class": size, "mean": kept["mean"]}
        row |= {"std": kept["standard_deviation"] or "", "folds": len(kept["folds"])}
        if model := model_of(first.get("command", "")):
            row["architecture"] = architecture(*model)
        rows.append(row)
    return rows


def model_of(command: str) -> tuple[str, int | None] | None:
    """The network's name in a command, and the side of its input if it is told another one."""
    if not (name := re.search(r"\bmodel=([\w/]+)", command)):
        return None
    side = re.search(r"\bmodel\.input_px=(\d+)", command)
    return name[1], int(side[1]) if side else None


def architecture(name: str, input_px: int | None) -> str:
    """A network's name and the side of its input, by which networks are set side by side."""
    return f"{name}, {input_px or input_side(name)} px"


# The claims


def judge_pretrained(
    ours: Sequence[Row], scratch: Sequence[Row], comparable: bool
) -> list[Finding]:
    """Judge whether a network that learnt elsewhere beats one that learnt here alone.

    comparable: whether ours are the paper's network and splits.
    """
    found = []
    for row in ours:
        if (size := row["per_class"]) not in TABLE4["pretrained"]:
            continue
        own, alike = _rival(scratch, row)
        mean, spread = (own["mean"], own["std"] or 0.0) if own else TABLE4["scratch"][size]
        whose = "our network from scratch" if own else "the paper's network from scratch"
        if own and not alike:
            whose += f", another one ({own.get('architecture', 'unknown')})"
        holds, words = beats(row, mean, spread, whose)
        rule, spread = f"holds if it lies {words}", row["std"] or None
        key = f"table4/pretrained/{size}"
        found.append(Finding(key, row["mean"], spread, holds, rule, comparable=comparable))
    return found


def judge_scratch(scratch: Sequence[Row], ours: Sequence[Row]) -> list[Finding]:
    """Judge whether the network from scratch is behind the pre-trained one.

    Of each size that of the architecture of `ours`, which alone is a comparison, else the first.
    Its numbers are targets with as many splits as the paper's.
    """
    found = []
    for size in TABLE4["scratch"]:
        pairs = [(own, *_rival(ours, own)) for own in scratch if own["per_class"] == size]
        if not pairs:
            continue
        own, row, alike = next((pair for pair in pairs if pair[2]), pairs[0])
        holds, rule = None, "not judged: there is no pre-trained network of its kind here"
        if alike:
            holds, words = beats(row, own["mean"], own["std"] or 0.0, "our network from scratch")
            rule = f"holds if ours pre-trained ({row['mean']:.1f} %) lies {words}"
        enough = own["folds"] == PAPER_SPLITS
        if not enough:
            rule += f"; its number is no target: {own['folds']} splits, the paper's {PAPER_SPLITS}"
        key, spread = f"table4/scratch/{size}", own["std"] or None
        found.append(Finding(key, own["mean"], spread, holds, rule, comparable=enough))
    return found


def _rival(rows: Sequence[Row], row: Row) -> tuple[Row | None, bool]:
    """Of the rows of the same size that of the same architecture, else the first; whether same."""
    sized = [one for one in rows if one["per_class"] == row["per_class"]]
    kind = row.get("architecture")
    alike = [one for one in sized if kind is not None and one.get("architecture") == kind]
    return next(iter([*alike, *sized]), None), bool(alike)


# The page


def draw(saved: Saved) -> Page:
    """The figure with its numbers below, from the saved files alone."""
    rows, facts = saved_rows(saved), saved.facts
    several = len({row["per_class"] for row in rows}) > 1
    panel = figures.accuracy_panel(
        f"Softmax{' on layer 7' * several}", rows, "per_class", chance=100 / facts["classes"]
    )
    words = (
        f"Mean accuracy per class on test images of {facts['data']['name']} ({facts['classes']} "
        f"classes); {folds_in_words(facts)}. A new softmax on the frozen layer 7. "
    )
    if any(row["network"].startswith("from scratch") for row in rows):
        words += "From scratch: all layers trained on the same images, ten-crop test. "
    if any(row["source"] == PAPER for row in rows):
        words += "Hollow: Table 4 of the paper. "
    return figures.accuracy_curves([panel], [1], words + probing.network_in_words(facts))


main = experiment(Transfer, compute, draw, saves=probing.SAVES)

if __name__ == "__main__":
    main()
