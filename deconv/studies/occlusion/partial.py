"""Occlusion of a chain by computing only what a square changes, which is exact.

The maps of the uncovered image are kept. What a square changes in a map is a block of differences,
zero elsewhere. A convolution or linear layer without its bias makes the change of its output of the
change of its input, and reads nothing else. Any other stage runs on the clean values plus the
change, less what it gives for the clean ones. Whole maps follow where blocks would cover them. All
positions of a square are computed alike: no map is refined from a coarser one.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from deconv.errors import DeconvError
from deconv.fields import Axis
from deconv.networks import ChainNet
from deconv.networks.chain import window
from deconv.normalisation import LocalContrastNorm

BATCH = 128
"""Squares that are computed at a time."""
FILTERS = (nn.Conv2d, nn.Linear)
FULL = 3
"""The lowest layers, which keep full precision: their rounding would grow to 2 % of the change."""


@dataclass
class Change:
    """Covered less clean values: K×C×h×w from corner[k] (K×2) on, zero elsewhere.

    A block is zero also where it lies outside the map. corner: None for values of the whole map.
    """

    values: torch.Tensor
    corner: torch.Tensor | None


@torch.no_grad()
def clean_maps(net: ChainNet, image: torch.Tensor) -> list[torch.Tensor]:
    """Run an image 1×3×H×W and list it and what each stage makes of it."""
    clean = [image]
    hooks = [
        # A copy, because the next stage may work in place.
        stage.register_forward_hook(lambda _, __, values: clean.append(values.clone()))
        for stage in net.children()
    ]
    try:
        net(image.clone())
    finally:
        for hook in hooks:
            hook.remove()
    return clean


@torch.no_grad()
def answers(
    net: ChainNet,
    clean: Sequence[torch.Tensor],
    corners: torch.Tensor,
    size_px: int,
    grey: torch.Tensor,
    watched: tuple[str, int],
    precision: torch.dtype | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute what a chain answers to an image under each square.

    Args:
        clean: the image's `clean_maps`.
        corners: K×2, the squares' top left (y, x); those at a border may lie outside the image.
        grey: 1×1×1 or 3×1×1, the value of the squares.
        watched: point and number of a map.
        precision: in which all but the FULL lowest layers are applied to changes; None: their own.

    Returns:
        Logits K×classes, and the K sums of the watched map.
    """
    stages, image = list(net.children()), clean[0]
    filters = [stage.weight if isinstance(stage, FILTERS) else None for stage in stages]
    if precision is not None:
        own = [i for i, weight in enumerate(filters) if weight is not None][FULL:]
        filters = [
            w.to(precision) if w is not None and i in own else w for i, w in enumerate(filters)
        ]
    point, number = len(net.stages_to(watched[0])), watched[1]
    logits = clean[-1].repeat(len(corners), 1)
    sums = clean[point][:, number].sum().repeat(len(corners))
    corners = corners.to(image.device)
    top = _first_whole(stages, clean, [size_px, size_px])
    begins, size = _aligned(corners, size_px, _strides(stages[:top]))
    top = _first_whole(stages, clean, size)
    for some in _of_one_phase(begins, _strides(stages[:top])):
        change = _covered(image, begins[some], size, corners[some], size_px, grey.to(image))
        for index, stage in enumerate(stages):
            if index == top:
                change = _whole(change, clean[index].shape[2:])
            change = _through(stage, filters[index], change, clean[index], clean[index + 1])
            if index + 1 == point:
                sums[some] += change.values[:, number].reshape(len(some), -1).sum(1)
        logits[some] += change.values
    return logits, sums


def _first_whole(
    stages: Sequence[nn.Module], clean: Sequence[torch.Tensor], size: Sequence[int]
) -> int:
    """Find the first stage that gives whole maps: blocks of changes would be as large."""
    for index, stage in enumerate(stages):
        if not _runs_on_blocks(stage):
            return index
        if (axes := window(stage)) is not None:
            size = [_outputs(axis, n) for axis, n in zip(axes, size, strict=True)]
            if math.prod(size) >= math.prod(clean[index + 1].shape[2:]):
                return index
    return len(stages)


