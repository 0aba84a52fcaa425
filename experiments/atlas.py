r"""The atlas: every unit of a network, in a folder of plain pages that opens in a browser.

    python -m experiments.atlas snapshot=zfnet_mini
    python -m experiments.atlas run=<folder of a training>
    python -m experiments.atlas model=torchvision/resnet18 model.weights=<file> \
        data=imagefolder data.root=<photographs>
    python -m experiments.atlas resume=outputs/atlas/<folder>

Not in the paper, which shows some maps of Figure 2's kind: here all maps of all layers, with their
nine strongest activations over a data set, each projected, its patch and where it lies in the
image; the classes of these images and of the hundred strongest; how often a map is above 0; which
maps are strongest on the same images. With run= at several snapshots, with a slider.

The folder atlas/ opens from index.html without a server and asks nothing of a network. It appears
when it is whole; a command that was stopped goes on with resume=, to the same bytes.

Cost: laptop about two minutes (with a snapshot) on 2 CPU cores; docs/atlas.md has measured ones.

Writes atlas/ (pages, pictures, a JSON file a unit), atlas.json (its size and times), peaks_*.npz
(the strongest units), config.yaml and provenance.json.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import torch
from omegaconf import DictConfig
from torch.utils.data import Subset

import deconv
from deconv.atlas import Contents, Images, Layer, Pictures, write_atlas
from deconv.atlas.contents import NINE, live
from deconv.atlas.writing import clock, took
from deconv.data.text_files import json_text
from deconv.errors import DeconvError
from deconv.mining.map_statistics import convolution_points, map_statistics
from deconv.mining.peak_views import peak_views
from deconv.networks import Network
from deconv.pooling import COLLISIONS
from deconv.records import Peaks
from deconv.rules import RULES
from deconv.studies.occlusion.covered_unit import covered_unit
from deconv.training import PAPER_EPOCHS
from deconv.training.course import epoch_ends, same_training
from deconv.training.snapshots import Snapshot, load_snapshot, weights_hash
from experiments.kit import Command, Result, Settings, Subject, by_size, check_name, experiment, log
from experiments.kit.command import settings_of
from experiments.kit.facts import data_facts, describe_field, describe_network
from experiments.kit.inputs import stored_side_px, uncached
from experiments.kit.kept_peaks import mine_in_parts
from experiments.kit.provenance import circumstances, write_text
from experiments.kit.resume import FREE, saved_settings
from experiments.kit.titles import title

ATLAS, MEASURED = "atlas", "atlas.json"
VERSION = 2  # raise whenever the same settings give other pictures: no atlas goes on with them
AS_IT_IS = "deconvnet"


@dataclasses.dataclass
class AtlasOf(Settings):
    of_training: ClassVar = True
    snapshot: str | None = None  # null: train cfg.model first (not at size=paper)
    run: str | None = None  # folder of a training instead: with a slider through its snapshots
    epochs: list[int] = dataclasses.field(default_factory=list)  # of run, e.g. [1,5,20]; []: the
    # paper's 1 2 5 10 20 30 40 64 as far as the run has them, and its last one
    split: str = "val"  # the images that are mined
    layers: list[Any] = dataclasses.field(default_factory=list)  # by name or number; []: all
    # convolutions, each after the activation function that follows it
    strongest: int = 100  # images of each map that classes and neighbours are counted among, at
    # most a tenth of all
    collisions: str = "sum"  # sum, max, mean, overwrite
    others: list[str] = dataclasses.field(default_factory=list)  # [guided,gradient]: paint each
    # map's strongest activation by these too
    cover: int = 0  # cells a side, e.g. 7: what covering them takes from the strongest; 0: not done
    active_images: int = by_size(paper=500, laptop=300, smoke=36)  # evenly spaced, on which the
    # share of positions above 0 is measured; 0: it is not
    sources: bool = True  # false: projections alone, where the images may not be shown
    tile_px: int = by_size(paper=128, laptop=128, smoke=64)  # side of a picture on its map's page;
    # three quarters of it elsewhere
    resume: str | None = None  # the folder of an atlas, to go on with

    def __post_init__(self) -> None:
        check_name("collision policy", self.collisions, COLLISIONS)
        for name in self.others:
            check_name("rule", name, [rule for rule in RULES if rule != AS_IT_IS])
        if self.strongest < NINE:
            raise DeconvError(f"strongest takes {NINE} images or more, got {self.strongest}")
        if self.cover and self.cover < 2:
            raise DeconvError(f"cover takes 2 cells or more, or 0, got {self.cover}")
        if self.tile_px < 64 or self.tile_px % 64:
            raise DeconvError(f"tile_px takes a multiple of 64, got {self.tile_px}")
        if self.run and self.snapshot:
            raise DeconvError("snapshot= and run= are two networks: name one of them")

    @property
    def snapshots(self) -> dict[int, Path]:
        """Epoch -> its snapshot, of those of run that are shown."""
        ends = epoch_ends(self.run or "")
        if missing := sorted(set(self.epochs) - set(ends)):
            raise DeconvError(
                f"{self.run} has no snapshot at the end of epoch {missing[0]}, but of "
                f"{', '.join(map(str, ends))}"
            )
        shown = set(self.epochs) or {*PAPER_EPOCHS, max(ends)} & set(ends)
        return {epoch: ends[epoch] for epoch in sorted(shown)}


def check(cfg: AtlasOf, it: Subject) -> None:
    """Raise DeconvError for unknown layers, and snapshots of more than one training."""
    if cfg.run:
        same_training(cfg.snapshots)
    for layer in layers_of(cfg, it.sketch):
        describe_field(it.sketch, layer)


def layers_of(cfg: AtlasOf, net: Network) -> list[str]:
    """The points that are shown, in running order where none are named."""
    if cfg.layers:
        return [net.check_point(layer) for layer in cfg.layers]
    return convolution_points(net)


def compute(cfg: AtlasOf, it: Subject) -> Result:
    """Mine every snapshot, measure how often maps are above 0, paint and write."""
    begun = clock()
    networks = Networks(cfg, it)
    layers = layers_of(cfg, it.net)
    # Among few images the strongest hundred would be most of them, and tell nothing apart.
    k = max(NINE, min(cfg.strongest, len(it.crops) // 10))
    course = [
        mine_in_parts(it, networks[i], it.crops, layers, k, it.folder / f"peaks_{label}.npz")
        for i, label in enumerate(networks.labels)
    ]
    active = active_shares(cfg, it, layers)
    mined = took("mining", begun, clock())
    it.first_alone()
    contents = contents_of(cfg, it, networks, layers, course, active)
    draw = partial(paint, cfg, it, networks, contents)
    measured = write_atlas(
        it.folder / ATLAS,
        contents,
        draw,
        it.crops.picture,
        inputs_of(cfg, it, networks, layers),
        log,
    )
    if measured:
        measure = {"images": len(it.crops)} | measured | mined
        write_text(it.folder / MEASURED, json_text(sizes(it, contents, measure)) + "\n")
    facts = {
        "choices": {"layers": layers, "collisions": cfg.collisions, "others": cfg.others},
        "collision_rate": it.collisions(),
        "atlas": measured,
    }
    return Result(facts)


class Networks:
    """The network at each snapshot, one in memory beside the subject's own."""

    def __init__(self, cfg: AtlasOf, it: Subject) -> None:
        self.it, self.model = it, cfg.model.name
        self.paths = list(cfg.snapshots.values()) if cfg.run else []
        self.labels = [str(epoch) for epoch in cfg.snapshots] if cfg.run else ["last"]
        self.at: tuple[int, Network] | None = None

    def __getitem__(self, i: int) -> Network:
        if i == len(self.labels) - 1:
            return self.it.net
        if self.at is None or self.at[0] != i:
            self.at = None  # frees it before the next is read
            self.at = (i, load_snapshot(self.paths[i], self.model).network().to(self.it.device))
        return self.at[1]


