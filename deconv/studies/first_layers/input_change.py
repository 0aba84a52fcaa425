"""The same first layer for another input: what an affine change of the images does to filters.

For x′ = s·x + b, channel by channel, the layer answers as before with

    w′ = w / s        bias′ = bias − Σ w·b / s

Where a convolution pads with zeros, the place of such a zero is taken by b: zeros around x′ would
stand for the value −b/s around x.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from deconv.errors import DeconvError, unknown
from deconv.networks import Network
from deconv.pixels import LUMA
from deconv.studies.first_layers.pictures import LayerFilters

CHANGES = ("auto", "none", "pixels", "unit", "standardised", "own")
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""ImageNet's, of pixels in 0…1, as torchvision's networks are given them."""


@dataclass(frozen=True)
class Change:
    """x′ = scale·x + shift, a number for each channel of what a layer takes. words: for people."""

    scale: torch.Tensor
    shift: torch.Tensor
    words: str


def entry(net: Network, filters: LayerFilters) -> tuple[torch.Tensor, torch.Tensor]:
    """Factor and offset, one per channel, by which pixels minus the mean become what the
    layer takes. An offset that differs from place to place is given by its mean."""
    images = torch.zeros(2, 3, net.input_px, net.input_px, dtype=net.dtype)
    images[1] = 1
    zeros, ones = as_maps(taken(net, filters, images)[0], filters)
    offset = zeros.mean(dim=(1, 2))
    return (ones - zeros).mean(dim=(1, 2)), offset


def make_change(
    name: str,
    net: Network,
    filters: LayerFilters,
    mean: torch.Tensor,
    scale: Sequence[float] = (),
    shift: Sequence[float] = (),
) -> Change | None:
    """The change of a layer's input that a name out of CHANGES stands for; None for "none".

    All are stated of pixels minus the training mean, x = p − mean, and carried over to what the
    layer takes:  pixels: x itself.  unit: p / 255.  standardised: (p/255 − MEAN) / STD.  own:
    scale·x + shift, one or three numbers each.  auto: standardised for a layer that takes x,
    pixels for another. mean: 3×S×S or 3, in 0…255; its mean over places is put back. Of a grey
    input the three numbers are averaged by their shares in grey.
    """
    if name not in CHANGES:
        raise unknown("affine change", name, CHANGES)
    if name == "none":
        return None
    factor, offset = (v.double() for v in entry(net, filters))
    if not (factor.isfinite() & (factor != 0)).all():
        raise DeconvError(
            f"{filters.layer} does not take the image channel by channel: affine=none"
        )
    if name == "auto":
        name = "standardised" if (factor - 1).abs().max() < 1e-6 else "pixels"
    level = mean.double().reshape(3, -1).mean(dim=1)
    wanted = {
        "pixels": (torch.ones(3), torch.zeros(3)),
        "unit": (torch.full((3,), 1 / 255), level / 255),
        "standardised": (
            1 / (255 * torch.tensor(STD).double()),
            (level / 255 - torch.tensor(MEAN)) / torch.tensor(STD),
        ),
    }
    s, b = wanted[name] if name != "own" else (_three(scale, "scale"), _three(shift, "shift"))
    if s.min() <= 0:
        raise DeconvError(f"scale has to be above 0, got {list(scale)}")
    s, b = s.double(), b.double()
    if len(factor) == 1:
        s, b = ((v * torch.tensor(LUMA)).sum()[None] for v in (s, b))
    return Change(s / factor, b - s * offset / factor, WORDS[name])


WORDS = {
    "pixels": "pixels minus the mean",
    "unit": "pixels in 0…1",
    "standardised": "pixels in 0…1, standardised by ImageNet's mean and deviation",
    "own": "the scale and shift that were asked for",
}


