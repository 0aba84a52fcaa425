"""Occlusion of a chain by computing again only what a square changes, which is exact.

The maps of the uncovered image are kept. Each stage runs on blocks around the positions that a
square reaches; beside them the uncovered image's values stay. The stages above, which look at
everything, run on whole maps. All positions of a square are computed alike: no map is refined from
a coarser one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from deconv.errors import DeconvError
from deconv.fields import Axis
from deconv.networks import ChainNet
from deconv.networks.chain import window
from deconv.normalisation import LocalContrastNorm

CLASSES = 3
"""Of squares along each axis, by how much they reach: those near a border reach less."""
LARGEST_SHARE = 0.8
"""Of a map: where squares change more of it, whole maps are faster."""
BATCH = 64
"""Whole maps that run at a time."""


@dataclass
class Changed:
    """What squares change in a map: values K×C×h×w, from position corner[k] (K×2) on."""

    values: torch.Tensor
    corner: torch.Tensor

    def spread(self, clean: torch.Tensor) -> torch.Tensor:
        """Return K whole maps: the clean one, 1×C×H×W, with the changed values in it."""
        return self.blocks(clean, torch.zeros_like(self.corner), clean.shape[2:], 0.0)

    def blocks(
        self,
        clean: torch.Tensor,
        start: torch.Tensor,
        size: tuple[int, ...],
        outside: float,
    ) -> torch.Tensor:
        """Cut blocks K×C×size at start (K×2) out of the map; positions outside it are padding."""
        y, x = (start[:, a, None] + torch.arange(size[a], device=start.device) for a in (0, 1))
        height, width = clean.shape[2:]
        inside = _both((y >= 0) & (y < height), (x >= 0) & (x < width))
        # The last axis holds the maps, so that each position is one run of memory.
        rows, columns = y.clamp(0, height - 1), x.clamp(0, width - 1)
        block = clean[0].permute(1, 2, 0)[rows[:, :, None], columns[:, None, :]]
        if not inside.all():
            block[~inside] = outside
        y, x = y - self.corner[:, :1], x - self.corner[:, 1:]
        height, width = self.values.shape[2:]
        within = _both((y >= 0) & (y < height), (x >= 0) & (x < width)) & inside
        square, row, column = within.nonzero(as_tuple=True)
        new = self.values.permute(0, 2, 3, 1)
        block[square, row, column] = new[square, y[square, row], x[square, column]]
        return block.permute(0, 3, 1, 2)


def _both(rows: torch.Tensor, columns: torch.Tensor) -> torch.Tensor:
    return rows[:, :, None] & columns[:, None, :]


@torch.no_grad()
def answers(
    net: ChainNet,
    image: torch.Tensor,
    corners: torch.Tensor,
    size_px: int,
    grey: torch.Tensor,
    watched: tuple[str, int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Compute what a chain answers to an image under each square.

    Args:
        image: 1×3×H×W on the network's device.
        corners: K×2, the squares' top left (y, x); those at a border may lie outside the image.
        grey: 1×1×1 or 3×1×1, the value of the squares.
        watched: point and number of a map.

    Returns:
        Logits K×classes, and the K sums of the watched map.
    """
    stages = [stage for _, stage in net.named_children()]
    point, number = len(net.stages_to(watched[0])), watched[1]
    reaches = [
        _Reach(stages, axis, image.shape[2 + axis], corners[:, axis], size_px) for axis in (0, 1)
    ]
    top = _first_whole(reaches)
    clean = [image.contiguous(memory_format=torch.channels_last)]
    for stage in stages[:top]:
        clean.append(_run(stage, clean[-1]))
    sums = torch.zeros(len(corners), device=image.device, dtype=image.dtype)
    maps = clean[-1].new_empty(len(corners), *clean[-1].shape[1:])
    maps = maps.contiguous(memory_format=torch.channels_last)
    for some in _alike(reaches):
        begin = corners[some].to(image.device)
        square = grey.to(image).expand(3, size_px, size_px)
        changed = Changed(square.expand(len(some), -1, -1, -1), begin)
        for index, stage in enumerate(stages[:top]):
            spans = [reach.common(index + 1, some) for reach in reaches]
            changed = _changed(stage, clean[index], changed, spans)
            if index + 1 == point:
                one = Changed(changed.values[:, number : number + 1], changed.corner)
                sums[some] = one.spread(clean[point][:, number : number + 1]).sum((1, 2, 3))
        maps[some] = changed.spread(clean[top])
    logits = []
    for some in torch.arange(len(corners)).split(BATCH):
        x = maps[some]
        for index, stage in enumerate(stages[top:], top + 1):
            x = _run(stage, x)
            if index == point:
                sums[some] = x[:, number].flatten(1).sum(1) if x.dim() == 4 else x[:, number]
        logits.append(x)
    return torch.cat(logits), sums


