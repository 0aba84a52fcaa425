"""The page of feature maps and its caption, from the saved files alone.

In: arrays.npz and provenance.json of a run's folder. Out: figure.png and figure.pdf.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np

from deconv import figures
from experiments.kit.facts import describe_network

SAVED = ("arrays.npz", "table.csv", "units.csv", "provenance.json", "config.yaml")

NOTHING = "no activation function follows"


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    arrays = np.load(source / "arrays.npz")
    facts = json.loads((source / "provenance.json").read_text())
    images = []
    for i, image in enumerate(facts["images"]):
        rows = [
            map_row(arrays, i, layer, facts["choices"]["scale_of"]) for layer in facts["layers"]
        ]
        number = "" if image["image"] is None else f", image {image['image']}"
        images.append(figures.MappedImage(f"{image['name']}{number}", arrays[f"{i}/picture"], rows))
    figures.save(figures.feature_maps(images, sparsity(facts), caption(facts)), folder)


def map_row(arrays: Any, image: int, layer: dict[str, Any], scale: str) -> figures.LayerMaps:
    """One layer of one image, as the figure takes it."""
    part = {
        name: arrays[key] if (key := f"{image}/{layer['layer']}/{name}") in arrays else None
        for name in ("maps", "z", "a", "box", "y", "x")
    }
    scales = {name: scales_of(part[name], len(part["maps"]), scale) for name in ("z", "a")}
    shape = (part["z"] if part["a"] is None else part["a"]).shape[1:]
    words = [f"{shape[0]}×{shape[1]} positions"]
    if scale == "layer":
        words += [f"{n} to {scales[n][0]:.3g}" for n in "za" if part[n] is not None]
    a_name = f"a: {layer['a']}" if layer["a"] else f"a: none, {NOTHING}"
    return figures.LayerMaps(
        layer["title"], ", ".join(words), part["z"], part["a"],
        f"z: {layer['z']}" if layer["z"] else "z: none", a_name, part["maps"],
        np.stack([part["y"], part["x"]], 1), part["box"], scales["z"], scales["a"],
    )  # fmt: skip


def scales_of(maps: np.ndarray | None, count: int, scale: str) -> np.ndarray:
    """The largest absolute value of each map, or for each that of all; 1 where all is 0."""
    if maps is None:
        return np.ones(count)
    largest = np.abs(maps).reshape(len(maps), -1).max(1)
    if scale == "layer":
        largest = np.full(count, largest.max())
    return np.where(largest > 0, largest, 1.0)


def sparsity(facts: dict[str, Any]) -> figures.SparsityPanel:
    """The panel below the maps: layers with an activation function."""
    rows = [row for row in facts["measured"] if row["activated"]] or facts["measured"]
    shown = {layer["a"] or layer["z"] for layer in facts["layers"]}
    few = len(rows) <= 10
    maps = np.array([row["maps"] for row in rows])
    columns = ("share_above_0_p10", "share_above_0", "share_above_0_p90")
    return figures.SparsityPanel(
        np.arange(1, len(rows) + 1),
        [row["layer"] for row in rows],
        np.array([few or row["measured"] in shown for row in rows]),
        np.array([[row[name] for name in columns] for row in rows]),
        np.array([row["dead"] for row in rows]) / maps,
        np.array([row["saturated"] for row in rows]) / maps,
    )


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    data, depth, chosen = facts["data"], facts["depth"], facts["choices"]
    maps = (
        "the maps with the largest maximum on the image, largest first"
        if chosen["order"] == "active"
        else "the first maps by number"
    )
    scale = (
        "every map has its own scale, ± its largest absolute value"
        if chosen["scale_of"] == "map"
        else "all maps shown of a layer share one scale, printed at the right"
    )
    return (
        f"For each layer {maps}: z, which the activation function behind the layer takes in, and "
        "a, which it gives. White is 0, warm above, blue below; "
        f"{scale}, z and a apart. A circle marks a map's strongest unit (of a, or of z where there "
        "is no a); on the image is that unit's exact receptive field, clipped, with the number of "
        "its map, several where maps share a box. Below: values above 0, and maps that are dead "
        "or saturated, in every layer with an activation function, in order of depth, over the "
        f"first {data['images_measured']} images of {data['name']} ({data['split']}). "
        f"{depth_words(depth)} {network_words(facts)}"
    )


def network_words(facts: dict[str, Any]) -> str:
    """The sentence about the network; of one made elsewhere, only where its weights come from."""
    training = facts["training"]
    if training["images"] is None:
        return f"Network: {facts['model']['name']}, {training['data']}."
    return describe_network(facts)


def depth_words(depth: dict[str, Any]) -> str:
    """Whether sparsity rises with depth, by the rule of `depth_trend`."""
    if depth["spearman"] is None:
        return "Too few layers to say whether sparsity rises with depth."
    rho = depth["spearman"]
    verb = "rises" if rho >= 0.5 else "falls" if rho <= -0.5 else "neither rises nor falls"
    first, last = (f"{100 * share:.0f} %" for share in depth["first_and_last"])
    return (
        f"Sparsity (the share of values not above 0) {verb} with depth (Spearman's ρ {rho:+.2f} "
        f"over {depth['layers']} layers; {first} in the first, {last} in the last)."
    )
