"""The images of a transfer experiment: all of a data set, split at random several times (§5.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import DictConfig, ListConfig, OmegaConf

from deconv.data import DRAWN, WHOLE, Squares, train_and_test
from deconv.errors import DeconvError
from deconv.studies.overlap import Twin, find_overlap
from deconv.training.snapshots import Snapshot
from experiments.kit.inputs import data_name, data_settings, log, side_px, squares, workers

Job = tuple[str, int]
"""A classifier ("svm" or "softmax") and the number of the layer it stands on."""

TEST_PER_CLASS = 50
"""§5.2 for Caltech-101; also for data sets whose configuration does not say."""


@dataclass(frozen=True)
class Split:
    """One fold: positions in the pool to train and to test on. seed: of the random split."""

    fold: int
    seed: int
    per_class: int
    train: tuple[int, ...]
    test: tuple[int, ...]


def pool(cfg: DictConfig, side: int, listed: bool = False) -> Squares:
    """The images that folds are drawn from, as `side` px squares.

    All of a data set that comes in one piece (Caltech-101 and -256), otherwise its "val": images
    that a network trained on the same data has not seen. listed: only names and labels are
    wanted, so nothing is decoded into the cache.
    """
    if listed:
        cfg = OmegaConf.merge(cfg, {"data": {"cache": False}})
    return squares(cfg, WHOLE if cfg.data.name in DRAWN else "val", side)


def sizes(cfg: DictConfig, data: Squares, given: object, wanted: Sequence[int]) -> list[int]:
    """The numbers of training images a class: those given, else those wanted as far as there are.

    Of a data set in one piece all that are wanted have to be there (`splits` says what is
    missing); of others at least half of each class is left to test on.
    """
    one = [] if given is None else [given]
    chosen = list(given) if isinstance(given, ListConfig | list) else one
    if wrong := [k for k in chosen if type(k) is not int or k < 1]:
        raise DeconvError(f"images per class are whole numbers from 1 on, got {wrong[0]!r}")
    if chosen or cfg.data.name in DRAWN:
        return sorted(set(chosen or wanted))
    smallest = int(np.bincount(data.targets, minlength=len(data.classes)).min())
    if smallest < 2:
        raise DeconvError(
            f"{data_name(cfg)} has a class of {smallest} image(s) in 'val': training and testing "
            "want at least one each"
        )
    return sorted(k for k in wanted if k <= smallest // 2) or [smallest // 2]


def splits(
    cfg: DictConfig, data: Squares, per_class: Sequence[int], without: Sequence[int] = ()
) -> list[Split]:
    """cfg.folds random splits for each size; fold f has the seed of the data (or 0) plus f.

    For the Caltech sets these are the splits that a training with data.seed=… uses. without:
    positions that take no part. Raises DeconvError where a class has too few images.
    """
    if cfg.folds < 1:
        raise DeconvError(f"folds must be at least 1, got {cfg.folds}")
    kept = np.setdiff1d(np.arange(len(data)), np.asarray(without, dtype=int))
    targets = [data.targets[i] for i in kept]
    at_most = cfg.data.get("test_per_class", TEST_PER_CLASS)
    found = []
    for k in per_class:
        for fold in range(cfg.folds):
            seed = cfg.data.get("seed", 0) + fold
            parts = train_and_test(targets, data.classes, k, at_most, seed)
            train, test = (tuple(kept[parts[name]].tolist()) for name in ("train", "val"))
            found.append(Split(fold, seed, k, train, test))
    return found


def trained_on(snapshot: Snapshot) -> str:
    """The data set that a network was trained on, for people; of an image folder also its name."""
    settings = snapshot.config.get("settings", {}).get("data", {})
    root = settings.get("root") if snapshot.config.get("data") == "imagefolder" else None
    return f"{snapshot.config.get('data')}{f' {Path(root).name}' if root else ''}"


def check_unseen(
    cfg: DictConfig, snapshot: Snapshot, data: Squares, folds: Sequence[Split]
) -> dict[str, Any]:
    """Refuse test images that the network was trained on; say what it saw of the others.

    Raises DeconvError naming the fold. Returns facts for the sidecar; where they hold a
    caveat, a caption has to say so.
    """
    theirs, there = snapshot.config.get("data_settings"), trained_on(snapshot)
    if there != data_name(cfg):
        return {"seen": f"the network was trained on {there}, another data set"}
    if not theirs:
        log(f"note: the network was trained on {there}, too; on which images is not known")
        return {
            "seen": f"{trained_words(snapshot)} was trained on images of that data set, it is not "
            "known on which, so its test images may be among them",
            "caveat": True,
        }
    if cfg.data.name not in DRAWN:
        if theirs != data_settings(cfg):
            log(
                f"note: the network was trained on {there} with other settings, so some test "
                "images may be among those that it was trained on"
            )
            return {
                "seen": f"{trained_words(snapshot)} was trained with other settings of its data, "
                "so some test images may be among those that it was trained on",
                "caveat": True,
                "data_settings": theirs,
            }
        return {"seen": f"the network was trained on 'train' of {there}; this is its 'val'"}
    chosen = (theirs["train_per_class"], theirs["test_per_class"], theirs["seed"])
    seen = set(train_and_test(data.targets, data.classes, *chosen)["train"])
    for split in folds:
        if both := seen & set(split.test):
            raise DeconvError(
                f"the network was trained on {len(both)} of the {len(split.test)} test images of "
                f"fold {split.fold} (split seed {split.seed}): only the split that it was trained "
                f"beside is fair: folds=1 data.seed={theirs['seed']}"
            )
    trained = {i for split in folds for i in split.train}
    return {
        "seen": f"{trained_words(snapshot)} was trained on {len(seen & trained)} of "
        f"the {len(trained)} images that the classifiers are trained on, and on no test image",
        "caveat": True,
    }


def trained_words(snapshot: Snapshot) -> str:
    """A network by its name and data set."""
    return f"{snapshot.recipe['name']} of {trained_on(snapshot)}"


def overlap(
    cfg: DictConfig, snapshot: Snapshot, target: Squares
) -> tuple[list[Twin], dict[str, Any]]:
    """The images of `target` whose like the network was trained on, and facts for the sidecar.

    The training images are found as the snapshot's own configuration names them; cfg.overlap_root
    replaces their folder. Raises DeconvError if they are the same data set, or not the images that
    the network was trained on.
    """
    settings = snapshot.config.get("settings", {}).get("data")
    if settings is None:
        raise DeconvError("the snapshot does not say what it was trained on: remove_overlap=false")
    if trained_on(snapshot) == data_name(cfg):
        raise DeconvError(
            f"the network was trained on {data_name(cfg)} itself, so every image has its like; "
            "remove_overlap is for networks that were trained elsewhere"
        )
    there = OmegaConf.merge(cfg, {"data": None})
    there.data = OmegaConf.create(settings)
    if cfg.overlap_root:
        there.data.root = cfg.overlap_root
    source = squares(there, "train", side_px(there, snapshot.network().input_px))
    if source.fingerprint() != snapshot.config["data_fingerprint"]:
        raise DeconvError(
            f"the images under {there.data.get('root')} are not those that the network was trained "
            "on: set overlap_root=<their folder>"
        )
    twins = find_overlap(target, source, cfg.overlap_threshold, workers=workers(cfg))
    log(f"{len(twins)} of {len(target)} images have their like among {len(source)} for training")
    return twins, {
        "removed": len(twins),
        "of": len(target),
        "threshold": cfg.overlap_threshold,
        "source": {"name": settings["name"], "images": len(source)},
        "way": "normalised correlation of 32×32 grey thumbnails of the centre squares; the paper "
        "took the pictures out of ImageNet and trained again, here they leave the target",
        "pairs": [[twin.target, twin.source, round(twin.correlation, 4)] for twin in twins],
    }
