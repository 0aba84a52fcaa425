"""Normalisations: contrast normalisation is skipped on the way down (§2.1, ECCV text).

Those that came after the paper are frozen at this image: mean and scale count as constants.

                            deconvnet           guided, gradient
    contrast normalisation  signal              own derivative
    layer, group norm       signal · weight/σ   own derivative
    batch norm              own derivative: in evaluation mode one scale per map
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from deconv.normalisation import ContrastNorm, LocalContrastNorm
from deconv.rules.operation import FIELD, Below, Call, Operation, passed, same_place


class _Scaled(torch.autograd.Function):
    """Forward the normalised values; send the signal down multiplied by a scale alone."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, normalised: torch.Tensor, scale: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(scale)
        return normalised.clone()

    @staticmethod
    def backward(ctx: Any, signal: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return signal * ctx.saved_tensors[0].to(signal), None, None


def _skipped(call: Call, run: Any) -> torch.Tensor:
    with torch.no_grad():
        normalised = call.run()
    return _Scaled.apply(call.input, normalised, torch.ones(()))


def _frozen_layer_norm(call: Call, run: Any) -> torch.Tensor:
    x, weight = call.input, call.get("weight")
    dims = _layer_dims(call)
    with torch.no_grad():
        scale = (x.var(dims, unbiased=False, keepdim=True) + call.get("eps", 1e-5)).rsqrt()
        scale = scale if weight is None else scale * weight
        normalised = call.run()
    return _Scaled.apply(x, normalised, scale)


def _frozen_group_norm(call: Call, run: Any) -> torch.Tensor:
    x, weight, groups = call.input, call.get("weight"), call.get("num_groups")
    n, c = x.shape[:2]
    with torch.no_grad():
        variance = x.reshape(n, groups, -1).var(2, unbiased=False)
        scale = (variance + call.get("eps", 1e-5)).rsqrt().repeat_interleave(c // groups, 1)
        scale = scale if weight is None else scale * weight
        normalised = call.run()
    return _Scaled.apply(x, normalised, scale.reshape(n, c, *[1] * (x.dim() - 2)))


def _layer_dims(call: Call) -> tuple[int, ...]:
    return tuple(range(-len(call.get("normalized_shape")), 0))


def _layer_field(call: Call, run: Any) -> torch.Tensor:
    return call.input + call.input.mean(_layer_dims(call), keepdim=True)


def _group_field(call: Call, run: Any) -> torch.Tensor:
    x = call.input
    means = x.reshape(x.shape[0], call.get("num_groups"), -1).mean(2)
    spread = means.repeat_interleave(x.shape[1] // means.shape[1], 1)
    return x + spread.reshape(*x.shape[:2], *[1] * (x.dim() - 2))


def _map_field(call: Call, run: Any) -> torch.Tensor:
    return call.input + call.input.flatten(2).mean(2)[..., None, None]


def _scale(stage: Any, signal: torch.Tensor, below: Below) -> torch.Tensor:
    """Scale each map as in evaluation mode, without the shift."""
    scale = (stage.running_var + stage.eps).rsqrt()
    scale = scale if stage.weight is None else scale * stage.weight
    return signal * scale[:, None, None]


CONTRAST = Operation(
    name="skip",
    functions=dict.fromkeys(("contrast_norm", "local_contrast_norm", "local_response_norm"), "x"),
    modules=(ContrastNorm, LocalContrastNorm, nn.LocalResponseNorm),
    # A field leaves local contrast normalisation out, see `deconv.fields`.
    ways={"deconvnet": _skipped, FIELD: same_place},
    mirror=passed,
    prefix="norm",
)
LAYER = Operation(
    name="scale",
    functions={"layer_norm": "input normalized_shape weight bias eps"},
    modules=(nn.LayerNorm,),
    ways={"deconvnet": _frozen_layer_norm, FIELD: _layer_field},
)
GROUP = Operation(
    name="scale",
    functions={"group_norm": "input num_groups weight bias eps"},
    modules=(nn.GroupNorm,),
    ways={"deconvnet": _frozen_group_norm, FIELD: _group_field},
)
_STATISTICS = "input running_mean running_var weight bias use_input_stats"
INSTANCE = Operation(
    name="scale",
    functions={"instance_norm": _STATISTICS},
    applies=lambda call: call.get("use_input_stats", True),
    known=False,
    ways={FIELD: _map_field},
)
BATCH = Operation(
    name="scale",
    functions={"batch_norm": "input", "instance_norm": _STATISTICS},
    modules=(nn.BatchNorm2d,),
    applies=lambda call: call.name == "batch_norm" or not call.get("use_input_stats", True),
    ways={FIELD: same_place},
    mirror=_scale,
)
NORMALISATION = (CONTRAST, LAYER, GROUP, INSTANCE, BATCH)
