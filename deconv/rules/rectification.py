"""Rectification: on the way down the deconvnet rectifies the signal itself (§2.1).

          deconvnet         guided                   gradient
relu …    max(signal, 0)    max(signal, 0) if a>0    signal if a>0
"""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from deconv.rules.operation import FIELD, ROUNDED, Call, Operation, same_place


def _limit(call: Call) -> float | None:
    """Return where a rectification saturates; None for a call that does not clamp at 0."""
    low, high = {
        "relu": (0.0, None),
        "relu6": (0.0, 6.0),
        "hardtanh": (call.get("min_val", -1.0), call.get("max_val", 1.0)),
        "clamp": (call.get("min"), call.get("max")),
        "clip": (call.get("min"), call.get("max")),
        "clamp_min": (call.get("min"), None),
        "threshold": (call.get("threshold"), None),
        "maximum": (call.get("other"), None),
        "max": (call.get("other"), None),
    }[call.name]
    if call.name == "threshold" and call.get("value") != 0:
        return None
    if call.name in ("maximum", "max"):  # of a value and a tensor of zeros
        constant = isinstance(low, torch.Tensor) and not low.requires_grad
        return math.inf if constant and not low.any() else None
    if any(isinstance(end, torch.Tensor) for end in (low, high)) or low != 0:
        return None
    return math.inf if high is None else float(high)


class _Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, limit: float, guided: bool) -> torch.Tensor:
        if guided:
            ctx.save_for_backward((x > 0) & (x < limit))
        return x.clamp(min=0, max=limit)

    @staticmethod
    def backward(ctx: Any, signal: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        below = signal.clamp(min=0)
        return (below * ctx.saved_tensors[0] if ctx.saved_tensors else below), None, None


def _deconvnet(call: Call, run: Any) -> torch.Tensor:
    return call.write(_Rectify.apply(call.input, _limit(call), False))


def _guided(call: Call, run: Any) -> torch.Tensor:
    return call.write(_Rectify.apply(call.input, _limit(call), True))


def soft_relu(z: torch.Tensor, width: float) -> torch.Tensor:
    """Round the corner of a ReLU: width · log(1 + exp(z / width))."""
    return width * F.softplus(z / width)


def _rounded(call: Call, run: Any) -> torch.Tensor:
    width = run.width(call.input)
    if width is None:
        return call.run()
    limit, x = _limit(call), call.input.clone()
    rounded = soft_relu(x, width)
    return call.write(rounded if limit == math.inf else rounded - soft_relu(x - limit, width))


RECTIFY = Operation(
    name="rectify",
    functions={
        "relu": "input inplace",
        "relu6": "input inplace",
        "hardtanh": "input min_val max_val inplace",
        "clamp": "input min max",
        "clip": "input min max",
        "clamp_min": "input min",
        "threshold": "input threshold value inplace",
        "maximum": "input other",
        "max": "input other",
    },
    modules=(nn.ReLU, nn.ReLU6, nn.Hardtanh),
    applies=lambda call: _limit(call) is not None,
    applies_to=lambda module: getattr(module, "min_val", 0) == 0,
    ways={"deconvnet": _deconvnet, "guided": _guided, FIELD: same_place, ROUNDED: _rounded},
    activates=True,
    mirror=lambda stage, signal, below: signal.relu(),
    prefix="relu",
)
RECTIFICATION = (RECTIFY,)
