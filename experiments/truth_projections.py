"""Where projections lie, scored against the known boxes of the built-in scenes.

    python -m experiments.truth_projections snapshot=<run>/last.pt data=scenes
    python -m experiments.truth_projections redraw=outputs/truth_projections/<folder>

The paper had no such measure: it shows patches beside projections. Of each projection of a map's
strongest units the share of energy (sum of squares) inside the box of the object, and inside the
boxes of the part that the map prefers, is set against
(a) the strongest unit of a random other map of the layer on the same image, projected,
(b) the same network untrained, its own strongest units and preferred parts,
(c) the share of the receptive field that the boxes cover: chance.
The preferred part is decided on the even images of the split, everything is scored on the odd
ones, with the strongest units of each half.

Writes figure.png and figure.pdf, arrays.npz (scores, and the pictures that are drawn), table.csv
(a row a map), summary.csv (a row a layer), findings.json, config.yaml and provenance.json.
"""

from __future__ import annotations

import functools
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig
from torch.utils.data import DataLoader, Subset

from deconv import distributed, figures
from deconv.bootstrap import LEVEL, bootstrap, bootstrap_difference
from deconv.data import SPLITS, CentreCrops, Scenes, Squares
from deconv.errors import DeconvError, unknown
from deconv.layers import COLLISIONS
from deconv.localisation import (
    CHANCE,
    OWN,
    RANDOM,
    Truth,
    in_crop,
    locate_peaks,
    preferred_part,
    score,
    truth_of,
)
from deconv.models import ChainNet, build
from deconv.projection import project
from deconv.snapshots import Snapshot
from deconv.top_activations import CHUNK, top_activations
from deconv.types import Peaks
from experiments.command import experiment
from experiments.common import (
    build_network,
    device,
    given,
    log,
    squares,
    stored_side_px,
    workers,
)
from experiments.facts import (
    data_facts,
    deconvnet_choices,
    describe_network,
    layer_title,
    training_facts,
)
from experiments.findings import Finding, write_findings
from experiments.provenance import write_provenance, write_table
from experiments.redrawing import redraw
from experiments.trained import train_network

STEM = "truth_projections"
TRAINED, UNTRAINED = "trained", "untrained"
WHAT = ("object", "part")
SHOWN_PEAKS = 3
"""Peaks of an example map that are drawn."""


