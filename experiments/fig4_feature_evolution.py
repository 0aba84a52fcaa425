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

Cost: one pass over the training images a snapshot; laptop with a run: a minute on 2 CPU cores.
Expected (Figure 4): layers 1 and 2 settle within a few epochs, 4 and 5 need 40 to 50.

Writes figure.png and figure.pdf, animation.gif, arrays.npz (what is drawn, and all peaks),
table.csv (one row per map and epoch), turnover.csv (one row per layer and epoch), findings.json,
config.yaml and provenance.json.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch

from deconv import distributed, figures
from deconv.data import CentreCrops
from deconv.errors import DeconvError
from deconv.figures import Page
from deconv.mining.random_maps import live_maps_first
from deconv.mining.top_activations import top_activations
from deconv.networks import Network, build
from deconv.pooling import COLLISIONS
from deconv.records import Peaks
from deconv.studies.evolution import (
    PeaksOverTime,
    evolution,
    layer_arrays,
    layer_rows,
    map_rows,
    strongest_views,
)
from deconv.training import PAPER_EPOCHS
from deconv.training.course import epoch_ends, same_training
from deconv.training.snapshots import load_snapshot, weights_hash
from experiments.kit import (
    Drawn,
    Finding,
    Result,
    Saved,
    Subject,
    check_name,
    experiment,
    judged,
    log,
)
from experiments.kit.chosen_maps import (
    MinesPeaks,
    ShowsMaps,
    check_class,
    choice_words,
    choose_maps,
    maps_of,
    named_maps,
    whole_words,
)
from experiments.kit.facts import (
    data_facts,
    deconvnet_choices,
    describe_field,
    image_arrays,
    image_columns,
    images_of,
    measure_collisions,
    no_rule,
)
from experiments.kit.inputs import build_network, data_name, refuse_code
from experiments.kit.layout import saved_layers, saved_maps
from experiments.kit.printed import top1
from experiments.kit.titles import layer_title
from experiments.kit.training import train_network

K = 9
"""Peaks of a map that turnover compares: as many as Figure 2 shows."""
FEWEST = 4
"""Fewer snapshots than this do not judge the claim."""


USUAL = ("conv1", "conv2", "conv3", "conv4", "conv5")


@dataclasses.dataclass
class FeatureEvolution(ShowsMaps, MinesPeaks, Drawn):
    of_training: ClassVar = True
    run: str | None = None  # folder with epoch_NNN.pt; null: train cfg.model first (not at paper)
    epochs: list[int] = dataclasses.field(default_factory=list)  # e.g. [0,1,5,20]; []: the paper's
    # 1 2 5 10 20 30 40 64 as far as the run has them, and its last one where it ended before 64
    split: str = "train"  # paper: all training images; val, all
    maps_each: int = 6  # how many maps of a layer for which maps names none
    threshold: float = 0.5  # turnover below which a layer counts as settled
    collisions: str = "sum"  # sum, max, mean, overwrite

    def __post_init__(self) -> None:
        super().__post_init__()
        self.layers = self.shown_layers(USUAL)
        if not 0 < self.threshold <= 1:
            raise DeconvError(f"threshold is a share above 0 and at most 1, got {self.threshold}")
        check_name("collision policy", self.collisions, COLLISIONS)


def check(cfg: FeatureEvolution, it: Subject) -> None:
    """Raise DeconvError for missing snapshots and for unknown layers or maps."""
    if cfg.run:
        last = same_training(chosen_snapshots(cfg, Path(cfg.run)))
        refuse_code(last, cfg.run, cfg.model.name)
        net = build(**last.recipe | {"weights": None})
    elif cfg.size_name == "paper":
        raise DeconvError(
            "size=paper needs a training: run python -m experiments.train size=paper first, then "
            "name its folder: run=<folder>"
        )
    else:
        net, last = build_network(cfg, 2), cfg.train.epochs
        newest = range(last - cfg.train.keep_last + 1, last + 1)
        kept = {0, *cfg.train.snapshot_epochs, *newest} & set(range(last + 1))
        choose_epochs(cfg.epochs, kept, "this training will keep")
    for layer in cfg.layers:
        net.check_point(layer)
    named = named_maps(cfg, net, cfg.layers)
    for layer in cfg.layers:
        count = maps_of(net, layer)
        if layer not in named and not 1 <= cfg.maps_each <= count:
            raise DeconvError(
                f"{layer} has {count} maps: maps_each={cfg.maps_each} cannot be shown"
            )
    check_class(cfg, it)


