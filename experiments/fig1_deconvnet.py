"""Figure 1: the deconvnet beside the network, drawn from one image's own values.

    python -m experiments.fig1_deconvnet snapshot=<run>/last.pt
    python -m experiments.fig1_deconvnet snapshot=<run>/last.pt images=[photo.jpg] layer=conv2
    python -m experiments.fig1_deconvnet redraw=outputs/fig1_deconvnet/<folder>

Paper: a drawing of one layer, boxes without values. Here all layers below one unit, each box with
its values: image, filtered, rectified, pooled and normalised maps on the way up; on the way down
the unit alone, unpooled by the switches of this image, rectified, filtered. Below, some pooling
windows in numbers, as in the lower half of the paper's figure. Of many maps those with the most
top-down energy are shown.

Cost: laptop seconds (with a snapshot) on 2 CPU cores.
Expected: the last step down equals the projection by autograd to rounding.

Writes figure.png and figure.pdf, arrays.npz (what is drawn), table.csv (one row per place and
direction), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from deconv import figures
from deconv.deconvnet.pool_windows import pool_detail, uppermost_pool
from deconv.deconvnet.round_trip import (
    Level,
    difference_to_vjp,
    leading_maps,
    level_arrays,
    level_rows,
    map_points,
    round_trip,
    strongest_unit,
)
from deconv.errors import DeconvError
from deconv.figures import Page
from deconv.networks import ChainNet
from deconv.networks.chain import window
from deconv.pooling import COLLISIONS
from experiments.kit import (
    Figure,
    Result,
    Saved,
    Subject,
    check_name,
    experiment,
    judged,
    log,
)
from experiments.kit.claims import TOLERANCE
from experiments.kit.facts import deconvnet_choices, describe_field, describe_network
from experiments.kit.titles import layer_title

"""Largest difference, relative to the largest pixel, at which two engines count as agreeing."""
MOST_MAPS, MOST_WINDOWS = 7, 3
"""What the page has room for."""
DETAIL = ("up", "pooled", "switches", "signal", "unpooled", "windows")
"""Fields of the pooling windows, as saved and as drawn."""


@dataclass
class Deconvnet(Figure):
    images: list[Any] = field(default_factory=list)  # one path or number; []: one that the network
    # classifies rightly, drawn by the seed
    labels: list[str] = field(default_factory=list)  # not needed here; the class of a path
    layer: str = "conv3"  # the unit's layer, any point with maps: conv3, conv3:z, pool2, …
    unit: list[int] | None = None  # [map] or [map,y,x]; null: the strongest unit of the image
    maps: int = 4  # shown of each layer
    span: int = 3  # pooling windows along a side of the lower panel
    collisions: str = "sum"  # sum, max, mean, overwrite

    def __post_init__(self) -> None:
        for name, most in (("maps", MOST_MAPS), ("span", MOST_WINDOWS)):
            if not 1 <= getattr(self, name) <= most:
                raise DeconvError(
                    f"{name}={getattr(self, name)} cannot be shown: choose 1 to {most}"
                )
        if len(self.images) > 1:
            raise DeconvError(f"images takes one path or number such as [3], got {self.images}")
        check_name("collision policy", self.collisions, COLLISIONS)


def check(cfg: Deconvnet, it: Subject) -> None:
    """Raise DeconvError for a layer, unit or image that does not fit the network."""
    it.need_images(1, "the figure")
    net = it.sketch
    if not isinstance(net, ChainNet):
        raise DeconvError(
            f"the figure follows a chain of layers, and {net.name} is none: take one that is, such "
            "as torchvision/alexnet, or look at its maps with feature_maps"
        )
    map_points(net, cfg.layer)
    blank = torch.zeros(1, 3, net.input_px, net.input_px)
    sizes = net.record(blank, [cfg.layer], logits=False).activations[cfg.layer].shape[1:]
    maps, height, width = sizes
    inside = all(0 <= n < most for n, most in zip(cfg.unit or [], sizes, strict=False))
    if cfg.unit is not None and not (inside and len(cfg.unit) in (1, 3)):
        raise DeconvError(
            f"unit takes [map] or [map,y,x] of {cfg.layer}, which has {maps} maps of "
            f"{height}×{width}; got {cfg.unit}"
        )
    it.check_images()


def compute(cfg: Deconvnet, it: Subject) -> Result:
    """Record one image, send one unit down, and compare the end with autograd's."""
    net = it.net
    it.first_alone()
    (image,) = it.images(1)
    record = net.record(image.input[None].to(it.device), [*map_points(net, cfg.layer).values()])
    unit = choose_unit(cfg, record.activations[cfg.layer][0])
    log(f"{cfg.layer}, map {unit[0]}, position ({unit[1]}, {unit[2]}) of {image.name}")
    levels = round_trip(net, record, cfg.layer, unit, cfg.collisions)
    if levels[0].box == (0, 0, 0, 0):
        raise DeconvError(f"unit {list(unit)} of {cfg.layer} sees padding alone: choose another")
    shown = leading_maps(levels, unit[0], cfg.maps)
    rows = level_rows(levels, shown)
    arrays = {"picture": image.picture().numpy()} | level_arrays(levels, shown)
    detail = None
    if (at := uppermost_pool(levels)) is not None:
        axes = window(net.get_submodule(levels[at].stage))
        below, above, number = levels[at - 1], levels[at], int(shown[at][0])
        found = pool_detail(below, above, axes, number, cfg.span, cfg.collisions)
        arrays |= {f"detail/{name}": getattr(found, name).numpy() for name in DETAIL}
        detail = {
            "pool": above.stage,
            "windows": list(found.pooled.shape),
            "kernel": [axis.kernel for axis in axes],
            "stride": [axis.stride for axis in axes],
        } | {name: getattr(found, name) for name in ("map", "top", "left", "shared_winners")}
    difference = difference_to_vjp(net, record, levels, unit, cfg.collisions)
    facts = {
        "figure": "1",
        "layer": cfg.layer,
        "unit": dict(zip(("map", "y", "x"), unit, strict=True)),
        "activation": float(levels[-1].up[unit]),
        "field": describe_field(net, cfg.layer),
        "image": {"name": image.name, "index": image.index, "label": image.label},
        "rows": describe_levels(net, levels, rows),
        "detail": detail,
        "difference_to_vjp": difference,
        "choices": choices(net, cfg, it.snapshot.mean),
    }
    finding = judged("fig1/reconstruction", difference, None, 1, holds=difference <= TOLERANCE)
    return Result(facts, arrays, {"table": rows}, [finding])


