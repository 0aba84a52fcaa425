"""The stages of Figure 1 in numbers and words: rows of table.csv, and what the page says beside.

In: the levels of a round trip and the maps shown of each. Out: a row a place and direction, and
notes on the levels of maps; the caller writes them.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from deconv.deconvnet.round_trip import Level
from deconv.networks import ChainNet
from deconv.networks.chain import window


def stage_rows(levels: list[Level], shown: list[torch.Tensor]) -> list[dict[str, Any]]:
    """A row for each place and direction, in the order of the way: up, then down."""
    rows = []
    pairs = list(zip(levels, shown, strict=True))
    for way, some in (("up", pairs), ("down", pairs[::-1])):
        for level, maps in some:
            values = level.up if way == "up" else level.down
            energy = values.double().flatten(1).square().sum(dim=1)
            total = float(energy.sum())
            rows.append(
                {
                    "way": way,
                    "point": level.point,
                    "maps": values.shape[0],
                    "height": values.shape[1],
                    "width": values.shape[2],
                    "energy": f"{total:.6g}",
                    "positive": round(float((values > 0).double().mean()), 6),
                    "negative": round(float((values < 0).double().mean()), 6),
                    "shown_maps": " ".join(map(str, maps.tolist())),
                    "shown_energy": round(float(energy[maps].sum()) / (total or 1.0), 4),
                    **dict(zip(("top", "left", "bottom", "right"), level.box, strict=True)),
                }
            )
    return rows


def describe_levels(
    net: ChainNet, levels: list[Level], rows: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What the figure prints at each level of maps, from the top layer down."""
    energy = {(row["way"], row["point"]): row["shown_energy"] for row in rows}
    described = []
    for level in levels[:0:-1]:
        maps, height, width = level.up.shape
        upward, downward = describe_stage(net.get_submodule(level.stage), level.operation)
        described.append(
            {
                "point": level.point,
                "note": f"{maps} maps, {height}×{width}",
                "upward": upward,
                "downward": downward,
                "operation": level.operation,
                "shown_energy": energy["down", level.point],
            }
        )
    return described


def describe_stage(stage: nn.Module, operation: str) -> tuple[str, str]:
    """What a stage does on the way up, and its mirror on the way down, in words."""
    axes = window(stage)
    size = "" if axes is None else _window_words(axes)
    up = {
        "filter": f"convolution, {size}",
        "rectify": "ReLU",
        "unpool": f"max-pooling, {size}",
        "spread": f"average pooling to {size}",
        "skip": "contrast normalisation",
    }[operation]
    down = {
        "filter": "the same filters transposed, no bias",
        "rectify": "ReLU of the signal",
        "unpool": "unpooling by the switches",
        "spread": "averages spread",
        "skip": "contrast normalisation skipped",
    }[operation]
    return up, down


def _window_words(axes: Any) -> str:
    rows, columns = axes
    if not hasattr(rows, "kernel"):
        return f"{rows.out}×{columns.out}"
    stride = f", stride {rows.stride}" if rows.stride == columns.stride else ""
    return f"{rows.kernel}×{columns.kernel}{stride}"
