"""The kinds of operations, by which the way down and the search for activations go."""

from __future__ import annotations

import operator

import torch
import torch.nn.functional as F
import torchvision
from torch import fx, nn

from deconv.layers import ContrastNorm, Divide, Grey, LocalContrastNorm

AFFINE, RECTIFY, POOL, NORM, BATCH_NORM, NO_RULE = (
    "affine", "rectify", "pool", "normalise", "batch norm", "no rule"
)  # fmt: skip
"""Kinds of steps. Affine ones go down by their own derivative: convolution, linear layers,
averages, sums, concatenations, choices of channels, products with weights."""


_KINDS: tuple[tuple[str, tuple[type[nn.Module], ...]], ...] = (
    (RECTIFY, (nn.ReLU, nn.ReLU6)),  # and nn.Hardtanh from 0 upwards
    (POOL, (nn.MaxPool2d,)),
    (NORM, (nn.LocalResponseNorm, ContrastNorm, LocalContrastNorm, nn.LayerNorm, nn.GroupNorm)),
    (BATCH_NORM, (nn.BatchNorm2d,)),
    (
        AFFINE,
        (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.AvgPool2d, nn.AdaptiveAvgPool2d, nn.Flatten,
         nn.Dropout, nn.Dropout2d, nn.Identity, nn.Upsample, nn.ConstantPad2d, nn.ReflectionPad2d,
         nn.ReplicationPad2d, nn.CircularPad2d, nn.BatchNorm1d, Divide, Grey),
    ),
)  # fmt: skip

_RECTIFIERS = {torch.relu, torch.relu_, F.relu, F.relu_, F.relu6, "relu", "relu_"}
_CLAMPS = {F.hardtanh, F.hardtanh_}
_POOLS = {F.max_pool2d, torch.max_pool2d, torch.nn.functional.max_pool2d_with_indices}
_NORMS = {F.layer_norm, F.group_norm, F.local_response_norm}
_BATCH_NORMS = {F.batch_norm, torch.batch_norm}
_SUMS = {operator.add, operator.iadd, torch.add, "add", "add_", operator.sub, torch.sub, "sub"}
_PRODUCTS = {operator.mul, operator.imul, torch.mul, "mul", "mul_"}
_QUOTIENTS = {operator.truediv, torch.div, "div", "div_"}
_WITH_WEIGHTS = {F.conv2d, F.conv_transpose2d, F.linear}
_AFFINE = _SUMS | {
    torch.cat, torch.concat, torch.flatten, torch.permute, torch.transpose, torch.mean,
    torch.chunk, torch.split, torch.squeeze, torch.unsqueeze, torch.reshape, F.dropout,
    F.avg_pool2d, F.adaptive_avg_pool2d, F.pad, F.interpolate, operator.getitem, operator.neg,
    torch.neg, torchvision.ops.stochastic_depth,
    "flatten", "permute", "transpose", "mean", "chunk", "split", "squeeze", "unsqueeze", "reshape",
    "view", "contiguous", "clone", "neg", "to", "float", "type_as",
}  # fmt: skip


def kind_of_module(module: nn.Module) -> str:
    """The kind of what a module does, NO_RULE for what is on no list."""
    if isinstance(module, nn.Hardtanh) and not isinstance(module, nn.ReLU6):
        return RECTIFY if module.min_val == 0 else NO_RULE
    return next((kind for kind, types in _KINDS if isinstance(module, types)), NO_RULE)


def kind_of(node: fx.Node, module: nn.Module | None, taken: list[fx.Node]) -> str:
    """The kind of a traced operation. taken: its inputs that come from the image."""
    if node.op == "call_module":
        return kind_of_module(module)
    if node.target in _PRODUCTS | _QUOTIENTS:
        # With a weight or a number it is linear; of two values that come from the image it is not.
        linear = len(taken) == 1 and (node.target in _PRODUCTS or node.args[0] is taken[0])
        return AFFINE if linear else NO_RULE
    if node.target in _CLAMPS:
        low = node.args[1] if len(node.args) > 1 else node.kwargs.get("min_val", -1.0)
        return RECTIFY if low == 0 else NO_RULE
    if node.target in _WITH_WEIGHTS:
        return AFFINE if len(taken) == 1 else NO_RULE
    tables = (RECTIFY, _RECTIFIERS), (POOL, _POOLS), (NORM, _NORMS), (BATCH_NORM, _BATCH_NORMS)
    for kind, functions in tables:
        if node.target in functions:
            return kind
    return AFFINE if node.target in _AFFINE else NO_RULE
