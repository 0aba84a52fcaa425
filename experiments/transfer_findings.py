"""How the claims of Tables 4, 5 and 7 are judged: from rows of a table alone.

A row is what a transfer experiment writes: classifier, layer, per_class, mean and std in percent
("" where a single split has no spread), folds, and of Table 4 the architecture where it is known.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from deconv.networks import input_side
from experiments.kit.findings import Finding
from experiments.kit.reported import TABLE4, TABLE5, TABLE7

Row = Mapping[str, Any]

PAPER_SPLITS = 5  # §5.2
TABLE7_SIZE = {"caltech101": 30, "caltech256": 60}
"""Data set -> training images a class of Table 7."""
FEW = 6
"""Figure 9: images a class of Caltech-256 that beat what was best before, with 60."""
MARGIN = 1.0
"""Percentage points that a rise has to have where a single fold tells no spread."""
LEVEL = 5.0
"""Percentage points within which two layers count as level."""


def beats(ours: Row, other: float, spread: float | None, whose: str) -> tuple[bool, str]:
    """Whether a row lies above another number by more than both spreads, and that rule in words."""
    margin = (ours["std"] or 0.0) + (spread or 0.0)
    words = f"above {whose} ({other:.1f} %) by more than both spreads together ({margin:.1f})"
    return ours["mean"] - other > margin, words


def scratch_table(results: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Kept rows of folds (experiments/results/caltech101_scratch.json) as rows of a table.

    The first of each size is "from scratch", another recipe for the same size has its name beside.
    A row whose command is kept has its architecture.
    """
    names: dict[int, int] = {}
    rows = []
    for key, row in results.items():
        size = row["folds"][0]["images_per_class"]
        names[size] = names.get(size, 0) + 1
        name = "from scratch" if names[size] == 1 else f"from scratch, {key}"
        rows.append(
            {"network": name, "per_class": size, "mean": row["mean"]}
            | {"std": row["standard_deviation"] or "", "folds": len(row["folds"])}
        )
        if model := model_of(row["folds"][0].get("command", "")):
            rows[-1]["architecture"] = architecture(*model)
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


def _rival(rows: Sequence[Row], row: Row) -> tuple[Row | None, bool]:
    """Of the rows of the same size that of the same architecture, else the first; whether same."""
    sized = [one for one in rows if one["per_class"] == row["per_class"]]
    kind = row.get("architecture")
    alike = [one for one in sized if kind is not None and one.get("architecture") == kind]
    return next(iter([*alike, *sized]), None), bool(alike)


def judge_pretrained(
    ours: Sequence[Row], scratch: Sequence[Row], comparable: bool
) -> list[Finding]:
    """Table 4: does a network that learnt elsewhere beat one that learnt here alone?

    comparable: whether ours are the paper's network and splits.
    """
    found = []
    for row in ours:
        size = row["per_class"]
        if size not in TABLE4["pretrained"]:
            continue
        own, alike = _rival(scratch, row)
        mean, spread = (own["mean"], own["std"] or 0.0) if own else TABLE4["scratch"][size]
        whose = "the paper's network from scratch"
        if own:
            other = f", another one ({own.get('architecture', 'unknown')})"
            whose = f"our network from scratch{other * (not alike)}"
        holds, rule = beats(row, mean, spread, whose)
        found.append(Finding(f"table4/pretrained/{size}", row["mean"], row["std"] or None, holds,
                             f"holds if it lies {rule}", comparable=comparable))  # fmt: skip
    return found


def judge_scratch(scratch: Sequence[Row], ours: Sequence[Row]) -> list[Finding]:
    """Table 4: is the network from scratch behind the pre-trained one?

    Of each size that of the architecture of `ours`, which alone is a comparison, else the first.
    Its numbers are targets with as many splits as the paper's.
    """
    found = []
    for size in TABLE4["scratch"]:
        sized = [row for row in scratch if row["per_class"] == size]
        if not sized:
            continue
        pairs = [(own, *_rival(ours, own)) for own in sized]
        own, row, alike = next((pair for pair in pairs if pair[2]), pairs[0])
        holds, rule = None, "not judged: there is no pre-trained network of its kind here"
        if row is not None and alike:
            whose = "our network from scratch"
            holds, words = beats(row, own["mean"], own["std"] or 0.0, whose)
            rule = f"holds if ours pre-trained ({row['mean']:.1f} %) lies {words}"
        enough = own["folds"] == PAPER_SPLITS
        few = f"; its number is no target: {own['folds']} splits, the paper's {PAPER_SPLITS}"
        found.append(Finding(f"table4/scratch/{size}", own["mean"], own["std"] or None, holds,
                             rule + few * (not enough), comparable=enough))  # fmt: skip
    return found


def judge_table5(ours: Sequence[Row], comparable: bool) -> list[Finding]:
    """Does it beat training from scratch at each size, and with few images the best before?"""
    found = []
    for row in ours:
        size, numbers = row["per_class"], (row["mean"], row["std"] or None)
        if size in TABLE5["pretrained"]:
            holds, rule = beats(row, *TABLE5["scratch"][size], "the paper's network from scratch")
            found.append(Finding(f"table5/pretrained/{size}", *numbers, holds,
                                 f"holds if it lies {rule}", comparable=comparable))  # fmt: skip
        if size == FEW:
            holds, rule = beats(row, *TABLE5["Bo et al."][60], "Bo et al. with 60 a class")
            found.append(Finding("fig9/few_images", *numbers, holds, f"holds if it lies {rule}",
                                 "%", comparable))  # fmt: skip
    return found


def judge_table7(data: str, ours: Sequence[Row], comparable: bool, prefix: str) -> list[Finding]:
    """One finding for each layer: does accuracy move from the layer below as in the paper?

    data: the paper's step is known for those of TABLE7_SIZE. prefix: of the findings' keys.
    """
    column = list(TABLE7_SIZE).index(data) if data in TABLE7_SIZE else None
    found = []
    below: dict[str, Row] = {}
    for row in sorted(ours, key=lambda row: row["layer"]):
        kind, layer = row["classifier"], row["layer"]
        under = below.get(kind)
        below[kind] = row
        if column is not None and (kind, layer) not in TABLE7:
            continue
        values = {"value": row["mean"], "spread": row["std"] if row["std"] != "" else None}
        holds, rule = _moves(row, under, column)
        key = f"{prefix}/{kind}/layer{layer}"
        found.append(Finding(key, **values, holds=holds, rule=rule, unit="%",
                             comparable=comparable))  # fmt: skip
    return found


def _moves(row: Row, under: Row | None, column: int | None) -> tuple[bool | None, str]:
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
            rule = f"holds if it lies within {LEVEL:g} points of {text}, as in the paper"
            return abs(step) <= LEVEL, rule
    rule = (
        f"holds if it lies more than {margin:.1f} points above {text}: both spreads together, or "
        f"{MARGIN:g} where a single fold has none"
    )
    return step > margin, rule
