"""The page on contrast normalisation, from the saved files alone."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from deconv import figures
from experiments.first_two_layers import FIRST, SECOND
from experiments.kit.facts import describe_network

ROLES = ("response", "local", "none")
SAVED = ("arrays.npz", "table.csv", "findings.json", "provenance.json", "config.yaml")

TITLES = {"response": "response", "local": "local", "none": "without"}
"""norm -> the name of its column."""


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    facts = json.loads((source / "provenance.json").read_text())
    with np.load(source / "arrays.npz") as arrays:
        columns = [column(arrays, facts, role) for role in ROLES]
    page = figures.contrast_normalisation(columns, numbers(facts), caption(facts))
    figures.save(page, folder)


def column(arrays: Any, facts: dict[str, Any], role: str) -> figures.FirstLayers:
    """What the page needs of one network."""
    row = _row(facts, role, FIRST)
    kernel = row["kernel"]
    note = f"{row['maps']} of {kernel}×{kernel} px stride {row['stride']}, one scale for all"
    return figures.FirstLayers(
        TITLES[role],
        row["stride"],
        arrays[f"{role}/filters"],
        arrays[f"{role}/{FIRST}/rms"],
        arrays[f"{role}/projection"],
        arrays[f"{role}/inside"],
        {},
        note,
    )


def _row(facts: dict[str, Any], role: str, layer: str) -> dict[str, Any]:
    return next(r for r in facts["rows"] if (r["network"], r["layer"]) == (role, layer))


def numbers(facts: dict[str, Any]) -> list[figures.NumberRow]:
    """The lines under the pictures."""

    def line(name: str, note: str, words: Callable[[dict[str, Any]], str]) -> figures.NumberRow:
        both = [[words(_row(facts, role, at)) for at in (FIRST, SECOND)] for role in ROLES]
        return figures.NumberRow(name, both, note)

    images = facts["data"]["images"]
    right = [[_accuracy(facts["networks"][role]["accuracy"], images)] for role in ROLES]
    return [
        figures.NumberRow("Accuracy (top-1 %)", right, "± standard error over images"),
        line("Dead maps", "never above 0", lambda row: f"{row['dead']} of {row['maps']}"),
        line("Strongest at the border", "field reaches outside the image",
             lambda row: f"{row['at_border']} of {row['maps']}" if "at_border" in row else "–"),
        line("Values above 0 (%)", "after ReLU", lambda row: _percent(row["above_0"])),
        line("    behind normalisation", "", lambda row: _percent(row["behind_above_0"])),
        line("Redundancy of maps", "mean |r|, after ReLU", lambda row: _r(row["redundancy"])),
        line("    before normalisation", "", lambda row: _r(row["before_redundancy"])),
        line("    behind normalisation", "", lambda row: _r(row["behind_redundancy"])),
    ]  # fmt: skip


def _accuracy(percent: float, images: int) -> str:
    error = math.sqrt(percent * (100 - percent) / images)
    return f"{percent:.1f} ± {error:.1f}"


def _percent(share: float | str | None) -> str:
    return "–" if share in ("", None) else f"{100 * share:.1f}"


def _r(value: float | str | None) -> str:
    return "–" if value in ("", None) else f"{value:.3f}"


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    data, networks = facts["data"], facts["networks"]
    return (
        "Three networks that differ in the contrast normalisation behind layers 1 and 2 alone: "
        "Krizhevsky's response normalisation across maps; Jarrett's local one, which takes off the "
        "mean of a window over all maps and divides by its deviation; none. Above: the filters of "
        "layer 1, one scale a panel, grey is zero. Middle: of each map of layer 2 the "
        f"strongest activation over {data['images']} images of {data['name']} "
        f"({data['split']}), painted by the deconvnet with that image's switches (every "
        "normalisation is skipped on the way down) and cut to the receptive field, in which a "
        "local normalisation's window is left out; blue-grey lies outside the image, every "
        "picture has its own symmetric scale, a dash is a dead map. "
        f"{_places(networks)}Numbers: of the same images. Redundancy: the absolute correlation "
        "of two maps over all positions of all images, mean over pairs of maps; before the "
        "normalisation it is that of the pooled maps. "
        f"{_inequality(facts)}{_network(networks[ROLES[0]])} One training each: differences "
        "between networks include chance and how fast each learns. "
        f"Shared switches: {facts['choices']['collisions']}."
    )


def _network(first: dict[str, Any]) -> str:
    """The sentence about the first network, its accuracy left to the table."""
    return describe_network(first | {"training": first["training"] | {"metrics": {}}})


def _places(networks: dict[str, Any]) -> str:
    """A sentence about tiles at one place, where all began from the same first weights."""
    seeds = {networks[role]["training"]["seed"] for role in ROLES}
    if len(seeds) > 1 or None in seeds:
        return ""
    return "Tiles at one place began from the same first weights. "


def _inequality(facts: dict[str, Any]) -> str:
    """A sentence about trainings that are not twins; empty if all are."""
    parts = [f"{TITLES[r]} in {', '.join(what)}" for r, what in facts["unequal"].items() if what]
    return f"Trained otherwise than {ROLES[0]}: {'; '.join(parts)}. " if parts else ""