@experiment(STEM)
def main(cfg: DictConfig, folder: Path) -> None:
    """Mine, project, score, save, draw; or draw again what an earlier run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    snapshot = given(cfg)
    check(cfg, snapshot)
    data = squares(cfg, cfg.split, stored_side_px(cfg, snapshot))
    if len(data) < 2 * cfg.k:
        raise DeconvError(
            f"{cfg.split!r} has {len(data)} scenes; two halves with k={cfg.k} peaks a map need "
            f"{2 * cfg.k} or more"
        )
    if snapshot is None:
        log("no snapshot given: training one first")
        snapshot = train_network(cfg, folder)
    if distributed.rank() == 0:
        compute(cfg, folder, snapshot, data)
        draw(folder, folder)


def check(cfg: DictConfig, snapshot: Snapshot | None) -> None:
    """Raise DeconvError for what cannot be computed, before anything long."""
    if cfg.data.name != "scenes":
        raise DeconvError(
            f"the boxes of {cfg.data.name} are not known, only those of the built-in scenes: "
            "data=scenes"
        )
    net = snapshot.network() if snapshot else build_network(cfg, 2)
    if not isinstance(cfg.layers, ListConfig) or not cfg.layers:
        raise DeconvError(f"layers takes a list such as [conv1,conv5], got {cfg.layers}")
    for layer in cfg.layers:
        net.check_point(layer)
    for name in ("maps", "k", "examples"):
        if cfg[name] < 1:
            raise DeconvError(f"{name}={cfg[name]} must be at least 1")
    if not 0 <= cfg.margin < 1:
        raise DeconvError(f"margin is a share of energy in 0…1, got {cfg.margin}")
    if cfg.split not in SPLITS:
        raise unknown("split", cfg.split, SPLITS)
    if cfg.collisions not in COLLISIONS:
        raise unknown("collision policy", cfg.collisions, COLLISIONS)


def compute(cfg: DictConfig, folder: Path, snapshot: Snapshot, data: Squares) -> None:
    """Score both networks, save everything."""
    started = time.perf_counter()
    where = device(cfg)
    net = snapshot.network().to(where)
    recipe = {key: value for key, value in snapshot.recipe.items() if key != "weights"}
    untrained = build(**recipe | {"seed": cfg.seed}).to(where)
    crops = CentreCrops(data, snapshot.mean, net.input_px)
    scenes = Scenes(len(data), cfg.data[f"{cfg.split}_seed"], snapshot.mean.shape[-1])
    if scenes.fingerprint() != data.fingerprint():
        raise DeconvError("the scenes with boxes are not those that were mined")
    truth = functools.cache(lambda i: truth_of(scenes.scene(i), net.input_px))
    arrays: dict[str, np.ndarray] = {}
    for name, one in ((TRAINED, net), (UNTRAINED, untrained)):
        halves = [mine(cfg, one, crops, first) for first in (0, 1)]
        for layer in cfg.layers:
            log(f"{name}: projecting units of {layer}")
            maps = choose_maps(cfg, [half[layer] for half in halves], layer)
            chosen = [pick(half[layer], maps) for half in halves]
            scores = scores_of(cfg, one, crops, truth, layer, maps, chosen)
            arrays |= {f"{name}/{layer}/{key}": values for key, values in scores.items()}
            if name == TRAINED and layer == cfg.layers[-1]:
                arrays |= examples(cfg, one, crops, scenes, layer, scores, maps, chosen[1])
    summary = summarise(arrays, list(cfg.layers), cfg.seed)
    for row in summary:
        for group in GROUPS:
            arrays[f"summary/{row['layer']}/{row['what']}/{group}"] = np.array(
                [row[group], row[f"{group}_low"], row[f"{group}_high"]]
            )
    np.savez_compressed(folder / "arrays.npz", **arrays)
    write_table(folder / "table.csv", table(arrays, list(cfg.layers)))
    write_table(folder / "summary.csv", summary)
    write_findings(folder, findings(summary, cfg.layers[-1], cfg.margin))
    write_provenance(folder, net, facts(cfg, net, snapshot, data, started))


def mine(cfg: DictConfig, net: ChainNet, crops: CentreCrops, first: int) -> dict[str, Peaks]:
    """The strongest units over every second image from `first` on; images by their own number."""
    loader = DataLoader(
        Subset(crops, range(first, len(crops), 2)), batch_size=CHUNK, num_workers=workers(cfg)
    )
    found = top_activations(net, loader, list(cfg.layers), k=cfg.k)
    return {
        layer: Peaks(p.value, torch.where(p.image < 0, p.image, 2 * p.image + first), p.y, p.x)
        for layer, p in found.items()
    }


def choose_maps(cfg: DictConfig, halves: Sequence[Peaks], layer: str) -> torch.Tensor:
    """A seeded choice among the maps whose k strongest units are live in both halves."""
    live = torch.stack([(half.value > 0).all(dim=1) for half in halves]).all(dim=0)
    numbers = live.nonzero().flatten()
    if len(numbers) < 2:
        raise DeconvError(
            f"{layer} has {len(numbers)} maps with {cfg.k} live units in each half of the images: "
            "train longer, take more images or a smaller k"
        )
    random = np.random.default_rng((cfg.seed, *layer.encode()))
    return numbers[np.sort(random.permutation(len(numbers))[: cfg.maps])]


def pick(peaks: Peaks, maps: torch.Tensor) -> Peaks:
    """The peaks of some maps."""
    return Peaks(*(values[maps] for values in vars(peaks).values()))


def scores_of(
    cfg: DictConfig,
    net: ChainNet,
    crops: CentreCrops,
    truth: Callable[[int], Truth],
    layer: str,
    maps: torch.Tensor,
    halves: Sequence[Peaks],
) -> dict[str, np.ndarray]:
    """`score` of the second half with the parts that the first half chose ("" for none)."""
    deciding, _ = locate_peaks(net, crops, truth, layer, maps, halves[0], collisions=cfg.collisions)
    own, random = locate_peaks(
        net, crops, truth, layer, maps, halves[1], cfg.seed, collisions=cfg.collisions
    )
    parts = [preferred_part([one.parts for one in row]) for row in deciding]
    names = np.array([part or "" for part in parts])
    return score(own, random, parts) | {"maps": maps.numpy(), "parts": names}


GROUPS = (TRAINED, RANDOM, UNTRAINED, CHANCE)
"""What is compared: the map's own units, and the three baselines."""


