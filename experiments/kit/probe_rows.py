"""Rows of Tables 4, 5 and 7: the paper's beside ours, and findings about them.

A row is a dictionary: source, network, classifier, layer (the paper's number or a point's name) and
its point, per_class, mean and std in percent ("" where there is no spread), folds.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from deconv.studies.probes.folds import Job
from experiments.kit.findings import Finding, judged
from experiments.kit.result import Saved

Row = Mapping[str, Any]

HERE, CONTROL, PAPER = "here", "control", "paper"
"""Where a row of a table comes from."""
PAPER_SPLITS = 5  # §5.2
PRETRAINED = "paper, trained on ImageNet"


def against(
    key: str, ours: Row, other: float, spread: float | None, whose: str, comparable: bool
) -> Finding:
    """Judge whether a row lies above another number by more than both spreads."""
    margin = (ours["std"] or 0.0) + (spread or 0.0)
    facts = {"rival": whose, "rival_mean": other, "rival_spread": spread or None}
    holds = ours["mean"] - other > margin
    return of_row(key, ours, holds=holds, comparable=comparable, **facts)


def of_row(key: str, row: Row, **judgement: Any) -> Finding:
    """The finding about a row's accuracy, over its folds; it tells a layer that has a title."""
    told = {"read_at": title} if (title := row.get("title")) else {}
    return judged(key, row["mean"], row["std"] or None, row["folds"], **judgement, **told)


def learnt(rows: Sequence[Row]) -> list[Row]:
    """The rows of networks that learnt something, of which there is something to judge."""
    return [row for row in rows if row["source"] == HERE]


def on_scenes(ours: Sequence[Row]) -> list[Finding]:
    """A finding for each size of Table 4 or 5 on the built-in data, of which the paper has none."""
    return [of_row(f"control/transfer/scenes/{row['per_class']}", row) for row in ours]


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
        | {"per_class": int(row["per_class"])}
        | {"mean": float(row["mean"]), "std": float(row["std"] or math.nan)}
        for row in saved.rows()
    ]


def layer_in_words(row: Row) -> str:
    """What a row's layer is called."""
    return row.get("title") or f"layer {row['layer']}"


def folds_in_words(facts: dict[str, Any]) -> str:
    """The folds, for a caption."""
    many = f"mean and standard deviation over {facts['folds']} random splits"
    return many if facts["folds"] > 1 else "one random split"
