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

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig, OmegaConf
from scipy.stats import spearmanr
from torch.utils.data import DataLoader, Subset

from deconv import distributed, figures
from deconv.data import SPLITS, CentreCrops, Squares
from deconv.distributed import Share
from deconv.errors import DeconvError, unknown
from deconv.geometry import field_or_image
from deconv.map_statistics import (
    ORDERS,
    MapPoints,
    MapStatistics,
    map_points,
    map_statistics,
    ordered_maps,
)
from deconv.models import ChainNet
from deconv.snapshots import Snapshot
from deconv.top_activations import strongest
from experiments.chosen_images import ChosenImage, choose_images
from experiments.command import experiment
from experiments.common import (
    build_network,
    data_name,
    device,
    given,
    log,
    squares,
    stored_side_px,
    workers,
)
from experiments.facts import data_facts, describe_network, preprocessing, training_facts
from experiments.provenance import write_provenance, write_table
from experiments.redrawing import redraw
from experiments.trained import train_network

SCALES = ("map", "layer")
MOST_IMAGES, MOST_MAPS, SHOWN_LAYERS, BATCH = 6, 64, 5, 8
NOTHING = "no activation function follows"


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
        field_or_image(net, pair.measured, 0, 0, (net.input_px,) * 2)


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
    rows = [row_of(net, pair, counted[pair.measured]) for pair in measured]
    np.savez_compressed(folder / "arrays.npz", **arrays)
    write_table(folder / "table.csv", rows)
    write_table(folder / "units.csv", units)
    facts = {
        "figure": "feature maps (not in the paper)",
        "choices": choices(cfg, net),
        "training": training_facts(snapshot, cfg.snapshot),
        "data": data_facts(cfg, cfg.split, data) | {"images_measured": len(first)},
        "images": [{"name": one.name, "image": one.index} for one in images],
        "layers": [
            {"layer": p.layer, "z": p.z, "a": p.a, "title": title_of(net, p)} for p in pairs
        ],
        "measured": rows,
        "depth": trend(rows),
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
    given = image.input[None].to(next(net.parameters()).device)
    seen = net.record(given, sorted(asked), logits=False).activations
    out = {}
    for pair in pairs:
        values = as_maps(seen[pair.measured])
        peaks = strongest(values, 0, pair.measured)
        maps = ordered_maps(values[0], cfg.maps, cfg.order)
        at = {name: getattr(peaks, name)[:, 0].cpu()[maps] for name in ("value", "y", "x")}
        boxes = [
            field_or_image(net, pair.measured, y, x, (net.input_px,) * 2)
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


def unit_rows(
    number: int, image: ChosenImage, layer: str, part: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """A line for each map of one layer of one image."""
    rows = []
    for i, one in enumerate(part["maps"]):
        at = {name: part[name][i] for name in ("value", "y", "x")}
        box = dict(zip(("top", "left", "bottom", "right"), part["box"][i], strict=True))
        rows.append(
            {"shown": number + 1, "image": image.index, "name": image.name, "layer": layer,
             "number": i + 1, "map": one} | at | box
        )  # fmt: skip
    return rows


def row_of(net: ChainNet, pair: MapPoints, one: MapStatistics) -> dict[str, Any]:
    """A measured layer as a line of the table."""
    share = one.active_share.numpy()
    number = net.layers.index(pair.layer) + 1 if pair.layer in net.layers else None
    return {
        "layer": pair.layer,
        "number": number,
        "measured": pair.measured,
        "activated": pair.a is not None,
        "images": one.images,
        "maps": len(share),
        "share_above_0": float(share.mean()),
        "sparsity": float(1 - share.mean()),
        "share_above_0_p10": float(np.percentile(share, 10)),
        "share_above_0_p90": float(np.percentile(share, 90)),
        "dead": int(one.dead.sum()),
        "saturated": int(one.saturated.sum()),
        "largest": float(one.maximum.max()),
    }


def trend(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Whether sparsity rises with depth: Spearman's rank correlation over the activated layers."""
    shares = [row["sparsity"] for row in rows if row["activated"]]
    rule = "Spearman's rank correlation of sparsity with depth; one sign needs |rho| of 0.5 or more"
    rho = None
    if len(shares) > 2 and len(set(shares)) > 1:
        rho = round(float(spearmanr(range(len(shares)), shares).statistic), 3)
    ends = [shares[0], shares[-1]] if shares else None
    return {"layers": len(shares), "spearman": rho, "first_and_last": ends, "rule": rule}


def title_of(net: ChainNet, pair: MapPoints) -> str:
    """A layer's name, before it its number where that is no part of it."""
    if pair.layer in net.layers and hasattr(net, "module"):
        return f"{net.layers.index(pair.layer) + 1}: {pair.layer}"
    return pair.layer


def choices(cfg: DictConfig, net: ChainNet) -> dict[str, str]:
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
        "preprocessing": preprocessing(net),
    }  # fmt: skip


# Drawing


SAVED = ("arrays.npz", "table.csv", "units.csv", "provenance.json", "config.yaml")


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    arrays = np.load(source / "arrays.npz")
    facts = json.loads((source / "provenance.json").read_text())
    images = []
    for i, image in enumerate(facts["images"]):
        rows = [
            map_row(arrays, i, layer, facts["choices"]["scale_of"]) for layer in facts["layers"]
        ]
        number = "" if image["image"] is None else f", image {image['image']}"
        images.append(figures.MappedImage(f"{image['name']}{number}", arrays[f"{i}/picture"], rows))
    figures.save(figures.feature_maps(images, sparsity(facts), caption(facts)), folder)


def map_row(arrays: Any, image: int, layer: dict[str, Any], scale: str) -> figures.LayerMaps:
    """One layer of one image, as the figure takes it."""
    part = {
        name: arrays[key] if (key := f"{image}/{layer['layer']}/{name}") in arrays else None
        for name in ("maps", "z", "a", "box", "y", "x")
    }
    scales = {name: scales_of(part[name], len(part["maps"]), scale) for name in ("z", "a")}
    shape = (part["z"] if part["a"] is None else part["a"]).shape[1:]
    words = [f"{shape[0]}×{shape[1]} positions"]
    if scale == "layer":
        words += [f"{n} to {scales[n][0]:.3g}" for n in "za" if part[n] is not None]
    a_name = f"a: {layer['a']}" if layer["a"] else f"a: none, {NOTHING}"
    return figures.LayerMaps(
        layer["title"], ", ".join(words), part["z"], part["a"],
        f"z: {layer['z']}" if layer["z"] else "z: none", a_name, part["maps"],
        np.stack([part["y"], part["x"]], 1), part["box"], scales["z"], scales["a"],
    )  # fmt: skip


def scales_of(maps: np.ndarray | None, count: int, scale: str) -> np.ndarray:
    """The largest absolute value of each map, or for each that of all; 1 where all is 0."""
    if maps is None:
        return np.ones(count)
    largest = np.abs(maps).reshape(len(maps), -1).max(1)
    if scale == "layer":
        largest = np.full(count, largest.max())
    return np.where(largest > 0, largest, 1.0)


def sparsity(facts: dict[str, Any]) -> figures.SparsityPanel:
    """The panel below the maps: layers with an activation function."""
    rows = [row for row in facts["measured"] if row["activated"]] or facts["measured"]
    shown = {layer["a"] or layer["z"] for layer in facts["layers"]}
    few = len(rows) <= 10
    maps = np.array([row["maps"] for row in rows])
    columns = ("share_above_0_p10", "share_above_0", "share_above_0_p90")
    return figures.SparsityPanel(
        np.arange(1, len(rows) + 1),
        [row["layer"] for row in rows],
        np.array([few or row["measured"] in shown for row in rows]),
        np.array([[row[name] for name in columns] for row in rows]),
        np.array([row["dead"] for row in rows]) / maps,
        np.array([row["saturated"] for row in rows]) / maps,
    )


def caption(facts: dict[str, Any]) -> str:
    """The text under the figure."""
    data, depth, chosen = facts["data"], facts["depth"], facts["choices"]
    maps = (
        "the maps with the largest maximum on the image, largest first"
        if chosen["order"] == "active"
        else "the first maps by number"
    )
    scale = (
        "every map has its own scale, ± its largest absolute value"
        if chosen["scale_of"] == "map"
        else "all maps shown of a layer share one scale, printed at the right"
    )
    return (
        f"For each layer {maps}: z, which the activation function behind the layer takes in, and "
        "a, which it gives. White is 0, warm above, blue below; "
        f"{scale}, z and a apart. A circle marks a map's strongest unit (of a, or of z where there "
        "is no a); on the image is that unit's exact receptive field, clipped, with the number of "
        "its map, several where maps share a box. Below: values above 0, and maps that are dead "
        "or saturated, in every layer with an activation function, in order of depth, over the "
        f"first {data['images_measured']} images of {data['name']} ({data['split']}). "
        f"{depth_words(depth)} {network_words(facts)}"
    )


def network_words(facts: dict[str, Any]) -> str:
    """The sentence about the network; of one made elsewhere, only where its weights come from."""
    training = facts["training"]
    if training["images"] is None:
        return f"Network: {facts['model']['name']}, {training['data']}."
    return describe_network(facts)


def depth_words(depth: dict[str, Any]) -> str:
    """Whether sparsity rises with depth, by the rule of `trend`."""
    if depth["spearman"] is None:
        return "Too few layers to say whether sparsity rises with depth."
    rho = depth["spearman"]
    verb = "rises" if rho >= 0.5 else "falls" if rho <= -0.5 else "neither rises nor falls"
    first, last = (f"{100 * share:.0f} %" for share in depth["first_and_last"])
    return (
        f"Sparsity (the share of values not above 0) {verb} with depth (Spearman's ρ {rho:+.2f} "
        f"over {depth['layers']} layers; {first} in the first, {last} in the last)."
    )


if __name__ == "__main__":
    main()
