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
table.csv (a row a map and epoch), turnover.csv (a row a layer and epoch), config.yaml and
provenance.json.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig
from torch.utils.data import DataLoader

from deconv import distributed, figures
from deconv.data import CentreCrops, Squares
from deconv.distributed import Share
from deconv.errors import DeconvError, unknown
from deconv.evolution import Evolution, evolution
from deconv.geometry import unclipped_field
from deconv.layers import COLLISIONS
from deconv.models import ChainNet, build
from deconv.peak_views import peak_views
from deconv.snapshots import Snapshot, load_snapshot, weights_hash
from deconv.top_activations import CHUNK, top_activations
from deconv.training import PAPER_EPOCHS
from deconv.training.course import epoch_ends, same_training
from deconv.types import Peaks
from experiments.command import experiment
from experiments.common import build_network, data_name, device, log, squares, workers
from experiments.facts import (
    data_facts,
    deconvnet_choices,
    describe_field,
    layer_title,
    measure_collisions,
)
from experiments.provenance import write_provenance, write_table
from experiments.redrawing import redraw
from experiments.trained import train_network

K = 9
"""Peaks of a map that turnover compares: as many as Figure 2 shows."""

Course = list[dict[str, Peaks]]
"""What was mined at each snapshot: layer -> Peaks."""


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
    net, arrays, steps = project_all(cfg, paths, crops, course, maps)
    save(folder, arrays, list(paths), course, maps, changes)
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
    net = load_snapshot(path).network().to(device(cfg))
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


def project_all(
    cfg: DictConfig,
    paths: dict[int, Path],
    crops: CentreCrops,
    course: Course,
    maps: dict[str, torch.Tensor],
) -> tuple[ChainNet, dict[str, np.ndarray], list[dict[str, Any]]]:
    """The last network, <layer>/<field> of every PeakViews as M×T×…, facts about each snapshot."""
    columns: dict[str, list[dict[str, np.ndarray]]] = {layer: [] for layer in maps}
    net, steps = None, []
    for (epoch, path), peaks in zip(paths.items(), course, strict=True):
        net = None  # one network at a time
        snapshot = load_snapshot(path)
        net = snapshot.network().to(device(cfg))
        log(f"projecting the strongest units of {path.name}")
        for layer, chosen in maps.items():
            columns[layer].append(column(net, crops, layer, peaks[layer], chosen, cfg.collisions))
        facts = {"epoch": epoch, "file": path.name, "weights_sha256": weights_hash(net)}
        facts |= {"collision_rate": measure_collisions(net, crops), "metrics": snapshot.metrics}
        steps.append(facts)
    arrays = {
        f"{layer}/{name}": np.stack([part[name] for part in parts], axis=1)
        for layer, parts in columns.items()
        for name in parts[0]
    }
    return net, arrays, steps


def column(
    net: ChainNet, crops: CentreCrops, layer: str, peaks: Peaks, maps: torch.Tensor, policy: str
) -> dict[str, np.ndarray]:
    """One snapshot of M maps: M×… of every field of PeakViews, blank where a map is dead."""
    side = net.input_px
    top, left, bottom, right = unclipped_field(net, layer, 0, 0, (side, side))
    canvas, count = (bottom - top, right - left), len(maps)
    out = {
        "value": np.zeros(count, np.float32),
        **{name: np.full(count, -1) for name in ("image", "y", "x")},
        "box": np.zeros((count, 4), int),
        "offset": np.zeros((count, 2), int),
        "projection": np.zeros((count, 3, *canvas), np.float32),
        "patch": np.zeros((count, 3, *canvas), np.uint8),
        "inside": np.zeros((count, *canvas), bool),
    }
    strongest = Peaks(*(field[:, :1] for field in vars(peaks).values()))
    live = (strongest.value[maps, 0] > 0).nonzero().flatten()
    if len(live):
        views = peak_views(
            net, crops, layer, strongest, maps[live], crops.picture, collisions=policy
        )
        for name, values in out.items():
            values[live.numpy()] = getattr(views, name)[:, 0].numpy()
    return out


def save(
    folder: Path,
    pictures: dict[str, np.ndarray],
    epochs: list[int],
    course: Course,
    maps: dict[str, torch.Tensor],
    changes: dict[str, Evolution],
) -> None:
    """arrays.npz, table.csv and turnover.csv: the pictures, and the numbers of all maps."""
    arrays, rows, shares = pictures | {"epochs": np.array(epochs)}, [], []
    for layer, shown in maps.items():
        of, peaks = changes[layer], [at[layer] for at in course]
        arrays |= {
            f"{layer}/maps": shown.numpy(),
            f"{layer}/jumped": of.jumped[:, shown].T.numpy(),
            f"{layer}/turnover": np.array(of.turnover),
            f"{layer}/settled": np.array(-1 if of.settled is None else of.settled),
        }
        for name in ("value", "image", "y", "x"):
            every = [getattr(at, name).numpy() for at in peaks]
            arrays[f"{layer}/peaks/{name}"] = np.stack(every)
        rows += map_rows(layer, epochs, peaks, of, set(shown.tolist()))
        shares += layer_rows(layer, epochs, of)
    np.savez_compressed(folder / "arrays.npz", **arrays)
    write_table(folder / "table.csv", rows)
    write_table(folder / "turnover.csv", shares)


