"""Filters: convolutions and linear layers go down transposed, without biases (§2.1)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.grad import conv2d_input

from deconv.fields import Axis, WholeAxis, Window
from deconv.pixels import LUMA, Divide, Grey
from deconv.rules.operation import FIELD, Below, Call, Operation

WEIGHTED = "input weight bias"
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
    # Given the size below, rows and columns that the stride left over are not lost.
    if stage.in_channels <= FEW and stage.groups == 1:
        product = stage.weight.flatten(1).T.expand(len(signal), -1, -1)
        columns = product.bmm(signal.flatten(2))
        assert not isinstance(stage.padding, str)
        return F.fold(
            columns,
            below.shape[1:],
            stage.kernel_size,
            stage.dilation,
            stage.padding,
            stage.stride,
        )
    size = (len(signal), *below.shape)
    return conv2d_input(
        size, stage.weight, signal, stage.stride, stage.padding, stage.dilation, stage.groups
    )


def _window(stage: nn.Conv2d) -> Window:
    assert not isinstance(stage.padding, str)  # ChainNet refuses such convolutions
    window = zip(stage.kernel_size, stage.stride, stage.padding, stage.dilation, strict=True)
    rows, columns = (Axis(*numbers) for numbers in window)
    return rows, columns


CONVOLUTION = Operation(
    name="filter",
    functions=dict.fromkeys(("conv1d", "conv2d", "conv_transpose2d"), WEIGHTED),
    modules=(nn.Conv2d,),
    applies=_one_operand,
    ways={FIELD: _positive_filter},
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
