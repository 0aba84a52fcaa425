"""The layers of a chain as a table: sizes, receptive fields, parameters, multiply-adds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from deconv.errors import DeconvError
from deconv.fields import Axis, Window, interior_field
from deconv.networks import ChainNet
from deconv.networks.chain import stage_shapes, takes, window
from deconv.rules import of_module
from deconv.rules.rectification import RECTIFY

Pair = tuple[int, int]


@dataclass(frozen=True)
class LayerRow:
    """One layer of a chain, or the image itself.

    kind: one of KINDS. maps, height, width: of its output. kernel, stride, padding, dilation:
    (rows, columns) in positions of the map below, None without a sliding window. groups: of a
    convolution, else 1. relu: whether a ReLU follows. field_px, step_px: (rows, columns) in pixels,
    size and stride of receptive fields away from the borders; None if the field depends on the
    size of the image. parameters: weights and biases. multiply_adds: per image, of convolutions and
    linear layers without biases.
    """

    stage: str
    kind: str
    maps: int
    height: int
    width: int
    kernel: Pair | None = None
    stride: Pair | None = None
    padding: Pair | None = None
    dilation: Pair | None = None
    groups: int = 1
    relu: bool = False
    field_px: Pair | None = None
    step_px: Pair | None = None
    parameters: int = 0
    multiply_adds: int = 0

    def record(self) -> dict[str, Any]:
        """Format the fields for a table; pairs of equal numbers are written once."""
        return {name: _pair(value) for name, value in vars(self).items()}


KINDS = ("image", "convolution", "max-pool", "contrast norm", "average pool", "fully connected")


def layer_table(net: ChainNet, input_px: int | None = None) -> list[LayerRow]:
    """Tabulate a chain from the image to the logits, without a forward pass.

    Args:
        input_px: side of the square images; None for the network's own.

    Raises:
        DeconvError: for images that the network does not take and for an unknown module.
    """
    side = input_px or net.input_px
    rows = [LayerRow("image", "image", 3, side, side, field_px=(1, 1), step_px=(1, 1))]
    windows = []
    stages = list(net.named_children())
    for i, (name, stage, below, above) in enumerate(stage_shapes(stages, (side, side))):
        if (axes := window(stage)) is not None:
            windows.append(axes)
        if min(above) < 1:
            raise DeconvError(f"images of {side} px are too small for {name} of {net.name}")
        kind = _kind(stage)
        if kind is None:
            continue
        if not takes(stage, below):
            raise DeconvError(
                f"{name} of {net.name} takes {stage.in_features} inputs and images of {side} px "
                f"give it {'×'.join(map(str, below))}"
            )
        field, step = _field(windows)
        rows.append(
            LayerRow(
                name,
                kind,
                *above,
                *_sliding(axes),
                groups=getattr(stage, "groups", 1),
                relu=i + 1 < len(stages) and of_module(stages[i + 1][1]) is RECTIFY,
                field_px=field,
                step_px=step,
                parameters=sum(p.numel() for p in stage.parameters()),
                multiply_adds=_multiply_adds(stage, above[1:]),
            )
        )
    return rows


def totals(rows: Sequence[LayerRow]) -> tuple[int, int]:
    """Sum (parameters, multiply-adds) over all rows."""
    return sum(row.parameters for row in rows), sum(row.multiply_adds for row in rows)


def _pair(value: Any) -> Any:
    if not isinstance(value, tuple):
        return "" if value is None else value
    return str(value[0]) if value[0] == value[1] else f"{value[0]}×{value[1]}"


def _kind(stage: nn.Module) -> str | None:
    operation = of_module(stage)
    return None if operation is None else _KINDS.get(operation.prefix)


_KINDS = {
    "conv": "convolution",
    "pool": "max-pool",
    "norm": "contrast norm",
    "grid": "average pool",
    "fc": "fully connected",
}


def _sliding(axes: Window | None) -> tuple[Pair | None, Pair | None, Pair | None, Pair | None]:
    """Return (kernel, stride, padding, dilation) of a sliding window, each (rows, columns)."""
    y, x = axes or (None, None)
    if not isinstance(y, Axis) or not isinstance(x, Axis):
        return None, None, None, None
    kernel, stride = (y.kernel, x.kernel), (y.stride, x.stride)
    return kernel, stride, (y.padding, x.padding), (y.dilation, x.dilation)


def _field(windows: list[Window]) -> tuple[Pair | None, Pair | None]:
    """Return (field, step) in pixels, each (rows, columns)."""
    if not all(isinstance(axis, Axis) for w in windows for axis in w):
        return None, None
    (high, down, _), (wide, right, _) = (interior_field([w[a] for w in windows]) for a in (0, 1))
    return (high, wide), (down, right)


def _multiply_adds(stage: nn.Module, size: Pair) -> int:
    if not isinstance(stage, nn.Conv2d | nn.Linear):
        return 0
    return stage.weight.numel() * size[0] * size[1]
