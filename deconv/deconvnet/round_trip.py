"""One image up to a unit and that unit back down: the values between all stages (Figure 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from deconv.deconvnet.projection import project, project_steps
from deconv.errors import DeconvError
from deconv.fields import box_of, support
from deconv.networks import ChainNet
from deconv.networks.chain import window
from deconv.records import Box, Record


@dataclass(frozen=True)
class Level:
    """One place between two stages, with its values on both ways.

    point: its name; "image" below the first stage. stage, operation: the stage just below this
    level and the mirror's operation that undoes it; "" for the image. up, down: C×h×w, the values
    on the way up and the top-down signal. box: half-open positions that the unit depends on.
    switches: C×h×w if the stage is a max-pool, else None.
    """

    point: str
    stage: str
    operation: str
    up: torch.Tensor
    down: torch.Tensor
    box: Box
    switches: torch.Tensor | None

    def winners(self, below: Level, maps: torch.Tensor) -> torch.Tensor:
        """Mark the positions of some maps of the level below that won a window of the pool."""
        assert self.switches is not None
        won = torch.zeros(len(maps), below.up[0].numel(), dtype=torch.bool)
        won.scatter_(1, self.switches[maps].flatten(1), True)
        return won.view(-1, *below.up.shape[1:])


def round_trip(
    net: ChainNet, record: Record, layer: str, unit: Sequence[int], collisions: str = "sum"
) -> list[Level]:
    """List the levels from the image to `layer` for one unit (map, y, x).

    Args:
        record: of one image, with the activations of all `map_points` of the layer.

    Raises:
        DeconvError: as `project`, and for a fully connected layer; it also warns as `project` does.
    """
    points = map_points(net, layer)
    rows = torch.tensor([[0, *unit]])
    # steps[0] is the seed, above the last stage; each further step is one stage lower.
    steps = list(project_steps(net, record, layer, rows, collisions=collisions))
    stages = net.stages_to(layer)
    _, y, x = (int(n) for n in unit)
    levels = []
    for index, point in sorted({-1: "image", **points}.items()):
        stage = stages[index][0] if index >= 0 else ""
        up = record.activations[point] if index >= 0 else record.images
        levels.append(
            Level(
                point=point,
                stage=stage,
                operation=steps[len(stages) - index].operation if stage else "",
                up=up[0].detach().cpu(),
                down=steps[len(stages) - 1 - index].signal[0].cpu(),
                box=_support_box(stages[index + 1 :], y, x, (up.shape[2], up.shape[3])),
                switches=record.switches[stage][0].cpu() if stage in record.switches else None,
            )
        )
    return levels


def map_points(net: ChainNet, layer: str) -> dict[int, str]:
    """Map each stage's index to the point above it, up to `layer`.

    Raises:
        DeconvError: for an unknown layer, and for one above a fully connected layer.
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


def _support_box(above: list[tuple[str, nn.Module]], y: int, x: int, size: tuple[int, int]) -> Box:
    """Return the box that unit (y, x) sees in a map of `size` through the stages above it."""
    axes = [w for _, stage in above if (w := window(stage)) is not None]
    return box_of(*(support([pair[a] for pair in axes], (y, x)[a], size[a]) for a in (0, 1)))


def strongest_unit(activation: torch.Tensor, number: int | None = None) -> tuple[int, int, int]:
    """Find (map, y, x) of the largest value of C×h×w, or of its map `number`.

    Among equal values the first in scan order. Raises DeconvError if no value is above 0.
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
    """Choose up to `count` maps to show for each level, the same within one layer.

    Top layer: the unit's own map, then the most active ones. Layers below: the maps with the most
    energy of the top-down signal at the filter, strongest first. Image: its channels.
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


def level_rows(levels: Sequence[Level], shown: Sequence[torch.Tensor]) -> list[dict[str, Any]]:
    """Make a table row for each level on the way up, then for each on the way down.

    shown: the maps that `leading_maps` chose, whose share of the energy is listed.
    """
    pairs = list(zip(levels, shown, strict=True))
    way = [("up", level, level.up, maps) for level, maps in pairs]
    way += [("down", level, level.down, maps) for level, maps in pairs[::-1]]
    rows = []
    for name, level, values, maps in way:
        energy = values.double().flatten(1).square().sum(dim=1)
        total = float(energy.sum())
        rows.append(
            {
                "way": name,
                "point": level.point,
                **dict(zip(("maps", "height", "width"), values.shape, strict=True)),
                "energy": f"{total:.6g}",
                "positive": round(float((values > 0).double().mean()), 6),
                "negative": round(float((values < 0).double().mean()), 6),
                "shown_maps": " ".join(map(str, maps.tolist())),
                "shown_energy": round(float(energy[maps].sum()) / (total or 1.0), 4),
                **dict(zip(("top", "left", "bottom", "right"), level.box, strict=True)),
            }
        )
    return rows


def difference_to_vjp(
    net: ChainNet, record: Record, levels: Sequence[Level], unit: Sequence[int], collisions: str
) -> float:
    """Compute the largest difference of the pixels to engine="vjp", over the largest pixel."""
    rows = torch.tensor([[0, *unit]])
    other = project(net, record, levels[-1].point, rows, engine="vjp", collisions=collisions)
    other = other[0].cpu()
    return float((other - levels[0].down).abs().max() / (other.abs().max() or 1.0))


def level_arrays(levels: Sequence[Level], shown: Sequence[torch.Tensor]) -> dict[str, np.ndarray]:
    """<point>/<field> of the shown maps of every level; winners where a pool lies above."""
    arrays: dict[str, np.ndarray] = {}
    for level, above, maps in zip(levels, [*levels[1:], None], shown, strict=True):
        found = {"maps": maps, "up": level.up[maps], "down": level.down[maps]}
        if level.stage and above is not None and above.switches is not None:
            found["winners"] = above.winners(level, maps)
        arrays |= {f"{level.point}/{name}": values.numpy() for name, values in found.items()}
        arrays[f"{level.point}/box"] = np.array(level.box)
    return arrays
