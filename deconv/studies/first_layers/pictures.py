"""Weights as pictures: which layers have them, by which rule they are shown, and what becomes of
them when the input changes.

A filter of a convolution that takes the image is a picture of k×k pixels in colour. Deeper ones
have one picture for each channel they take. A unit of a fully connected layer has a weight for
every value below it, so its row, reshaped as that was flattened, is a picture of the input's own
size, or of the maps'.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from deconv.errors import DeconvError, unknown
from deconv.finite import is_finite
from deconv.networks import Network
from deconv.networks.calls import Calls
from deconv.pixels import Divide, Grey
from deconv.rules.arithmetic import VALUE_BY_VALUE

RULES = ("filter", "layer", "symmetric", "symmetric_layer")
"""How a weight w becomes an intensity, see `ends`."""


@dataclass(frozen=True)
class LayerFilters:
    """The filters of one layer as pictures.

    weights: M×C×h×w float32, bias: M (zeros where the layer has none). sees_image: whether C are
    the image's channels (3: colour, 1: grey) or maps. channel: M×C, which channel of the layer's
    input each picture is for (with groups not all are). size: (C, H, W) of that input.
    channels_last: of a fully connected layer, whether its input was flattened as H×W×C.
    """

    layer: str
    number: int
    weights: torch.Tensor
    bias: torch.Tensor
    sees_image: bool
    channel: torch.Tensor
    size: tuple[int, int, int]
    channels_last: bool = False

    @property
    def colour(self) -> bool:
        """Whether a filter is one picture in colour."""
        return self.sees_image and self.weights.shape[1] == 3


def layer_filters(net: Network, layer: str) -> LayerFilters:
    """The filters of a layer (a name out of net.layers) as pictures.

    Raises DeconvError, naming the layers that have pictures, for one that has none: a 1×1
    convolution of maps, or a fully connected layer that takes no flattened maps.
    """
    found = _filters(net, layer, net.calls) if layer in net.layers else "it has no weights"
    if isinstance(found, str):
        names = ", ".join(showable(net))
        raise DeconvError(f"{layer} of {net.name} has no pictures: {found}. These have: {names}")
    if not is_finite(found.weights):
        raise DeconvError(
            f"the weights of {layer} of {net.name} are not finite, so that they have no picture: "
            "take an earlier snapshot, or train with a lower rate"
        )
    return found


def showable(net: Network) -> list[str]:
    """The layers whose weights have pictures, in order."""
    calls = net.calls
    return [name for name in net.layers if not isinstance(_filters(net, name, calls), str)]


def _filters(net: Network, layer: str, calls: Calls) -> LayerFilters | str:
    """The filters of a layer, or why they have no pictures."""
    module = net.module_of(layer)
    assert isinstance(module, nn.Conv2d | nn.Linear)
    size, last, sees_image = _input(net, layer, calls)
    if size is None:
        return "it takes no maps, so that its weights have no places"
    channels, height, width = size
    weight = module.weight.detach().float().cpu()
    if isinstance(module, nn.Linear):
        shape = (height, width, channels) if last else size
        if weight.shape[1] != channels * height * width:
            return "its input is no flattened image or map"
        pictures = weight.unflatten(1, shape)
        pictures = pictures.permute(0, 3, 1, 2) if last else pictures
        channel = torch.arange(channels).expand(len(weight), channels)
    else:
        pictures = weight
        group = torch.arange(module.groups).repeat_interleave(len(weight) // module.groups)
        channel = group[:, None] * weight.shape[1] + torch.arange(weight.shape[1])
    if not sees_image and pictures.shape[2] * pictures.shape[3] == 1:
        return "it has one weight a channel, and no neighbours"
    bias = torch.zeros(len(weight)) if module.bias is None else module.bias.detach().float().cpu()
    number = net.layers.index(layer) + 1
    pictures, size = pictures.contiguous(), (channels, height, width)
    return LayerFilters(layer, number, pictures, bias, sees_image, channel, size, last)


@dataclass(frozen=True)
class _Below:
    """An operation below a layer. shape: of what it takes, without the batch axis."""

    passes: bool  # each value comes from one, or from one place: it has the same picture
    flattens: bool
    last: bool  # what it takes has its channels last
    shape: tuple[int, ...]


def _input(net: Network, layer: str, calls: Calls) -> tuple[tuple[int, ...] | None, bool, bool]:
    """(C, H, W) of what a layer takes before it is flattened, None where that is no map; whether
    its channels are last; and whether it is the image, but for a linear change of its values."""
    size: tuple[int, ...] | None = None
    last, is_map = False, isinstance(net.module_of(layer), nn.Conv2d)
    taken = _taken(calls, calls.index(layer), net.input_px)[0] if is_map else None
    for below in _way_down(calls, layer, net.input_px):
        if size is None and below.flattens and len(below.shape) == 3:
            last = below.last
            size = (below.shape[2], *below.shape[:2]) if last else below.shape
        if not (below.passes or below.flattens):
            return (taken if size is None else size), last, False
    return (taken if size is None else size), last, True


def _taken(calls: Calls, index: int, side: int) -> tuple[tuple[int, ...], bool]:
    """The shape of what an operation takes, and whether its channels are last."""
    first = calls.ran[index].inputs[0]
    return (
        ((3, side, side), False)
        if first < 0
        else (calls.ran[first].shape, calls.ran[first].channels_last)
    )


def _way_down(calls: Calls, layer: str, side: int) -> Iterator[_Below]:
    """The operations below a layer as far as they follow one another, the nearest first."""
    (at, *others) = calls.ran[calls.index(layer)].inputs
    while at >= 0:
        ran = calls.ran[at]
        if others or len(ran.inputs) != 1:
            yield _Below(False, False, False, ())
            return
        shape, last = _taken(calls, at, side)
        flattens = len(shape) == 3 and ran.shape == (math.prod(shape),)
        passes = isinstance(ran.module, Divide | Grey | nn.Dropout | nn.Identity) or (
            ran.operation in VALUE_BY_VALUE and len(shape) == len(ran.shape)
        )
        yield _Below(passes and not flattens, flattens, last, shape)
        at = ran.inputs[0]


def ends(weights: torch.Tensor, rule: str) -> tuple[torch.Tensor, torch.Tensor]:
    """The weights drawn black and white, M each, of filters M×C×h×w.

    A weight w has the intensity (w − black) / (white − black), the same for all its channels:

        filter            black = min w, white = max w over the filter
        layer             black = min w, white = max w over all filters of the layer
        symmetric         black = −max |w|, white = +max |w| over the filter: grey is 0
        symmetric_layer   black = −max |w|, white = +max |w| over all filters: grey is 0

    Where both are equal (a filter of one value, under the first; of zeros, under the third) there
    is nothing to divide by, and the filter is drawn in middle grey. The paper states no rule.
    """
    if rule not in RULES:
        raise unknown("intensity rule", rule, RULES)
    flat = weights.flatten(1)
    low, high = flat.min(dim=1).values, flat.max(dim=1).values
    if rule.startswith("symmetric"):
        high = torch.maximum(low.abs(), high.abs())
        low = -high
    if rule.endswith("layer"):
        low, high = low.min().expand(len(low)), high.max().expand(len(high))
    return low, high


def pictures(weights: torch.Tensor, rule: str) -> torch.Tensor:
    """Filters M×C×h×w as intensities in 0…1 by a rule of `ends`; ½ where there is no contrast."""
    return intensities(weights, *ends(weights, rule))


def intensities(weights: torch.Tensor, black: torch.Tensor, white: torch.Tensor) -> torch.Tensor:
    """The same by what is drawn black and white, M each, of which `weights` may be a part."""
    black, white = (end[:, None, None, None] for end in (black, white))
    flat = white == black
    values = torch.where(flat, 0.5, (weights - black) / torch.where(flat, 1, white - black))
    return values.clamp(0, 1)