def active_shares(
    cfg: AtlasOf, it: Subject, layers: Sequence[str]
) -> dict[str, torch.Tensor] | None:
    """Layer -> each map's share of values above 0 over evenly spaced images."""
    if not cfg.active_images:
        return None
    count = min(cfg.active_images, len(it.crops))
    log(f"measuring how often maps are above 0, on {count} images")
    chosen = np.linspace(0, len(it.crops) - 1, count).round().astype(int)
    found = map_statistics(it.net, it.loader(Subset(it.crops, chosen.tolist())), layers)
    return {layer: one.active_share for layer, one in found.items()}


def paint(
    cfg: AtlasOf,
    it: Subject,
    networks: Networks,
    contents: Contents,
    s: int,
    i: int,
    maps: list[int],
) -> Pictures:
    """The pictures of some maps of the i-th layer at the s-th snapshot."""
    net, layer = networks[s], contents.layers[i]
    nine, first = live(layer.peaks[s], NINE), live(layer.peaks[s], 1)
    views = peak_views(net, it.crops, layer.name, nine, maps, collisions=cfg.collisions)
    others = {
        rule: peak_views(net, it.crops, layer.name, first, maps, rule=rule).projection[:, 0]
        for rule in cfg.others
    }
    covered = None
    if cfg.cover:
        image_of = lambda image: it.crops[image][0]  # noqa: E731
        covered = covered_unit(net, layer.name, first.units(maps), image_of, cfg.cover)
    return Pictures(views, others, covered)


# What the pages say


