"""Figure 4: the strongest activation of random maps of each layer, from snapshot to snapshot.

    python -m experiments.fig4_feature_evolution run=<folder of a training> data=imagenet
    python -m experiments.fig4_feature_evolution run=<folder> data=caltech101 'epochs=[0,1,10,50]'
    python -m experiments.fig4_feature_evolution redraw=outputs/fig4_feature_evolution/<folder>

Paper: a random subset of maps of each layer at epochs 1, 2, 5, 10, 20, 30, 40, 64; of each map
the strongest activation over all training examples, projected, its colour contrast enhanced.
Lower layers settle within a few epochs, upper ones after 40-50. Not stated there: which maps,
which crops of the images, how the contrast is enhanced, when a layer counts as settled. Here: a
seeded choice among the maps alive at the last snapshot, centre crops, the exact receptive field,
one symmetric scale a picture, and turnover: the share of a map's nine strongest images that were
not among its nine at the snapshot before.

Writes figure.png and figure.pdf, animation.gif, arrays.npz (what is drawn, and all peaks),
table.csv (a row a map and epoch), turnover.csv (a row a layer and epoch), findings.json,
config.yaml and provenance.json.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig
from torch.utils.data import DataLoader

from deconv import distributed
from deconv.data import CentreCrops, Squares
from deconv.distributed import Share
from deconv.errors import DeconvError, unknown
from deconv.mining.top_activations import CHUNK, top_activations
from deconv.networks import ChainNet, build
from deconv.pooling import COLLISIONS
from deconv.records import Peaks
from deconv.studies.evolution import evolution
from deconv.training import PAPER_EPOCHS
from deconv.training.course import epoch_ends, same_training
from deconv.training.snapshots import Snapshot, load_snapshot
from experiments.evolution_page import SAVED, draw
from experiments.evolution_pictures import project_course
from experiments.evolution_tables import save_numbers
from experiments.kit.command import experiment
from experiments.kit.facts import data_facts, deconvnet_choices, describe_field
from experiments.kit.inputs import build_network, data_name, device, log, squares, workers
from experiments.kit.provenance import write_provenance
from experiments.kit.redrawing import redraw
from experiments.kit.training import train_network

K = 9
"""Peaks of a map that turnover compares: as many as Figure 2 shows."""


@experiment("fig4_feature_evolution")
def main(cfg: DictConfig, folder: Path) -> None:
    """Mine every snapshot, project, save, draw; or draw again what an earlier run saved."""
    if cfg.redraw:
        redraw(cfg.redraw, folder, SAVED, draw)
        return
    if not cfg.run:
        train_first(cfg, folder)
    run = Path(cfg.run or folder)
    ends = epoch_ends(run)
    paths = {epoch: ends[epoch] for epoch in choose_epochs(cfg.epochs, ends, f"{run} has")}
    compute(cfg, folder, paths, same_training(paths))
    if distributed.rank() == 0:
        draw(folder, folder)


def train_first(cfg: DictConfig, folder: Path) -> None:
    """Train cfg.model in `folder`, if what is asked for will be there afterwards."""
    if cfg.size_name == "paper":
        raise DeconvError(
            "size=paper needs a training: run python -m experiments.train size=paper first, then "
            "name its folder: run=<folder>"
        )
    check(cfg, build_network(cfg, 2))
    last = cfg.train.epochs
    kept = {0, *cfg.train.snapshot_epochs, *range(last - cfg.train.keep_last + 1, last + 1)}
    kept = {epoch for epoch in kept if 0 <= epoch <= last}
    choose_epochs(cfg.epochs, kept, "this training will keep")
    log("no run given: training one first")
    train_network(cfg, folder)
    distributed.from_first(None)  # until process 0 has written the last snapshot


def choose_epochs(asked: Any, there: Collection[int], holder: str) -> list[int]:
    """The epochs to show: those asked for, else the paper's that are there, and the last one.

    holder: words for a message. Raises DeconvError for an epoch that is not there, naming those
    that are, and for fewer than two.
    """
    listed = ", ".join(map(str, sorted(there)))
    if not isinstance(asked, ListConfig) or not all(type(epoch) is int for epoch in asked):
        raise DeconvError(f"epochs takes a list of whole numbers such as [1,10], got {asked}")
    if missing := sorted(set(asked) - set(there)):
        raise DeconvError(
            f"no snapshot at the end of epoch {', '.join(map(str, missing))}: {holder} those of "
            f"epochs {listed}"
        )
    last = max(there)
    usual = {*PAPER_EPOCHS, last} if last < max(PAPER_EPOCHS) else set(PAPER_EPOCHS)
    epochs = sorted(set(asked) or usual & set(there))
    if len(epochs) < 2:
        raise DeconvError(
            f"Figure 4 compares snapshots and needs two or more, got epochs {epochs}; {holder} "
            f"those of epochs {listed}: choose with epochs=[…]"
        )
    return epochs


def check(cfg: DictConfig, net: ChainNet) -> None:
    """Raise DeconvError for a layer, a count or a policy that does not fit `net`."""
    if not isinstance(cfg.layers, ListConfig) or not cfg.layers:
        raise DeconvError(f"layers takes a list such as [conv1,conv5], got {cfg.layers}")
    for layer in cfg.layers:
        net.check_point(layer)
    image = torch.zeros(1, 3, net.input_px, net.input_px)
    for layer, values in net.record(image, list(cfg.layers), logits=False).activations.items():
        if not 1 <= cfg.maps <= values.shape[1]:
            raise DeconvError(
                f"{layer} has {values.shape[1]} maps: maps={cfg.maps} cannot be shown"
            )
    if not 0 < cfg.threshold <= 1:
        raise DeconvError(f"threshold is a share above 0 and at most 1, got {cfg.threshold}")
    if cfg.collisions not in COLLISIONS:
        raise unknown("collision policy", cfg.collisions, COLLISIONS)


def compute(cfg: DictConfig, folder: Path, paths: dict[int, Path], training: Snapshot) -> None:
    """Mine the training images at every snapshot, project what is to be shown, save it all."""
    started = time.perf_counter()
    net = build(**training.recipe)
    check(cfg, net)
    data = squares(cfg, "train", training.mean.shape[-1])
    crops = CentreCrops(data, training.mean, net.input_px)
    about = describe_data(cfg, data, training)
    del net
    course = [mine(cfg, path, crops) for path in paths.values()]
    if distributed.rank() > 0:
        return
    changes = {
        layer: evolution([peaks[layer] for peaks in course], cfg.threshold) for layer in cfg.layers
    }
    maps = {
        layer: choose_maps(of.strongest[-1] >= 0, cfg.maps, cfg.seed, layer)
        for layer, of in changes.items()
    }
    net, arrays, steps = project_course(cfg, paths, crops, course, maps)
    save_numbers(folder, arrays, list(paths), course, maps, changes)
    facts = choices(cfg, training, net) | {
        "data": about,
        "snapshots": steps,
        "panels": {layer: describe_field(net, layer) for layer in cfg.layers},
        "threshold": cfg.threshold,
        "seconds": round(time.perf_counter() - started, 1),
    }
    write_provenance(folder, net, facts)


def describe_data(cfg: DictConfig, data: Squares, training: Snapshot) -> dict[str, Any]:
    """What is mined, for the sidecar; a note if the network was trained on other images."""
    same = data.fingerprint() == training.config.get("data_fingerprint")
    if not same:
        log(
            f"note: {data_name(cfg)} as set here is not what the run was trained on, so the "
            "figure does not show the strongest of its training images"
        )
    return data_facts(cfg, "train", data) | {"as_trained_on": same}


def mine(cfg: DictConfig, path: Path, crops: CentreCrops) -> dict[str, Peaks]:
    """The peaks of one snapshot's network over all training images."""
    net = load_snapshot(path, cfg.model.name).network().to(device(cfg))
    log(f"mining {len(cfg.layers)} layers of {path.name} over {len(crops)} training images")
    loader = DataLoader(Share(crops, CHUNK), batch_size=CHUNK, num_workers=workers(cfg))
    try:
        return top_activations(net, loader, cfg.layers, k=K)
    except DeconvError as error:
        raise DeconvError(f"{path}: {error}") from error


