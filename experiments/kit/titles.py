"""Titles of layers in figures: the paper's for its own networks, others as people say them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

SQUEEZENET = {"features.0": "conv1", "features.1": "conv1", "classifier.2": "conv10"}
SQUEEZENET |= {"flatten": "logits"}
KNOWN: dict[str, dict[str, str]] = {
    "torchvision/squeezenet1_0": SQUEEZENET
    | {f"features.{i}": f"fire{n}" for n, i in enumerate((3, 4, 5, 7, 8, 9, 10, 12), start=2)},
    "torchvision/squeezenet1_1": SQUEEZENET
    | {f"features.{i}": f"fire{n}" for n, i in enumerate((3, 4, 6, 7, 9, 10, 11, 12), start=2)},
}
"""Networks whose modules are numbered although their paper gives them names."""


def titles_of(network: str, given: Mapping[Any, str] | None) -> dict[str, str]:
    """Layer -> title of a network by name. given: the setting model.titles."""
    return KNOWN.get(network, {}) | {str(layer): words for layer, words in (given or {}).items()}


def title(layer: str, titles: Mapping[str, str]) -> str:
    """A layer's title, its name where it has none.

    A part of a titled block is named after it: fire9.expand3x3.
    """
    for known, words in titles.items():
        if layer == known or layer.startswith(f"{known}."):
            return words + layer.removeprefix(known)
    return layer


def layer_title(layer: str, facts: Mapping[str, Any]) -> str:
    """A layer's title: conv3 -> Layer 3, as in the paper, and fc7 -> Layer 7, unless told.

    facts: the sidecar's, with the titles of the network's layers.
    """
    layer = layer.removesuffix(":z")
    if (told := title(layer, facts.get("titles") or {})) != layer:
        return told
    for kind in ("conv", "fc"):
        if layer.startswith(kind) and layer.removeprefix(kind).isdigit():
            return f"Layer {layer.removeprefix(kind)}"
    return layer
