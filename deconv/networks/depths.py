"""Points of any network at several depths, as the layers 1 to 7 that the paper looks at."""

from __future__ import annotations

from typing import TypeGuard

from torch import nn

from deconv.errors import DeconvError, unknown
from deconv.networks.chain import ChainNet
from deconv.networks.network import Network

DEPTHS = 5
"""The paper looks at five convolutional layers."""
LOGITS = "fc8"
"""What the logits of a chain are called whose layers are numbered as the paper's."""


def numbered_as_paper(net: Network) -> TypeGuard[ChainNet]:
    """Whether a network's layers have the paper's numbers by themselves: conv1 … conv5, fc6 …"""
    return isinstance(net, ChainNet) and net.layers[-1] == LOGITS


def paper_layers(net: Network) -> dict[str, str]:
    """Map numbers of the paper's layers to points of a network, in running order.

    In this library's networks, layer n is read where the next layer reads it: after its ReLU,
    pool, contrast normalisation and average pool, in ZFNet at norm1, norm2, conv3, conv4, pool5,
    fc6, fc7. The paper does not state where it reads a layer. In other networks, layers 1 to 5 are
    spread over the convolutions (where there are fewer points, some are the same) and 7 is what
    the last layer reads, which may be 5.
    """
    if not numbered_as_paper(net):
        spread = _spaced(spread_points(net), DEPTHS)
        return {str(n): point for n, point in enumerate(spread, 1)} | {"7": last_hidden(net)}
    found, number = dict[str, str](), ""
    for name, stage in net.named_children():
        if isinstance(stage, nn.Conv2d | nn.Linear):
            number = "".join(filter(str.isdigit, name))
            found[number] = name
        elif number and name in net.points:  # a layer's ReLU is the point of the layer's own name
            found[number] = name
    return found


def point_of(net: Network, layer: str) -> str:
    """Find the point of a layer, named by the paper's number or by its own name.

    Raises:
        DeconvError: for an unknown layer.
    """
    if not layer.isdecimal():
        return net.check_point(layer)
    numbers = paper_layers(net)
    if layer not in numbers:
        raise unknown(f"layer of {net.name}", layer, numbers)
    return numbers[layer]


def spread_points(net: Network, count: int = DEPTHS) -> list[str]:
    """List points spread evenly over a network's convolutions, each after its activation function.

    A block such as a residual stage or a fire module counts as one, read where it ends: the
    outermost module that holds less than half of the convolutions. A convolution that makes the
    logits does not count.

    Args:
        count: at most so many, the first and the last among them.

    Raises:
        DeconvError: if the network has no convolution below its logits.
    """
    below = _convolutions(net)
    points = list(dict.fromkeys(_activated(net, _block(net, one, below)) for one in below))
    if not points:
        raise DeconvError(f"{net.name} has no convolution below its logits: name layers of it")
    if len(points) <= count:
        return points
    return points[-1:] if count == 1 else _spaced(points, count)


def _spaced(points: list[str], count: int) -> list[str]:
    """`count` points evenly from the first to the last, some more than once if they are fewer."""
    return [points[round(i * (len(points) - 1) / (count - 1))] for i in range(count)]


def blocks(net: Network) -> dict[str, list[str]]:
    """Group the layers with weights: block, or layer outside any -> its layers, as they run."""
    below = _convolutions(net)
    found: dict[str, list[str]] = {}
    for layer in net.layers:
        name = _block(net, layer, below) if layer in below else layer
        found.setdefault(name, []).append(layer)
    return found


def last_hidden(net: Network) -> str:
    """Find the point that the last layer with weights reads; dropout before it does not count."""
    calls = net.calls
    index = calls.index(net.layers[-1])
    while (index := max(calls.ran[index].inputs)) >= 0:
        if not isinstance(calls.ran[index].module, nn.Dropout | nn.Dropout2d):
            break
    names = [name for name in net.points if calls.values[name].index == index]
    if not names:
        raise DeconvError(f"what the last layer of {net.name} reads has no name: name layers of it")
    last = spread_points(net, 1)[0]
    return last if last in names else names[0]


def _convolutions(net: Network) -> list[str]:
    """The convolutions below the logits."""
    return [one for one in net.layers[:-1] if isinstance(net.module_of(one), nn.Conv2d)]


def _block(net: Network, layer: str, layers: list[str]) -> str:
    """The outermost module around a layer that has maps and less than half of the layers."""
    parts = layer.split(".")
    for end in range(1, len(parts)):
        name = ".".join(parts[:end])
        inside = sum(one.startswith(f"{name}.") for one in layers)
        has_maps = name in net.points and len(net.calls.values[name].shape) == 3
        if has_maps and 2 * inside < len(layers):
            return name
    return layer


def _activated(net: Network, point: str) -> str:
    """The activation function's point after a convolution; a block is read where it ends."""
    if point not in net.layers:
        return point
    index = net.calls.values[point].index
    after = None if index is None else net.calls.activation(index)
    return after or point
