r"""Table 7: what a linear classifier can tell from each layer of a frozen network.

    python -m experiments.table7_layer_probes snapshot=<run>/last.pt data=caltech101 data.root=…
    python -m experiments.table7_layer_probes snapshot=<run>/last.pt data=caltech256 data.root=…
    python -m experiments.table7_layer_probes model=torchvision/squeezenet1_0 \
        model.weights=DEFAULT data=caltech101 data.root=… 'pooled=[1,2]' 'svm=[1,features.3,5]'
    python -m experiments.table7_layer_probes redraw=outputs/table7_layer_probes/<folder>

Paper: a network trained on ImageNet; a linear SVM on its layers 1-5 and 7 and a softmax on 5 and
7, on Caltech-101 with 30 training images a class and Caltech-256 with 60; accuracy rises with
depth. Not stated there: where a layer is read, how features are scaled, how C is chosen, what a
reduction of layers 1-4 there was. Here: what the next layer is given, averaged to at most
max_features values or max-pooled to the grids of pooled=, vectors of length 1, C by a fifth of the
training images. Layers 1 to 5 of a network of others are five points spread over its convolutions,
7 is what its last layer reads; any point goes by its name. Beside it the same network with its
first random weights, so that depth alone is not taken for learning.

Cost: one pass over the images, then minutes a fold on 2 CPU cores for Caltech-101, seconds on a
GPU; features take 200 KB of memory an image. laptop: a minute or two after the training.
Expected at size=paper data=caltech101: SVM 44.8, 66.2, 72.3, 76.6, 86.2 % on layers 1–5, 85.5 % on
7; softmax 82.9 % on 5, 85.4 % on 7.

Writes figure.png and figure.pdf, table.csv (means), folds.csv (one row per fold), arrays.npz (the
accuracy of each class), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from deconv import figures
from deconv.errors import DeconvError
from deconv.figures import Page
from deconv.networks import build
from deconv.studies.probes.folds import Job
from deconv.training.snapshots import load_snapshot, weights_hash
from experiments.kit import Finding, Result, Saved, Subject, experiment, judged, log, probing
from experiments.kit.claims import LEVEL7, MARGIN7
from experiments.kit.facts import training_facts
from experiments.kit.paper_tables import TABLE7
from experiments.kit.probe_rows import (
    CONTROL,
    PAPER,
    PRETRAINED,
    Row,
    folds_in_words,
    learnt,
    of_row,
    paper_row,
    saved_rows,
)
from experiments.kit.probing import Probing, Study

TABLE7_SIZE = {"caltech101": 30, "caltech256": 60}
"""Data set -> training images a class in the paper; the columns of TABLE7."""
TITLES = {"svm": "Linear SVM", "softmax": "Softmax"}


@dataclass
class LayerProbes(Probing):
    compare: str | None = None  # a second snapshot to draw beside it
    control: bool = True  # also the network with first random weights
    svm: list[str] = field(default_factory=lambda: list("123457"))  # layers under a linear SVM: the
    # paper's numbers, for which other networks than its own have points at such depths, or points
    softmax: list[str] = field(default_factory=lambda: list("57"))  # layers under a softmax
    train_per_class: int | None = None  # null: the data's (Caltech-101: 30, Caltech-256: 60), else
    # 30 or half a class

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.jobs:
            raise DeconvError("name at least one layer with svm=[…] or softmax=[…]")

    @property
    def jobs(self) -> list[Job]:
        """The columns of the table: (classifier, layer)."""
        return [(kind, layer) for kind in TITLES for layer in getattr(self, kind)]


def compute(cfg: LayerProbes, it: Subject) -> Result:
    """Probe every network on every fold."""
    others = [load_snapshot(cfg.compare, cfg.model.name)] if cfg.compare else []
    if others and not it.given:
        raise DeconvError("compare=… stands beside snapshot=…: name both")
    per_class = [] if cfg.train_per_class is None else [cfg.train_per_class]
    usual = [getattr(cfg.data, "train_per_class", 30)]
    study = probing.open_study(it, cfg.jobs, per_class, usual, others)
    ours, *compared = study.probe_snapshots()
    table = [row for rows in (ours, *compared) for row in rows]
    control = probe_untrained(cfg, it, study) if cfg.control else []
    table += control
    data, size = cfg.data.name, study.folds[0].per_class
    ours = learnt(ours)
    found = judge_learned(ours, control)
    if TABLE7_SIZE.get(data) == size:
        column = list(TABLE7_SIZE).index(data)
        table += [
            paper_row(PRETRAINED, job, size, *numbers[column])
            for job, numbers in TABLE7.items()
            if job in study.jobs
        ]
        found += judge_table7(data, ours, study.as_in_paper, f"table7/{data}")
    elif data == "scenes":
        found += judge_table7(data, ours, False, "control/table7/scenes")
    facts = {"table": "7", "per_class": size}
    facts["compared"] = [training_facts(other, cfg.compare) for other in others]
    return study.result(table, found, facts)


def probe_untrained(cfg: LayerProbes, it: Subject, study: Study) -> list[Row]:
    """Probe the network with first random weights; no row where these are the ones that it has."""
    untrained = build(**it.snapshot.recipe, seed=cfg.seed).to(it.device)
    if weights_hash(untrained) == weights_hash(it.net):
        log("no control: the network itself has its first weights")
        return []
    return study.probe("first random weights", untrained, it.snapshot.mean, CONTROL)


# The claims


def judge_table7(data: str, ours: Sequence[Row], comparable: bool, prefix: str) -> list[Finding]:
    """Judge for each layer whether accuracy moves from the layer below as in the paper.

    ours: by depth; of those that have a number of the paper. data: the paper's step is known for
    those of TABLE7_SIZE. prefix: of the findings' keys.
    """
    column = list(TABLE7_SIZE).index(data) if data in TABLE7_SIZE else None
    found = []
    below: dict[str, Row] = {}
    for row in (row for row in ours if row["layer"].isdecimal()):
        kind, layer = row["classifier"], row["layer"]
        under = below.get(kind)
        below[kind] = row
        if column is not None and (kind, layer) not in TABLE7:
            continue
        holds, facts = _moves(row, under, column)
        key = f"{prefix}/{kind}/layer{layer}"
        found.append(of_row(key, row, holds=holds, comparable=comparable, **facts))
    return found


def judge_learned(ours: Sequence[Row], control: Sequence[Row]) -> list[Finding]:
    """Judge for each classifier whether accuracy rises more than with first random weights.

    ours, control: of the same layers, by depth.
    """
    found = []
    for kind in TITLES:
        learned, random = ([r for r in rows if r["classifier"] == kind] for rows in (ours, control))
        if min(len(learned), len(random)) < 2:
            continue
        ends = [learned[0], learned[-1], random[0], random[-1]]
        low, top, low0, top0 = (row["mean"] for row in ends)
        spreads = [row["std"] for row in ends if row["std"] != ""]
        spread = sum(spreads) if spreads else None
        facts = {"layers": [ends[0]["point"], ends[1]["point"]]}
        facts |= {"learned": [low, top], "random": [low0, top0]}
        rise = (top - low) - (top0 - low0)
        holds = rise > (MARGIN7 if spread is None else spread)
        key = f"control/table7/learned/{kind}"
        found.append(judged(key, rise, spread, learned[-1]["folds"], holds=holds, **facts))
    return found


def _moves(row: Row, under: Row | None, column: int | None) -> tuple[bool | None, dict[str, Any]]:
    """Whether the step from the layer below is that of the paper, and what that is judged by."""
    if under is None:
        return None, {}
    step = row["mean"] - under["mean"]
    facts = {"layer_below": under["layer"], "below": under["mean"]}
    spreads = [one["std"] for one in (row, under)]
    margin = sum(spreads) if "" not in spreads else MARGIN7
    if column is not None and (row["classifier"], under["layer"]) in TABLE7:
        here, there = (TABLE7[row["classifier"], one["layer"]][column] for one in (row, under))
        if abs(here[0] - there[0]) <= here[1] + there[1]:
            return abs(step) <= LEVEL7, facts | {"level_within": LEVEL7}
    return step > margin, facts | {"margin": margin}


# The page


def draw(saved: Saved) -> Page:
    """A panel for each classifier with its numbers below, from the saved files alone."""
    rows, facts = saved_rows(saved), saved.facts
    panels = []
    for kind, title in TITLES.items():
        if own := placed([row for row in rows if row["classifier"] == kind]):
            panels.append(figures.accuracy_panel(title, own, "layer", 100 / facts["classes"]))
    words = (
        f"Linear classifiers on the layers of frozen networks, {facts['per_class']} training "
        f"images a class of {facts['data']['name']} ({facts['classes']} classes). Accuracy is the "
        f"mean over the classes on test images; {folds_in_words(facts)}. Features: "
        f"{facts['choices']['features']}. "
    )
    sources = {row["source"] for row in rows}
    if PAPER in sources:
        words += "Hollow: Table 7 of the paper, whose network learnt on ImageNet. "
    if any(row.get("title") for row in rows):
        words += "In brackets: the layer of the paper that a layer at such a depth stands for. "
    if CONTROL in sources:
        words += "Grey: the same network before training. "
    widths = [max(1.2, len(panel.ticks)) for panel in panels]
    return figures.accuracy_curves(panels, widths, words + probing.network_in_words(facts))


def placed(rows: Sequence[Row]) -> list[Row]:
    """The rows with what the axis says of their layer: its number, or a title.

    The paper's stand where a title has their number; others of them have no place.
    """
    titles = {row["layer"]: row.get("title") for row in rows if row["source"] != PAPER}
    if not any(titles.values()):
        return [row | {"layer": int(row["layer"])} for row in rows]
    ticks = {n: f"{title} ({n})" if n.isdecimal() else title for n, title in titles.items()}
    return [row | {"layer": ticks[row["layer"]]} for row in rows if row["layer"] in ticks]


main = experiment(LayerProbes, compute, draw, saves=probing.SAVES)

if __name__ == "__main__":
    main()
