"""Feature maps of images at chosen layers, before and after the activation function, and sparsity.

    python -m experiments.feature_maps snapshot=<run>/last.pt
    python -m experiments.feature_maps model=torchvision/resnet50 model.weights=DEFAULT \
        'images=[dog.jpg]' 'layers=[20,40,44,48]'
    python -m experiments.feature_maps redraw=outputs/feature_maps/<folder>

Not in the paper, which shows what excites maps and no maps. For each image and layer: some maps of
z, what the activation function takes in, and of a, what it gives; the strongest unit of each map
led back to its receptive field. Below: how many values are above 0, and how many maps are dead or
saturated, over the first images of a split, for every layer with an activation function.

Writes figure.png and figure.pdf, arrays.npz, table.csv (a row a measured layer), units.csv (a row
a map shown), config.yaml and provenance.json. There is no claim to judge, so no findings.json.
"""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from torch.utils.data import DataLoader, Subset

from deconv import distributed
from deconv.data import SPLITS, CentreCrops, Squares
from deconv.distributed import Share
from deconv.errors import DeconvError, unknown
from deconv.fields import receptive_field
from deconv.mining.map_statistics import ORDERS, MapPoints, map_points, map_statistics, ordered_maps
from deconv.mining.top_activations import strongest
from deconv.networks import ChainNet
from deconv.training.snapshots import Snapshot
from experiments.feature_maps_page import SAVED, draw
from experiments.feature_maps_tables import depth_trend, layer_row, unit_rows
from experiments.kit.chosen_images import ChosenImage, choose_images
from experiments.kit.command import experiment
from experiments.kit.facts import data_facts, preprocessing, training_facts
from experiments.kit.inputs import (
    build_network,
    data_name,
    device,
    given,
    log,
    squares,
    stored_side_px,
    workers,
)
from experiments.kit.provenance import write_provenance, write_table
from experiments.kit.redrawing import redraw
from experiments.kit.training import train_network

SCALES = ("map", "layer")
MOST_IMAGES, MOST_MAPS, SHOWN_LAYERS, BATCH = 6, 64, 5, 8


