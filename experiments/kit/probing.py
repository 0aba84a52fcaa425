"""What Tables 4, 5 and 7 share: settings, folds, the overlap with training images, probing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import OmegaConf

from deconv.data import DRAWN, CentreCrops, Squares
from deconv.data.image_folders import all_images
from deconv.errors import DeconvError
from deconv.networks import Network
from deconv.networks.depths import numbered_as_paper, paper_layers, point_of
from deconv.studies.overlap import find_overlap, overlap_facts
from deconv.studies.probes import SCALINGS, Reduction, check_points
from deconv.studies.probes.folds import (
    Fold,
    Job,
    over_folds,
    probe_folds,
    random_folds,
    sizes_within,
)
from deconv.studies.probes.seen_images import seen_images, trained_on, training_in_words, untrained
from deconv.training.snapshots import Snapshot
from experiments.kit import inputs
from experiments.kit.facts import data_facts, describe_network, preprocessing
from experiments.kit.findings import Finding
from experiments.kit.inputs import log
from experiments.kit.probe_rows import CONTROL, HERE, PAPER_SPLITS, Row, layer_in_words
from experiments.kit.result import Result
from experiments.kit.settings import Drawn, Settings, check_name
from experiments.kit.subject import Subject

TEST_PER_CLASS = 50
"""§5.2 for Caltech-101; also for data sets whose settings do not say."""
SAVES = "arrays.npz table.csv folds.csv findings.json"


@dataclass
class Frozen(Settings):
    """A command that reads features of a frozen network."""

    snapshot: str | None = None  # null: train cfg.model first (not at size=paper)
    max_features: int = 10000  # maps with more values are averaged to a coarser grid
    pooled: list[int] = field(default_factory=list)  # instead, maps are max-pooled to grids of
    # these sides, side by side: [1,2]

    def __post_init__(self) -> None:
        if self.max_features < 1 or any(side < 1 for side in self.pooled):
            raise DeconvError(
                "max_features and the sides of pooled=[1,2] are whole numbers of at least 1, got "
                f"max_features={self.max_features} pooled={self.pooled}"
            )

    @property
    def reduction(self) -> Reduction:
        """What becomes of maps."""
        return Reduction(self.max_features, tuple(self.pooled))


@dataclass
class Probing(Frozen, Drawn):
    folds: int = 5  # random splits
    scaling: str = "l2"  # of features: l2, standardise, none
    c: list[float] = field(default_factory=lambda: [0.01, 0.1, 1, 10, 100])
    # tried on a fifth of the training images
    features_dir: str | None = None  # folder to keep features in, for further runs
    remove_overlap: bool = False  # true: leave out images whose like the network was trained on
    overlap_threshold: float = 0.95  # normalised correlation from which on two images count as one
    overlap_root: str | None = None  # where its training images lie now, or as many as are at hand

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.folds < 1:
            raise DeconvError(f"folds must be at least 1, got {self.folds}")
        if not self.c or min(self.c) <= 0:
            raise DeconvError(f"c takes a list of positive numbers such as [1,10], got {self.c}")
        check_name("scaling of features", self.scaling, SCALINGS)

    @property
    def test_per_class(self) -> int | None:
        """At most so many test images a class; None: all that are not trained on."""
        return getattr(self.data, "test_per_class", TEST_PER_CLASS)


@dataclass
class Study:
    """Networks to probe on the folds of a data set, and the results so far.

    jobs: by depth, each layer by the paper's number where it has one. data: names and labels only.
    snapshots: the first is the command's own. seen: what each saw of the data, for the sidecar.
    rows, each: of all folds probed, and the accuracy of each class.
    """

    it: Subject
    jobs: Sequence[Job]
    data: Squares
    folds: list[Fold]
    snapshots: list[Snapshot]
    seen: list[dict[str, Any]]
    rows: list[dict[str, Any]] = field(default_factory=list)
    each: list[np.ndarray] = field(default_factory=list)

    def probe_snapshots(self) -> list[list[Row]]:
        """Probe each snapshot, named by its training data and numbered where that is ambiguous."""
        words = [
            f"{one.recipe['name'].rpartition('/')[2]}, {training_in_words(one)}"
            for one in self.snapshots
        ]
        tables = []
        for i, snapshot in enumerate(self.snapshots):
            name = words[i] + (f" ({i + 1})" if words.count(words[i]) > 1 else "")
            net = self.it.net if i == 0 else snapshot.network().to(self.it.device)
            source = CONTROL if untrained(snapshot) else HERE
            tables.append(self.probe(name, net, snapshot.mean, source))
        return tables

    def probe(self, name: str, net: Network, mean: torch.Tensor, source: str = HERE) -> list[Row]:
        """Probe a network on every fold; return a row for each classifier, layer and size.

        mean: 3×S×S, subtracted from its images.
        """
        cfg, first = self.it.cfg, len(self.rows)
        crops = CentreCrops(pool(cfg, mean.shape[-1]), mean, net.input_px)
        how = (cfg.c, cfg.scaling, cfg.reduction, inputs.workers(cfg), cfg.features_dir)
        for row, accuracies in probe_folds(net, crops, self.jobs, self.folds, *how):
            self.rows.append({"network": name} | row)
            self.each.append(accuracies)
            log(
                f"{name}: {row['classifier']} on {row['point']}, {row['per_class']} a class, "
                f"fold {row['fold'] + 1}/{cfg.folds}: {row['mean_class']:.1f} % (C = {row['c']})"
            )
        rows = over_folds(self.rows[first:])
        return [{"source": source} | row | {"title": self.title(row)} for row in rows]

    def title(self, row: Row) -> str:
        """The title of a row's layer; empty where it is the paper's number."""
        if row["layer"].isdecimal() and numbered_as_paper(self.it.net):
            return ""
        return self.it.titles.get(row["point"], row["point"])

    @property
    def as_in_paper(self) -> bool:
        """Whether the network and the folds are the paper's, so that its numbers are targets."""
        cfg, snapshot = self.it.cfg, self.snapshots[0]
        plain = all(
            value in (None, (), [], 1000, "zfnet") or key in ("init", "input_px")
            for key, value in snapshot.recipe.items()
        )
        trained = snapshot.config.get("data") == "imagenet" and snapshot.recipe["name"] == "zfnet"
        tested = {"caltech101": 50, "caltech256": None}.get(cfg.data.name, 0) == cfg.test_per_class
        return plain and trained and tested and cfg.folds == PAPER_SPLITS

    def result(
        self, table: Sequence[Row], findings: list[Finding], facts: dict[str, Any]
    ) -> Result:
        """Log the table and combine everything into a result."""
        for row in table:
            spread = "" if row["std"] == "" else f" ± {row['std']:.1f}"
            where = f"{row['classifier']} on {layer_in_words(row)}, {row['per_class']:2d} a class"
            log(f"{row['network']}: {where}: {row['mean']:.1f}{spread} %")
        facts = facts | {
            "choices": choices(self.it, self.jobs),
            "data": data_facts(self.it.cfg, "random splits", self.data),
            "classes": len(self.data.classes),
            "folds": self.it.cfg.folds,
            "seen": self.seen,
        }
        arrays = {
            "class_accuracy": np.array(self.each, dtype=np.float32),
            "classes": np.array(list(self.data.classes)),
        }
        return Result(facts, arrays, {"table": table, "folds": self.rows}, findings)


