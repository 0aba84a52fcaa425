"""Table 1 as text and figure 8 with it, from the saved files alone."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np

from deconv import figures
from deconv.studies.correspondence.faces import PARTS
from experiments.correspondence_findings import MASKED, MIXED, ROWS, ZEROS, number_of
from experiments.kit.facts import describe_network
from experiments.kit.reported import TABLE1

SHOWN_RANDOM = 2
SAVED = ("arrays.npz", "table.csv", "findings.json", "provenance.json", "config.yaml")


def read_table(folder: Path) -> list[dict[str, Any]]:
    """table.csv with its numbers as numbers; empty cells are left out."""
    words = ("network", "layer", "zeros", "mask")
    with (folder / "table.csv").open() as file:
        return [
            {k: v if k in words else float(v) for k, v in row.items() if v}
            for row in csv.DictReader(file)
        ]


PRINTED = (
    ("the first draw, ± over its pairs", "counted", "first", "first_sd_pairs"),
    ("mean of all draws, ± between draws", "counted", "draws", "draws_sd"),
    ("all pairs, ± half the 95 % interval", "counted", "all", None),
    ("all pairs, without what changed in neither face", "left out", "all", None),
)
"""Blocks of the printed table: title, zeros, column of the value, of ±."""


def printed(rows: list[dict[str, Any]]) -> str:
    """Table 1 in the paper's form, of the first draw, then of all draws, as plain text."""
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    at = {(r["zeros"], r["layer"], r["mask"]): r for r in rows if r["network"] == "trained"}
    lines = []
    for title, zeros, value, spread in PRINTED:
        lines.append(f"mean feature sign change: {title}")
        lines.append(f"  {'hidden':20}" + "".join(f"{_title(layer):>18}" for layer in layers))
        for mask in MASKED:
            cells = []
            for layer in layers:
                row = at[zeros, layer, mask]
                around = row[spread] if spread else (row["all_high"] - row["all_low"]) / 2
                cells.append(f"{row[value]:.3f} ± {around:.3f}")
            lines.append(f"  {mask.replace('_', ' '):20}" + "".join(f"{c:>18}" for c in cells))
    return "\n".join(lines)


def _title(layer: str) -> str:
    return f"layer {number_of(layer)} ({layer})" if number_of(layer) else layer


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    facts = json.loads((source / "provenance.json").read_text())
    table = read_table(source)
    rows = [row for row in table if row["network"] == "trained"]
    shown = [*PARTS, *(f"random {r + 1}" for r in range(min(SHOWN_RANDOM, facts["random"])))]
    with np.load(source / "arrays.npz") as arrays:
        columns = [arrays["masks"].tolist().index(name) for name in shown]
        pictures = arrays["pictures"][:, [0, *(c + 1 for c in columns)]]
        boxes = arrays["boxes"][arrays["group"]][:, columns]
    titles = ["whole", *(name.replace("_", " ") for name in shown)]
    tiles = figures.MaskedFaces(titles, pictures, boxes)
    layers = list(dict.fromkeys(row["layer"] for row in rows))
    panels = [[_panel(rows, layer, zeros) for layer in layers] for zeros in ZEROS]
    figures.save(figures.correspondence(tiles, *panels, caption(facts, table)), folder)


def _panel(rows: list[dict[str, Any]], layer: str, zeros: str) -> figures.DeltaPanel:
    at = {r["mask"]: r for r in rows if (r["layer"], r["zeros"]) == (layer, zeros)}
    number, lines = number_of(layer), []

    def bar(mask: str) -> tuple[float, float, float] | None:
        row = at.get(mask)
        return (row["all"], row["all_low"], row["all_high"]) if row else None

    for mask in (*ROWS, MIXED):
        printed_there = mask in TABLE1 and number in ("5", "7") and zeros == ZEROS[0]
        paper = TABLE1[mask][("5", "7").index(number)] if printed_there else None
        first = at[mask]["first"], at[mask]["first_sd_pairs"]
        name, p = mask.replace("_", " "), at[mask].get("p")
        other = bar(f"borrowed {mask}")
        lines.append(figures.DeltaRow(name, bar(mask), first, other, paper, p))
    counted = "" if zeros == ZEROS[0] else ", without those that changed in neither face"
    note = f"{layer}, {int(at[MIXED]['dimensions'])} values{counted}"
    return figures.DeltaPanel(_title(layer).split(" (")[0].capitalize(), note, lines)


def caption(facts: dict[str, Any], table: list[dict[str, Any]]) -> str:
    """The text under the figure."""
    data, kinds = facts["data"], facts["classes"]
    who = ", ".join(f"{count} of {kind}" if kind else f"{count}" for kind, count in kinds.items())
    right = facts["right"]
    known = "" if right is None else f" The network classifies {100 * right:.0f} % of them rightly."
    return (
        f"Pictures: the {facts['group']} faces of the first draw and what is hidden in them; left "
        f"and right are those of the image; masks measure {facts['mask_px']:g} px on average, of "
        f"{facts['input_px']}. Plots: mean change of sign Δ between two faces with the same part "
        "hidden in both (different parts: another part in each); lower: more alike. Upper plots "
        "count 0 as a sign, as a Hamming distance does, so that Δ grows with the number of values "
        "that change; lower plots leave out values that changed in neither face. Dots: all pairs "
        f"of {data['images']} faces ({data['name']}: {who}), 95 % interval of a bootstrap over "
        "faces. Circles: the first draw, the paper's experiment. Triangles: masks where another "
        f"face has the part (overlap with the face's own {facts['borrowed_overlap']:.2f}). Random: "
        f"mean over {facts['random']} masks a face inside the object that touch no eye and no "
        "nose. p: chance of a Δ so far below random if a face's masks exchanged their names."
        f"{known}{_untrained(table)} {describe_network(facts)}"
    )


def _untrained(table: list[dict[str, Any]]) -> str:
    """A sentence on the upper plots' values in an untrained network, if it was measured."""
    at = {(row["layer"], row["mask"]): row["all"] for row in table
          if (row["network"], row["zeros"]) == ("untrained", ZEROS[0])}  # fmt: skip
    layers = dict.fromkeys(layer for layer, _ in at)
    words = [
        f"{layer} {np.mean([at[layer, part] for part in PARTS]):.3f}, {at[layer, 'random']:.3f}"
        for layer in layers
    ]
    says = "Before training the upper plots' means of the three parts and of random are"
    return f" {says} {'; '.join(words)}." if words else ""
