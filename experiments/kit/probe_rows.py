"""Rows of Tables 4, 5 and 7: the paper's beside ours, and how they are judged.

A row is a dictionary: source, network, classifier, layer, per_class, mean and std in percent (""
where there is no spread), folds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from deconv.studies.probes.folds import Job
from experiments.kit.findings import TRUTH, Finding
from experiments.kit.result import Saved

Row = Mapping[str, Any]

HERE, CONTROL, PAPER = "here", "control", "paper"
"""Where a row of a table comes from."""
PAPER_SPLITS = 5  # §5.2
PRETRAINED = "paper, trained on ImageNet"


def beats(ours: Row, other: float, spread: float | None, whose: str) -> tuple[bool, str]:
    """Whether a row lies above another number by more than both spreads, and that rule in words."""
    margin = (ours["std"] or 0.0) + (spread or 0.0)
    words = f"above {whose} ({other:.1f} %) by more than both spreads together ({margin:.1f})"
    return ours["mean"] - other > margin, words


def on_scenes(stem: str, ours: Sequence[Row]) -> list[Finding]:
    """A finding for each size of Table 4 or 5 on the built-in data, of which the paper has none."""
    rule = "a softmax on layer 7, trained on scenes that the network did not learn from"
    found = {f"{TRUTH}{stem}/{row['per_class']}": (row["mean"], row["std"] or None) for row in ours}
    return [Finding(key, *numbers, rule=rule, unit="%") for key, numbers in found.items()]


def paper_row(network: str, job: Job, size: int, mean: float, spread: float | None) -> Row:
    """One of the paper's numbers as a row of a table."""
    row = {"source": PAPER, "network": network, "classifier": job[0], "layer": job[1]}
    row |= {"per_class": size, "mean": mean, "std": "" if spread is None else spread}
    return row | {"folds": PAPER_SPLITS}


def paper_rows(table: Mapping[str, Mapping[int, Any]], job: Job) -> list[Row]:
    """The rows of TABLE4 or TABLE5, the paper's own networks first."""
    ours = {"pretrained": PRETRAINED, "scratch": "paper, from scratch"}
    return [
        paper_row(ours.get(network, network), job, size, *numbers)
        for network in reversed(table)
        for size, numbers in table[network].items()
    ]


def saved_rows(saved: Saved) -> list[dict[str, Any]]:
    """The rows of table.csv, numbers as numbers, an unknown spread as NaN."""
    return [
        row
        | {name: int(row[name]) for name in ("layer", "per_class")}
        | {"mean": float(row["mean"]), "std": float(row["std"] or math.nan)}
        for row in saved.rows()
    ]


def folds_in_words(facts: dict[str, Any]) -> str:
    """The folds, for a caption."""
    many = f"mean and standard deviation over {facts['folds']} random splits"
    return many if facts["folds"] > 1 else "one random split"