def open_study(
    it: Subject,
    jobs: Sequence[Job],
    per_class: Sequence[int],
    wanted: Sequence[int],
    others: Sequence[Snapshot] = (),
) -> Study:
    """Check everything, train a network where none is named, and draw the folds.

    Args:
        per_class: training images a class. Empty: those of `wanted`, all of them on the Caltech
            sets, elsewhere as far as half a class goes.
        others: further networks to probe.
    """
    cfg = it.cfg
    jobs = by_depth(it.sketch, jobs)
    for net in [it.sketch, *(other.network() for other in others)]:
        check_points(net, [point_of(net, layer) for _, layer in jobs], cfg.reduction)
    log(f"layers of {it.sketch.name}: {layers_in_words(it.sketch, jobs)}")
    if cfg.remove_overlap and it.given is None:
        raise DeconvError("remove_overlap is for a network that was trained elsewhere: snapshot=…")
    side = inputs.stored_side_px(cfg, it.given)
    data = pool(cfg, side, listed=True)
    if per_class or cfg.data.name in DRAWN:
        per_class = sorted(set(per_class or wanted))
    else:
        per_class = sizes_within(data, wanted)
    drawn = (data, per_class, cfg.folds, getattr(cfg.data, "seed", 0), cfg.test_per_class)
    folds = random_folds(*drawn)
    snapshots = [it.snapshot, *others]
    whose = (inputs.data_name(cfg), inputs.data_settings(cfg))
    seen = [seen_images(snapshot, *whose, data, folds) for snapshot in snapshots]
    for words in caveats(seen):
        log(words)
    if cfg.remove_overlap:
        seen[0]["overlap"] = found = overlap(cfg, it.given, pool(cfg, side))
        folds = random_folds(*drawn, without=[pair[0] for pair in found["pairs"]])
    it.first_alone()
    return Study(it, jobs, data, folds, snapshots, seen)


def by_depth(net: Network, jobs: Sequence[Job]) -> list[Job]:
    """Order jobs by depth, each point once, by the paper's number where it has one."""
    numbers: dict[str, str] = {}
    with suppress(DeconvError):  # no convolution: its layers are named
        for number, point in paper_layers(net).items():
            numbers.setdefault(point, number)
    found: dict[tuple[str, str], str] = {}
    for kind, layer in jobs:
        point = point_of(net, layer)
        found.setdefault((kind, point), layer if layer.isdecimal() else numbers.get(point, layer))
    kinds = [kind for kind, _ in jobs]
    place = {point: i for i, point in enumerate(net.points)}
    order = sorted(found, key=lambda one: (kinds.index(one[0]), place[one[1]]))
    return [(kind, found[kind, point]) for kind, point in order]


