"""A few pooling windows in numbers: which value wins, and where the signal goes (Figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from deconv.deconvnet.round_trip import Level
from deconv.fields import Axis, support
from deconv.pooling import unpool


@dataclass(frozen=True)
class PoolDetail:
    """p×q pooling windows of one map, which cover r×s of its values.

    map: its number. top, left: position of the r×s values in the rectified map. up: r×s, the values
    below the pool; pooled: p×q, above it. switches: p×q×2 (y, x) within `up`. signal: p×q, the
    top-down signal at these windows; unpooled: r×s, the same below the pool, from these windows
    alone. windows: p×q×4 boxes within `up`.
    """

    map: int
    top: int
    left: int
    up: torch.Tensor
    pooled: torch.Tensor
    switches: torch.Tensor
    signal: torch.Tensor
    unpooled: torch.Tensor
    windows: torch.Tensor

    @property
    def shared_winners(self) -> int:
        """The number of positions that won more than one of these windows."""
        _, wins = self.switches.flatten(0, 1).unique(dim=0, return_counts=True)
        return int((wins > 1).sum())


def uppermost_pool(levels: Sequence[Level]) -> int | None:
    """Find the index of the level above the uppermost max-pool of maps, or None."""
    pools = [i for i, level in enumerate(levels) if i > 1 and level.switches is not None]
    return pools[-1] if pools else None


def pool_detail(
    below: Level,
    above: Level,
    axes: tuple[Axis, Axis],
    number: int,
    span: int = 3,
    collisions: str = "sum",
) -> PoolDetail:
    """Cut out the span×span neighbouring windows of a map with the most top-down energy.

    Args:
        below, above: the levels on both sides of a pool.
        axes: its (rows, columns) window.
        number: of the map.
        span: windows along each axis; all of them if there are fewer. First in scan order among
            equals.
    """
    assert above.switches is not None
    signal, size = above.down[number], (below.up.shape[1], below.up.shape[2])
    p, q = (min(span, n) for n in signal.shape)
    sums = signal.square().unfold(0, p, 1).unfold(1, q, 1).sum(dim=(2, 3))
    i, j = divmod(int(sums.flatten().argmax()), sums.shape[1])
    kept = torch.zeros_like(signal)
    kept[i : i + p, j : j + q] = signal[i : i + p, j : j + q]
    switches = above.switches[number]
    spread = unpool(kept[None, None], switches[None, None], size, collisions)[0, 0]
    spans = [
        [_ends(axis, start + n, full) for n in range(count)]
        for axis, start, count, full in zip(axes, (i, j), (p, q), size, strict=True)
    ]
    (top, bottom), (left, right) = (
        (min(first for first, _ in s), max(last for _, last in s)) for s in spans
    )
    inner = (slice(top, bottom), slice(left, right))
    outer = (slice(i, i + p), slice(j, j + q))
    at = switches[outer]
    boxes = [[(a - top, c - left, b - top, d - left) for c, d in spans[1]] for a, b in spans[0]]
    return PoolDetail(
        map=number,
        top=top,
        left=left,
        up=below.up[number][inner],
        pooled=above.up[number][outer],
        switches=torch.stack([at // size[1] - top, at % size[1] - left], dim=2),
        signal=signal[outer],
        unpooled=spread[inner],
        windows=torch.tensor(boxes),
    )


def _ends(axis: Axis, unit: int, size: int) -> tuple[int, int]:
    positions = support([axis], unit, size)
    return int(positions[0]), int(positions[-1]) + 1
