"""Features of a frozen network: the output of layer n as one vector an image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import nn
from torch.nn.functional import adaptive_avg_pool2d

from deconv.data.batches import walk
from deconv.errors import DeconvError, unknown
from deconv.networks import ChainNet, Network


def tap(net: Network, layer: int) -> str:
    """The point at which "layer n" is read: the last one before the next weighted layer.

    That includes its ReLU, pool, contrast normalisation and average pool, if any: in ZFNet norm1,
    norm2, conv3, conv4, pool5, fc6, fc7. The paper does not state where it reads a layer.

    Raises:
        DeconvError: for an unknown layer, and for networks whose layers are not numbered.
    """
    if not isinstance(net, ChainNet):
        raise DeconvError(
            f"the layers of {net.name} are not numbered as the paper's, so layer {layer} means "
            "nothing in it: probe a network that this package builds"
        )
    numbers = {int("".join(filter(str.isdigit, name))): name for name in net.layers}
    if layer not in numbers:
        raise unknown(f"layer of {net.name}", layer, map(str, numbers))
    name = numbers[layer]
    found = name
    stages = list(net.named_children())
    first = [stage_name for stage_name, _ in stages].index(name)
    for stage_name, stage in stages[first + 1 :]:
        if isinstance(stage, nn.Conv2d | nn.Linear):
            break
        # A layer's ReLU is the point of the layer's own name.
        if stage_name in net.points:
            found = stage_name
    return found


def grid_side(shape: Sequence[int], max_features: int) -> int | None:
    """The side of the grid that maps C×H×W are averaged to; None if they need no reduction.

    The largest square grid with at most `max_features` values over all maps, at most as fine as
    the maps.

    Raises:
        DeconvError: if one value per map exceeds `max_features`.
    """
    maps, *size = shape
    if math.prod(shape) <= max_features:
        return None
    if maps > max_features:
        raise DeconvError(
            f"{maps} maps or units are more than max_features={max_features}: allow more"
        )
    return min(math.isqrt(max_features // maps), *size)


def reduced_width(shape: Sequence[int], max_features: int) -> int:
    """The number of features that `reduce` makes of an activation (C, H, W) or (C,)."""
    side = grid_side(shape, max_features)
    return shape[0] * side**2 if side else math.prod(shape)


def check_layers(net: ChainNet, layers: Iterable[int], max_features: int) -> None:
    """Raise DeconvError for layers that `tap` or `reduce` would refuse."""
    points = list(dict.fromkeys(tap(net, layer) for layer in layers))
    blank = torch.zeros(1, 3, net.input_px, net.input_px, device=net.device)
    record = net.record(blank, points, logits=False)
    for point in points:
        reduced_width(record.activations[point].shape[1:], max_features)


def reduce(activations: torch.Tensor, max_features: int) -> torch.Tensor:
    """Flatten N×C×H×W or N×C to N×D float32, D at most `max_features`.

    Larger maps are averaged to a square grid. Cell i of g covers rows (and columns) floor(i·H/g) to
    ceil((i+1)·H/g), so neighbours may share one. Differs from paper: it mentions no reduction;
    layer 1 of ZFNet has 290,400 values an image.
    """
    side = grid_side(activations.shape[1:], max_features)
    if side is not None:
        activations = adaptive_avg_pool2d(activations, side)
    return activations.flatten(1).float()


def extract(
    net: Network,
    loader: Iterable,
    points: Sequence[str],
    max_features: int = 10_000,
    progress: bool = True,
) -> dict[str, torch.Tensor]:
    """Extract the features of every image at each point, in one pass without dropout.

    Args:
        loader: preprocessed images in any form of `deconv.data.batches`, not shuffled.
        max_features: see `reduce`.

    Returns:
        Point -> N×D float32 on the CPU, in order.

    Raises:
        DeconvError: for an unknown point, no image, or values that are not finite.
    """
    found: dict[str, list[torch.Tensor]] = {}
    for images, _ in walk(net, loader, "features", progress, channels_last=True):
        record = net.record(images, points, logits=False)
        for point in points:
            values = reduce(record.activations[point], max_features).cpu()
            found.setdefault(point, []).append(values)
    # Popped one by one, to hold only one point twice in memory.
    return {point: torch.cat(found.pop(point)) for point in list(found)}
