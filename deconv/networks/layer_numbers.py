"""Layers by number: the n-th layer with weights, if no point has the number as its name."""

from __future__ import annotations

from collections.abc import Sequence

from deconv.errors import DeconvError


def numbered(net: str, layers: Sequence[str], number: str) -> str:
    """Return the name of layer `number` of a network called `net`, counted from 1.

    All layers with weights count in running order, also the downsampling convolutions of residual
    shortcuts: the 20th of a ResNet is not the 20th of its main path.

    Raises:
        DeconvError: for a number out of range.
    """
    if not 1 <= int(number) <= len(layers):
        ends = f": 1 is {layers[0]}, {len(layers)} is {layers[-1]}" if layers else ""
        raise DeconvError(f"{net} has {len(layers)} layers with weights, no number {number}{ends}")
    return layers[int(number) - 1]
