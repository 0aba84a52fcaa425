"""Filters: convolutions and linear layers go down transposed, without biases (§2.1)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.grad import conv2d_input

from deconv.fields import Axis, WholeAxis, Window
from deconv.pixels import LUMA, Divide, Grey
from deconv.rules.operation import FIELD, RULES, Below, Call, Operation

WEIGHTED = "input weight bias"
GEOMETRY = f"{WEIGHTED} stride padding dilation groups"
PADDINGS = ("same", "valid")
Numbers = int | tuple[int, ...]
FEW = 4
"""Channels, as of an image, to which a matrix product leads three times as fast."""


def _one_operand(call: Call) -> bool:
    """Tell whether the filter is independent of the image, without which it is not linear."""
    return not follows_image(call.get("weight"))


def follows_image(x: Any) -> bool:
    """Tell whether a value depends on the image; parameters are frozen while a network runs."""
    return isinstance(x, torch.Tensor) and x.requires_grad and not isinstance(x, nn.Parameter)


def _positive_filter(call: Call, run: Any) -> torch.Tensor:
    """Filter with positive weights, whose sums never cancel (FIELD).

    Each map has its own scale: if all maps were equal, operations that compare them (a vector
    normalisation) would have a derivative of 0.
    """
    weight = call.get("weight")
    scale = torch.linspace(1, 2, len(weight), dtype=weight.dtype, device=weight.device)
    even = torch.full_like(weight, 1 / max(1, weight[0].numel()))
    even = even * scale.view(-1, *[1] * (weight.dim() - 1))
    return call.run_with(weight=even, bias=None)


def _transposed(stage: nn.Conv2d, signal: torch.Tensor, below: Below) -> torch.Tensor:
    """Apply the transposed convolution, which needs no flipped weights."""
    assert not isinstance(stage.padding, str)
    geometry = (stage.stride, stage.padding, stage.dilation)
    # Given the size below, rows and columns that the stride left over are not lost.
    if stage.in_channels <= FEW and stage.groups == 1:
        return _by_product(stage.weight, signal, below.shape[1:], *geometry)
    size = (len(signal), *below.shape)
    return conv2d_input(size, stage.weight, signal, *geometry, stage.groups)


def _by_product(
    weight: torch.Tensor, signal: torch.Tensor, size: tuple[int, ...], *geometry: Numbers
) -> torch.Tensor:
    """Apply a transposed convolution as one matrix product; geometry: stride, padding, dilation."""
    stride, padding, dilation = geometry
    product = weight.flatten(1).T.to(signal.dtype).expand(len(signal), -1, -1)
    columns = product.bmm(signal.flatten(2))
    return F.fold(columns, size, tuple(weight.shape[2:]), dilation, padding, stride)


class _FromImage(torch.autograd.Function):
    """A convolution of few channels, whose signal goes down by `_by_product`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        geometry: tuple[Numbers, Numbers, Numbers],
    ) -> torch.Tensor:
        ctx.save_for_backward(weight)
        ctx.size, ctx.dtype, ctx.geometry = tuple(x.shape[2:]), x.dtype, geometry
        return F.conv2d(x, weight, bias, *geometry)

    @staticmethod
    def backward(ctx: Any, signal: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        below = _by_product(weight, signal, ctx.size, *ctx.geometry)
        return below.to(ctx.dtype), None, None, None


def _from_image(call: Call, run: Any) -> torch.Tensor:
    """Convolve an image so that its derivative is fast; everything else as written."""
    x, weight, padding = call.input, call.get("weight"), call.get("padding", 0)
    image = call.name == "conv2d" and x.dim() == 4 and x.requires_grad and not x.is_cuda
    if not image or weight.shape[1] > FEW or call.get("groups", 1) != 1 or padding in PADDINGS:
        return call.run()
    geometry = (call.get("stride", 1), padding, call.get("dilation", 1))
    return _FromImage.apply(x, weight, call.get("bias"), geometry)


def _window(stage: nn.Conv2d) -> Window:
    assert not isinstance(stage.padding, str)  # ChainNet refuses such convolutions
    window = zip(stage.kernel_size, stage.stride, stage.padding, stage.dilation, strict=True)
    rows, columns = (Axis(*numbers) for numbers in window)
    return rows, columns


CONVOLUTION = Operation(
    name="filter",
    functions=dict.fromkeys(("conv1d", "conv_transpose2d"), WEIGHTED) | {"conv2d": GEOMETRY},
    modules=(nn.Conv2d,),
    applies=_one_operand,
    ways=dict.fromkeys(RULES, _from_image) | {FIELD: _positive_filter},
    mirror=_transposed,
    window=_window,
    prefix="conv",
)
LINEAR = Operation(
    name="filter",
    functions={"linear": WEIGHTED},
    modules=(nn.Linear,),
    applies=_one_operand,
    ways={FIELD: _positive_filter},
    mirror=lambda stage, signal, below: signal @ stage.weight,
    window=lambda stage: (WholeAxis(), WholeAxis()),
    prefix="fc",
)
DIVIDE = Operation(
    name="scale",
    modules=(Divide,),
    mirror=lambda stage, signal, below: signal / stage.by,
    prefix="scale",
)
GREY = Operation(
    name="filter",
    modules=(Grey,),
    mirror=lambda stage, signal, below: signal * signal.new_tensor(LUMA)[:, None, None],
    prefix="grey",
)
FILTERS = (CONVOLUTION, LINEAR, DIVIDE, GREY)
