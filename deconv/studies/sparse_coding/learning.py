"""Unsupervised learning of filters: layer by layer, inference alternates with least squares.

For given maps and switches the error is quadratic in a layer's filters; conjugate gradients lower
it. Then every filter is scaled to unit length, without rescaling its map: shrinkage leaves maps too
small, least squares compensate with longer filters, and maps enlarged instead would pay for it in
the l1 norm, epoch after epoch. Unverified against the original: conjugate gradients, unit length,
that maps are warm-started from the epoch before, all numbers of steps.
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
"""Images at a time, to bound memory; affects results by rounding only."""


@dataclass(frozen=True)
class Epoch:
    """One epoch of one layer, means over the images.

    layer, epoch: from 1. cost: before and after each step of inference. error: unexplained share of
    the images' energy after inference, ‖R z − y‖²/‖y‖². learned: the same after the filter update,
    before normalisation. refused: share of inference steps refused.
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
    """Learn the filters of all layers in place, from the lowest, on images N×C×H×W.

    An epoch is `steps` steps of inference on all images, then `filter_steps` of conjugate
    gradients. Layers below are fixed, their switches inferred once with `switch_steps`. `report`
    is called after each epoch.
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
    """Update a layer's filters by conjugate gradients for given maps, then normalise them.

    A filter whose map is zero everywhere is unchanged. Returns ‖R z − y‖² over all images before
    the normalisation, which cannot rise.
    """
    filters = net.filters[layer - 1].data
    residuals = [
        images[part] - net.down(layer, maps[part], [one[part] for one in switches], filters)
        for part in chunks(len(images))
    ]
    slope = _weight_slope(net, layer, residuals, maps, switches)
    direction, size = slope, slope.square().sum()
    # Below this the gradient is rounding, and dividing by it diverges.
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
    """Yield slices of CHUNK that cover 0 … count - 1."""
    for first in range(0, count, CHUNK):
        yield slice(first, min(first + CHUNK, count))


def _weight_slope(
    net: AdaptiveDeconvNet,
    layer: int,
    residuals: Sequence[torch.Tensor],
    maps: torch.Tensor,
    switches: Sequence[torch.Tensor],
) -> torch.Tensor:
    """Minus half the gradient of Σ ‖residual‖² with respect to a layer's filters."""
    shape = net.filters[layer - 1].shape
    total = torch.zeros_like(net.filters[layer - 1])
    for part, residual in zip(chunks(len(maps)), residuals, strict=True):
        signal = net.up_to(layer, residual, [one[part] for one in switches])
        total += conv2d_weight(signal, shape, maps[part], padding=shape[-1] // 2)
    return total
