"""Filters: convolutions and linear layers go down by their transposed weights, without biases."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn
from torch.nn.grad import conv2d_input

from deconv.fields import Axis, WholeAxis, Window
from deconv.pixels import LUMA, Divide, Grey
from deconv.rules.operation import FIELD, Below, Call, Operation

WEIGHTED = "input weight bias"


def _one_operand(call: Call) -> bool:
    """Whether the image is in one operand alone: a product of two such values is not linear."""
    weight = call.get("weight")
    return not (isinstance(weight, torch.Tensor) and follows_image(weight))


def follows_image(x: Any) -> bool:
    """Tell whether a value depends on the image: while a network runs under rules, its parameters
    are held, so that gradients are asked of nothing else."""
    return isinstance(x, torch.Tensor) and x.requires_grad and not isinstance(x, nn.Parameter)


def _looks(call: Call, run: Any) -> torch.Tensor:
    """Positive filters: no sum of them is 0. Each map has a scale of its own, so that what compares
    maps (a normalisation of vectors) has a derivative."""
    weight = call.get("weight")
    scale = torch.linspace(1, 2, len(weight), dtype=weight.dtype, device=weight.device)
    even = torch.full_like(weight, 1 / max(1, weight[0].numel()))
    even = even * scale.view(-1, *[1] * (weight.dim() - 1))
    return call.run_with(weight=even, bias=None)


def _transposed(stage: nn.Conv2d, signal: torch.Tensor, below: Below) -> torch.Tensor:
    """Each map of the signal paints its filter, summed: no flip of the weights is needed."""
    # With the size below, or rows and columns that the stride left over would be missing.
    size = (len(signal), *below.shape)
    return conv2d_input(
        size, stage.weight, signal, stage.stride, stage.padding, stage.dilation, stage.groups
    )


def _window(stage: nn.Conv2d) -> Window:
    assert not isinstance(stage.padding, str)  # a chain takes no such convolution
    window = zip(stage.kernel_size, stage.stride, stage.padding, stage.dilation, strict=True)
    rows, columns = (Axis(*numbers) for numbers in window)
    return rows, columns


def _back_to_pixels(stage: nn.Linear, signal: torch.Tensor, below: Below) -> torch.Tensor:
    return signal @ stage.weight


def _undivided(stage: Divide, signal: torch.Tensor, below: Below) -> torch.Tensor:
    return signal / stage.by


def _in_colour(stage: Grey, signal: torch.Tensor, below: Below) -> torch.Tensor:
    """Grey is spread over the colours by their shares in it."""
    return signal * signal.new_tensor(LUMA)[:, None, None]


CONVOLUTION = Operation(
    name="filter",
    functions=dict.fromkeys(("conv1d", "conv2d", "conv_transpose2d"), WEIGHTED),
    modules=(nn.Conv2d,),
    applies=_one_operand,
    ways={FIELD: _looks},
    mirror=_transposed,
    window=_window,
    prefix="conv",
)
LINEAR = Operation(
    name="filter",
    functions={"linear": WEIGHTED},
    modules=(nn.Linear,),
    applies=_one_operand,
    ways={FIELD: _looks},
    mirror=_back_to_pixels,
    window=lambda stage: (WholeAxis(), WholeAxis()),
    prefix="fc",
)
DIVIDE = Operation(name="scale", modules=(Divide,), mirror=_undivided, prefix="scale")
GREY = Operation(name="filter", modules=(Grey,), mirror=_in_colour, prefix="grey")
FILTERS = (CONVOLUTION, LINEAR, DIVIDE, GREY)