def compute(cfg: FeatureEvolution, it: Subject) -> Result:
    """Mine the training images at every snapshot, project the maps shown."""
    if not cfg.run:
        log("no run given: training one first")
        train_network(it.config, it.folder)
        distributed.from_first(None)  # wait until process 0 has written the last snapshot
    paths = chosen_snapshots(cfg, Path(cfg.run or it.folder))
    training = load_snapshot(list(paths.values())[-1], cfg.model.name)
    data = it.squares(cfg.split, training.mean.shape[-1])
    as_trained_on = data.fingerprint() == training.config.get("data_fingerprint")
    if not as_trained_on and cfg.split == "train":
        log(
            f"note: {data_name(cfg)} as set here is not what the run was trained on, so the "
            "figure does not show the strongest of its training images"
        )
    crops = CentreCrops(data, training.mean, training.network().input_px)
    course = [mine(cfg, it, path, crops) for path in paths.values()]
    it.first_alone()
    epochs, named = list(paths), named_maps(cfg, training.network(), cfg.layers)
    arrays, maps, rows, shares = {"epochs": np.array(epochs)}, {}, [], []
    for layer in cfg.layers:
        peaks = [at[layer] for at in course]
        of = evolution(peaks, cfg.threshold)
        shown = maps[layer] = maps_shown(cfg, it, layer, peaks[-1], named.get(layer))
        kept = layer_arrays(peaks, of, shown)
        arrays |= {f"{layer}/{name}": array for name, array in kept.items()}
        lines = map_rows(layer, epochs, peaks, of, shown.tolist())
        rows += [row | image_columns(data, row["image"]) for row in lines]
        images = np.stack([one.image[shown, 0].numpy() for one in peaks], axis=1)
        arrays |= image_arrays(data, images, f"{layer}/")
        shares += layer_rows(layer, epochs, of)
    net, pictures, steps = project_course(cfg, it, paths, crops, course, maps)
    choices = {
        "maps_seed": cfg.seed,
        "maps": choice_words(cfg, named, cfg.layers, "alive at the last snapshot"),
        "peaks": f"of all {words_of(cfg.split)} as centre crops{whole_words(cfg)}; read after "
        "ReLU, before pooling",
        "turnover": f"share of a map's {K} strongest images (at most one peak an image, above 0) "
        "that were not among them at the snapshot before, mean over the live maps",
        "settled": f"at the first snapshot after which turnover stays below {cfg.threshold:g}",
        "jumped": "the strongest image is not that of the snapshot before",
    }
    facts = {
        "figure": "4",
        "choices": choices | deconvnet_choices(net, cfg.collisions, training.mean, cfg.layers),
        "training": {
            "run": cfg.run,
            "data": training.config.get("data"),
            "images": training.config.get("training_images"),
            "classes": len(training.classes),
            "data_fingerprint": training.config.get("data_fingerprint"),
        },
        "data": data_facts(cfg, cfg.split, data) | {"as_trained_on": as_trained_on},
        "snapshots": steps,
        "panels": {layer: describe_field(net, layer) for layer in cfg.layers},
        "threshold": cfg.threshold,
    }
    tables = {"table": rows, "turnover": shares}
    return Result(facts, arrays | pictures, tables, [judge(shares, cfg.threshold)], net)


