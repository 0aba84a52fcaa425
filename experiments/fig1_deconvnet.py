"""Figure 1: the deconvnet beside the network, drawn from one image's own values.

    python -m experiments.fig1_deconvnet snapshot=<run>/last.pt
    python -m experiments.fig1_deconvnet redraw=outputs/fig1_deconvnet/<folder>

Paper: a drawing of one layer, boxes without values. Here the whole way of one unit, each box
filled with what stands there: image, filtered, rectified, pooled and normalised maps on the way
up; on the way down the unit alone, unpooled by the switches of this image, rectified, filtered.
Below, some pooling windows in numbers, as in the lower half of the paper's figure. Of many maps
those are shown that carry the most energy of the signal on its way down.

Writes figure.png and figure.pdf, arrays.npz (what is drawn), table.csv (a row a place and
direction), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig

from deconv import distributed, figures
from deconv.data import SPLITS, Squares
from deconv.deconvnet.projection import project
from deconv.deconvnet.round_trip import (
    Level,
    PoolDetail,
    leading_maps,
    map_points,
    pool_detail,
    round_trip,
    strongest_unit,
)
from deconv.errors import DeconvError, unknown
from deconv.networks import ChainNet
from deconv.networks.chain import window
from deconv.pooling import COLLISIONS
from deconv.records import Record
from deconv.training.snapshots import Snapshot
from experiments.deconvnet_page import SAVED, draw
from experiments.deconvnet_stages import describe_levels, stage_rows
from experiments.kit.chosen_images import ChosenImage, choose_images
from experiments.kit.command import experiment
from experiments.kit.facts import data_facts, deconvnet_choices, describe_field, training_facts
from experiments.kit.findings import Finding, write_findings
from experiments.kit.inputs import build_network, device, given, log, squares, stored_side_px
from experiments.kit.provenance import write_provenance, write_table
from experiments.kit.redrawing import redraw
from experiments.kit.training import train_network

TOLERANCE = 1e-3
"""Largest difference, relative to the largest pixel, at which two engines count as agreeing."""


@experiment("fig1_deconvnet")
def main(cfg: DictConfig, folder: Path) -> None:
    """Record one image, send one unit down, save, draw; or draw again what a run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    snapshot = given(cfg)
    check(cfg, snapshot.network() if snapshot else build_network(cfg, 2))
    data = squares(cfg, cfg.split, stored_side_px(cfg, snapshot))
    if snapshot is None:
        log("no snapshot given: training one first")
        snapshot = train_network(cfg, folder)
    if distributed.rank() == 0:
        compute(cfg, folder, snapshot, data)
        draw(folder, folder)


def check(cfg: DictConfig, net: ChainNet) -> None:
    """Raise DeconvError for a layer, unit, count, split or policy that does not fit `net`."""
    map_points(net, cfg.layer)
    shape = net.record(torch.zeros(1, 3, net.input_px, net.input_px), [cfg.layer], logits=False)
    maps, height, width = shape.activations[cfg.layer].shape[1:]
    if cfg.unit is not None:
        limits = (maps, height, width)
        fits = len(cfg.unit) in (1, 3) and all(
            type(n) is int and 0 <= n < limit for n, limit in zip(cfg.unit, limits, strict=False)
        )
        if not fits:
            raise DeconvError(
                f"unit takes [map] or [map,y,x] of {cfg.layer}, which has {maps} maps of "
                f"{height}×{width}; got {cfg.unit}"
            )
    for name in ("maps", "span"):
        if cfg[name] < 1:
            raise DeconvError(f"{name} must be at least 1, got {cfg[name]}")
    if cfg.maps > MOST_MAPS or cfg.span > MOST_WINDOWS:
        raise DeconvError(
            f"the page has room for maps={MOST_MAPS} and span={MOST_WINDOWS}, got "
            f"maps={cfg.maps} and span={cfg.span}"
        )
    if not isinstance(cfg.images, ListConfig) or len(cfg.images) > 1:
        raise DeconvError(f"images takes one path or number such as [3], got {cfg.images}")
    if cfg.split not in SPLITS:
        raise unknown("split", cfg.split, SPLITS)
    if cfg.collisions not in COLLISIONS:
        raise unknown("collision policy", cfg.collisions, COLLISIONS)


MOST_MAPS, MOST_WINDOWS = 7, 3