def choose_unit(cfg: Deconvnet, activation: torch.Tensor) -> tuple[int, int, int]:
    """cfg.unit, or the strongest unit of C×h×w. Raises DeconvError where it is not above 0."""
    if cfg.unit is None or len(cfg.unit) == 1:
        return strongest_unit(activation, None if cfg.unit is None else cfg.unit[0])
    unit = tuple(cfg.unit)
    if not activation[unit] > 0:
        raise DeconvError(
            f"unit {list(unit)} of {cfg.layer} is {float(activation[unit]):.4g} for this image, so "
            f"nothing would be painted: take unit=[{unit[0]}] for the strongest of its map, or "
            "another image"
        )
    return unit


def choices(net: ChainNet, cfg: Deconvnet, mean: torch.Tensor) -> dict[str, str]:
    """What the paper leaves open and how it was decided, for the sidecar."""
    kept = deconvnet_choices(net, cfg.collisions, mean, [cfg.layer])
    del kept["patches"]
    return kept | {
        "unit": "the strongest of the layer for this image" if cfg.unit is None else "named",
        "image": "named" if cfg.images else f"classified rightly, drawn by seed {cfg.seed}",
        "maps": "of the unit's layer its own and the most active; below, those with the most "
        "top-down energy where it is filtered; the same within a layer",
        "ties": "among equal values of a window the first in scan order is the switch",
        "map_colours": f"white at 0, each row its own scale, ± the {figures.PERCENTILE} percentile "
        "of the non-zero values shown",
    }


# The words beside the levels

WAYS = {
    "filter": ("convolution, {}", "the same filters transposed, no bias"),
    "rectify": ("ReLU", "ReLU of the signal"),
    "unpool": ("max-pooling, {}", "unpooling by the switches"),
    "spread": ("average pooling to {}", "averages spread"),
    "skip": ("contrast normalisation", "contrast normalisation skipped"),
}
"""What the mirror does -> what the stage does on the way up, and the mirror on the way down."""


