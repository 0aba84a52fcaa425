"""The figure of adaptive_deconv and its caption, from the saved files alone."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from deconv import figures

PARTS = (5, 25, 125)
"""Features of the layers below the shown unit, by the caption of the original's Figure 1."""
SAVED = (
    "arrays.npz",
    "table.csv",
    "history.csv",
    "findings.json",
    "provenance.json",
    "config.yaml",
)


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    arrays = np.load(source / "arrays.npz")
    facts = json.loads((source / "provenance.json").read_text())
    layers = [_layer(arrays, facts, row) for row in facts["layers"]]
    figures.save(figures.adaptive_deconv(layers, arrays["images"], caption(facts)), folder)


def _layer(arrays: Any, facts: dict[str, Any], row: dict[str, Any]) -> figures.CodedLayer:
    layer, last = row["layer"], len(facts["layers"])
    error = arrays[f"learned/{layer}"]
    words = [
        f"{-10 * math.log10(max(e, 1e-12)):.1f} dB, {100 * n:.1f} % ≠ 0"
        for e, n in zip(error, arrays[f"{layer}/nonzero"], strict=False)
    ]
    count = 1 if layer == last else PARTS[last - layer - 1]
    return figures.CodedLayer(
        title=f"Layer {layer}",
        features=arrays[f"{layer}/features"],
        note=f"{row['maps']} maps, {row['field_px']}×{row['field_px']} px each, λ = "
        f"{row['lambda']:g}",
        rebuilt=arrays[f"{layer}/rebuilt"],
        words=words,
        parts=arrays[f"{layer}/parts"],
        part_note=f"{count} of layer {layer}",
        cost=arrays[f"{layer}/cost"],
        updates=[facts["steps"] * n for n in range(1, facts["epochs"])],
    )


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    rows, data = facts["layers"], facts["data"]
    by_layer = "; ".join(
        f"layer {r['layer']} {100 * r['relative_error']:.0f} % ({r['snr_db']:.1f} dB; "
        f"{100 * r['random_filters']:.0f} % with random filters, {100 * r['single_step']:.0f} % "
        f"after one step at its best gain), {100 * r['nonzero_share']:.1f} % of values not zero "
        f"(after one step {100 * r['single_step_nonzero_share']:.1f} %)"
        for r in rows
    )
    return (
        "What the deconvnet grew out of, in the manner of Zeiler, Taylor & Fergus (2011): layers "
        "of convolutional sparse coding with switch pooling, learned without labels on "
        f"{facts['train_on']} images of {data['name']}, one layer after the other, each to "
        "reconstruct the image itself. Above: each map's strongest unit over "
        f"{facts['measured']} held-out images, painted alone with that image's switches (dead maps "
        "stay grey). Below: held-out images, normalised in contrast, and what each layer alone "
        "makes of them, with the ratio of signal to error and the share of the layer's "
        "values that are not zero; the strongest unit of the last layer, and the features below "
        "that it is made of. Every picture has its own scale, grey is zero. Energy of the images "
        "left "
        f"unexplained: {by_layer}. Dots on the curves: the filters change. "
        "In the deconvnet of 2014 the filters are those of a convnet trained with labels, "
        "transposed, and maps come from a single pass; here filters are learned for this and maps "
        "are inferred in many steps. Sizes, λ and solver are choices, not the original's."
    )