def _three(values: Sequence[float], name: str) -> torch.Tensor:
    numbers = [float(v) for v in values]
    if len(numbers) not in (1, 3):
        raise DeconvError(f"affine=own takes {name}=[…] with one or three numbers, got {values}")
    return torch.tensor(numbers * (3 // len(numbers)))


def changed(filters: LayerFilters, change: Change) -> tuple[torch.Tensor, torch.Tensor]:
    """w′ (M×C×h×w) and bias′ (M) for a changed input; see the module."""
    scale, shift = (v[filters.channel][:, :, None, None] for v in (change.scale, change.shift))
    weights = filters.weights.double() / scale
    bias = filters.bias.double() - (weights * shift).flatten(1).sum(dim=1)
    return weights, bias


def taken(
    net: Network, filters: LayerFilters, images: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """What the layer takes and gives (its pre-activation) when the network sees images."""
    kept: list[tuple[torch.Tensor, torch.Tensor]] = []
    hook = net.module_of(filters.layer).register_forward_hook(
        lambda _, given, out: kept.append((given[0].detach().clone(), out.detach().clone()))
    )
    try:
        net.record(images, [filters.layer], logits=False)
    finally:
        hook.remove()
    return kept[0]


def as_maps(values: torch.Tensor, filters: LayerFilters) -> torch.Tensor:
    """What a layer takes as N×C×H×W, also where it was flattened."""
    channels, height, width = filters.size
    if values.dim() == 4:
        return values
    if filters.channels_last:
        return values.unflatten(1, (height, width, channels)).permute(0, 3, 1, 2)
    return values.unflatten(1, filters.size)


def same_response(
    net: Network, filters: LayerFilters, change: Change, images: torch.Tensor
) -> dict[str, torch.Tensor]:
    """How the pre-activations of the network and of the changed layer differ over images, M each.

    largest: the largest |z| of the network; difference: the largest |z′ − z|; zero_padding: the
    same if x′ is padded with zeros, as a network would, instead of with b. z′ in float64.
    """
    given, z = taken(net, filters, images)
    x = as_maps(given, filters).double().cpu()
    scale, shift = (v[None, :, None, None] for v in (change.scale, change.shift))
    weights, bias = changed(filters, change)
    z = z.double().cpu()
    out = {"largest": z.abs()}
    for name, around in (("difference", shift), ("zero_padding", torch.zeros_like(shift))):
        found = _response(net, filters, scale * x + shift, around, weights, bias)
        out[name] = (found - z).abs()
    return {name: v.transpose(0, 1).flatten(1).amax(dim=1) for name, v in out.items()}


def _response(
    net: Network,
    filters: LayerFilters,
    x: torch.Tensor,
    around: torch.Tensor,
    weights: torch.Tensor,
    bias: torch.Tensor,
) -> torch.Tensor:
    """The layer with other weights; `around` lies where it pads with zeros."""
    module = net.module_of(filters.layer)
    if isinstance(module, nn.Linear):
        return x.flatten(1) @ weights.flatten(1).T + bias
    assert isinstance(module, nn.Conv2d)
    top, left = _padding(module)
    if module.padding_mode == "zeros":
        height, width = x.shape[2:]
        canvas = around.expand(len(x), -1, height + sum(top), width + sum(left)).clone()
        canvas[:, :, top[0] : top[0] + height, left[0] : left[0] + width] = x
    else:
        canvas = F.pad(x, (*left, *top), module.padding_mode)
    return F.conv2d(canvas, weights, bias, module.stride, 0, module.dilation, module.groups)


def _padding(module: nn.Conv2d) -> tuple[tuple[int, int], tuple[int, int]]:
    """(before, after) along rows and along columns."""
    if module.padding == "valid":
        return (0, 0), (0, 0)
    if module.padding == "same":
        y, x = (d * (k - 1) for d, k in zip(module.dilation, module.kernel_size, strict=True))
        return (y // 2, y - y // 2), (x // 2, x - x // 2)
    assert not isinstance(module.padding, str)
    y, x = module.padding
    return (y, y), (x, x)
