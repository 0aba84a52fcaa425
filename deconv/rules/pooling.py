"""Pooling: a max-pool sends the signal to its switches, an average spreads it evenly (§2.1)."""

from __future__ import annotations

import itertools
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from deconv.errors import DeconvError
from deconv.fields import AdaptiveAxis, AnyAxis, Axis, Window
from deconv.pooling import max_pool, unpool
from deconv.rules.operation import FIELD, ROUNDED, RULES, Below, Call, Operation

ARGUMENTS = "input kernel_size stride padding dilation ceil_mode return_indices"
Pair = tuple[int, int]


def pool_of(call: Call) -> nn.MaxPool2d:
    """Make the module equivalent to a call of max_pool2d."""
    return nn.MaxPool2d(
        call.get("kernel_size"),
        call.get("stride") or None,
        call.get("padding", 0),
        call.get("dilation", 1),
        ceil_mode=call.get("ceil_mode", False),
    )


def _answer(call: Call, values: torch.Tensor, switches: torch.Tensor) -> Any:
    indices = call.get("return_indices", False) or call.name == "max_pool2d_with_indices"
    return (values, switches) if indices else values


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, pool: nn.MaxPool2d, policy: str, given: torch.Tensor | None
    ) -> Any:
        values, switches = max_pool(pool, x)
        if given is not None and given.shape != switches.shape:
            raise DeconvError(
                f"switches of {tuple(given.shape)} do not fit a max-pool of {tuple(switches.shape)}"
            )
        ctx.save_for_backward(switches if given is None else given)
        ctx.size, ctx.policy = tuple(x.shape[2:]), policy
        ctx.mark_non_differentiable(switches)
        return values, switches

    @staticmethod
    def backward(ctx: Any, signal: torch.Tensor, _: Any) -> tuple[torch.Tensor, None, None, None]:
        (switches,) = ctx.saved_tensors
        return unpool(signal, switches, ctx.size, ctx.policy), None, None, None


def _by_policy(call: Call, run: Any) -> Any:
    """Unpool by policy; PyTorch's own derivative does where it sums deterministically (CPU)."""
    given = run.next_switches(call.input)
    if run.collisions == "sum" and given is None and not call.input.is_cuda:
        return call.run()
    return _answer(call, *_Pool.apply(call.input, pool_of(call), run.collisions, given))


def _shape(pool: nn.MaxPool2d | nn.AvgPool2d) -> list[Pair]:
    """Return (kernel, stride, padding, dilation), each (rows, columns)."""
    numbers = (pool.kernel_size, pool.stride, pool.padding, getattr(pool, "dilation", 1))
    return [_pair(n) for n in numbers]


def _taps(x: torch.Tensor, pool: nn.MaxPool2d, outside: float) -> list[torch.Tensor]:
    """List, for each position within a window, the values of all windows there, N×C×h×w."""
    kernel, stride, padding, dilation = _shape(pool)
    size = pool(x.detach()).shape[2:]
    ends = [
        (size[a] - 1) * stride[a] + dilation[a] * (kernel[a] - 1) + 1 - x.shape[2 + a] - padding[a]
        for a in (0, 1)
    ]
    # The last windows may stop short of the border (negative padding) or, in ceil mode, cross it.
    whole = F.pad(x, (padding[1], ends[1], padding[0], ends[0]), value=outside)
    return [
        whole[..., y * dilation[0] :: stride[0], z * dilation[1] :: stride[1]][
            ..., : size[0], : size[1]
        ]
        for y, z in itertools.product(range(kernel[0]), range(kernel[1]))
    ]


def soft_max_pool(
    x: torch.Tensor,
    width: float,
    kernel_size: int | Pair,
    stride: int | Pair | None = None,
    padding: int | Pair = 0,
    dilation: int | Pair = 1,
    ceil_mode: bool = False,
) -> torch.Tensor:
    """Round a max-pool: width · log Σ exp(x / width) over each window, without its padding."""
    return _soft(
        x, nn.MaxPool2d(kernel_size, stride, padding, dilation, ceil_mode=ceil_mode), width
    )


def _soft(x: torch.Tensor, pool: nn.MaxPool2d, width: float) -> torch.Tensor:
    return width * torch.logsumexp(torch.stack(_taps(x, pool, -torch.inf)) / width, dim=0)


def _rounded(call: Call, run: Any) -> Any:
    width = run.width(call.input)
    if width is None:
        return call.run()
    pool, x = pool_of(call), call.input
    values = _soft(x, pool, width)
    return _answer(call, values, max_pool(pool, x.detach())[1])


def _window_mean(call: Call, run: Any) -> Any:
    """Make every position of a window count, not the winner alone (FIELD)."""
    pool, x = pool_of(call), call.input
    values = torch.stack(_taps(x, pool, 0.0)).mean(0)
    return _answer(call, values, max_pool(pool, x.detach())[1])


