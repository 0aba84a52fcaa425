"""Filter renormalisation (§3), without which a few filters dominate (Figure 6 a)."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import nn


def renormalise(net: nn.Module, max_rms: float = 0.1) -> dict[str, int]:
    """Rescale in place every convolutional filter whose RMS exceeds `max_rms` to that RMS (§3).

    RMS = sqrt(mean w²) over one filter's weights, not its L2 norm.

    Returns:
        Convolutional layer -> number of filters rescaled.
    """
    layers = conv_layers(net)
    return dict(zip(layers, rescale(layers.values(), max_rms).tolist(), strict=True))


def conv_layers(net: nn.Module) -> dict[str, nn.Conv2d]:
    """Map names to the convolutional layers of a network."""
    return {name: m for name, m in net.named_modules() if isinstance(m, nn.Conv2d)}


@torch.no_grad()
def rescale(layers: Iterable[nn.Conv2d], max_rms: float) -> torch.Tensor:
    """`renormalise` some layers; the counts stay on the device, so this does not synchronise."""
    counts = []
    for layer in layers:
        rms = layer.weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
        over = rms > max_rms
        layer.weight.mul_(torch.where(over, max_rms / rms, torch.ones_like(rms)))
        counts.append(over.sum())
    return torch.stack(counts) if counts else torch.zeros(0, dtype=torch.int64)