def summarise(
    arrays: dict[str, np.ndarray], layers: Sequence[str], seed: int
) -> list[dict[str, Any]]:
    """A row a layer and a box: each group's mean and interval over maps, and the intervals of the
    differences between the trained network's own units and each baseline."""
    rows = []
    for layer in layers:
        for what in WHAT:
            per_map = {
                TRAINED: arrays[f"{TRAINED}/{layer}/{what}/{OWN}"],
                RANDOM: arrays[f"{TRAINED}/{layer}/{what}/{RANDOM}"],
                UNTRAINED: arrays[f"{UNTRAINED}/{layer}/{what}/{OWN}"],
                CHANCE: arrays[f"{TRAINED}/{layer}/{what}/{CHANCE}"],
            }
            per_map = {group: values[np.isfinite(values)] for group, values in per_map.items()}
            row: dict[str, Any] = {"layer": layer, "what": what, "maps": len(per_map[TRAINED])}
            for group, values in per_map.items():
                low, high = bootstrap(values, seed) if len(values) else (np.nan, np.nan)
                mean = values.mean() if len(values) else np.nan
                row |= {group: mean, f"{group}_low": low, f"{group}_high": high}
            for group in (RANDOM, UNTRAINED, CHANCE):
                low, high = difference(per_map[TRAINED], per_map[group], group, seed)
                row |= {f"above_{group}_low": low, f"above_{group}_high": high}
            rows.append({k: v if isinstance(v, str | int) else float(v) for k, v in row.items()})
    return rows


def difference(own: np.ndarray, other: np.ndarray, group: str, seed: int) -> tuple[float, float]:
    """The interval of own - other: map by map, but for the untrained network, whose maps are
    others."""
    if not len(own) or not len(other):
        return np.nan, np.nan
    if group == UNTRAINED:
        return bootstrap_difference(own, other, seed)
    return bootstrap(own - other, seed)


def findings(summary: Sequence[dict[str, Any]], layer: str, margin: float) -> list[Finding]:
    """Whether the energy of one layer lies in object and part, by the declared rule."""
    out = []
    for what in WHAT:
        row = next(r for r in summary if (r["layer"], r["what"]) == (layer, what))
        if not row["maps"]:
            continue
        lows = [row[f"above_{group}_low"] for group in (RANDOM, UNTRAINED, CHANCE)]
        half = " (the part chosen on the other half of the images)" if what == "part" else ""
        out.append(
            Finding(
                f"truth/{STEM}/{what}_energy",
                row[TRAINED],
                (row[f"{TRAINED}_high"] - row[f"{TRAINED}_low"]) / 2,
                bool(np.isfinite(lows).all() and min(lows) > margin),
                f"mean over {row['maps']} maps of {layer} of the share of a projection's energy in "
                f"the {what}'s box{half}, ± half the {100 * LEVEL:.0f} % bootstrap interval over "
                "maps; holds if it is above a random map's unit on the same image, an untrained "
                "network and the box's share of the receptive field, each by more than "
                f"{margin:g} at the lower end of the difference's interval",
                "of the energy",
            )
        )
    return out


def table(arrays: dict[str, np.ndarray], layers: Sequence[str]) -> list[dict[str, Any]]:
    """A row a map of each network."""
    rows = []
    for name in (TRAINED, UNTRAINED):
        for layer in layers:
            at = f"{name}/{layer}"
            columns = [f"{what}/{group}" for what in WHAT for group in (OWN, RANDOM, CHANCE)]
            for i, number in enumerate(arrays[f"{at}/maps"]):
                row = {"network": name, "layer": layer, "map": int(number)}
                row["preferred_part"] = str(arrays[f"{at}/parts"][i])
                shares = {c.replace("/", "_"): arrays[f"{at}/{c}"][i] for c in columns}
                rows.append(row | {key: round(float(v), 5) for key, v in shares.items()})
    return rows


def examples(
    cfg: DictConfig,
    net: ChainNet,
    crops: CentreCrops,
    scenes: Scenes,
    layer: str,
    scores: dict[str, np.ndarray],
    maps: torch.Tensor,
    peaks: Peaks,
) -> dict[str, np.ndarray]:
    """What is drawn of a random choice of maps: pictures, projections, boxes of their peaks.

    The boxes of the part are padded to one number with boxes of no area.
    """
    parts = scores["parts"]
    random = np.random.default_rng((cfg.seed, 2)).permutation(np.flatnonzero(parts != ""))
    rows = np.sort(random[: cfg.examples])
    ranks = min(SHOWN_PEAKS, cfg.k)
    pictures, painted, objects, boxes = [], [], [], []
    for row in rows.tolist():
        for rank in range(ranks):
            image, y, x = (int(f[row, rank]) for f in (peaks.image, peaks.y, peaks.x))
            batch = crops[image][0][None].to(next(net.parameters()).device)
            with torch.no_grad():
                record = net.record(batch, [layer], logits=False)
            unit = torch.tensor([[0, int(maps[row]), y, x]])
            painted.append(project(net, record, layer, unit, collisions=cfg.collisions)[0].cpu())
            pictures.append(crops.picture(image))
            scene = scenes.scene(image)
            clip = [in_crop(p.box, len(scene.image), net.input_px) for p in scene.parts
                    if p.name == parts[row]]  # fmt: skip
            objects.append(in_crop(scene.box, len(scene.image), net.input_px))
            boxes.append(clip)
    most = max(map(len, boxes), default=0)
    padded = np.zeros((len(boxes), max(most, 1), 4), int)
    for i, some in enumerate(boxes):
        padded[i, : len(some)] = np.array(some).reshape(-1, 4)
    shape = (len(rows), ranks)
    found = {
        "maps": maps.numpy()[rows],
        "parts": parts[rows],
        "energy": scores[f"part/{OWN}"][rows],
        "chance": scores[f"part/{CHANCE}"][rows],
        "picture": torch.stack(pictures).unflatten(0, shape).numpy(),
        "projection": torch.stack(painted).unflatten(0, shape).numpy(),
        "object_box": np.array(objects).reshape(*shape, 4),
        "part_boxes": padded.reshape(*shape, -1, 4),
    }
    return {f"examples/{name}": values for name, values in found.items()}


