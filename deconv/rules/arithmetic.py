"""Arithmetic: linear operations go down by their own derivative; nonlinear ones have no rule.

A product is linear if only one operand comes from the image. Activation functions without a rule
(GELU, sigmoid …) are pointwise, which is all that a receptive field needs to know.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch import nn

from deconv.rules.filters import follows_image
from deconv.rules.operation import (
    FIELD,
    ROUNDED,
    RULES,
    Call,
    Operation,
    passed,
    same_place,
)

_MOVES = """
    view view_as reshape reshape_as flatten unflatten squeeze unsqueeze permute transpose
    swapaxes swapdims movedim moveaxis t T mT adjoint contiguous clone to type type_as float
    double half bfloat16 cpu cuda expand expand_as broadcast_to repeat repeat_interleave tile
    narrow select index_select gather take_along_dim getitem setitem diagonal roll flip fliplr
    flipud rot90 cat concat concatenate stack hstack vstack dstack pad constant_pad_nd
    pixel_shuffle pixel_unshuffle channel_shuffle unfold fold copy upsample interpolate mean sum
    nansum cumsum dropout dropout1d dropout2d dropout3d alpha_dropout feature_alpha_dropout
    native_dropout avg_pool1d adaptive_avg_pool1d
"""
_SUMS = "add sub rsub neg negative positive"
_PRODUCTS = "mul div addcmul addcdiv lerp"
_MATRIX_PRODUCTS = """
    matmul mm bmm mv addmm baddbmm addbmm einsum dot outer tensordot kron grid_sample
"""
_ACTIVATIONS = {
    **dict.fromkeys(("gelu", "sigmoid", "tanh", "softsign", "logsigmoid"), "input"),
    **dict.fromkeys(("tanhshrink", "hardshrink", "softshrink", "softplus", "prelu"), "input"),
    **dict.fromkeys(("silu", "mish", "hardsigmoid", "hardswish", "selu", "relu6"), "input inplace"),
    **dict.fromkeys(("elu", "celu"), "input alpha inplace"),
    "leaky_relu": "input negative_slope inplace",
    "rrelu": "input lower upper training inplace",
    "hardtanh": "input min_val max_val inplace",
    "threshold": "input threshold value inplace",
}
_BENDS = """
    abs exp exp2 expm1 log log2 log10 log1p sqrt rsqrt square pow reciprocal sin cos tan atan erf
    sign clamp clamp_min clamp_max clip floor ceil round
"""


def _names(text: str, arguments: str = "input") -> dict[str, str]:
    return dict.fromkeys(text.split(), arguments)


def _is_linear(call: Call) -> bool:
    """Tell whether only one operand comes from the image; of a quotient, the dividend."""
    follow = [follows_image(x) for x in call.tensors]
    only_divisor = call.name in ("div", "grid_sample") and not follows_image(call.input)
    return sum(follow) <= 1 and not only_divisor and not _masks(call)


def _sum_operands(call: Call, run: Any) -> torch.Tensor:
    """Replace differences and products by sums, in which nothing cancels (FIELD)."""
    operands = call.tensors
    if call.in_place:
        return call.input.copy_(sum(x.expand_as(call.input) for x in operands))
    return sum(operands[1:], operands[0].clone())


def _split_by_views(call: Call, run: Any) -> Any:
    """Split into single views, which autograd lets a later operation write in place."""
    parts, x = call.run(), call.input
    if not x.requires_grad:
        return parts
    dim = call.get("dim", 0)
    if call.name == "unbind":
        return tuple(x.select(dim, i) for i in range(len(parts)))
    ends = [0, *itertools.accumulate(part.shape[dim] for part in parts)]
    return tuple(x.narrow(dim, a, b - a) for a, b in itertools.pairwise(ends))


def _unchanged(call: Call, run: Any) -> torch.Tensor | None:
    """Keep the values that a mask would replace: elsewhere the mask lets them pass (FIELD)."""
    return None if call.name == "setitem" else same_place(call, run)


def _masks(call: Call) -> bool:
    return any(x.dtype == torch.bool for x in call.tensors)


def _mean_over_dim(call: Call, run: Any) -> torch.Tensor:
    dim = call.get("dim")
    return call.input + call.input.mean(-1 if dim is None else dim, keepdim=True)


MASKED = Operation(
    name="choose",
    functions=_names("setitem masked_fill"),
    applies=_masks,
    ways={FIELD: _unchanged},
    known=False,
)
LINEAR_ARITHMETIC = (
    MASKED,
    Operation(name="skip", functions=_names(_MOVES), modules=(nn.Identity,), mirror=passed),
    Operation(
        name="skip",
        functions=_names("split split_with_sizes chunk tensor_split", "input into dim")
        | {"unbind": "input dim"},
        ways=dict.fromkeys(("", *RULES, FIELD, ROUNDED), _split_by_views),
    ),
    Operation(name="add", functions=_names(_SUMS), ways={FIELD: _sum_operands}),
    Operation(
        name="scale",
        functions=_names(_PRODUCTS),
        applies=_is_linear,
        ways={FIELD: _sum_operands},
    ),
    Operation(name="filter", functions=_names(_MATRIX_PRODUCTS), applies=_is_linear),
)
VALUE_BY_VALUE = LINEAR_ARITHMETIC[1:5]
"""Operations that move and scale single values."""
ACTIVATION = Operation(
    name="bend",
    functions=_ACTIVATIONS,
    ways={FIELD: same_place},
    known=False,
    activates=True,
)
BENDING = (
    ACTIVATION,
    Operation(name="bend", functions=_names(_BENDS), ways={FIELD: same_place}, known=False),
    Operation(
        name="multiply", functions=_names(_PRODUCTS), ways={FIELD: _sum_operands}, known=False
    ),
    Operation(
        name="choose",
        functions=_names("where maximum minimum fmax fmin"),
        ways={FIELD: _sum_operands},
        known=False,
    ),
    Operation(
        name="share",
        functions=_names("softmax log_softmax softmin", "input dim"),
        ways={FIELD: _mean_over_dim},
        known=False,
    ),
)