@experiment("feature_maps")
def main(cfg: DictConfig, folder: Path) -> None:
    """Choose, run, measure, save, draw; or draw again what an earlier run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    if cfg.split not in SPLITS:
        raise unknown("split", cfg.split, SPLITS)
    snapshot = given(cfg)
    data = squares(cfg, cfg.split, stored_side_px(cfg, snapshot))
    net = snapshot.network() if snapshot else build_network(cfg, len(data.classes))
    check(cfg, net, data)
    check_images(cfg, snapshot, net, data)
    if snapshot is None:
        log("no snapshot given: training one first")
        snapshot = train_network(cfg, folder)
        net = snapshot.network()
    compute(cfg, folder, snapshot, net.to(device(cfg)), data)
    if distributed.rank() == 0:
        draw(folder, folder)


# Before anything long


def check(cfg: DictConfig, net: ChainNet, data: Squares) -> None:
    """Raise DeconvError for a layer, option or number that cannot be used."""
    for name, among in (("scale", SCALES), ("order", ORDERS)):
        if cfg[name] not in among:
            raise unknown(name, cfg[name], among)
    if not 1 <= cfg.maps <= MOST_MAPS:
        raise DeconvError(f"maps={cfg.maps} cannot be shown: choose 1 to {MOST_MAPS}")
    if cfg.images_measured < 1 or not len(data):
        raise DeconvError(
            f"images_measured={cfg.images_measured} of the {len(data)} in {cfg.split!r} of "
            f"{data_name(cfg)}: sparsity needs at least one"
        )
    for pair in shown_layers(cfg, net):
        receptive_field(net, pair.measured, 0, 0, (net.input_px,) * 2)


def check_images(cfg: DictConfig, snapshot: Snapshot | None, net: ChainNet, data: Squares) -> None:
    """Raise DeconvError for images that do not exist or cannot be read, and for too many."""
    if not isinstance(cfg.images, ListConfig):
        raise DeconvError(f"images takes a list of paths or numbers such as [3,17]: {cfg.images}")
    count = len(cfg.images) or cfg.count
    if not 1 <= count <= min(MOST_IMAGES, max(1, len(data))):
        raise DeconvError(
            f"{count} images on one page: choose 1 to {MOST_IMAGES}, and no more than the "
            f"{len(data)} in {cfg.split!r} of {data_name(cfg)}"
        )
    if cfg.images:
        blank = Snapshot({}, {}, torch.zeros(data[0][0].shape), list(data.classes))
        choose_images(cfg, snapshot or blank, net, data, count)


def shown_layers(cfg: DictConfig, net: ChainNet) -> list[MapPoints]:
    """The layers that cfg names, in its order, or some convolutions spread evenly over depth.

    Raises DeconvError for one that does not exist or is named twice.
    """
    if not isinstance(cfg.layers, ListConfig):
        raise DeconvError(f"layers takes a list such as [conv1,conv5] or [20,40]: {cfg.layers}")
    if cfg.layers:
        pairs = [map_points(net, layer) for layer in cfg.layers]
    else:
        modules = dict(getattr(net, "module", net).named_modules())
        maps = [name for name in net.layers if isinstance(modules.get(name), torch.nn.Conv2d)]
        maps = maps or list(net.layers)
        at = np.linspace(0, len(maps) - 1, min(SHOWN_LAYERS, len(maps))).round().astype(int)
        pairs = [map_points(net, maps[i]) for i in at]
    names = [pair.layer for pair in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DeconvError(f"layers names {', '.join(twice)} twice")
    return pairs


# Computing


def compute(
    cfg: DictConfig, folder: Path, snapshot: Snapshot, net: ChainNet, data: Squares
) -> None:
    """Everything that the figure shows, saved to `folder`."""
    started = time.perf_counter()
    images = choose(cfg, snapshot, net, data)
    pairs, measured = shown_layers(cfg, net), measured_layers(cfg, net)
    crops = CentreCrops(data, snapshot.mean, net.input_px)
    first = Subset(crops, range(min(cfg.images_measured, len(crops))))
    log(f"measuring {len(measured)} layers of {net.name} over {len(first)} images")
    loader = DataLoader(Share(first, BATCH), batch_size=BATCH, num_workers=workers(cfg))
    counted = map_statistics(net, loader, dict.fromkeys(pair.measured for pair in measured))
    if distributed.rank() > 0:
        return
    arrays, units = {}, []
    for i, image in enumerate(images):
        arrays[f"{i}/picture"] = image.picture().permute(1, 2, 0).numpy()
        for pair, part in one_image(cfg, net, image, pairs).items():
            arrays |= {f"{i}/{pair}/{name}": array for name, array in part.items()}
            units += unit_rows(i, image, pair, part)
    rows = [layer_row(net, pair, counted[pair.measured]) for pair in measured]
    np.savez_compressed(folder / "arrays.npz", **arrays)
    write_table(folder / "table.csv", rows)
    write_table(folder / "units.csv", units)
    facts = {
        "figure": "feature maps (not in the paper)",
        "choices": choices(cfg, net, snapshot.mean),
        "training": training_facts(snapshot, cfg.snapshot),
        "data": data_facts(cfg, cfg.split, data) | {"images_measured": len(first)},
        "images": [{"name": one.name, "image": one.index} for one in images],
        "layers": [
            {"layer": p.layer, "z": p.z, "a": p.a, "title": title_of(net, p)} for p in pairs
        ],
        "measured": rows,
        "depth": depth_trend(rows),
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_provenance(folder, net, facts)


def choose(cfg: DictConfig, snapshot: Snapshot, net: ChainNet, data: Squares) -> list[ChosenImage]:
    """The images to show; without only_right, any of the split in an order of the seed."""
    if not cfg.images and not cfg.only_right:
        numbers = np.random.default_rng(cfg.seed).permutation(len(data))[: cfg.count].tolist()
        cfg = OmegaConf.merge(cfg, {"images": numbers})
    return choose_images(cfg, snapshot, net, data, cfg.count)


def measured_layers(cfg: DictConfig, net: ChainNet) -> list[MapPoints]:
    """Every layer with weights that an activation function follows, and those shown; one pair a
    measured point, since the branches of a sum share theirs; in running order."""
    shown = shown_layers(cfg, net)
    every = [pair for name in net.layers if (pair := map_points(net, name)).a is not None]
    by_point: dict[str, MapPoints] = {}
    for pair in shown + every:
        by_point.setdefault(pair.measured, pair)
    order = {point: i for i, point in enumerate(net.points)}
    return sorted(by_point.values(), key=lambda pair: order[pair.measured])


def one_image(
    cfg: DictConfig, net: ChainNet, image: ChosenImage, pairs: list[MapPoints]
) -> dict[str, dict[str, np.ndarray]]:
    """Layer -> maps (M numbers), z and a (M×h×w, where there are), value, y, x (M) and box (M×4)
    of each map's strongest unit."""
    asked = {point for pair in pairs for point in (pair.z, pair.a) if point}
    given = image.input[None].to(net.device)
    seen = net.record(given, sorted(asked), logits=False).activations
    out = {}
    for pair in pairs:
        values = as_maps(seen[pair.measured])
        peaks = strongest(values, 0, pair.measured)
        maps = ordered_maps(values[0], cfg.maps, cfg.order)
        at = {name: getattr(peaks, name)[:, 0].cpu()[maps] for name in ("value", "y", "x")}
        boxes = [
            receptive_field(net, pair.measured, y, x, (net.input_px,) * 2)
            for y, x in zip(at["y"].tolist(), at["x"].tolist(), strict=True)
        ]
        part = {"maps": maps.numpy(), "box": np.array(boxes)}
        part |= {name: one.numpy() for name, one in at.items()}
        for name, point in (("z", pair.z), ("a", pair.a)):
            if point:
                part[name] = as_maps(seen[point])[0].cpu()[maps].numpy()
        out[pair.layer] = part
    return out


def as_maps(values: torch.Tensor) -> torch.Tensor:
    """N×C×h×w; fully connected values N×C become maps of one position."""
    return values if values.dim() == 4 else values[:, :, None, None]


def title_of(net: ChainNet, pair: MapPoints) -> str:
    """A layer's name, before it its number where that is no part of it."""
    if pair.layer in net.layers and hasattr(net, "module"):
        return f"{net.layers.index(pair.layer) + 1}: {pair.layer}"
    return pair.layer


def choices(cfg: DictConfig, net: ChainNet, mean: torch.Tensor) -> dict[str, str]:
    """What was decided, for the sidecar."""
    return {
        "maps": "the largest maximum of a on the image first" if cfg.order == "active"
        else "the first by number",
        "scale": "each map its own, z and a apart" if cfg.scale == "map"
        else "one for all maps shown of a layer and image, z and a apart",
        "order": cfg.order,
        "scale_of": cfg.scale,
        "z": "what the first activation function behind the layer takes in",
        "dead": "never above 0 in the images measured",
        "saturated": "above 0 at every position of every image measured",
        "preprocessing": preprocessing(net, mean),
    }  # fmt: skip


if __name__ == "__main__":
    main()
