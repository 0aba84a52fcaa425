"""Sanity checks: does a deconvnet picture depend on what it claims to show?

    python -m experiments.sanity snapshot=<run>/last.pt
    python -m experiments.sanity model=torchvision/resnet18 model.weights=random \
        'layers=[layer1,layer3]' data=scenes
    python -m experiments.sanity redraw=outputs/sanity/<folder>

Not in the paper. For the strongest units of some maps: the picture again with random weights, from
the unit's layer down or in one layer (Adebayo et al. 2018), with another unit in its place
(Mahendran & Vedaldi 2016), other switches, another rule of the way down, another policy for shared
switches. How alike it stays is measured inside the receptive field by three numbers, beside the
likeness of two unrelated pictures. Last, the strongest images of maps over all classes against
those over a single class.

Writes figure.png and figure.pdf, summary.md (what may and may not be read into a picture, by
declared rules), table.csv (a row a layer, check, variant and number), arrays.npz (a row a unit),
findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import csv
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig
from torch.utils.data import DataLoader, Subset

from deconv import distributed, figures
from deconv.data import SPLITS, CentreCrops, Squares
from deconv.errors import DeconvError, unknown
from deconv.fields import receptive_field
from deconv.mining.top_activations import CHUNK, map_maxima
from deconv.networks import ChainNet
from deconv.pooling import COLLISIONS
from deconv.records import Peaks
from deconv.studies import sanity
from deconv.studies.bootstrap import LEVEL
from deconv.training.snapshots import Snapshot
from experiments.kit.command import experiment
from experiments.kit.facts import data_facts, deconvnet_choices, describe_field, training_facts
from experiments.kit.findings import write_findings
from experiments.kit.inputs import (
    build_network,
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
from experiments.sanity_findings import findings, summarise
from experiments.sanity_mining import mining
from experiments.sanity_page import caption, example, panels_of
from experiments.sanity_summary import summary_page

MOST_STOPS = 8


@experiment("sanity")
def main(cfg: DictConfig, folder: Path) -> None:
    """Mine, exchange, compare, save, draw; or draw again what an earlier run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    snapshot = given(cfg)
    check(cfg, snapshot)
    data = squares(cfg, cfg.split, stored_side_px(cfg, snapshot))
    pool = sanity.balanced(data.targets, cfg.per_class, cfg.seed)
    if snapshot is None:
        log("no snapshot given: training one first")
        snapshot = train_network(cfg, folder)
    if distributed.rank() == 0:
        compute(cfg, folder, snapshot, data, pool)
        draw(folder, folder)


def check(cfg: DictConfig, snapshot: Snapshot | None) -> None:
    """Raise DeconvError for what cannot be computed, before anything long."""
    net = snapshot.network() if snapshot else build_network(cfg, 2)
    if not isinstance(cfg.layers, ListConfig) or not cfg.layers:
        raise DeconvError(f"layers takes a list such as [conv2,conv5], got {cfg.layers}")
    names = [net.check_point(str(layer)) for layer in cfg.layers]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DeconvError(f"layers names {', '.join(twice)} twice")
    for name, least in (("units", 2), ("mining_maps", 2), ("per_class", 1), ("k", 1)):
        if cfg[name] < least:
            raise DeconvError(f"{name}={cfg[name]} must be at least {least}")
    if cfg.per_class < cfg.k:
        raise DeconvError(
            f"per_class={cfg.per_class}: mining over one class needs at least k={cfg.k} of its "
            "images"
        )
    if not 0 < cfg.little < cfg.much < 1:
        raise DeconvError(f"little={cfg.little} and much={cfg.much}: 0 < little < much < 1")
    if not 1 <= cfg.stops <= MOST_STOPS:
        raise DeconvError(f"stops={cfg.stops} cannot be shown: choose 1 to {MOST_STOPS}")
    if not 0 <= cfg.example < cfg.units:
        raise DeconvError(f"there is no unit {cfg.example}: example takes 0 to {cfg.units - 1}")
    if cfg.split not in SPLITS:
        raise unknown("split", cfg.split, SPLITS)
    if cfg.how not in sanity.WAYS:
        raise unknown("way to randomise", cfg.how, sanity.WAYS)
    if cfg.collisions not in COLLISIONS:
        raise unknown("collision policy", cfg.collisions, COLLISIONS)