def maps_shown(
    cfg: FeatureEvolution, it: Subject, layer: str, peaks: Peaks, named: list[int] | None
) -> torch.Tensor:
    """The maps that are named, or a choice by the last snapshot, dead ones where too few live."""
    live = peaks.value[:, 0] > 0
    if named is not None:
        return torch.tensor(named)
    if cfg.choose == "random":
        return live_maps_first(live, cfg.maps_each, cfg.seed, layer)
    return choose_maps(cfg, it, layer, peaks, live, cfg.maps_each)


def words_of(split: str) -> str:
    """The images of a split."""
    return {"train": "training images", "val": "validation images", "all": "images"}[split]


def chosen_snapshots(cfg: FeatureEvolution, run: Path) -> dict[int, Path]:
    """Epoch -> snapshot at its end, of the epochs to show."""
    ends = epoch_ends(run)
    return {epoch: ends[epoch] for epoch in choose_epochs(cfg.epochs, ends, f"{run} has")}


def choose_epochs(asked: Sequence[int], there: Collection[int], holder: str) -> list[int]:
    """The epochs to show: those asked for, else the paper's that are there, and the last one.

    holder: words for a message. Raises DeconvError for an epoch that is not there, naming those
    that are, and for fewer than two.
    """
    listed = ", ".join(map(str, sorted(there)))
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


def mine(cfg: FeatureEvolution, it: Subject, path: Path, crops: CentreCrops) -> dict[str, Peaks]:
    """The peaks of one snapshot's network over all training images."""
    net = load_snapshot(path, cfg.model.name).network().to(it.device)
    log(f"mining {len(cfg.layers)} layers of {path.name} over {len(crops)} {words_of(cfg.split)}")
    try:
        loader = it.loader(crops)
        return top_activations(net, loader, cfg.layers, k=K, whole_fields=cfg.whole_fields)
    except DeconvError as error:
        raise DeconvError(f"{path}: {error}") from error


def project_course(
    cfg: FeatureEvolution,
    it: Subject,
    paths: Mapping[int, Path],
    crops: CentreCrops,
    course: PeaksOverTime,
    maps: Mapping[str, torch.Tensor],
) -> tuple[Network, dict[str, np.ndarray], list[dict[str, Any]]]:
    """Return the last network, <layer>/<field> of every PeakViews as M×T×…, facts by snapshot."""
    columns: dict[str, list[np.ndarray]] = {}
    net, steps = None, []
    for (epoch, path), peaks in zip(paths.items(), course, strict=True):
        net = None  # one network at a time
        snapshot = load_snapshot(path, cfg.model.name)
        net = snapshot.network().to(it.device)
        log(f"projecting the strongest units of {path.name}")
        for layer, shown in maps.items():
            views = strongest_views(
                net, crops, layer, peaks[layer], shown, collisions=cfg.collisions
            )
            for name, values in views.items():
                columns.setdefault(f"{layer}/{name}", []).append(values)
        facts = {"epoch": epoch, "file": path.name, "weights_sha256": weights_hash(net)}
        facts |= {"collision_rate": measure_collisions(net, crops), "metrics": snapshot.metrics}
        steps.append(facts)
    return net, {name: np.stack(parts, axis=1) for name, parts in columns.items()}, steps


# The claim


def judge(rows: Sequence[Mapping[str, Any]], threshold: float) -> Finding:
    """Judge whether lower layers settle first.

    Args:
        rows: of turnover.csv, layers in order from below, as written or as read from the file.
        threshold: the turnover below which a layer counts as settled.
    """
    epochs = sorted({int(row["epoch"]) for row in rows})
    settled: dict[str, int | None] = {row["layer"]: None for row in rows}
    for row in reversed(rows):
        if str(row["settled"]) == "True":
            settled[row["layer"]] = int(row["epoch"])
    when = list(settled.values())
    value = None if None in (when[0], when[-1]) else float(when[-1] - when[0])
    order = [max(epochs) + 1 if epoch is None else epoch for epoch in when]  # never: last of all
    holds = order[0] < order[-1] and order == sorted(order)
    if len(settled) < 2 or len(epochs) < FEWEST or all(epoch is None for epoch in when):
        holds = None
    facts = {"threshold": threshold, "settled": settled, "snapshots": epochs}
    return judged("fig4/lower_first", value, holds=holds, **facts)