def facts(
    cfg: DictConfig, net: ChainNet, snapshot: Snapshot, data: Squares, started: float
) -> dict[str, Any]:
    """The sidecar."""
    return {
        "figure": "projections against known boxes",
        "choices": {
            "energy": "sum of squares over colours and pixels of the projection, unclipped",
            "peaks": f"k={cfg.k} strongest of each half of the images, at most one per image and "
            "map; even images decide the part, odd ones score",
            "maps": f"a random choice (seed {cfg.seed}) of {cfg.maps} a layer among those with "
            f"{cfg.k} live units in both halves",
            "preferred_part": "largest mean over the peaks of (share of the energy in the part's "
            "boxes - share of the receptive field in them); a peak without the part counts as 0",
            "random_map": "the strongest unit of a random other map that is not 0 on that image",
            "untrained": f"the same network with first weights of seed {cfg.seed}; its own peaks "
            "and preferred parts",
            "intervals": f"{100 * LEVEL:.0f} % bootstrap over maps, which share images",
            "margin": cfg.margin,
        }
        | deconvnet_choices(net, cfg.collisions),
        "training": training_facts(snapshot, cfg.snapshot),
        "data": data_facts(cfg, cfg.split, data),
        "layers": list(cfg.layers),
        "k": cfg.k,
        "seconds": round(time.perf_counter() - started, 1),
    }


SAVED = (
    "arrays.npz",
    "table.csv",
    "summary.csv",
    "findings.json",
    "provenance.json",
    "config.yaml",
)


def draw(source: Path, folder: Path) -> None:
    """Draw figure.png and figure.pdf into `folder` from the files of `source` alone."""
    arrays = np.load(source / "arrays.npz")
    told = json.loads((source / "provenance.json").read_text())
    panels = [
        figures.SharePanel(
            title,
            [layer_title(layer) for layer in told["layers"]],
            [
                {
                    TRAINED: arrays[f"{TRAINED}/{layer}/{what}/{OWN}"],
                    RANDOM: arrays[f"{TRAINED}/{layer}/{what}/{RANDOM}"],
                    UNTRAINED: arrays[f"{UNTRAINED}/{layer}/{what}/{OWN}"],
                    CHANCE: arrays[f"{TRAINED}/{layer}/{what}/{CHANCE}"],
                }
                for layer in told["layers"]
            ],
            [
                {group: arrays[f"summary/{layer}/{what}/{group}"] for group in GROUPS}
                for layer in told["layers"]
            ],
        )
        for what, title in (("object", "In the object's box"), ("part", "In the preferred part"))
    ]
    names = ("maps", "parts", "energy", "chance", "picture", "projection")
    names += ("object_box", "part_boxes")
    shown = figures.BoxedExamples(
        layer_title(told["layers"][-1]), *(arrays[f"examples/{name}"] for name in names)
    )
    figures.save(figures.localisation(panels, shown, caption(told)), folder)


def caption(told: dict[str, Any]) -> str:
    """The text under the figure."""
    data = told["data"]
    return (
        f"Share of a projection's energy (sum of squares) inside known boxes, over "
        f"{data['images']} built-in scenes ({data['split']}). A dot is a map, the mean over its "
        f"{told['k']} strongest units on odd images; the part that a map prefers was decided on "
        "even images. Random map: the strongest unit of another map of the layer on the same "
        "image. Untrained: the same network before training, with its own strongest units and "
        "preferred parts. Chance: the share of the receptive field that the boxes cover. Bars: "
        f"means with {100 * LEVEL:.0f} % bootstrap intervals over maps. Below: a random choice of "
        "maps, their strongest units on odd images; above the image, below the projection; thin "
        "box the object, thick boxes the preferred part. "
        f"{describe_network(told)}"
    )


if __name__ == "__main__":
    main()
