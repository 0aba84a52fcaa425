"""Temporarily random weights in some layers (Adebayo et al. 2018).

Weights are changed in place and restored bit-exactly when the context ends: copying 60 million
weights for each step of a cascade would cost more than the projections.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import nn

from deconv.errors import unknown
from deconv.networks import ChainNet, Network, build
from deconv.networks.depths import blocks

WAYS = ("permute", "init")
"""permute: shuffle each layer's weights, and its biases, which keeps their distribution. init: draw
them anew by the network's own initialiser (a chain's recipe; the modules' own in a wrapped
network). Normalisation layers keep their parameters in both, so that signals keep their scale."""


def layers_below(net: Network, point: str) -> list[str]:
    """The weighted layers that a point depends on, in execution order, its own last."""
    calls = net.calls
    index = calls.values[net.check_point(point)].index
    needed = range(len(calls.ran)) if index is None else calls.needed(index)
    names = {calls.ran[i].name for i in needed}
    return [layer for layer in net.layers if layer in names]


def layers_above(net: Network, point: str) -> list[str]:
    """The weighted layers that a point does not depend on."""
    below = set(layers_below(net, point))
    return [layer for layer in net.layers if layer not in below]


def spread_evenly(layers: Sequence[str], count: int) -> list[str]:
    """Choose at most `count` layers, evenly spread, including the first and the last."""
    at = np.linspace(0, len(layers) - 1, min(count, len(layers))).round().astype(int)
    return [layers[i] for i in dict.fromkeys(at.tolist())]


def choose_stops(net: Network, points: Sequence[str], count: int) -> dict[str, list[str]]:
    """Choose at most `count` blocks at which weights are randomised, from below.

    The block of each point is among them as far as they go; the others are evenly spread.

    Returns:
        Block -> its layers with weights.
    """
    below = [layers_below(net, point) for point in points]
    reached = {layer for layers in below for layer in layers}
    found = {name: own for name, own in blocks(net).items() if reached & set(own)}
    last = {layers[-1] for layers in below}
    own = [name for name, layers in found.items() if last & set(layers)][-count:]
    others = [name for name in found if name not in own]
    rest = spread_evenly(others, count - len(own)) if others else []
    return {name: layers for name, layers in found.items() if name in {*own, *rest}}


@contextmanager
def randomised(
    net: Network, layers: Iterable[str], how: str = "permute", seed: int = 0
) -> Iterator[None]:
    """Give the named layers random weights within the context.

    Args:
        how: one of WAYS.
        seed: determines a layer's weights, whichever other layers are named.

    Raises:
        DeconvError: for an unknown way or layer.
    """
    layers = list(layers)
    if how not in WAYS:
        raise unknown("way to randomise", how, WAYS)
    for layer in layers:
        if layer not in net.layers:
            raise unknown(f"layer with weights of {net.name}", layer, net.layers)
    kept: list[tuple[nn.Parameter, torch.Tensor]] = []
    try:
        fresh = _first_weights(net, seed) if how == "init" and layers else None
        for layer in layers:
            module = net.module_of(layer)
            own = dict(module.named_parameters())
            kept += [(parameter, parameter.detach().clone()) for parameter in own.values()]
            draw = torch.Generator().manual_seed(1000 * seed + net.layers.index(layer))
            if how == "permute":
                _permute(own.values(), draw)
            elif fresh is not None:
                _copy(fresh.module_of(layer), module)
            else:
                _reset(module, draw)
        yield
    finally:
        with torch.no_grad():
            for parameter, values in kept:
                parameter.copy_(values)


@torch.no_grad()
def _permute(parameters: Iterable[nn.Parameter], draw: torch.Generator) -> None:
    for parameter in parameters:
        order = torch.randperm(parameter.numel(), generator=draw).to(parameter.device)
        parameter.copy_(parameter.flatten()[order].view_as(parameter))


def _first_weights(net: Network, seed: int) -> Network | None:
    """Rebuild a chain untrained; None for a wrapped network, whose modules reset themselves."""
    if not isinstance(net, ChainNet):
        return None
    recipe = {key: value for key, value in net.recipe.items() if key != "weights"}
    return build(**recipe | {"seed": seed})


@torch.no_grad()
def _copy(source: nn.Module, target: nn.Module) -> None:
    for name, parameter in target.named_parameters():
        parameter.copy_(source.get_parameter(name))


def _reset(module: nn.Module, draw: torch.Generator) -> None:
    assert isinstance(module, nn.Conv2d | nn.Linear)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(draw.initial_seed())
        module.reset_parameters()