# The page


def draw(saved: Saved) -> Page:
    """Figure and animation from the saved files alone."""
    facts, epochs = saved.facts, saved.arrays["epochs"].tolist()
    notes = facts["panels"]
    strips = [_strip(saved, layer, notes[layer]) for layer in saved_layers(saved, list(notes))]
    frames = figures.evolution_frames(strips, epochs)
    figures.save_animation(frames, saved.folder / "animation.gif")
    return figures.feature_evolution(strips, epochs, facts["threshold"], caption(facts, strips))


def _strip(saved: Saved, layer: str, note: str) -> figures.Filmstrip:
    arrays = saved.arrays
    maps = saved_maps(saved, layer, arrays[f"{layer}/maps"].tolist())
    names = ("maps", "projection", "patch", "inside", "jumped")
    fields = {name: arrays[f"{layer}/{name}"][maps] for name in names}
    fields["turnover"] = arrays[f"{layer}/turnover"]
    settled = int(arrays[f"{layer}/settled"])
    return figures.Filmstrip(
        layer_title(layer, saved.facts), note, **fields, settled=None if settled < 0 else settled
    )


def caption(facts: dict[str, Any], strips: Sequence[figures.Filmstrip]) -> str:
    """The text under the figure."""
    data, training, steps = facts["data"], facts["training"], facts["snapshots"]
    empty = sum(int((~strip.inside.any(axis=(2, 3))).sum()) for strip in strips)
    tiles = sum(strip.jumped.size for strip in strips)
    named = images_of(data) if data.get("drawn") else data["name"]
    same = data["as_trained_on"] or data["split"] != "train"
    foreign = "" if same else " (which are not those it was trained on)"
    error = steps[-1]["metrics"].get("val_top1_error")
    result = "" if error is None else f", in the end {top1(error)} on validation images"
    return (
        f"A row is a map (its number at the left), {facts['choices']['maps']}. Each picture is its "
        f"strongest activation over {data['images']} {words_of(data['split'])} of "
        f"{named}{foreign} (centre crops) at the end of that epoch, projected by the "
        "deconvnet with that image's switches and cut to the exact receptive field (hatched: "
        "outside the image). Grey is zero; every picture has its own symmetric scale, so contrast "
        "says nothing about strength. Orange bar: from here on the strongest image stays the same; "
        "no bar where it always did or still changed at the last snapshot. Empty: the map is "
        f"nowhere above 0 ({empty} of {tiles} tiles). Curves: how many of a map's nine strongest "
        "images were not among its nine at the snapshot before, mean over all live maps; bars: "
        f"from the first snapshot after which that stays below {100 * facts['threshold']:g} %; "
        f"snapshots are unevenly spaced. Network: {facts['model']['name']}, trained on "
        f"{training['images']} images of {training['data']} ({training['classes']} classes)"
        f"{result}{rates(steps)}.{no_rule(facts)} Shared switches: "
        f"{facts['choices']['collisions']}."
    )


def rates(steps: Sequence[dict[str, Any]]) -> str:
    """The learning rate at the snapshots, where known: it may be what lets layers settle."""
    known = [(s["epoch"], s["metrics"]["lr"]) for s in steps if "lr" in s["metrics"]]
    parts = [
        f"{rate:.2g} at epoch {epoch}"
        for i, (epoch, rate) in enumerate(known)
        if i == 0 or rate != known[i - 1][1]
    ]
    return f"; learning rate {', '.join(parts)}" if parts else ""


SAVES = "arrays.npz table.csv turnover.csv findings.json"
main = experiment(
    FeatureEvolution, compute, draw, check, SAVES, layout="layers maps", number="fig4/lower_first"
)

if __name__ == "__main__":
    main()
