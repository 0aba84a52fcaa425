"""Random switches, each inside its pooling window."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn

from deconv.fields import AnyAxis
from deconv.networks.chain import window
from deconv.records import Record


def shuffled_switches(record: Record, draw: torch.Generator) -> dict[str, torch.Tensor]:
    """Move each switch of a record to a random position of its window, uniformly, for `project`."""
    return {
        name: shuffled(record.pools[name], record.shapes[name][1:], switches, draw)
        for name, switches in record.switches.items()
    }


def shuffled(
    pool: nn.MaxPool2d, size: Sequence[int], switches: torch.Tensor, draw: torch.Generator
) -> torch.Tensor:
    """Draw N×C×h×w flat positions y·W+x, each in its own window inside the plane (H, W)."""
    axes, chosen = window(pool), []
    assert axes is not None
    for axis, extent, along, dim in zip(axes, size, switches.shape[2:], (2, 3), strict=True):
        places, counts = _places(axis, extent, along)
        at = torch.rand(switches.shape, generator=draw, dtype=torch.float64)
        view = (-1, 1) if dim == 2 else (1, -1)
        pick = (at * counts.view(view)).long()
        index = torch.arange(along).view(view).expand(switches.shape[2:])
        chosen.append(places[index.expand_as(pick), pick])
    rows, columns = chosen
    return (rows * size[1] + columns).to(switches.device)


def _places(axis: AnyAxis, size: int, windows: int) -> tuple[torch.Tensor, torch.Tensor]:
    """The positions of each window along an axis, zero-padded rows, and how many there are."""
    seen = [axis.seen(np.array([i]), size) for i in range(windows)]
    table = torch.zeros(windows, max(map(len, seen)), dtype=torch.int64)
    for i, positions in enumerate(seen):
        table[i, : len(positions)] = torch.from_numpy(positions)
    return table, torch.tensor([len(positions) for positions in seen])