def _sum_only(call: Call, run: Any) -> Any:
    if run.collisions != "sum":
        raise DeconvError(
            f"collisions={run.collisions!r} is for max_pool2d: {call.name} has no policy, so that "
            "collisions='sum' is the only choice here"
        )
    return call.run()


def _adaptive_mean(call: Call, run: Any) -> Any:
    values = F.adaptive_avg_pool2d(call.input, call.get("output_size"))
    indices = call.get("return_indices", False) or call.name.endswith("_with_indices")
    return (values, torch.zeros_like(values, dtype=torch.int64)) if indices else values


def _over_dims(call: Call) -> bool:
    """Whether the call reduces over dimensions rather than compares two values."""
    return not isinstance(call.get("dim"), torch.Tensor) and "other" not in call.kwargs


def _mean_over_dims(call: Call, run: Any) -> Any:
    """Make all reduced positions count (FIELD)."""
    dims = call.get("dim")
    if dims is None:
        return call.input.mean()
    mean = call.input.mean(dims, keepdim=call.get("keepdim", False))
    found = call.run()
    return mean if isinstance(found, torch.Tensor) else type(found)((mean, found[1]))


def _mirror(stage: nn.Module, signal: torch.Tensor, below: Below) -> torch.Tensor:
    assert below.switches is not None
    height, width = below.shape[1:]
    return unpool(signal, below.switches, (height, width), below.collisions)


def _window(stage: nn.MaxPool2d | nn.AvgPool2d) -> Window:
    kernel, stride, padding, dilation = _shape(stage)
    rows, columns = (
        Axis(kernel[a], stride[a], padding[a], dilation[a], stage.ceil_mode) for a in (0, 1)
    )
    return rows, columns


def _pair(value: int | Pair) -> Pair:
    rows, columns = (value, value) if isinstance(value, int) else value
    return rows, columns


def _adaptive_window(stage: nn.AdaptiveAvgPool2d) -> Window:
    def axis(out: int | None) -> AnyAxis:
        return Axis(1) if out is None else AdaptiveAxis(out)  # None keeps the input's size

    out = stage.output_size
    rows, columns = out if isinstance(out, tuple) else (out, out)
    return axis(rows), axis(columns)


def _spread(stage: nn.AdaptiveAvgPool2d, signal: torch.Tensor, below: Below) -> torch.Tensor:
    """Apply the transposed averaging matrices of rows and columns."""
    rows, columns = (
        _averages(above, size, signal)
        for above, size in zip(signal.shape[2:], below.shape[1:], strict=True)
    )
    return rows.T @ signal @ columns


def _averages(out: int, size: int, like: torch.Tensor) -> torch.Tensor:
    """Build the out×size matrix of adaptive averaging along one axis."""
    matrix = like.new_zeros(out, size)
    for i in range(out):
        start, stop = i * size // out, -(-(i + 1) * size // out)
        matrix[i, start:stop] = 1 / (stop - start)
    return matrix


MAX_POOL = Operation(
    name="unpool",
    functions={"max_pool2d": ARGUMENTS, "max_pool2d_with_indices": ARGUMENTS},
    modules=(nn.MaxPool2d,),
    ways=dict.fromkeys(RULES, _by_policy) | {FIELD: _window_mean, ROUNDED: _rounded},
    mirror=_mirror,
    window=_window,
    prefix="pool",
)
ADAPTIVE_MAX = Operation(
    name="unpool",
    functions={
        "adaptive_max_pool2d": "input output_size return_indices",
        "adaptive_max_pool2d_with_indices": "input output_size return_indices",
    },
    modules=(nn.AdaptiveMaxPool2d,),
    ways=dict.fromkeys(RULES, _sum_only) | {FIELD: _adaptive_mean},
)
LARGEST = Operation(
    name="unpool",
    functions={"max": "input dim keepdim", "amax": "input dim keepdim"},
    applies=_over_dims,
    ways=dict.fromkeys(RULES, _sum_only) | {FIELD: _mean_over_dims},
)
OTHER_CHOICE = Operation(
    name="choose",
    functions=dict.fromkeys(("min", "amin", "median", "nanmedian"), "input dim keepdim"),
    applies=_over_dims,
    ways={FIELD: _mean_over_dims},
    known=False,
)
ADAPTIVE_AVERAGE = Operation(
    name="spread",
    functions={"adaptive_avg_pool2d": "input output_size"},
    modules=(nn.AdaptiveAvgPool2d,),
    mirror=_spread,
    window=_adaptive_window,
    prefix="grid",
)
AVERAGE = Operation(
    name="spread",
    functions={"avg_pool2d": "input kernel_size"},
    modules=(nn.AvgPool2d,),
    window=_window,
)
POOLING = (MAX_POOL, ADAPTIVE_MAX, LARGEST, OTHER_CHOICE, ADAPTIVE_AVERAGE, AVERAGE)
