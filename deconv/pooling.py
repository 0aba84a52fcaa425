"""Max pooling, which records switches, and unpooling, which uses them (§2.1)."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from deconv.errors import DeconvError, unknown


def max_pool(pool: nn.MaxPool2d, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Max-pool N×C×H×W and record the switches.

    Returns:
        (pooled, switches), both N×C×h×w. A switch is the flat position y·W+x of its window's
        maximum; among equal values the first in scan order.

    Raises:
        DeconvError: for a window that lies in the padding alone, where PyTorch has -inf.
    """
    as_it_is = x.is_cuda or x.is_contiguous(memory_format=torch.channels_last)
    values, switches = F.max_pool2d(
        # With the channels last a CPU is many times faster.
        x if as_it_is else x.contiguous(memory_format=torch.channels_last),
        pool.kernel_size,
        pool.stride,
        pool.padding,
        pool.dilation,
        ceil_mode=pool.ceil_mode,
        return_indices=True,
    )
    # Undilated windows always reach the map, as PyTorch allows padding of half a window at most.
    if pool.dilation not in (1, (1, 1)) and values.isneginf().any() and not x.isneginf().any():
        raise DeconvError(
            f"a window of {pool} lies in the padding alone on maps of {tuple(x.shape[2:])}: it "
            "has no maximum; take less padding or dilation, or larger images"
        )
    # In the caller's format: the last bits of a convolution depend on it.
    return values if as_it_is else values.contiguous(), switches


def unpool(
    signal: torch.Tensor, switches: torch.Tensor, size: tuple[int, int], collisions: str = "sum"
) -> torch.Tensor:
    """Put each pooled value where its switch points, zeros elsewhere (§2.1).

    Args:
        signal, switches: N×C×h×w.
        size: (H, W) of the map below.
        collisions: what to do where overlapping windows share a switch, which the paper does not
            say: "sum" (as backpropagation does), "max" (the largest), "mean", or "overwrite" (the
            last window in scan order, as torch.nn.functional.max_unpool2d is meant to).

    Returns:
        N×C×H×W.

    Raises:
        DeconvError: for an unknown policy.
    """
    if collisions not in COLLISIONS:
        raise unknown("collision policy", collisions, COLLISIONS)
    n, c = signal.shape[:2]
    below = signal.new_zeros(n, c, size[0] * size[1])
    COLLISIONS[collisions](below, switches.flatten(2), signal.flatten(2))
    return below.view(n, c, *size)


def _sum(below: torch.Tensor, at: torch.Tensor, values: torch.Tensor) -> None:
    if below.is_cuda:
        add_in_order(below, at, values)
    else:
        below.scatter_add_(2, at, values)


def add_in_order(below: torch.Tensor, at: torch.Tensor, values: torch.Tensor) -> None:
    """Scatter-add deterministically: bit-identical results, also on a GPU.

    On a GPU scatter_add_ adds colliding values in any order. Here pass n adds the n-th value of
    every position, so that no two values of one pass collide.

    Args:
        below: N×C×positions, added to in place.
        at, values: N×C×windows, the positions and what to add there.
    """
    ordered, order = at.sort(dim=2, stable=True)
    index = torch.arange(at.shape[2], device=at.device).expand_as(at)
    is_first = torch.ones_like(ordered, dtype=torch.bool)
    is_first[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    turn = index - torch.where(is_first, index, 0).cummax(dim=2).values
    sorted_values = values.gather(2, order)
    for n in range(int(turn.max()) + 1):
        below.scatter_add_(2, ordered, torch.where(turn == n, sorted_values, 0))


def _max(below: torch.Tensor, at: torch.Tensor, values: torch.Tensor) -> None:
    below.scatter_reduce_(2, at, values, "amax", include_self=False)


def _mean(below: torch.Tensor, at: torch.Tensor, values: torch.Tensor) -> None:
    _sum(below, at, values)
    below /= torch.zeros_like(below).scatter_add_(2, at, torch.ones_like(values)).clamp(min=1)


def _overwrite(below: torch.Tensor, at: torch.Tensor, values: torch.Tensor) -> None:
    # scatter_ does not define which duplicate wins, so the last window is found first.
    order = torch.arange(at.shape[2], device=at.device).expand_as(at)
    last = torch.zeros_like(below, dtype=torch.int64)
    last.scatter_reduce_(2, at, order, "amax", include_self=False)
    wins = last.gather(2, at) == order
    below.scatter_add_(2, at, torch.where(wins, values, torch.zeros_like(values)))


COLLISIONS: dict[str, Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]] = {
    "sum": _sum,
    "max": _max,
    "mean": _mean,
    "overwrite": _overwrite,
}


def collision_rate(switches: torch.Tensor) -> float:
    """Compute the fraction of pooling windows that share their switch with another window.

    Args:
        switches: N×C×h×w.

    Returns:
        A number in [0, 1]; 0 where windows do not overlap.
    """
    ordered = switches.flatten(2).sort(dim=2).values
    same = ordered[..., 1:] == ordered[..., :-1]
    shared = torch.zeros_like(ordered, dtype=torch.bool)
    shared[..., 1:] |= same
    shared[..., :-1] |= same
    return shared.double().mean().item()
