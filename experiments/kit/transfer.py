"""What Tables 4 and 5 share: a softmax on one frozen layer, by training images a class."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from deconv import figures
from deconv.figures import Page
from experiments.kit.probe_rows import PAPER, Row, folds_in_words, layer_in_words, saved_rows
from experiments.kit.probing import Probing, Study, network_in_words, open_study
from experiments.kit.result import Saved
from experiments.kit.subject import Subject

JOB = ("softmax", "7")
"""The classifier and the layer of the paper."""


@dataclass
class Transfer(Probing):
    layer: str = JOB[1]  # the paper's number or a point by name, see Table 7
    per_class: list[int] = field(default_factory=list)  # training images a class; empty: the
    # table's, of other data than Caltech as far as half a class goes


def probe(cfg: Transfer, it: Subject, sizes: Sequence[int]) -> tuple[Study, list[Row]]:
    """Probe the layer on every fold and size. sizes: those of the table."""
    study = open_study(it, [(JOB[0], cfg.layer)], cfg.per_class, sizes)
    (ours,) = study.probe_snapshots()
    return study, ours


def draw(saved: Saved, table: str, more: str = "") -> Page:
    """The figure with its numbers below. table: of the paper; more: a sentence for the caption."""
    rows, facts = saved_rows(saved), saved.facts
    layer = layer_in_words(rows[0])
    panel = figures.accuracy_panel(
        f"Softmax on {layer}", rows, "per_class", chance=100 / facts["classes"]
    )
    printed = any(row["source"] == PAPER for row in rows)
    words = (
        f"Mean accuracy per class on test images of {facts['data']['name']} ({facts['classes']} "
        "classes) against the number of training images a class; "
        f"{folds_in_words(facts)}. A new softmax on the frozen {layer}. {more}"
        f"{f'Hollow: {table} of the paper. ' * printed}{network_in_words(facts)}"
    )
    return figures.accuracy_curves([panel], [1], words)
