"""The mirror around single units: of each map below, only the positions that the signal reaches.

From one position a transposed convolution reaches the kernel's positions of the map below, and a
switch lies in its window. All units of a layer reach equally far, so that their patches share a
batch. A patch may hang over the border of its map; it is zero there, as no signal is.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping

import torch
from torch import nn

from deconv.fields import Axis
from deconv.networks import ChainNet, Network
from deconv.networks.chain import stage_shapes, window
from deconv.rules import Below, of_module

Place = tuple[slice, slice]
"""Rows and columns."""


def has_patches(net: Network, layer: str) -> bool:
    """Tell whether a layer of a chain has windows and pointwise stages alone below it."""
    if not isinstance(net, ChainNet):
        return False
    axes = [axis for axes in net.windows(layer) for axis in axes]
    flat = any(isinstance(stage, nn.Flatten) for _, stage in net.stages_to(layer))
    return not flat and all(isinstance(axis, Axis) for axis in axes)


def pool_below(net: ChainNet, layer: str) -> str | None:
    """Name the topmost pool up to a layer: the mirror reads nothing of the stages above it."""
    pools = [name for name, stage in net.stages_to(layer) if isinstance(stage, nn.MaxPool2d)]
    return pools[-1] if pools else None


@torch.no_grad()
def mirror_patches(
    net: ChainNet,
    switches: Mapping[str, torch.Tensor],
    layer: str,
    units: torch.Tensor,
    seeds: torch.Tensor,
    size: tuple[int, int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Send K single units of a layer down to pixels, as `mirror` does.

    Args:
        switches: of the pools below the layer, N×C×h×w, as in a record.
        units: K×4 rows (image, map, y, x). seeds: their K values.
        size: (height, width) of the images.

    Returns:
        Pixels K×3×h×w, and their places in the images: K×2 (y, x), outside at a border.
    """
    image, corner = units[:, 0], units[:, 2:]
    stages = list(stage_shapes(net.stages_to(layer), size))
    signal = seeds.new_zeros(len(units), stages[-1][3][0], 1, 1)
    signal[torch.arange(len(units)), units[:, 1], 0, 0] = seeds
    for name, stage, below, _ in reversed(stages):
        axes, operation = window(stage), of_module(stage)
        assert operation is not None
        assert operation.mirror is not None  # see `deconv.deconvnet.mirror.refusal`
        reach, local = (signal.shape[2], signal.shape[3]), None
        if axes is not None:
            start, reach = _reach(axes, corner, reach)
            if name in switches:
                local = _local(switches[name], image, corner, signal.shape, start, reach, below[2])
            corner = start
            if isinstance(stage, nn.Conv2d):
                stage = copy.copy(stage)  # with the same weights
                stage.padding = (0, 0)
        signal = operation.mirror(stage, signal, Below((below[0], *reach), local, "sum"))
        if axes is not None:
            _clear_outside(signal, corner, below)
    return signal, corner


def _reach(
    axes: tuple, corner: torch.Tensor, above: tuple[int, int]
) -> tuple[torch.Tensor, tuple[int, int]]:
    """Find where patches of `above` positions at `corner` (K×2) come from: (corner, positions)."""
    start = torch.stack([corner[:, a] * axes[a].stride - axes[a].padding for a in (0, 1)], dim=1)
    rows, columns = (
        (above[a] - 1) * axes[a].stride + axes[a].dilation * (axes[a].kernel - 1) + 1
        for a in (0, 1)
    )
    return start, (rows, columns)


def _local(
    switches: torch.Tensor,
    image: torch.Tensor,
    corner: torch.Tensor,
    above: torch.Size,
    start: torch.Tensor,
    reach: tuple[int, int],
    width: int,
) -> torch.Tensor:
    """Cut the switches of patches `above` at `corner`, as positions in the patches below them."""
    y, x = (
        (corner[:, a, None] + torch.arange(above[2 + a], device=corner.device)).clamp(
            0, switches.shape[2 + a] - 1
        )
        for a in (0, 1)
    )
    flat = switches[image[:, None, None], :, y[:, :, None], x[:, None, :]].permute(0, 3, 1, 2)
    y, x = flat // width - start[:, :1, None, None], flat % width - start[:, 1:, None, None]
    # Windows outside the map, whose signal is 0, have no switch of their own.
    return y.clamp_(0, reach[0] - 1).mul_(reach[1]).add_(x.clamp_(0, reach[1] - 1))


def _clear_outside(signal: torch.Tensor, corner: torch.Tensor, below: tuple[int, ...]) -> None:
    """Set what lies outside the map to zero: a transposed filter writes into the padding."""
    height, width = signal.shape[2:]
    for one, (rows, columns) in zip(signal, within(corner, signal.shape, below[1:]), strict=True):
        if rows != slice(0, height) or columns != slice(0, width):
            one[:, : rows.start] = one[:, rows.stop :] = 0
            one[:, :, : columns.start] = one[:, :, columns.stop :] = 0


def within(corner: torch.Tensor, shape: torch.Size, size: tuple[int, ...]) -> list[Place]:
    """Find the part of each patch, of `shape` at `corner` (K×2), that lies in the image."""
    begin = (-corner).clamp(min=0).tolist()
    end = (torch.tensor(size, device=corner.device) - corner).tolist()
    return [
        (slice(top, max(top, min(bottom, shape[2]))), slice(left, max(left, min(right, shape[3]))))
        for (top, left), (bottom, right) in zip(begin, end, strict=True)
    ]
