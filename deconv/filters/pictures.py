"""Weights as pictures: which layers have them, by which rule they are shown, and what becomes of
them when the input changes.

A filter of a convolution that takes the image is a picture of k×k pixels in colour. Deeper ones
have one picture for each channel they take. A unit of a fully connected layer has a weight for
every value below it, so its row, reshaped as that was flattened, is a picture of the input's own
size, or of the maps'.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from deconv.errors import DeconvError, unknown
from deconv.layers import Divide, Grey
from deconv.models import ChainNet, GraphNet

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


def layer_filters(net: ChainNet | GraphNet, layer: str) -> LayerFilters:
    """The filters of a layer (a name out of net.layers) as pictures.

    Raises DeconvError, naming the layers that have pictures, for one that has none: a 1×1
    convolution of maps, or a fully connected layer that takes no flattened maps.
    """
    found = _filters(net, layer, _shapes(net)) if layer in net.layers else "it has no weights"
    if isinstance(found, str):
        names = ", ".join(showable(net))
        raise DeconvError(f"{layer} of {net.name} has no pictures: {found}. These have: {names}")
    return found


def showable(net: ChainNet | GraphNet) -> list[str]:
    """The layers whose weights have pictures, in order."""
    shapes = _shapes(net)
    return [name for name in net.layers if not isinstance(_filters(net, name, shapes), str)]


_Shapes = dict[str, tuple[int, ...]]


def _filters(net: ChainNet | GraphNet, layer: str, shapes: _Shapes) -> LayerFilters | str:
    """The filters of a layer, or why they have no pictures."""
    module = module_of(net, layer)
    size, last, sees_image = _input(net, layer, shapes)
    if size is None:
        return "it takes no maps, so that its weights have no places"
    weight = module.weight.detach().float().cpu()
    if isinstance(module, nn.Linear):
        channels, height, width = size
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
    return LayerFilters(layer, number, pictures.contiguous(), bias, sees_image, channel, size, last)


def module_of(net: ChainNet | GraphNet, layer: str) -> nn.Module:
    """The convolution or linear layer of a name."""
    return net.steps[layer].module if isinstance(net, GraphNet) else net.get_submodule(layer)


@dataclass(frozen=True)
class _Below:
    """An operation below a layer. shape: of what it takes, without the batch axis."""

    passes: bool  # each value comes from one, or from one place: it has the same picture
    flattens: bool
    last: bool  # what it takes has its channels last
    shape: tuple[int, ...]


def _input(
    net: ChainNet | GraphNet, layer: str, shapes: _Shapes
) -> tuple[tuple[int, int, int] | None, bool, bool]:
    """(C, H, W) of what a layer takes before it is flattened, None where that is no map; whether
    its channels are last; and whether it is the image, but for a linear change of its values."""
    size, last, is_map = None, False, isinstance(module_of(net, layer), nn.Conv2d)
    for below in _way_down(net, layer, shapes):
        if size is None and (is_map or below.flattens):
            shape = below.shape if below.flattens else None
            if shape is not None and len(shape) == 3:
                last, is_map = below.last, True
                size = (shape[2], *shape[:2]) if last else shape
        if not (below.passes or below.flattens):
            return (size if size is not None else _taken(net, layer, is_map, shapes)), last, False
    return (size if size is not None else _taken(net, layer, is_map, shapes)), last, True


def _taken(
    net: ChainNet | GraphNet, layer: str, is_map: bool, shapes: _Shapes
) -> tuple[int, int, int] | None:
    if not is_map:
        return None
    if isinstance(net, GraphNet):
        parents = _parents(net, layer)
        shape = net.steps[parents[0]].shape[1:] if parents[0] else (3, net.input_px, net.input_px)
    else:
        shape = shapes[layer]
    return tuple(shape) if len(shape) == 3 else None


def _way_down(net: ChainNet | GraphNet, layer: str, shapes: _Shapes) -> Iterator[_Below]:
    """The operations below a layer as far as they follow one another, the nearest first."""
    if not isinstance(net, GraphNet):
        names = list(net._modules)
        for name in reversed(names[: names.index(layer)]):
            stage = net.get_submodule(name)
            passes = isinstance(stage, Divide | Grey | nn.Dropout | nn.Identity)
            yield _Below(passes, isinstance(stage, nn.Flatten), False, shapes[name])
        return
    while True:
        parents = _parents(net, layer)
        if parents == [""]:
            return
        if len(parents) != 1:
            yield _Below(False, False, False, ())
            return
        layer = parents[0]
        step, taken = net.steps[layer], _parents(net, layer)
        before = net.steps.get(taken[0]) if len(taken) == 1 else None
        shape = before.shape[1:] if before else (3, net.input_px, net.input_px)
        passes = isinstance(step.module, nn.Dropout | nn.Identity) or (
            len(taken) == 1 and step.what in _VALUE_BY_VALUE
        )
        last = before is not None and before.channels_last
        yield _Below(passes, isinstance(step.module, nn.Flatten), last, tuple(shape))


_VALUE_BY_VALUE = (
    "add", "iadd", "sub", "mul", "mul_", "imul", "div", "div_", "truediv", "neg", "contiguous",
    "clone", "dropout", "permute", "Permute",
)  # fmt: skip
"""What a network may do to an image before its first layer that leaves places as they are."""


def _parents(net: GraphNet, layer: str) -> list[str]:
    """What a step takes, but for sizes and the like."""
    return [n for n in net.steps[layer].inputs if not n or net.steps[n].shape]


def _shapes(net: ChainNet | GraphNet) -> _Shapes:
    """Of a chain, what each stage takes; a graph knows its own."""
    if isinstance(net, GraphNet):
        return {}
    weights = next(net.parameters())
    images = weights.new_zeros(1, 3, net.input_px, net.input_px)
    return net.record(images).shapes


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
    black, white = (end[:, None, None, None] for end in ends(weights, rule))
    flat = white == black
    return torch.where(flat, 0.5, (weights - black) / torch.where(flat, 1, white - black))