def describe_levels(
    net: ChainNet, levels: Sequence[Level], rows: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """What the figure prints at each level of maps, from the top layer down."""
    energy = {row["point"]: row["shown_energy"] for row in rows if row["way"] == "down"}
    words = [
        describe_stage(net.get_submodule(level.stage), level.operation) for level in levels[1:]
    ]
    return [
        {
            "point": level.point,
            "note": "{} maps, {}×{}".format(*level.up.shape),
            "upward": upward,
            "downward": downward,
            "operation": level.operation,
            "shown_energy": energy[level.point],
        }
        for level, (upward, downward) in zip(levels[:0:-1], words[::-1], strict=True)
    ]


def describe_stage(stage: nn.Module, operation: str) -> tuple[str, str]:
    """What a stage does on the way up, and its mirror on the way down, in words."""
    up, down = WAYS[operation]
    rows, columns = window(stage) or (None, None)
    if rows is None:
        return up, down
    if not hasattr(rows, "kernel"):
        return up.format(f"{rows.out}×{columns.out}"), down
    stride = f", stride {rows.stride}" if rows.stride == columns.stride else ""
    return up.format(f"{rows.kernel}×{columns.kernel}{stride}"), down


# The page


def draw(saved: Saved) -> Page:
    """The figure from the saved files alone."""
    arrays, facts = saved.arrays, saved.facts
    height, width = arrays["picture"].shape[1:]
    box = tuple(arrays["image/box"])
    image = figures.ImageRow(
        "image", f"3 × {height}×{width} px", arrays["picture"], arrays["image/down"], box
    )
    unit, layer = facts["unit"], layer_title(facts["layer"], facts).lower()
    place = f"map {unit['map']}, position ({unit['y']}, {unit['x']})"
    heading = f"One unit up and down: {layer}, {place}"
    rows = [_row(arrays, row) for row in facts["rows"]]
    windows = None if facts["detail"] is None else _windows(arrays, facts["detail"])
    return figures.deconvnet_schematic(rows, image, windows, heading, caption(facts))


def _row(arrays: Mapping[str, np.ndarray], row: dict[str, Any]) -> figures.MapRow:
    point = row["point"]
    return figures.MapRow(
        title=point,
        box=tuple(arrays[f"{point}/box"]),
        winners=arrays.get(f"{point}/winners"),
        switches=row["operation"] == "unpool",
        numbered=row["operation"] == "filter",
        **{name: row[name] for name in ("note", "upward", "downward")},
        **{name: arrays[f"{point}/{name}"] for name in ("maps", "up", "down")},
    )


def _windows(arrays: Mapping[str, np.ndarray], detail: dict[str, Any]) -> figures.PoolWindows:
    rows, columns = detail["windows"]
    kernel, stride = detail["kernel"], detail["stride"]
    title = (
        f"Pooling and unpooling in numbers: {rows * columns} windows of {detail['pool']} "
        f"({kernel[0]}×{kernel[1]}, stride {stride[0]}), map {detail['map']}"
    )
    return figures.PoolWindows(*(arrays[f"detail/{name}"] for name in DETAIL), title=title)


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    image, detail = facts["image"], facts["detail"]
    name = image["name"]
    if image["index"] is not None:
        name = f"an image of the class {name} (number {image['index']} of {facts['data']['name']})"
    shares = [row["shown_energy"] for row in facts["rows"] if row["operation"] == "filter"][1:]
    percents = ", ".join(f"{100 * share:.0f} %" for share in shares)
    words = (
        f"Right, upwards: the feature maps of {name}. Left, downwards: one unit of "
        f"{facts['layer']} keeps its value {facts['activation']:.3g}, all others are 0, and the "
        f"signal goes back to pixels. Frames: the unit's {facts['field']}. Dots: the switches, "
        "positions that won a pooling window. Maps: white is 0, orange positive, blue negative, "
        "each row and side with its own scale. Of the unit's layer its map and the most active "
        "others are shown, below it the maps with most of the top-down energy"
        f"{f' (from above {percents})' if shares else ''}. "
    )
    if detail:
        count = detail["shared_winners"]
        shared = "One position is" if count == 1 else f"{count or 'No'} positions are"
        words += (
            "Bottom: each window has a colour, and so has the position that won it; the window "
            f"with the strongest signal is framed. {shared} won by more than one window (shared "
            f"switches: {facts['choices']['collisions']}); of a window that is 0 throughout, the "
            "first position counts as the winner. "
        )
    return words + describe_network(facts)


main = experiment(
    Deconvnet,
    compute,
    draw,
    check,
    saves="arrays.npz table.csv findings.json",
    number="fig1/reconstruction",
)

if __name__ == "__main__":
    main()