def contents_of(
    cfg: AtlasOf,
    it: Subject,
    networks: Networks,
    layers: Sequence[str],
    course: Sequence[Mapping[str, Peaks]],
    active: Mapping[str, torch.Tensor] | None,
) -> Contents:
    """All that the atlas holds but its pictures."""
    snapshot, side = it.snapshot, it.net.input_px
    known = {"training": it.facts()["training"], "model": {"name": it.net.name}}
    about = describe_network(known).removeprefix("Network: ").rstrip(".")
    epochs = networks.labels if cfg.run else [""]
    return Contents(
        title=it.net.name,
        about=f"{about}. Each map's strongest activations over the {len(it.crops)} images of "
        f"{data_facts(cfg, cfg.split, it.data)['name']} ({cfg.split}), projected by the deconvnet.",
        layers=[
            Layer(
                layer,
                [peaks[layer] for peaks in course],
                note(it, layer),
                None if active is None else active[layer],
                title(layer, it.titles),
            )
            for layer in layers
        ],
        images=images_of(cfg, it),
        image_px=(side, side),
        snapshots=[f"epoch {epoch}" if epoch else "" for epoch in epochs],
        facts=provenance(cfg, it),
        results={
            words: f"{snapshot.metrics[name]:.1f} %"
            for name, words in RESULTS.items()
            if name in snapshot.metrics
        },
        curves=curves(snapshot),
        sources=cfg.sources,
        tile_px=cfg.tile_px,
        face_px=cfg.tile_px * 3 // 4,
    )


def note(it: Subject, layer: str) -> str:
    """What stands beside a layer's title: its name, where that is another, and its field."""
    name = "" if title(layer, it.titles) == layer else f"{layer}, "
    return name + describe_field(it.net, layer)


def images_of(cfg: AtlasOf, it: Subject) -> Images:
    """Names without folders, since an atlas may travel, and labels where an image has one."""
    files = uncached(cfg, cfg.split, stored_side_px(cfg, it.given or it.snapshot))
    paths = getattr(getattr(files, "squares", files), "paths", None)
    names = [f"image {i}" for i in range(len(it.crops))]
    if paths is not None:
        names = [Path(path).name for path in paths]
    labels = it.data.targets
    if torch.is_tensor(labels):  # several classes an image
        return Images(names)
    return Images(names, list(labels), list(it.data.classes))


def provenance(cfg: AtlasOf, it: Subject) -> dict[str, str]:
    """What stands at the foot of every page."""
    data, rates = data_facts(cfg, cfg.split, it.data), it.collisions()
    shared = ", ".join(f"{pool} {100 * rate:.0f} %" for pool, rate in rates.items())
    return {
        "network": it.net.name,
        "weights": weights_hash(it.net),
        "data": f"{data['name']} ({cfg.split}), {data['images']} images, {data['fingerprint']}",
        "rule": "deconvnet: switches, ReLU on the way down, no biases; a scale for each picture",
        "shared switches": cfg.collisions + (f" ({shared})" if shared else ""),
        "made by": f"deconv {deconv.__version__}, commit {circumstances()['commit'][:12]}",
    }


RESULTS = {
    "val_top1_error": "validation error",
    "val_top5_error": "top-5",
    "ten_crop_top1_error": "ten crops",
    "ten_crop_top5_error": "ten crops, top-5",
    "train_error": "training error",
}
CURVES = ("train_loss", "val_loss", "train_top1_error", "val_top1_error", "val_top5_error")


def curves(snapshot: Snapshot) -> dict[str, list[tuple[float, float]]]:
    """The training's measures by epoch, as in metrics.csv."""
    rows = snapshot.history
    return {
        name.replace("_", " "): [(row["epoch"], row[name]) for row in rows if name in row]
        for name in CURVES
    }


def inputs_of(
    cfg: AtlasOf, it: Subject, networks: Networks, layers: Sequence[str]
) -> dict[str, Any]:
    """What decides the pictures: an unfinished atlas is gone on with only by the same."""
    data = data_facts(cfg, cfg.split, it.data)
    settings = ("strongest", "collisions", "others", "cover", "active_images", "sources", "tile_px")
    return {
        "version": VERSION,
        "weights": [weights_hash(networks[i]) for i in range(len(networks.labels))],
        "data": data["fingerprint"],
        "split": cfg.split,
        "layers": list(layers),
    } | {name: getattr(cfg, name) for name in settings}


def sizes(it: Subject, contents: Contents, measured: Mapping[str, Any]) -> dict[str, Any]:
    """atlas.json: measured, and by thousands where the run was not resumed in between."""
    per = {"mining": "images", "pictures": "units", "pages": "units"}
    rates = {
        f"{what}_{kind}_per_1000_{of}": round(
            1000 * measured[f"{what}_{kind}"] / max(measured[of], 1), 2
        )
        for what, of in per.items()
        for kind in ("s", "cpu_s")
    }
    maps = {layer.name: layer.maps for layer in contents.layers}
    now = circumstances()
    return {
        "network": it.net.name,
        "maps": maps,
        "snapshots": len(contents.snapshots),
        **measured,
        **rates,
        "threads": now["threads"],
        "commit": now["commit"],
    }


# The command


MAY_CHANGE = {*FREE, "resume"}
_made = experiment(AtlasOf, compute, check=check)


def run(config: DictConfig, cfg: AtlasOf, folder: Path) -> float | None:
    """Write an atlas, or go on with one by its own settings."""
    if cfg.resume:
        config = saved_settings("atlas", config, folder, MAY_CHANGE)
        cfg = settings_of(config)
    if cfg.run:
        cfg.snapshot = str(cfg.snapshots[max(cfg.snapshots)])
    return _made.run(config, cfg, folder)


main = Command(run, AtlasOf)

if __name__ == "__main__":
    main()
