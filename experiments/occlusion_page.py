"""Figure 7 and its caption, from the saved files alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from deconv import figures
from experiments.kit.facts import describe_network, layer_title
from experiments.occlusion_findings import FEWEST

SAVED = ("arrays.npz", "table.csv", "findings.json", "provenance.json", "config.yaml")


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    arrays = np.load(source / "arrays.npz")
    facts = json.loads((source / "provenance.json").read_text())
    rows = [_row(arrays, i, row, facts["choices"]) for i, row in enumerate(facts["rows"])]
    title = layer_title(facts["choices"]["layer"]).lower()
    figures.save(figures.occlusion(rows, title, caption(facts)), folder)


def _row(arrays: Any, i: int, row: dict[str, Any], chosen: dict[str, Any]) -> figures.OcclusionRow:
    names = {int(number): name for number, name in row["names"].items()}
    there = row["label_there"]
    instead = "" if there == row["true"] else f" (then {figures.shorten(names[there])})"
    file = "" if row["name"] == names[row["true"]] else f"{figures.shorten(row['name'])}; "
    note = (
        f"{file}map {row['map']}; probability {row['probability']:.3f} uncovered, at least "
        f"{row['lowest_probability']:.3f}{instead}; another label at {row['label_changed']:.0%} of "
        f"{row['positions']} positions"
    )
    fields = {n: arrays[f"{i}/{n}"] for n in ("probability", "activation", "label",
                                              "projection", "inside")}  # fmt: skip
    return figures.OcclusionRow(
        title=names[row["true"]],
        picture=arrays[f"{i}/picture"].transpose(1, 2, 0),
        note=note,
        square=tuple(row["square"]),
        centres=arrays[f"{i}/positions"] + chosen["size_px"] / 2,
        stride_px=chosen["stride_px"],
        clean=(row["probability"], row["activation"]),
        true=row["true"],
        names=names,
        **fields,
    )


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    chosen, data = facts["choices"], facts["data"]
    size, stride = chosen["size_px"], chosen["stride_px"]
    border = {"overhang": "squares at the border hang over", "inside": "squares lie wholly inside"}
    shade = f" {chosen['fill']:+g}" if chosen["fill"] else ""
    return (
        f"A square of {size}×{size} px of the mean image{shade} is slid over the input in steps of "
        f"{stride} px; each cell of (b), (d) and (e) lies at the square's centre in the input "
        f"({border[chosen['squares']]}). (a) The square where the true class's probability is "
        "lowest; the small frame in the maps marks that position. (b) Sum over the map of "
        f"{layer_title(chosen['layer']).lower()} that responds most to the whole image "
        f"({chosen['strongest']}). The triangle on the scales of (b) and (d) is the value without "
        "a square. (c) The deconvnet's picture of that map's strongest unit in this image (black "
        f"frame) and in those others of {data['images']} images of {data['name']} "
        f"({data['split']}) to which it responds most, cut to the receptive field; "
        "grey is zero, every picture has its own scale. (e) The true class is set in "
        f"bold.{describe_scores(facts['scored'])} "
        f"{describe_network(facts)}"
    )


def describe_scores(scored: dict[str, Any]) -> str:
    """The sentences of the caption about the scores, none for fewer than FEWEST images."""
    words = []
    for score, sentence in SENTENCES.items():
        result = scored.get(score)
        if result and result["images"] >= FEWEST:
            sentence = sentence.format(**result).replace(" -", " −")
            words.append(f" Over {result['images']} {sentence}")
    return "".join(words)


SENTENCES = {
    "probability_drop_on_object": "scenes the probability falls by {own:.2f} more where the square "
    "lies on the object than elsewhere, against {shuffled:.2f} with the boxes of other scenes.",
    "activation_drop_on_projection": "images the sum of (b) falls by {own:.0%} more where the "
    "square covers what (c) paints than elsewhere, against {shuffled:.0%} with what is painted for "
    "other images.",
}
"""Of the caption, by score."""
