"""Where the positions of a step's value lie, and what each of them looks at in what it takes.

Only what is listed is known; all else is refused where a receptive field is asked for.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import fx, nn

from deconv.layers import LocalContrastNorm
from deconv.models.chain import window
from deconv.models.sight_rules import FUNCTIONS, reshape
from deconv.models.sights import LAST, MAPS, Place, Sight, dims, extent, layer_norm, lost


def sight(
    node: fx.Node,
    module: nn.Module | None,
    known: bool,
    inputs: Sequence[tuple[Any, Place | None]],
    values: dict[fx.Node, Any],
) -> Sight:
    """What one operation looks at.

    module: that it is, or that stands for it. known: whether it is on a list of operations with
    a rule. inputs: the values that it takes, each with where its positions lie.
    """
    value, (first, at) = values[node], inputs[0]
    extents = [extent(*one) for one in inputs]
    if None in extents or len({place for _, place in inputs}) > 1:
        found = lost("where rows and columns lie in what it takes is not known")
    elif module is not None and type(module).__name__ not in EACH:
        found = _of_module(module, first, at, value)
    elif node.target in FUNCTIONS:
        found = FUNCTIONS[node.target](node, first, at, value, values)
    elif node.target in _EACH_FUNCTION or _name(node, module) in EACH:
        found = Sight(at)
    else:
        found = lost("every position may depend on every other")
    if not found.why and not known and _name(node, module) not in EACH:
        found = lost("every position may depend on every other")
    if found.why:
        return replace(found, at=_presumed(module, at, first, value))
    below = [max(sizes) for sizes in zip(*extents, strict=True)]
    expected = tuple(
        size if axis is None else axis.output_size(size)
        for axis, size in zip(found.axes, below, strict=True)
    )
    if extent(value, found.at) != expected:
        return replace(found, why="its value has another number of rows or columns than expected")
    return found


def _presumed(module: nn.Module | None, at: Place | None, first: Any, value: Any) -> Place | None:
    """Where positions lie behind what is not known: a layer on maps gives maps, whatever it took,
    and four dimensions that become four dimensions are taken for the same."""
    if dims(value) != 4:
        return None
    return MAPS if isinstance(module, _ON_MAPS) else at if dims(first) == 4 else None


_ON_MAPS = (nn.Conv2d, nn.ConvTranspose2d, nn.BatchNorm2d, nn.MaxPool2d, nn.AvgPool2d,
            nn.AdaptiveAvgPool2d, nn.Upsample)  # fmt: skip


def _name(node: fx.Node, module: nn.Module | None) -> str:
    if node.op == "call_module":
        return type(module).__name__
    return getattr(node.target, "__name__", str(node.target))


def _of_module(module: nn.Module, first: torch.Tensor, at: Place | None, value: Any) -> Sight:
    vector, maps = at is None, at == MAPS and first.dim() == 4
    after = MAPS if dims(value) == 4 else None
    if isinstance(module, nn.Flatten):
        return reshape(None, first, at, value, {})
    if isinstance(module, nn.Linear):
        if vector or (at == LAST and first.dim() == 4):
            return Sight(at)
        return lost("it works along the columns")
    if isinstance(module, nn.LayerNorm):
        return layer_norm(len(module.normalized_shape), first, at)
    if isinstance(module, nn.GroupNorm | LocalContrastNorm):
        return Sight(at, whole=not vector)
    if isinstance(module, nn.BatchNorm2d):
        return Sight(at, whole=module.running_mean is None)
    if vector and isinstance(module, nn.BatchNorm1d):
        return Sight(at)
    if not maps or window.dispatch(type(module)) is window.dispatch(object):
        return lost("there is no rule for it")
    return Sight(after, window(module) or (None, None))


_EACH_FUNCTION = {
    operator.add, operator.iadd, torch.add, "add", "add_", operator.sub, torch.sub, "sub",
    operator.mul, operator.imul, torch.mul, "mul", "mul_", operator.truediv, torch.div, "div",
    "div_", operator.neg, torch.neg, "neg", "clone", "contiguous", "to", "float", "type_as",
    torch.relu, torch.relu_, F.relu, F.relu_, F.relu6, "relu", "relu_", F.hardtanh, F.hardtanh_,
    F.dropout, torchvision.ops.stochastic_depth,
}  # fmt: skip
"""Functions that look at one position of each of their inputs."""

EACH = (
    "ReLU", "ReLU6", "Hardtanh", "Dropout", "Dropout2d", "Identity", "Divide", "mul", "mul_",
    "imul", "div", "truediv", "gelu", "silu", "silu_", "sigmoid", "hardswish", "hardsigmoid",
    "tanh", "elu", "leaky_relu", "leaky_relu_", "mish", "softplus", "GELU", "SiLU", "Sigmoid",
    "Hardswish", "Hardsigmoid", "Tanh", "ELU", "LeakyReLU", "PReLU", "Mish", "Softplus",
)  # fmt: skip
"""Names of modules and functions, with a rule of the deconvnet or without, that do so too."""
