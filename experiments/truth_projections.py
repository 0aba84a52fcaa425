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
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig
from torch.utils.data import DataLoader, Subset

from deconv import distributed
from deconv.data import SPLITS, CentreCrops, Squares
from deconv.errors import DeconvError, unknown
from deconv.mining.top_activations import CHUNK, top_activations
from deconv.networks import ChainNet, build
from deconv.pooling import COLLISIONS
from deconv.records import Peaks
from deconv.scenes import Scenes
from deconv.studies.bootstrap import LEVEL
from deconv.studies.localisation import Truth, locate_peaks, preferred_part, score, truth_of
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
from experiments.localisation_examples import example_arrays
from experiments.localisation_findings import (
    GROUPS,
    STEM,
    TRAINED,
    UNTRAINED,
    findings,
    map_rows,
    summarise,
)
from experiments.localisation_page import SAVED, draw


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
        describe_field(net, layer)  # refuses one that is not known, which would come after mining
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
                arrays |= example_arrays(cfg, one, crops, scenes, layer, scores, maps, chosen[1])
    summary = summarise(arrays, list(cfg.layers), cfg.seed)
    for row in summary:
        for group in GROUPS:
            arrays[f"summary/{row['layer']}/{row['what']}/{group}"] = np.array(
                [row[group], row[f"{group}_low"], row[f"{group}_high"]]
            )
    np.savez_compressed(folder / "arrays.npz", **arrays)
    write_table(folder / "table.csv", map_rows(arrays, list(cfg.layers)))
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
        | deconvnet_choices(net, cfg.collisions, snapshot.mean, list(cfg.layers)),
        "training": training_facts(snapshot, cfg.snapshot),
        "data": data_facts(cfg, cfg.split, data),
        "layers": list(cfg.layers),
        "k": cfg.k,
        "seconds": round(time.perf_counter() - started, 1),
    }


if __name__ == "__main__":
    main()
