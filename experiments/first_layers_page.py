"""Figure 6 as a page, from the saved files alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from deconv import figures
from experiments.first_two_layers import FIRST, SECOND
from experiments.kit.facts import describe_network

ROLES = ("without", "coarse", "ours")
SAVED = ("arrays.npz", "table.csv", "findings.json", "provenance.json", "config.yaml")


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    facts = json.loads((source / "provenance.json").read_text())
    with np.load(source / "arrays.npz") as arrays:
        networks = [panel(arrays, facts, role) for role in ROLES]
        page = figures.first_layers(
            *networks,
            arrays["frequencies"],
            caption(facts),
            max_rms=facts["networks"]["ours"]["max_rms"],
        )
    figures.save(page, folder)


def panel(arrays: Any, facts: dict[str, Any], role: str) -> figures.FirstLayers:
    """What the page needs of one network."""
    row = next(r for r in facts["rows"] if (r["network"], r["layer"]) == (role, FIRST))
    kernel, stride = row["kernel"], row["stride"]
    times = row["largest_rms"] / row["median_rms"] if row["median_rms"] else math.inf
    note = (
        f"{row['maps']} of {kernel}×{kernel} px, strongest {times:.1f}× median, "
        f"{row['dead']} dead, {row['faint']} faint"
    )
    return figures.FirstLayers(
        f"{kernel}×{kernel} stride {stride}",
        stride,
        arrays[f"{role}/filters"],
        arrays[f"{role}/{FIRST}/rms"],
        arrays[f"{role}/projection"],
        arrays[f"{role}/inside"],
        {"layer 1": arrays[f"{role}/{FIRST}/within"], "layer 2": arrays[f"{role}/{SECOND}/within"]},
        note,
    )


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    data, networks = facts["data"], facts["networks"]
    rows = {(row["network"], row["layer"]): row for row in facts["rows"]}
    lost = [100 * (rows[role, FIRST]["responses_aliased"] or 0) for role in ROLES[1:]]
    random = [100 * (rows[role, SECOND]["random_aliased"] or 0) for role in ROLES[1:]]
    return (
        "(a) to (c): the filters of layer 1, one scale a panel, grey is zero; (a) trained without "
        "the renormalisation of filters, (b) with a coarse first layer. (d), (e): of each map of "
        f"layer 2 the strongest activation over {data['images']} images of {data['name']} "
        f"({data['split']}), painted by the deconvnet with that image's switches and cut to the "
        "exact receptive field (blue-grey lies outside the image); every picture has its own "
        "symmetric scale, a dash is a dead map. Dead: never above 0 on these images; faint: "
        f"{facts['choices']['faint']}. Spectra: the share of energy at frequencies up to f along "
        "both axes; what lies above the dot, the Nyquist frequency 1/(2·stride) of layer 1, is "
        f"aliased. In layer 2 of networks with random weights that is {random[0]:.0f} % for the "
        f"coarse and {random[1]:.0f} % for the fine layer 1; of layer 1's responses to "
        f"{facts['response_images']} images it is {lost[0]:.0f} % in (b) and {lost[1]:.0f} % in "
        "(c). "
        f"{inequality(facts)}{describe_network(networks['ours'])} {others(networks)} "
        f"Shared switches: {facts['choices']['collisions']}."
    )


def inequality(facts: dict[str, Any]) -> str:
    """A sentence about comparisons that are not between twins; empty if all are."""
    names = dict(zip(ROLES, "abc", strict=True))
    parts = [
        f"({names[role]}) in {', '.join(what)}" for role, what in facts["unequal"].items() if what
    ]
    return f"Trained otherwise than (c): {'; '.join(parts)}. " if parts else ""


def others(networks: dict[str, Any]) -> str:
    """A sentence about the networks of (a) and (b)."""
    words = []
    for role, letter in zip(ROLES, "ab", strict=False):
        training, model = networks[role]["training"], networks[role]["model"]
        error = training["metrics"].get("val_top1_error")
        result = "" if error is None else f", {100 - error:.1f} %"
        words.append(f"({letter}) {model['name']}, {training['epochs']} epochs{result}")
    return f"That is (c); {'; '.join(words)}."
