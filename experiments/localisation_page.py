"""The page of projections against known boxes, and its caption, from the saved files alone.

In: arrays.npz and provenance.json of a run's folder. Out: figure.png and figure.pdf.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from deconv import figures
from deconv.studies.bootstrap import LEVEL
from deconv.studies.localisation import CHANCE, OWN, RANDOM
from experiments.kit.facts import describe_network, layer_title
from experiments.localisation_findings import GROUPS, TRAINED, UNTRAINED

SAVED = (
    "arrays.npz",
    "table.csv",
    "summary.csv",
    "findings.json",
    "provenance.json",
    "config.yaml",
)


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    arrays = np.load(source / "arrays.npz")
    told = json.loads((source / "provenance.json").read_text())
    panels = [
        figures.SharePanel(
            title,
            [layer_title(layer) for layer in told["layers"]],
            [
                {
                    TRAINED: arrays[f"{TRAINED}/{layer}/{what}/{OWN}"],
                    RANDOM: arrays[f"{TRAINED}/{layer}/{what}/{RANDOM}"],
                    UNTRAINED: arrays[f"{UNTRAINED}/{layer}/{what}/{OWN}"],
                    CHANCE: arrays[f"{TRAINED}/{layer}/{what}/{CHANCE}"],
                }
                for layer in told["layers"]
            ],
            [
                {group: arrays[f"summary/{layer}/{what}/{group}"] for group in GROUPS}
                for layer in told["layers"]
            ],
        )
        for what, title in (("object", "In the object's box"), ("part", "In the preferred part"))
    ]
    names = ("maps", "parts", "energy", "chance", "picture", "projection")
    names += ("object_box", "part_boxes")
    shown = figures.BoxedExamples(
        layer_title(told["layers"][-1]), *(arrays[f"examples/{name}"] for name in names)
    )
    figures.save(figures.localisation(panels, shown, caption(told)), folder)


def caption(told: dict[str, Any]) -> str:
    """The text under the figure."""
    data = told["data"]
    return (
        f"Share of a projection's energy (sum of squares) inside known boxes, over "
        f"{data['images']} built-in scenes ({data['split']}). A dot is a map, the mean over its "
        f"{told['k']} strongest units on odd images; the part that a map prefers was decided on "
        "even images. Random map: the strongest unit of another map of the layer on the same "
        "image. Untrained: the same network before training, with its own strongest units and "
        "preferred parts. Chance: the share of the receptive field that the boxes cover. Bars: "
        f"means with {100 * LEVEL:.0f} % bootstrap intervals over maps. Below: a random choice of "
        "maps, their strongest units on odd images; above the image, below the projection; thin "
        "box the object, thick boxes the preferred part. "
        f"{describe_network(told)}"
    )