def choose_maps(live: torch.Tensor, count: int, seed: int, layer: str) -> torch.Tensor:
    """A seeded random choice of `count` maps among the live ones, in order of number.

    live: C bool. Where fewer are alive, dead ones fill up.
    """
    order = np.random.default_rng((seed, *layer.encode())).permutation(len(live))
    order = order[np.argsort(~live.numpy()[order], kind="stable")]
    return torch.from_numpy(np.sort(order[:count]))


def choices(cfg: DictConfig, training: Snapshot, net: ChainNet) -> dict[str, Any]:
    """What the paper leaves open and how it was decided, for the sidecar."""
    return {
        "figure": "4",
        "choices": {
            "maps": f"a random subset (seed {cfg.seed}) of those alive at the last snapshot",
            "peaks": "of all training images as centre crops; read after ReLU, before pooling",
            "turnover": f"share of a map's {K} strongest images (at most one peak an image, above "
            "0) that were not among them at the snapshot before, mean over the live maps",
            "settled": f"at the first snapshot after which turnover stays below {cfg.threshold:g}",
            "jumped": "the strongest image is not that of the snapshot before",
        }
        | deconvnet_choices(net, cfg.collisions, training.mean, list(cfg.layers)),
        "training": {
            "run": cfg.run or None,
            "data": training.config.get("data"),
            "images": training.config.get("training_images"),
            "classes": len(training.classes),
            "data_fingerprint": training.config.get("data_fingerprint"),
        },
    }


if __name__ == "__main__":
    main()
