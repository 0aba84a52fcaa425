"""Figure 5 and its caption, from the saved files alone.

In: arrays.npz and provenance.json of a run's folder. Out: figure.png and figure.pdf.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from deconv import figures
from deconv.studies.invariance.warping import IDENTITY
from experiments.invariance_findings import SHOWN
from experiments.kit.facts import describe_network, layer_title

SAVED = (
    "arrays.npz", "table.csv", "scores.csv", "classes.csv", "findings.json", "provenance.json",
    "config.yaml",
)  # fmt: skip

TITLES = {"translation": "Vertical translation", "scale": "Scale", "rotation": "Rotation"}
UNITS = {"translation": " px", "scale": "×", "rotation": "°"}


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    facts = json.loads((source / "provenance.json").read_text())
    with np.load(source / "arrays.npz") as arrays:
        shown = int(arrays["shown"])
        others = len(arrays["labels"]) - shown
        rows = [_row(arrays, kind, shown, others >= SHOWN) for kind in IDENTITY]
    titles = [numbered(name) for name in facts["layers"]]
    columns = [
        (title, f"values of {name}{' after the ReLU' * rectified}", "Euclidean distance")
        for title, name, rectified in zip(titles, facts["layers"], facts["rectified"], strict=True)
    ]
    columns.append(("True class", "softmax probability", "probability"))
    page = figures.invariance(rows, facts["names"], columns, caption(facts, shown, others))
    figures.save(page, folder)


def numbered(layer: str) -> str:
    """A layer's title with its number, of fully connected layers, too: fc7 -> Layer 7."""
    return f"Layer {layer[2:]}" if layer[:2] == "fc" and layer[2:].isdigit() else layer_title(layer)


def _row(arrays: Any, kind: str, shown: int, band: bool) -> figures.TransformRow:
    names = ("layer1/distance", "layer7/distance", "probability")
    every = [arrays[f"{kind}/{name}"] for name in names]
    return figures.TransformRow(
        TITLES[kind],
        UNITS[kind],
        arrays[f"{kind}/amounts"],
        arrays[f"{kind}/examples"],
        arrays[f"{kind}/tiles"],
        [curves[:shown] for curves in every],
        [np.percentile(curves[shown:], [25, 50, 75], axis=0) for curves in every] if band else None,
    )


def caption(facts: dict[str, Any], shown: int, others: int) -> str:
    """The text under the figure."""
    score = {(row["kind"], row["measure"]): row for row in facts["scores"]}
    lower, upper = facts["layers"]

    def say(kind: str, measure: str) -> str:
        value = score[kind, measure]["value"]
        return "unknown" if value == "" else f"{value:.2f}".replace("-", "−")

    straight = " and ".join(
        f"{say(kind, 'layer7/line')} under {kind} ({lower}: {say(kind, 'layer1/line')})"
        for kind in ("translation", "scale")
    )
    early = " and ".join(
        f"{say(kind, 'layer1/sharp')} under {kind} ({upper}: {say(kind, 'layer7/sharp')})"
        for kind in ("translation", "scale")
    )
    kept = ", ".join(f"{say(kind, 'kept')} under {kind}" for kind in IDENTITY)
    data, fill = facts["data"], FILL_WORDS[facts["choices"]["fill"]]
    source = f" of {data['name']} ({data['split']})" if data else ""
    count = f"{shown} image{'s' if shown > 1 else ''}"
    grey = f" Grey: median and middle half of {others} further images." if others >= SHOWN else ""
    return (
        f"{count[0].upper()}{count[1:]}{source}, {facts['choices']['images']}, shifted down, "
        "enlarged and turned counterclockwise (first column: what the network sees, in frames of "
        f"the curves' colours). Distances are Euclidean, between the values of {lower} and of "
        f"{upper} for the transformed and the untransformed image; their scales differ. The "
        f"{facts['square_px']} px square is transformed and its central {facts['input_px']} px are "
        f"fed; outside of the square lies {fill}.{grey} Over all {shown + others} images: of its "
        f"largest distance {lower} has reached at a tenth of the range {early}; a straight line "
        f"through the origin explains of {upper}'s distance R² = {straight}; of the probability "
        f"{kept} is kept (shares, mean over the range). {describe_network(facts)}"
    )


FILL_WORDS = {
    "mean": "the mean image",
    "edge": "its outermost pixels, repeated",
    "mirror": "its mirror image",
}