def compute(
    cfg: DictConfig, folder: Path, snapshot: Snapshot, data: Squares, pool: list[int]
) -> None:
    """Everything that is shown and judged, saved to `folder`."""
    started = time.perf_counter()
    net = snapshot.network().to(device(cfg))
    layers = [net.check_point(str(layer)) for layer in cfg.layers]
    crops = CentreCrops(data, snapshot.mean, net.input_px)
    chosen = Subset(crops, pool)
    labels = np.array([data.targets[i] for i in pool])
    log(f"mining {len(layers)} layers of {net.name} over {len(pool)} images")
    loader = DataLoader(chosen, batch_size=CHUNK, num_workers=workers(cfg))
    maxima = map_maxima(net, loader, layers)
    stops = halts(cfg, net, layers)
    arrays: dict[str, np.ndarray] = {}
    for layer in layers:
        units = choose_units(cfg, maxima[layer], layer)
        log(f"{layer}: {len(units)} pictures with one thing exchanged at a time")
        arrays |= of_layer(cfg, net, chosen, labels, layer, units, stops)
        log(f"{layer}: strongest images of {cfg.mining_maps} maps by class")
        maps = units[: cfg.mining_maps, 1].sort().values
        arrays |= mining(cfg, net, crops, pool, labels, layer, maxima[layer], maps)
    last = layers[-1]
    shown = int(arrays[f"{last}/units"][cfg.example, 0])
    arrays["example/patch"] = crops.picture(pool[shown]).numpy()
    np.savez_compressed(folder / "arrays.npz", **arrays)
    rows = summarise(arrays, layers, cfg.seed)
    write_table(folder / "table.csv", rows)
    write_findings(folder, findings(arrays, rows, last, cfg.little, cfg.much, cfg.seed))
    told = facts(cfg, net, snapshot, data, pool, layers, stops)
    write_provenance(folder, net, told | {"seconds": round(time.perf_counter() - started, 1)})
    whole = json.loads((folder / "provenance.json").read_text())
    (folder / "summary.md").write_text(summary_page(rows, layers, whole))


def halts(cfg: DictConfig, net: ChainNet, layers: Sequence[str]) -> list[str]:
    """Where the randomisation of weights halts: layers spread over all that any unit sees."""
    below = {name for layer in layers for name in sanity.layers_below(net, layer)}
    return sanity.spread_evenly([name for name in net.layers if name in below], cfg.stops)


def choose_units(cfg: DictConfig, maxima: Peaks, layer: str) -> torch.Tensor:
    """K×4 (image of the pool, map, y, x): the strongest unit of a random choice of live maps."""
    live = (maxima.value.sort(dim=1, descending=True).values[:, : cfg.k] > 0).all(dim=1)
    numbers = live.nonzero().flatten()
    if len(numbers) < 2:
        raise DeconvError(
            f"{layer} has {len(numbers)} maps that are above 0 on {cfg.k} images: train longer, "
            "take more images or a smaller k"
        )
    random = np.random.default_rng((cfg.seed, *layer.encode()))
    maps = numbers[random.permutation(len(numbers))[: cfg.units]]
    at = maxima.value[maps].argmax(dim=1)
    rows = [field[maps, at] for field in (maxima.image, maxima.y, maxima.x)]
    return torch.stack([rows[0], maps, rows[1], rows[2]], dim=1)


