"""Filters from images alone: layer after layer, inference and a least-squares step in turns.

For given feature maps and switches the error is quadratic in a layer's filters; some steps of
conjugate gradients lower it. Then every filter is scaled to unit length. Its map stays: shrinkage
leaves maps too small, least squares make up for it with longer filters, and maps made larger in
their stead would pay for it in the l1 norm, epoch after epoch. Unverified against the original:
conjugate gradients, unit length, that maps go on from where they were in the epoch before, the
number of all steps.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.grad import conv2d_weight

from deconv.errors import DeconvError
from deconv.studies.sparse_coding.inference import encode, infer
from deconv.studies.sparse_coding.network import AdaptiveDeconvNet, unit_length

CHUNK = 16
"""Images at a time, to bound memory; the result depends on it by rounding alone."""


@dataclass(frozen=True)
class Epoch:
    """One epoch of one layer, means over the images.

    layer, epoch: from 1. cost: after each step of inference, the first before it. error: share of
    the images' energy that is not explained after inference, ‖R z − y‖²/‖y‖². learned: the same
    after the step of the filters, before they are of unit length. refused: share of steps
    of inference that were not taken.
    """

    layer: int
    epoch: int
    cost: list[float]
    error: float
    learned: float
    refused: float


def train(
    net: AdaptiveDeconvNet,
    images: torch.Tensor,
    *,
    epochs: int,
    steps: int,
    filter_steps: int,
    switch_steps: int,
    solver: str = "fista",
    competition: bool = True,
    seed: int = 0,
    report: Callable[[Epoch], None] = lambda _: None,
) -> list[Epoch]:
    """Learn the filters of all layers, from the lowest, on images N×C×H×W, in place.

    An epoch is `steps` steps of inference for all images, then `filter_steps` of conjugate
    gradients. The layers below are held, their switches inferred once with `switch_steps`.
    report: called after each epoch. Raises DeconvError for no image or no step.
    """
    if min(len(images), epochs, steps, filter_steps, switch_steps) < 1:
        raise DeconvError("learning takes an image, an epoch and a step of each kind at least")
    net.check_size(*images.shape[-2:])
    history = []
    how: dict[str, Any] = {"solver": solver, "competition": competition, "seed": seed}
    switches: list[torch.Tensor] = []
    for layer in range(1, net.layers + 1):
        maps = images.new_zeros(net.map_shape(layer, images))
        for epoch in range(1, epochs + 1):
            costs, errors, refused = [], [], []
            for part in chunks(len(images)):
                below = [one[part] for one in switches]
                found = infer(net, layer, images[part], below, steps, start=maps[part], **how)
                maps[part] = found.maps
                costs.append(found.cost)
                errors.append(found.error)
                refused.append(found.refused)
            learned = fit_filters(net, layer, images, maps, switches, filter_steps)
            energy = images.square().sum(dtype=torch.float64).item()
            history.append(
                Epoch(
                    layer,
                    epoch,
                    torch.cat(costs, 1).mean(1).tolist(),
                    torch.cat(errors).sum().item() / energy,
                    learned / energy,
                    torch.cat(refused).double().mean().item() / steps,
                )
            )
            report(history[-1])
        del maps
        if layer < net.layers:
            parts = [
                encode(net, images[part], switch_steps, layer, **how)[1]
                for part in chunks(len(images))
            ]
            switches = [torch.cat(one) for one in zip(*parts, strict=True)]
    return history


def fit_filters(
    net: AdaptiveDeconvNet,
    layer: int,
    images: torch.Tensor,
    maps: torch.Tensor,
    switches: Sequence[torch.Tensor],
    steps: int,
) -> float:
    """`steps` steps of conjugate gradients on a layer's filters, for given maps; then unit length.

    Changes the filters alone. A filter whose map is zero everywhere keeps its values. Returns
    ‖R z − y‖² over all images before the scaling, which cannot rise.
    """
    filters = net.filters[layer - 1].data
    residuals = [
        images[part] - net.down(layer, maps[part], [one[part] for one in switches], filters)
        for part in chunks(len(images))
    ]
    slope = _weight_slope(net, layer, residuals, maps, switches)
    direction, size = slope, slope.square().sum()
    # Below this the slope is rounding, and dividing by it leads away again.
    least = torch.finfo(slope.dtype).eps * size
    for _ in range(steps):
        if size <= least:
            break
        painted = [
            net.down(layer, maps[part], [one[part] for one in switches], direction)
            for part in chunks(len(images))
        ]
        length = size / sum(one.square().sum() for one in painted)
        filters = filters + length * direction
        residuals = [r - length * p for r, p in zip(residuals, painted, strict=True)]
        slope = _weight_slope(net, layer, residuals, maps, switches)
        size, before = slope.square().sum(), size
        direction = slope + size / before * direction
    filters, _ = unit_length(filters)
    net.filters[layer - 1].data.copy_(filters)
    return sum(one.square().sum(dtype=torch.float64).item() for one in residuals)


def chunks(count: int) -> Iterator[slice]:
    """Slices of CHUNK that cover 0 … count - 1."""
    for first in range(0, count, CHUNK):
        yield slice(first, min(first + CHUNK, count))


def _weight_slope(
    net: AdaptiveDeconvNet,
    layer: int,
    residuals: Sequence[torch.Tensor],
    maps: torch.Tensor,
    switches: Sequence[torch.Tensor],
) -> torch.Tensor:
    """Minus half the gradient of Σ ‖residual‖² for the filters of a layer."""
    shape = net.filters[layer - 1].shape
    total = torch.zeros_like(net.filters[layer - 1])
    for part, residual in zip(chunks(len(maps)), residuals, strict=True):
        signal = net.up_to(layer, residual, [one[part] for one in switches])
        total += conv2d_weight(signal, shape, maps[part], padding=shape[-1] // 2)
    return total