def layers_in_words(net: Network, jobs: Sequence[Job]) -> str:
    """Which point each layer is."""
    points = {layer: point_of(net, layer) for _, layer in jobs}
    return ", ".join(p if p == layer else f"{layer} is {p}" for layer, p in points.items())


def pool(cfg: Probing, side: int, listed: bool = False) -> Squares:
    """The images that folds are drawn from, as `side` px squares.

    All of Caltech-101 and -256, which have no split of their own; otherwise "val", which a network
    trained on the same data has not seen. listed: only names and labels are needed, so nothing
    is decoded into the cache.
    """
    if listed:
        cfg = replace(cfg, data=replace(cfg.data, cache=False))
    if cfg.data.name in DRAWN:
        return inputs.in_one_piece(cfg, side)
    return inputs.squares(cfg, "val", side)


def overlap(cfg: Probing, snapshot: Snapshot, target: Squares) -> dict[str, Any]:
    """Find near-duplicates of `target` among the network's training images.

    These are read as the snapshot's settings name them, or from cfg.overlap_root. Where it does
    not tell, as weights from elsewhere, all images below cfg.overlap_root stand for them. Raises
    DeconvError if they are the same data set, or not the images it was trained on.
    """
    settings = snapshot.config.get("settings", {}).get("data")
    if settings is None:
        if not cfg.overlap_root:
            raise DeconvError(
                "the network does not say which images it was trained on: name such images, as "
                "many as are at hand, by overlap_root=<folder>, or set remove_overlap=false"
            )
        root = Path(cfg.overlap_root)
        return _twins(cfg, target, all_images(root, target[0][0].shape[-1]), root.resolve().name)
    if (there := trained_on(snapshot)) == inputs.data_name(cfg):
        raise DeconvError(
            f"the network was trained on {there} itself, so every image has its like; "
            "remove_overlap is for networks that were trained elsewhere"
        )
    moved = {"root": cfg.overlap_root} if cfg.overlap_root else {}
    theirs = replace(cfg, data=OmegaConf.create(settings | moved))
    source = inputs.squares(theirs, "train", inputs.side_px(theirs, snapshot.network().input_px))
    if source.fingerprint() != snapshot.config["data_fingerprint"]:
        raise DeconvError(
            f"the images under {theirs.data.get('root')} are not those that the network was "
            "trained on: set overlap_root=<their folder>"
        )
    return _twins(cfg, target, source, there)


def _twins(cfg: Probing, target: Squares, source: Squares, name: str) -> dict[str, Any]:
    twins = find_overlap(target, source, cfg.overlap_threshold, workers=inputs.workers(cfg))
    log(f"{len(twins)} of {len(target)} images have their like among {len(source)} of {name}")
    read = {"source": {"name": name, "images": len(source)}}
    return overlap_facts(twins, len(target), cfg.overlap_threshold) | read


def choices(it: Subject, jobs: Sequence[Job]) -> dict[str, str]:
    """What the paper leaves open and how it was decided, for the sidecar."""
    cfg, tested = it.cfg, it.cfg.test_per_class
    return {
        "layers": layers_in_words(it.net, jobs),
        "features": f"of the centre crop alone; {cfg.reduction.in_words()}",
        "scaling": f"{cfg.scaling}, then minus the training mean, mean squared length 1",
        "c": f"out of [{', '.join(f'{c:g}' for c in cfg.c)}] by a fifth of the training images, "
        "then trained on all",
        "svm": "linear, one class against the rest, squared hinge",
        "folds": f"{cfg.folds} random splits; spread: sample standard deviation over them",
        "test_images": f"at most {tested} a class" if tested else "all that are not trained on",
        "preprocessing": preprocessing(it.net, it.snapshot.mean),
    }


def caveats(seen: Sequence[Mapping[str, Any]]) -> list[str]:
    """A sentence for each network that may have seen images of the data set."""
    return [f"Note: {one['seen']}." for one in seen if one.get("caveat")]


def network_in_words(facts: dict[str, Any]) -> str:
    """The end of a caption: the network, and where its training set overlaps the data."""
    out = [one["overlap"] for one in facts["seen"] if "overlap" in one]
    words = caveats(facts["seen"]) + [
        f"Of {one['of']} images {one['removed'] or 'none'} had their like among "
        f"{one['source']['images']} of {one['source']['name']}"
        f"{' and are left out' if one['removed'] else ''}."
        for one in out
    ]
    return " ".join([*words, describe_network(facts)])