def compute(cfg: DictConfig, folder: Path, snapshot: Snapshot, data: Squares) -> None:
    """The way up and down of one unit of one image, saved."""
    net = snapshot.network().to(device(cfg))
    (image,) = choose_images(cfg, snapshot, net, data, 1)
    points = [*map_points(net, cfg.layer).values()]
    record = net.record(image.input[None].to(device(cfg)), points)
    unit = choose_unit(cfg, record.activations[cfg.layer][0])
    log(f"{cfg.layer}, map {unit[0]}, position ({unit[1]}, {unit[2]}) of {image.name}")
    levels = round_trip(net, record, cfg.layer, unit, cfg.collisions)
    if levels[0].box == (0, 0, 0, 0):
        raise DeconvError(f"unit {list(unit)} of {cfg.layer} sees padding alone: choose another")
    shown = leading_maps(levels, unit[0], cfg.maps)
    detail = find_detail(net, levels, shown, cfg)
    rows = stage_rows(levels, shown)
    save(folder, image, levels, shown, detail)
    write_table(folder / "table.csv", rows)
    difference = against_autograd(net, record, cfg, unit, levels[0].down)
    facts = {
        "figure": "1",
        "layer": cfg.layer,
        "unit": dict(zip(("map", "y", "x"), unit, strict=True)),
        "activation": float(levels[-1].up[unit]),
        "field": describe_field(net, cfg.layer),
        "image": {"name": image.name, "index": image.index, "label": image.label},
        "rows": describe_levels(net, levels, rows),
        "detail": None if detail is None else detail[1],
        "difference_to_vjp": difference,
        "choices": choices(net, cfg, snapshot.mean),
        "data": data_facts(cfg, cfg.split, data),
        "training": training_facts(snapshot, cfg.snapshot),
    }
    write_provenance(folder, net, facts)
    rule = (
        "unpooling by switches, rectifying and filtering one after another ends in the pixels "
        "that autograd gives with the deconvnet's rules: largest difference at most "
        f"{TOLERANCE} of the largest pixel (the value); one unit of one image"
    )
    finding = Finding("fig1/reconstruction", difference, holds=difference <= TOLERANCE, rule=rule)
    write_findings(folder, [finding])


def choose_unit(cfg: DictConfig, activation: torch.Tensor) -> tuple[int, int, int]:
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


def find_detail(
    net: ChainNet, levels: list[Level], shown: list[torch.Tensor], cfg: DictConfig
) -> tuple[PoolDetail, dict[str, Any]] | None:
    """Some windows of the uppermost pool below the layer's own, in its leading map."""
    for below, above, maps in reversed(list(zip(levels, levels[1:], shown[1:], strict=False))):
        if above.switches is not None and below.point != "image":
            axes = window(net.get_submodule(above.stage))
            detail = pool_detail(below, above, axes, int(maps[0]), cfg.span, cfg.collisions)
            _, wins = detail.switches.flatten(0, 1).unique(dim=0, return_counts=True)
            return detail, {
                "pool": above.stage,
                "map": detail.map,
                "windows": list(detail.pooled.shape),
                "top": detail.top,
                "left": detail.left,
                "kernel": [axis.kernel for axis in axes],
                "stride": [axis.stride for axis in axes],
                "shared_winners": int((wins > 1).sum()),
            }
    return None


def against_autograd(
    net: ChainNet, record: Record, cfg: DictConfig, unit: tuple[int, int, int], pixels: torch.Tensor
) -> float:
    """The largest difference of the last step to the other engine, over the largest pixel."""
    rows = torch.tensor([[0, *unit]])
    other = project(net, record, cfg.layer, rows, engine="vjp", collisions=cfg.collisions)[0].cpu()
    return float((other - pixels).abs().max() / (other.abs().max() or 1.0))


def choices(net: ChainNet, cfg: DictConfig, mean: torch.Tensor) -> dict[str, str]:
    """What the paper leaves open and how it was decided, for the sidecar."""
    kept = deconvnet_choices(net, cfg.collisions, mean, [cfg.layer])
    del kept["patches"]
    unit = "named" if cfg.unit is not None else "the strongest of the layer for this image"
    return kept | {
        "unit": unit,
        "image": "named" if cfg.images else f"classified rightly, drawn by seed {cfg.seed}",
        "maps": "of the unit's layer its own and the most active; below, those with the most "
        "energy of the top-down signal where it is filtered; the same within a layer",
        "ties": "among equal values of a window the first in scan order is the switch",
        "map_colours": f"white at 0, each row its own scale, ± the {figures.PERCENTILE} percentile "
        "of the non-zero values shown",
    }


def save(
    folder: Path,
    image: ChosenImage,
    levels: list[Level],
    shown: list[torch.Tensor],
    detail: tuple[PoolDetail, dict[str, Any]] | None,
) -> None:
    """arrays.npz: picture, and <point>/<field> of the shown maps of every level; detail/<field>."""
    arrays: dict[str, Any] = {"picture": image.picture().numpy()}
    for i, (level, maps) in enumerate(zip(levels, shown, strict=True)):
        arrays |= {
            f"{level.point}/maps": maps.numpy(),
            f"{level.point}/up": level.up[maps].numpy(),
            f"{level.point}/down": level.down[maps].numpy(),
            f"{level.point}/box": np.array(level.box),
        }
        above = levels[i + 1] if i + 1 < len(levels) else None
        if above is not None and above.switches is not None and level.point != "image":
            winners = torch.zeros(len(maps), level.up[0].numel(), dtype=torch.bool)
            winners.scatter_(1, above.switches[maps].flatten(1), True)
            arrays[f"{level.point}/winners"] = winners.view(-1, *level.up.shape[1:]).numpy()
    if detail is not None:
        fields = ("up", "pooled", "switches", "signal", "unpooled", "windows")
        arrays |= {f"detail/{name}": getattr(detail[0], name).numpy() for name in fields}
    np.savez_compressed(folder / "arrays.npz", **arrays)


if __name__ == "__main__":
    main()