def map_rows(
    layer: str, epochs: list[int], course: list[Peaks], of: Evolution, shown: set[int]
) -> Iterator[dict[str, Any]]:
    """Rows of table.csv: the strongest unit of every map at every epoch, -1 where it is dead."""
    for number in range(of.strongest.shape[1]):
        for step, epoch in enumerate(epochs):
            image = int(of.strongest[step, number])
            at = [getattr(course[step], name)[number, 0].item() for name in ("value", "y", "x")]
            value, y, x = at if image >= 0 else (0.0, -1, -1)
            row = {"layer": layer, "map": number, "epoch": epoch, "value": value}
            row |= {"image": image, "y": y, "x": x, "jumped": bool(of.jumped[step, number])}
            yield row | {"shown": number in shown}


def layer_rows(layer: str, epochs: list[int], of: Evolution) -> Iterator[dict[str, Any]]:
    """Rows of turnover.csv: `jumped` and `live` count maps."""
    for step, epoch in enumerate(epochs):
        known = not math.isnan(of.turnover[step])
        yield {
            "layer": layer,
            "epoch": epoch,
            "turnover": round(of.turnover[step], 4) if known else "",
            "settled": of.settled is not None and step >= of.settled,
            "jumped": int(of.jumped[step].sum()),
            "live": int((of.strongest[step] >= 0).sum()),
            "maps": of.strongest.shape[1],
        }


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
        | deconvnet_choices(net, cfg.collisions),
        "training": {
            "run": cfg.run or None,
            "data": training.config.get("data"),
            "images": training.config.get("training_images"),
            "classes": len(training.classes),
            "data_fingerprint": training.config.get("data_fingerprint"),
        },
    }


SAVED = ("arrays.npz", "table.csv", "turnover.csv", "provenance.json", "config.yaml")


def draw(source: Path, folder: Path) -> None:
    """Draw the figure and the animation into `folder` from the files of `source` alone."""
    facts = json.loads((source / "provenance.json").read_text())
    with np.load(source / "arrays.npz") as arrays:
        strips = [_strip(arrays, layer, note) for layer, note in facts["panels"].items()]
        epochs = arrays["epochs"].tolist()
    text = caption(facts, strips)
    figures.save(figures.feature_evolution(strips, epochs, facts["threshold"], text), folder)
    figures.save_animation(figures.evolution_frames(strips, epochs), folder / "animation.gif")


def _strip(arrays: Any, layer: str, note: str) -> figures.Filmstrip:
    names = ("maps", "projection", "patch", "inside", "jumped", "turnover")
    settled = int(arrays[f"{layer}/settled"])
    return figures.Filmstrip(
        layer_title(layer),
        note,
        *(arrays[f"{layer}/{n}"] for n in names),
        None if settled < 0 else settled,
    )


def caption(facts: dict[str, Any], strips: Sequence[figures.Filmstrip]) -> str:
    """The text under the figure."""
    data, training, steps = facts["data"], facts["training"], facts["snapshots"]
    empty = sum(int((~strip.inside.any(axis=(2, 3))).sum()) for strip in strips)
    tiles = sum(strip.jumped.size for strip in strips)
    foreign = "" if data["as_trained_on"] else " (which are not those it was trained on)"
    error = steps[-1]["metrics"].get("val_top1_error")
    result = "" if error is None else f", in the end {100 - error:.1f} % top-1 on validation images"
    return (
        "A row is a map, a random choice among those alive at the last snapshot. Each picture is "
        f"its strongest activation over {data['images']} training images of {data['name']}"
        f"{foreign} (centre crops) at the end of that epoch, painted by the deconvnet with that "
        "image's switches and cut to the exact receptive field (blue-grey lies outside the image). "
        "Grey is zero; every picture has its own symmetric scale, so contrast says nothing about "
        "strength. An orange bar between two pictures: the strongest image is another one. Empty: "
        f"the map is nowhere above 0 ({empty} of {tiles} tiles). Curves: how many of the nine "
        "images that excite a map most were not among its nine at the snapshot before, over all "
        "maps; bars: from the first snapshot after which that stays below "
        f"{100 * facts['threshold']:g} %; snapshots lie unevenly far apart. Network: "
        f"{facts['model']['name']}, trained on "
        f"{training['images']} images of {training['data']} ({training['classes']} classes)"
        f"{result}{rates(steps)}. Shared switches: {facts['choices']['collisions']}."
    )


def rates(steps: Sequence[dict[str, Any]]) -> str:
    """The learning rate at the snapshots, as far as it is known: what settles may follow it."""
    known = [(s["epoch"], s["metrics"]["lr"]) for s in steps if "lr" in s["metrics"]]
    parts = [
        f"{rate:.2g} at epoch {epoch}"
        for i, (epoch, rate) in enumerate(known)
        if i == 0 or rate != known[i - 1][1]
    ]
    return f"; learning rate {', '.join(parts)}" if parts else ""


if __name__ == "__main__":
    main()
