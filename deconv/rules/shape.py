"""Flattening, dropout and padding: modules that leave values unchanged."""

from __future__ import annotations

from typing import Any

from torch import nn

from deconv.fields import Axis, Window
from deconv.rules.operation import Operation, passed

_MODES = {
    nn.ReflectionPad2d: "reflect",
    nn.ReplicationPad2d: "replicate",
    nn.CircularPad2d: "circular",
    nn.ConstantPad2d: "zeros",
}


def _padding_window(stage: Any) -> Window:
    left, right, top, bottom = stage.padding
    mode = next(mode for kind, mode in _MODES.items() if isinstance(stage, kind))
    return Axis(1, 1, top, after=bottom, mode=mode), Axis(1, 1, left, after=right, mode=mode)


FLATTEN = Operation(
    name="reshape",
    modules=(nn.Flatten,),
    mirror=lambda stage, signal, below: signal.unflatten(1, below.shape),
    prefix="flatten",
)
DROPOUT = Operation(name="skip", modules=(nn.Dropout, nn.Dropout2d), mirror=passed, prefix="drop")
PADDING = Operation(name="pad", modules=tuple(_MODES), window=_padding_window)
SHAPE = (FLATTEN, DROPOUT, PADDING)
