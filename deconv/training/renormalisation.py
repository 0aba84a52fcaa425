"""The renormalisation of filters (§3), without which a few of them dominate (Figure 6 a)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def renormalise(net: nn.Module, max_rms: float = 0.1) -> dict[str, int]:
    """Scale every convolutional filter with an RMS over `max_rms` back to that RMS, in place (§3).

    RMS = sqrt(mean w²) over one filter's weights, not its L2 norm. Returns for each
    convolutional layer how many filters were scaled.
    """
    layers = conv_layers(net)
    return dict(zip(layers, rescale(layers.values(), max_rms).tolist(), strict=True))


def conv_layers(net: nn.Module) -> dict[str, nn.Conv2d]:
    """The convolutional layers of a network by name."""
    return {name: m for name, m in net.named_modules() if isinstance(m, nn.Conv2d)}


@torch.no_grad()
def rescale(layers: Iterable[nn.Conv2d], max_rms: float) -> torch.Tensor:
    """`renormalise` for some layers; the counts stay on the device, which need not be awaited."""
    counts = []
    for layer in layers:
        rms = layer.weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        over = rms > max_rms
        layer.weight.mul_(torch.where(over, max_rms / rms, torch.ones_like(rms)))
        counts.append(over.sum())
    return torch.stack(counts) if counts else torch.zeros(0, dtype=torch.int64)