def _outputs(axis: object, size: int) -> int:
    """Count the windows that can read one of `size` positions."""
    assert isinstance(axis, Axis)
    return (size + axis.dilation * (axis.kernel - 1) - 1) // axis.stride + 1


def _runs_on_blocks(stage: nn.Module) -> bool:
    """Whether a stage is a convolution, a max-pool, or acts at each position alone."""
    try:
        axes = window(stage)
    except DeconvError:
        return False
    if axes is None:
        return not isinstance(stage, LocalContrastNorm | nn.Flatten)
    return isinstance(stage, nn.Conv2d | nn.MaxPool2d)


def _strides(stages: Sequence[nn.Module]) -> torch.Tensor:
    """Multiply the strides of some stages, one product an axis."""
    axes = [axes for stage in stages if (axes := window(stage)) is not None]
    return torch.tensor([math.prod(getattr(pair[a], "stride", 1) for pair in axes) for a in (0, 1)])


def _aligned(
    corners: torch.Tensor, size_px: int, strides: torch.Tensor
) -> tuple[torch.Tensor, list[int]]:
    """Begin blocks of one size so that squares have few phases, at most two of even strides.

    Returns:
        Where the blocks begin (K×2), and their sides.
    """
    first, unit = corners.amin(0), (strides // 2).clamp(min=1).to(corners)
    begins = first + (corners - first) // unit * unit
    return begins, [size_px + int(n) for n in (corners - begins).amax(0)]


def _of_one_phase(begins: torch.Tensor, strides: torch.Tensor) -> Iterator[torch.Tensor]:
    """Yield the numbers of at most BATCH blocks that all strides meet at the same places."""
    phases = begins % strides.to(begins)
    for phase in phases.unique(dim=0):
        yield from (phases == phase).all(1).nonzero().flatten().split(BATCH)


def _covered(
    image: torch.Tensor,
    begins: torch.Tensor,
    size: Sequence[int],
    corners: torch.Tensor,
    size_px: int,
    grey: torch.Tensor,
) -> Change:
    """Make the change of the image in blocks around squares."""
    inside = _within(begins, size, corners, corners + size_px)
    inside &= _within(begins, size, torch.zeros_like(corners), corners.new_tensor(image.shape[2:]))
    change = grey - _cut(image, begins, size)
    return Change(change * inside[:, None], begins)


def _within(
    corner: torch.Tensor, size: Sequence[int], begin: torch.Tensor, end: torch.Tensor
) -> torch.Tensor:
    """Tell which positions of blocks, K×h×w, lie between begin and end, each 2 or K×2."""
    rows, columns = (
        (at >= begin[..., a, None]) & (at < end[..., a, None])
        for a, at in enumerate(_positions(corner, size))
    )
    return rows[:, :, None] & columns[:, None, :]


def _positions(corner: torch.Tensor, size: Sequence[int]) -> list[torch.Tensor]:
    return [corner[:, a, None] + torch.arange(size[a], device=corner.device) for a in (0, 1)]


def _cut(
    maps: torch.Tensor, corner: torch.Tensor, size: Sequence[int], outside: float | None = None
) -> torch.Tensor:
    """Cut K blocks out of one or of K maps; outside: value beyond the maps, None for any."""
    count, _, height, width = maps.shape
    y, x = _positions(corner, size)
    index = y.clamp(0, height - 1)[:, :, None] * width + x.clamp(0, width - 1)[:, None, :]
    if count > 1:
        index += torch.arange(count, device=index.device)[:, None, None] * (height * width)
    # Maps are the last axis of memory, so that each position is one run of it.
    rows = maps.permute(0, 2, 3, 1).reshape(count * height * width, -1)
    blocks = rows.index_select(0, index.flatten()).view(*index.shape, -1).permute(0, 3, 1, 2)
    return blocks if outside is None else _fill_outside(blocks, corner, (height, width), outside)


def _fill_outside(
    blocks: torch.Tensor, corner: torch.Tensor, size: Sequence[int], value: float
) -> torch.Tensor:
    """Fill positions of blocks that lie outside a map of some size."""
    end = corner.new_tensor(size)
    inside = _within(corner, blocks.shape[2:], torch.zeros_like(end), end)
    blocks.permute(0, 2, 3, 1)[~inside] = value
    return blocks


def _whole(change: Change, size: Sequence[int]) -> Change:
    """Put changes on whole maps."""
    assert change.corner is not None
    start = -change.corner
    return Change(_cut(change.values, start, size, 0.0), None)


def _through(
    stage: nn.Module,
    filters: torch.Tensor | None,
    change: Change,
    below: torch.Tensor,
    above: torch.Tensor,
) -> Change:
    """Send a change through a stage; below, above: its clean input and output."""
    if change.corner is not None:
        if (axes := window(stage)) is not None:
            return _through_windows(stage, filters, change, below, above, axes)
        size = change.values.shape[2:]
        values = stage(_cut(below, change.corner, size).add_(change.values))
        return Change(values - _cut(above, change.corner, size), change.corner)
    if filters is None:
        return Change(stage(below + change.values) - above, None)
    values = change.values.to(filters.dtype)
    if isinstance(stage, nn.Conv2d):
        assert not isinstance(stage.padding, str)  # see `ChainNet`
        geometry = (stage.stride, stage.padding, stage.dilation, stage.groups)
        values = F.conv2d(values, filters, None, *geometry)
        return Change(values.to(below.dtype), None)
    return Change(F.linear(values, filters).to(below.dtype), None)


def _through_windows(
    stage: nn.Module,
    filters: torch.Tensor | None,
    change: Change,
    below: torch.Tensor,
    above: torch.Tensor,
    axes: Sequence[object],
) -> Change:
    """Send blocks of changes through a convolution or max-pool."""
    assert change.corner is not None
    corner, before, length, count = change.corner.clone(), [0, 0], [0, 0], [0, 0]
    for a, axis in enumerate(axes):
        assert isinstance(axis, Axis)
        reach = axis.dilation * (axis.kernel - 1)
        corner[:, a] = -((reach - axis.padding - corner[:, a]) // axis.stride)
        # Positions between the first window's start and the change, the same for one phase.
        before[a] = int(change.corner[0, a] + axis.padding - corner[0, a] * axis.stride)
        count[a] = max((change.values.shape[2 + a] - 1 + before[a]) // axis.stride + 1, 1)
        length[a] = (count[a] - 1) * axis.stride + reach + 1
    if isinstance(stage, nn.Conv2d):
        assert filters is not None
        values = change.values.to(filters.dtype)
        padding = [max(n, 0) for n in before]
        more = [max(length[a] - before[a] - values.shape[2 + a] - padding[a], 0) for a in (0, 1)]
        if any(more):
            values = F.pad(values, (0, more[1], 0, more[0]))
        values = values[:, :, max(-before[0], 0) :, max(-before[1], 0) :]
        # Padding is not multiplied, unlike zeros.
        values = F.conv2d(
            values, filters, None, stage.stride, padding, stage.dilation, stage.groups
        )[:, :, : count[0], : count[1]].to(below.dtype)
    else:
        assert isinstance(stage, nn.MaxPool2d)
        start = change.corner - change.corner.new_tensor(before)
        blocks = _cut(below, start, length, -torch.inf)
        there = blocks[:, :, max(before[0], 0) :, max(before[1], 0) :]
        own = change.values[:, :, max(-before[0], 0) :, max(-before[1], 0) :]
        height, width = (min(there.shape[a], own.shape[a]) for a in (2, 3))
        there[:, :, :height, :width] += own[:, :, :height, :width]
        values = F.max_pool2d(blocks, stage.kernel_size, stage.stride, 0, stage.dilation)
        values -= _cut(above, corner, count)
    return Change(_fill_outside(values, corner, above.shape[2:], 0.0), corner)
