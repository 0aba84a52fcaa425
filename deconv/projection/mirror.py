"""The deconvnet as an explicit mirror of the chain (§2.1): one way down for each kind of stage.

From the chosen point to the pixels: contrast normalisation is skipped, pooling is undone by that
image's switches, the top-down signal is rectified, and the forward filters are applied
transposed, without biases. The final pixels are not rectified.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import singledispatch

import torch
import torch.nn.functional as F
from torch import nn

from deconv.errors import DeconvError
from deconv.layers import LUMA, ContrastNorm, Divide, Grey, LocalContrastNorm, unpool
from deconv.models import ChainNet, GraphNet
from deconv.types import Record


@dataclass(frozen=True)
class Below:
    """What a stage needs to know to send a signal back down.

    shape: of the stage's input, without the batch axis. switches: K×C×h×w of the K signals'
    images, for a pool. collisions: the policy for shared switches.
    """

    shape: tuple[int, ...]
    switches: torch.Tensor | None
    collisions: str


@dataclass(frozen=True)
class Step:
    """One operation of the way down and what it leaves.

    stage: name of the mirrored stage; of the first step the point at which the way begins.
    operation: one of OPERATIONS. signal: K×C×h×w or K×C below the stage, after the operation.
    """

    stage: str
    operation: str
    signal: torch.Tensor

    def energy(self) -> torch.Tensor:
        """The sum of squares of each of the K signals; 0 where nothing is left of it."""
        return self.signal.flatten(1).square().sum(dim=1)


def refusal(net: ChainNet | GraphNet, layer: str) -> str:
    """Why the mirror cannot go down from a layer, in words; "" if it can.

    A chain's stages are all asked, because one of a known type may work as no mirror expects.
    """
    try:
        stages = net.stages_to(layer)
    except DeconvError as error:
        return str(error)
    for name, stage in stages:
        if why := _unknown_way(stage):
            return f"the mirror has no way down through {why} ({name}); use engine='vjp'"
    return ""


def _unknown_way(stage: nn.Module) -> str:
    """What of a stage the mirror has no way through; "" for nothing."""
    kind = type(stage).__name__
    if down.dispatch(type(stage)) is down.dispatch(object):
        return kind
    if isinstance(stage, nn.Conv2d) and stage.padding_mode != "zeros":
        return f"{kind} with padding_mode={stage.padding_mode!r}"
    if isinstance(stage, nn.Conv2d) and isinstance(stage.padding, str):
        return f"{kind} with padding={stage.padding!r}"
    if isinstance(stage, nn.Flatten) and (stage.start_dim, stage.end_dim) != (1, -1):
        return f"{kind} of some dimensions alone"
    return ""


OPERATIONS = ("seed", "unpool", "rectify", "filter", "scale", "spread", "reshape", "skip")
"""The kept unit alone; then by kind of stage: max-pool, ReLU, convolution, linear layer or greying,
batch normalisation or division, average pool, flattening, and what is passed unchanged (contrast
normalisation, dropout)."""


def mirror_steps(
    net: ChainNet,
    record: Record,
    layer: str,
    image: torch.Tensor,
    seed: torch.Tensor,
    collisions: str = "sum",
) -> Iterator[Step]:
    """`mirror` one operation at a time: the seed itself, then the signal below each stage."""
    yield Step(layer, "seed", seed)
    signal = seed
    for name, stage in reversed(net.stages_to(layer)):
        switches = record.switches[name][image] if name in record.switches else None
        signal = down(stage, signal, Below(record.shapes[name], switches, collisions))
        yield Step(name, operation(stage), signal)


def mirror(
    net: ChainNet,
    record: Record,
    layer: str,
    image: torch.Tensor,
    seed: torch.Tensor,
    collisions: str = "sum",
) -> torch.Tensor:
    """Send `seed` (K×C×h×w or K×C, at the point `layer`) down to pixels: K×3×H×W.

    image: K row numbers of `record`, whose switches each signal uses.
    """
    signal = seed
    for step in mirror_steps(net, record, layer, image, seed, collisions):
        signal = step.signal
    return signal


def operation(stage: nn.Module) -> str:
    """The name of what `down` does for a stage, of OPERATIONS."""
    return next((name for kinds, name in _NAMES if isinstance(stage, kinds)), "skip")


_NAMES: tuple[tuple[type | tuple[type, ...], str], ...] = (
    (nn.MaxPool2d, "unpool"),
    ((nn.ReLU, nn.ReLU6), "rectify"),
    ((nn.BatchNorm2d, Divide), "scale"),
    ((nn.Conv2d, nn.Linear, Grey), "filter"),
    (nn.AdaptiveAvgPool2d, "spread"),
    (nn.Flatten, "reshape"),
)


@singledispatch
def down(stage: nn.Module, signal: torch.Tensor, below: Below) -> torch.Tensor:
    """The signal below a stage, given the signal above it (K×… each)."""
    raise DeconvError(
        f"the mirror has no way down through {type(stage).__name__}; use engine='vjp'"
    )


@down.register
def _(stage: nn.ReLU, signal: torch.Tensor, below: Below) -> torch.Tensor:
    return signal.relu()


@down.register
def _(stage: nn.ReLU6, signal: torch.Tensor, below: Below) -> torch.Tensor:
    return signal.relu()


@down.register
def _(stage: nn.BatchNorm2d, signal: torch.Tensor, below: Below) -> torch.Tensor:
    """In evaluation mode a scale for each map, here without its shift."""
    scale = (stage.running_var + stage.eps).rsqrt()
    scale = scale if stage.weight is None else scale * stage.weight
    return signal * scale[:, None, None]


@down.register
def _(stage: nn.MaxPool2d, signal: torch.Tensor, below: Below) -> torch.Tensor:
    return unpool(signal, below.switches, below.shape[1:], below.collisions)


@down.register
def _(stage: nn.Conv2d, signal: torch.Tensor, below: Below) -> torch.Tensor:
    """Each map of the signal paints its filter, summed: no flip of the weights is needed."""
    window = zip(stage.kernel_size, stage.stride, stage.padding, stage.dilation, strict=True)
    # Rows and columns that the stride left over at the far edge belong to no window, or to the
    # last one only; PyTorch has to be told of them to return the full size.
    left_over = tuple(
        size - ((out - 1) * stride - 2 * padding + dilation * (kernel - 1) + 1)
        for size, out, (kernel, stride, padding, dilation) in zip(
            below.shape[1:], signal.shape[2:], window, strict=True
        )
    )
    return F.conv_transpose2d(
        signal,
        stage.weight,
        None,
        stage.stride,
        stage.padding,
        left_over,
        stage.groups,
        stage.dilation,
    )


@down.register
def _(stage: nn.Linear, signal: torch.Tensor, below: Below) -> torch.Tensor:
    return signal @ stage.weight


@down.register
def _(stage: nn.Flatten, signal: torch.Tensor, below: Below) -> torch.Tensor:
    return signal.unflatten(1, below.shape)


@down.register
def _(stage: Divide, signal: torch.Tensor, below: Below) -> torch.Tensor:
    return signal / stage.by


@down.register
def _(stage: Grey, signal: torch.Tensor, below: Below) -> torch.Tensor:
    """Grey is spread over the colours by their shares in it."""
    return signal * signal.new_tensor(LUMA)[:, None, None]


@down.register(ContrastNorm)
@down.register(LocalContrastNorm)
@down.register(nn.LocalResponseNorm)
@down.register(nn.Dropout)
@down.register(nn.Dropout2d)
@down.register(nn.Identity)
def _skipped(stage: nn.Module, signal: torch.Tensor, below: Below) -> torch.Tensor:
    return signal


@down.register
def _(stage: nn.AdaptiveAvgPool2d, signal: torch.Tensor, below: Below) -> torch.Tensor:
    """Averaging is linear along each axis, so its mirror is the transposed matrices."""
    rows, columns = (
        _averages(above, size, signal)
        for above, size in zip(signal.shape[2:], below.shape[1:], strict=True)
    )
    return rows.T @ signal @ columns


def _averages(out: int, size: int, like: torch.Tensor) -> torch.Tensor:
    """The out×size matrix of adaptive averaging along one axis."""
    matrix = like.new_zeros(out, size)
    for i in range(out):
        start, stop = i * size // out, -(-(i + 1) * size // out)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix
