"""Figure 4, its animation and its caption, from the saved files alone.

In: arrays.npz and provenance.json of a run's folder. Out: figure.png, figure.pdf, animation.gif,
findings.json.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from deconv import figures
from experiments.evolution_findings import judge
from experiments.kit.facts import layer_title
from experiments.kit.findings import write_findings

SAVED = ("arrays.npz", "table.csv", "turnover.csv", "provenance.json", "config.yaml")


def draw(source: Path, folder: Path) -> None:
    """Draw figure and animation and judge the claim, from the files of `source` alone."""
    facts = json.loads((source / "provenance.json").read_text())
    with (source / "turnover.csv").open() as file:
        write_findings(folder, [judge(list(csv.DictReader(file)), facts["threshold"])])
    with np.load(source / "arrays.npz") as arrays:
        strips = [_strip(arrays, layer, note) for layer, note in facts["panels"].items()]
        epochs = arrays["epochs"].tolist()
    text = caption(facts, strips)
    figures.save(figures.feature_evolution(strips, epochs, facts["threshold"], text), folder)
    figures.save_animation(figures.evolution_frames(strips, epochs), folder / "animation.gif")


def _strip(arrays: Any, layer: str, note: str) -> figures.Filmstrip:
    names = ("maps", "projection", "patch", "inside", "jumped", "turnover")
    settled = int(arrays[f"{layer}/settled"])
    return figures.Filmstrip(
        layer_title(layer),
        note,
        *(arrays[f"{layer}/{n}"] for n in names),
        None if settled < 0 else settled,
    )


def caption(facts: dict[str, Any], strips: Sequence[figures.Filmstrip]) -> str:
    """The text under the figure."""
    data, training, steps = facts["data"], facts["training"], facts["snapshots"]
    empty = sum(int((~strip.inside.any(axis=(2, 3))).sum()) for strip in strips)
    tiles = sum(strip.jumped.size for strip in strips)
    foreign = "" if data["as_trained_on"] else " (which are not those it was trained on)"
    error = steps[-1]["metrics"].get("val_top1_error")
    result = "" if error is None else f", in the end {100 - error:.1f} % top-1 on validation images"
    return (
        "A row is a map (its number at the left), a random choice among those alive at the last "
        f"snapshot. Each picture is its strongest activation over {data['images']} training images "
        f"of {data['name']}{foreign} (centre crops) at the end of that epoch, painted by the "
        "deconvnet with that image's switches and cut to the exact receptive field (blue-grey lies "
        "outside the image). Grey is zero; every picture has its own symmetric scale, so contrast "
        "says nothing about strength. An orange bar between two pictures: the strongest image is "
        "another one. Empty: "
        f"the map is nowhere above 0 ({empty} of {tiles} tiles). Curves: how many of the nine "
        "images that excite a map most were not among its nine at the snapshot before, over all "
        "maps; bars: from the first snapshot after which that stays below "
        f"{100 * facts['threshold']:g} %; snapshots lie unevenly far apart. Network: "
        f"{facts['model']['name']}, trained on "
        f"{training['images']} images of {training['data']} ({training['classes']} classes)"
        f"{result}{rates(steps)}. Shared switches: {facts['choices']['collisions']}."
    )


def rates(steps: Sequence[dict[str, Any]]) -> str:
    """The learning rate at the snapshots, as far as it is known: what settles may follow it."""
    known = [(s["epoch"], s["metrics"]["lr"]) for s in steps if "lr" in s["metrics"]]
    parts = [
        f"{rate:.2g} at epoch {epoch}"
        for i, (epoch, rate) in enumerate(known)
        if i == 0 or rate != known[i - 1][1]
    ]
    return f"; learning rate {', '.join(parts)}" if parts else ""