def _run(stage: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return stage(x.clone() if getattr(stage, "inplace", False) else x)


def _changed(
    stage: nn.Module,
    clean: torch.Tensor,
    changed: Changed,
    spans: list[tuple[torch.Tensor, int]],
) -> Changed:
    """Run a stage on what changed; spans: for each axis where the outputs begin (K), how many."""
    axes = window(stage)
    if axes is None:
        return Changed(_run(stage, changed.values), changed.corner)
    corner = torch.stack([begin for begin, _ in spans], dim=1).to(changed.corner)
    start, size = corner.clone(), [0, 0]
    for at, (axis, (_, count)) in enumerate(zip(axes, spans, strict=True)):
        assert isinstance(axis, Axis)
        start[:, at] = corner[:, at] * axis.stride - axis.padding
        size[at] = (count - 1) * axis.stride + axis.dilation * (axis.kernel - 1) + 1
    if isinstance(stage, nn.Conv2d):
        block = changed.blocks(clean, start, tuple(size), 0.0)
        values = F.conv2d(
            block, stage.weight, stage.bias, stage.stride, 0, stage.dilation, stage.groups
        )
    else:
        assert isinstance(stage, nn.MaxPool2d)
        block = changed.blocks(clean, start, tuple(size), -torch.inf)
        values = F.max_pool2d(block, stage.kernel_size, stage.stride, 0, stage.dilation)
    return Changed(values, corner)


class _Reach:
    """Which positions squares reach along one axis, below each stage that can run on blocks.

    spans: for each square, its interval below each stage, half-open. sizes: of the maps there.
    """

    def __init__(
        self, stages: list[nn.Module], axis: int, size: int, begin: torch.Tensor, size_px: int
    ) -> None:
        self.sizes = [size]
        spans = [[(max(0, b), min(size, b + size_px)) for b in begin.tolist()]]
        for stage in stages:
            if not _runs_on_blocks(stage):
                break
            axes = window(stage)
            one = None if axes is None else axes[axis]
            size = self.sizes[-1]
            if isinstance(one, Axis):
                spans.append([_reached(one, interval, size) for interval in spans[-1]])
                size = one.output_size(size)
            else:
                spans.append(spans[-1])
            self.sizes.append(size)
        self.spans = torch.tensor(spans)

    def lengths(self) -> torch.Tensor:
        """Return how many positions each square reaches below each stage, stages×K."""
        return self.spans[..., 1] - self.spans[..., 0]

    def common(self, index: int, some: torch.Tensor) -> tuple[torch.Tensor, int]:
        """Return where blocks of one length begin that hold all that some squares reach."""
        length = int(self.lengths()[index, some].max())
        return self.spans[index, some, 0].clamp(max=self.sizes[index] - length), length


def _runs_on_blocks(stage: nn.Module) -> bool:
    """Whether a stage is a convolution, a max-pool, or acts at each position alone."""
    try:
        axes = window(stage)
    except DeconvError:
        return False
    if axes is None:
        return not isinstance(stage, LocalContrastNorm | nn.Flatten)
    return isinstance(stage, nn.Conv2d | nn.MaxPool2d)


def _reached(axis: Axis, interval: tuple[int, int], size: int) -> tuple[int, int]:
    """Find the outputs of a window over `size` positions that read an interval; at least one."""
    begin, end = interval
    reach = axis.dilation * (axis.kernel - 1)
    count = axis.output_size(size)
    first = min(max(0, -((reach - axis.padding - begin) // axis.stride)), count - 1)
    last = min((end - 1 + axis.padding) // axis.stride + 1, count)
    return first, max(last, first + 1)


def _first_whole(reaches: list[_Reach]) -> int:
    """Find the first stage that runs on whole maps: of what it gives, squares change most."""
    lengths = [reach.lengths().double().mean(1) for reach in reaches]
    sizes = [torch.tensor(reach.sizes) for reach in reaches]
    shares = lengths[0] / sizes[0] * (lengths[1] / sizes[1])
    large = (shares[1:] > LARGEST_SHARE).nonzero().flatten()
    return int(large[0]) if len(large) else len(shares) - 1


def _alike(reaches: list[_Reach]) -> Iterator[torch.Tensor]:
    """Yield the numbers of squares that reach about as far, CLASSES along each axis."""
    classes = []
    for reach in reaches:
        total = (reach.lengths() / torch.tensor(reach.sizes)[:, None]).sum(0)
        ends = total.quantile(torch.arange(1, CLASSES) / CLASSES)
        classes.append(torch.bucketize(total, ends))
    both = classes[0] * CLASSES + classes[1]
    for one in both.unique():
        yield (both == one).nonzero().flatten()
