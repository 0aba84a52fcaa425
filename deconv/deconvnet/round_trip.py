"""One image up to a unit and that unit back down: what stands between every two stages (Fig. 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import nn

from deconv.deconvnet.projection import project_steps
from deconv.errors import DeconvError
from deconv.fields import Axis, box_of, support
from deconv.networks import ChainNet
from deconv.networks.chain import window
from deconv.pooling import unpool
from deconv.records import Box, Record


@dataclass(frozen=True)
class Level:
    """One place between two stages, with what stands there both ways.

    point: its name; "image" below the first stage. stage, operation: the stage just below, through
    which the way up comes to this level, and what the mirror does to leave it; "" for the image.
    up, down: C×h×w, the values on the way up and the top-down signal at the same place.
    box: positions (half-open) of the map that the unit depends on.
    switches: C×h×w of the pool that leads to this level, else None.
    """

    point: str
    stage: str
    operation: str
    up: torch.Tensor
    down: torch.Tensor
    box: Box
    switches: torch.Tensor | None


def round_trip(
    net: ChainNet,
    record: Record,
    layer: str,
    unit: Sequence[int],
    collisions: str = "sum",
) -> list[Level]:
    """The levels from the image (first) to `layer` (last), for one unit (map, y, x).

    record: of one image, with the activations of all `map_points` of the layer.
    Raises DeconvError as `project` does, and for a fully connected layer. Warns of a dead unit.
    """
    points = map_points(net, layer)
    rows = torch.tensor([[0, *unit]])
    # steps[0] is the seed, behind the last stage; each further step is one stage lower.
    steps = list(project_steps(net, record, layer, rows, collisions=collisions))
    stages = net.stages_to(layer)
    _, y, x = (int(n) for n in unit)
    levels = []
    for index, point in sorted({-1: "image", **points}.items()):
        stage = stages[index][0] if index >= 0 else ""
        up = record.activations[point] if index >= 0 else record.images
        level = Level(
            point=point,
            stage=stage,
            operation=steps[len(stages) - index].operation if stage else "",
            up=up[0].detach().cpu(),
            down=steps[len(stages) - 1 - index].signal[0].cpu(),
            box=_seen(stages[index + 1 :], y, x, (up.shape[2], up.shape[3])),
            switches=record.switches[stage][0].cpu() if stage in record.switches else None,
        )
        levels.append(level)
    return levels


def map_points(net: ChainNet, layer: str) -> dict[int, str]:
    """Index of a stage -> the point behind it, up to `layer`.

    Raises DeconvError for an unknown layer, and for one whose way up leaves the maps.
    """
    stages = net.stages_to(layer)
    for name, stage in stages:
        if isinstance(stage, nn.Flatten | nn.Linear):
            raise DeconvError(
                f"{layer} lies above {name} of {net.name}, where there are no maps to show: "
                f"choose a layer below, such as {_last_maps(net)}"
            )
    found: dict[int, str] = {}
    for point in net.points:
        index = len(net.stages_to(point)) - 1
        if index < len(stages):
            found.setdefault(index, point)
    return found | {len(stages) - 1: layer}


def _last_maps(net: ChainNet) -> str:
    convs = [name for name in net.layers if isinstance(net.get_submodule(name), nn.Conv2d)]
    return convs[-1] if convs else "none"


def _seen(above: list[tuple[str, nn.Module]], y: int, x: int, size: tuple[int, int]) -> Box:
    """The box of the positions of a map of `size` that unit (y, x) sees through stages `above`."""
    axes = [w for _, stage in above if (w := window(stage)) is not None]
    return box_of(*(support([pair[a] for pair in axes], (y, x)[a], size[a]) for a in (0, 1)))


def strongest_unit(activation: torch.Tensor, number: int | None = None) -> tuple[int, int, int]:
    """(map, y, x) of the largest value of C×h×w, of map `number` alone if given.

    Among equals the first in scan order. Raises DeconvError where no value is above 0.
    """
    values = activation if number is None else activation[number : number + 1]
    if not values.max() > 0:
        where = "the layer" if number is None else f"map {number}"
        raise DeconvError(f"nothing in {where} is above 0 for this image: choose another")
    at = int(values.flatten().argmax())
    rest, x = divmod(at, values.shape[2])
    found, y = divmod(rest, values.shape[1])
    return (found if number is None else number), y, x


def leading_maps(levels: Sequence[Level], unit_map: int, count: int) -> list[torch.Tensor]:
    """For each level the numbers of the `count` maps to show, the same within one layer.

    Of the top layer the unit's own map and then those that are most active. Of the layers below
    those that carry the most energy of the top-down signal where it is filtered, strongest first.
    Of the image its channels. Fewer maps than `count` are all shown.
    """
    shown = [torch.arange(len(levels[0].up))]
    group: torch.Tensor | None = None
    top = max((i for i, level in enumerate(levels) if level.operation == "filter"), default=0)
    for i, level in enumerate(levels[1:], 1):
        if level.operation == "filter" or group is None:
            if i == top:
                energy = levels[-1].up.flatten(1).square().sum(dim=1)
                energy[unit_map] = torch.inf
            else:
                energy = level.down.flatten(1).square().sum(dim=1)
            group = energy.sort(descending=True, stable=True).indices[:count]
        shown.append(group)
    return shown


@dataclass(frozen=True)
class PoolDetail:
    """A few pooling windows of one map, both ways.

    map: its number. top, left: position in the rectified map of the first of its r×s values.
    up, pooled: r×s and p×q, the values below the pool and above it. switches: p×q×2 (y, x) within
    up. signal: p×q, what comes down to these windows. unpooled: r×s, where it goes, from these
    windows alone. windows: p×q×4 boxes within up.
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


def pool_detail(
    below: Level,
    above: Level,
    axes: tuple[Axis, Axis],
    number: int,
    span: int = 3,
    collisions: str = "sum",
) -> PoolDetail:
    """The span×span neighbouring windows of map `number` with the most top-down energy.

    below, above: the levels on both sides of a pool; axes: its (rows, columns) window.
    First in scan order among equals; fewer windows than `span` are all shown.
    """
    _, height, width = below.up.shape
    signal, size = above.down[number], (height, width)
    p, q = (min(span, n) for n in signal.shape)
    sums = signal.square().unfold(0, p, 1).unfold(1, q, 1).sum(dim=(2, 3))
    i, j = divmod(int(sums.flatten().argmax()), sums.shape[1])
    kept = torch.zeros_like(signal)
    kept[i : i + p, j : j + q] = signal[i : i + p, j : j + q]
    assert above.switches is not None  # it is the level above a pool
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
        number,
        top,
        left,
        below.up[number][inner],
        above.up[number][outer],
        torch.stack([at // size[1] - top, at % size[1] - left], dim=2),
        signal[outer],
        spread[inner],
        torch.tensor(boxes),
    )


def _ends(axis: Axis, unit: int, size: int) -> tuple[int, int]:
    positions = support([axis], unit, size)
    return int(positions[0]), int(positions[-1]) + 1
