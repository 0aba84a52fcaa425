"""The networks, images and units that are measured: random, the same every time."""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Any

import torch
import torchvision
from torch import nn

import deconv
from deconv.networks import ChainNet, Network, WrappedNet

CLASSES = 1000
PIXELS, UNIT_VARIANCE = 256.0, math.sqrt(12)
"""Ranges of random pixels around 0."""
TOP = 9
"""Peaks of a map that Figure 2 projects."""
EACH = 12
"""Units of an image, where the nine strongest of ZFNet's 1,376 maps are of a thousand images."""


def chain(name: str, px: int | None = None, **changes: Any) -> tuple[ChainNet, nn.Sequential]:
    """Build one of this library's networks with He weights for PIXELS, and its bare module."""
    net = deconv.build(name, CLASSES, input_px=px, init="he_pixels", seed=0, **changes)
    return net, nn.Sequential(OrderedDict(net.named_children())).eval()


def wrapped(name: str) -> WrappedNet:
    """Wrap a network of torchvision with He weights, for images of unit variance."""
    torch.manual_seed(0)
    module = getattr(torchvision.models, name)(weights=None).eval()
    for part in module.modules():
        if isinstance(part, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(part.weight, nonlinearity="relu")
        if isinstance(part, nn.ReLU):
            part.inplace = False  # captum's hooks do not stand ReLUs in place
    return deconv.wrap(module, name)


def convs(net: ChainNet) -> list[str]:
    """List a chain's convolutional layers."""
    return [name for name in net.layers if name.startswith("conv")]


def pixels(count: int, px: int, scale: float = PIXELS) -> torch.Tensor:
    """Draw random images around 0."""
    return (torch.rand(count, 3, px, px, generator=torch.manual_seed(1)) - 0.5) * scale


Units = tuple[torch.Tensor, torch.Tensor, torch.Tensor]
"""Rows (image, map, y, x), their values, the images."""


def units_of(net: Network, layer: str, images: torch.Tensor, each: int = 1) -> Units:
    """Find the strongest units of `each` random live maps in each image."""
    some = [
        net.record(batch, [layer], logits=False).activations[layer] for batch in images.split(8)
    ]
    values, number = torch.cat(some), torch.arange(len(images)).repeat_interleave(each)
    best, places = values.flatten(2).max(dim=2)
    maps = (best > 0).float().multinomial(each, generator=torch.manual_seed(2)).flatten()
    place, width = places[number, maps], values.shape[3]
    units = torch.stack([number, maps, place // width, place % width], dim=1)
    return units, best[number, maps], images