def of_layer(
    cfg: DictConfig,
    net: ChainNet,
    chosen: Subset,
    labels: np.ndarray,
    layer: str,
    units: torch.Tensor,
    stops: Sequence[str],
) -> dict[str, np.ndarray]:
    """The scores of one layer's units for each variant, and the pictures of the example."""
    where = net.device
    random = np.random.default_rng((cfg.seed, *layer.encode(), 1))
    lenders = [
        int(random.choice(np.flatnonzero(labels != labels[image])))
        for image in units[:, 0].tolist()
    ]
    own, others = (
        torch.stack([chosen[i][0] for i in numbers]).to(where)
        for numbers in (units[:, 0].tolist(), lenders)
    )
    rows = units.clone()
    rows[:, 0] = torch.arange(len(units))
    boxes = [
        receptive_field(net, layer, y, x, (net.input_px,) * 2) for y, x in units[:, 2:].tolist()
    ]
    out = {f"{layer}/units": units.numpy(), f"{layer}/lenders": np.array(lenders)}
    original = None
    for one in sanity.variants(
        net, layer, own, others, rows, stops=stops, how=cfg.how, collisions=cfg.collisions,
        seed=cfg.seed,
    ):  # fmt: skip
        original = one.pictures if original is None else original
        at = f"{layer}/{one.check}/{one.name}"
        out[f"{at}/scores"] = sanity.scores(original, one.pictures, boxes, one.applies)
        same = (one.pictures == original).flatten(1).all(dim=1)
        blank = (one.pictures == 0).flatten(1).all(dim=1)
        out[f"{at}/equal"], out[f"{at}/blank"] = same.numpy(), blank.numpy()
        if layer == net.check_point(str(cfg.layers[-1])):
            i = min(cfg.example, len(units) - 1)
            out[f"{at}/example"] = sanity.cut(one.pictures[i], boxes[i])
            out["example/box"] = np.array(boxes[i])
    return out


def facts(
    cfg: DictConfig,
    net: ChainNet,
    snapshot: Snapshot,
    data: Squares,
    pool: list[int],
    layers: Sequence[str],
    stops: Sequence[str],
) -> dict[str, Any]:
    """The sidecar."""
    ways = {
        "permute": "each layer's weights, and its biases, in a random order",
        "init": "as before training, by the network's own initialiser",
    }
    return {
        "figure": "sanity checks (not in the paper)",
        "choices": deconvnet_choices(net, cfg.collisions, snapshot.mean, layers)
        | {
            "seed": "the unit is set to 1, so that its activation, which only scales the picture, "
            "does not count",
            "engine": "mirror where the way down is a chain, else vjp; guided and gradient by vjp",
            "random_weights": ways[cfg.how] + "; normalisation layers keep theirs",
            "units": f"the strongest unit over the images mined, of a random choice (seed "
            f"{cfg.seed}) of {cfg.units} maps above 0 on {cfg.k} images",
            "other_unit": "of a random map that is above 0 at the same position, or of one above 0 "
            "on the image at its own peak; compared in the first unit's receptive field",
            "other_image": "a random one of another class",
            "chance": "a random map's unit on another image, at the same position",
            "numbers": "rank: Spearman's correlation of absolute values; signed: Pearson's; ssim: "
            "of pictures at ± their 99th percentile, windows of 7 px; over all three colours, "
            "inside the receptive field; a blank picture has correlation 0",
            "kept": "(mean similarity - that of chance) / (1 - that of chance)",
            "mining": f"{cfg.per_class} images of each class that has as many; mean pictures of "
            f"the {cfg.k} strongest, each brought to one root mean square",
            "intervals": f"{100 * LEVEL:.0f} % bootstrap over units, which share images",
        },
        "little": cfg.little,
        "much": cfg.much,
        "training": training_facts(snapshot, cfg.snapshot),
        "data": data_facts(cfg, cfg.split, data)
        | {"mined": len(pool), "classes_mined": len(pool) // cfg.per_class},
        "layers": list(layers),
        "stops": list(stops),
        "fields": {layer: describe_field(net, layer) for layer in layers},
        "k": cfg.k,
        "units": cfg.units,
        "example": cfg.example,
    }


SAVED = (
    "arrays.npz",
    "table.csv",
    "summary.md",
    "findings.json",
    "provenance.json",
    "config.yaml",
)


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    arrays = np.load(source / "arrays.npz")
    told = json.loads((source / "provenance.json").read_text())
    with (source / "table.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    page = figures.sanity(*example(arrays, told), *panels_of(rows, told), caption(told))
    figures.save(page, folder)


if __name__ == "__main__":
    main()
