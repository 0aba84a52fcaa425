"""Which images Figure 5 shows and which it only measures; those that cannot be used are refused.

In: the settings, the snapshot and the split that images come from. Out: `ChosenImage`s, and which
of their classes look alike when turned; DeconvErrors before anything long.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig

from deconv.data import Squares
from deconv.errors import DeconvError, unknown
from deconv.networks import ChainNet
from deconv.training.snapshots import Snapshot
from experiments.invariance_findings import SHOWN
from experiments.kit.chosen_images import ChosenImage, choose_images, draw_right_ones, need_label
from experiments.kit.inputs import build_network, log, squares, stored_side_px

SYMMETRIC_SCENES = ("flower", "clock", "windmill")


def open_data(cfg: DictConfig, snapshot: Snapshot | None) -> Squares | None:
    """The split that images come from; None where all are files and nothing else is measured.

    Raises DeconvError if its classes are not the network's, or `symmetric` is none of them.
    """
    files = cfg.images and all(isinstance(one, str) for one in cfg.images)
    data = None
    if not files or cfg.population:
        data = squares(cfg, cfg.split, stored_side_px(cfg, snapshot))
        if snapshot and list(data.classes) != list(snapshot.classes):
            raise DeconvError(
                f"{cfg.data.name} has {len(data.classes)} classes that are not the network's "
                f"{len(snapshot.classes)} (trained on {snapshot.config.get('data')}): name its "
                "data=…, or images=[…] by path with labels=[…] and population=0"
            )
    known = data.classes if data else snapshot.classes if snapshot else []
    for name in cfg.symmetric or []:
        if name not in known:
            raise unknown("class in symmetric", name, known)
    return data


def check_images(cfg: DictConfig, snapshot: Snapshot | None, data: Squares | None) -> None:
    """Raise DeconvError for named images that do not exist, cannot be read, or have no class."""
    if not isinstance(cfg.images, ListConfig):
        raise DeconvError(f"images takes a list of paths or numbers such as [3,17]: {cfg.images}")
    if not cfg.images:
        return
    net = snapshot.network() if snapshot else build_network(cfg, 2)
    if snapshot is None:  # not trained yet: its classes will be those of the data
        side = stored_side_px(cfg, None)
        classes = squares(cfg, "train", side).classes
        snapshot = Snapshot({}, {}, torch.zeros(3, side, side), list(classes))
    for image in choose_images(cfg, snapshot, net, data, SHOWN):
        need_label(image)


def shown_and_others(
    cfg: DictConfig, snapshot: Snapshot, net: ChainNet, data: Squares | None
) -> tuple[list[ChosenImage], list[ChosenImage]]:
    """The images that are shown, and those that are only measured."""
    settings = cfg.copy()
    if cfg.size_name == "smoke" and isinstance(cfg.images, ListConfig) and not cfg.images:
        log("size=smoke trains too little to choose by: the first images are taken, right or wrong")
        settings.images = list(range(min(SHOWN, len(data))))
    shown = choose_images(settings, snapshot, net, data, SHOWN)
    if not cfg.population:
        return shown, []
    taken = {image.index for image in shown}
    wanted = cfg.population + len(shown)
    if cfg.size_name == "smoke":
        numbers = range(min(wanted, len(data)))
    else:
        numbers = draw_right_ones(snapshot, net, data, wanted, cfg.seed, least=1)
    numbers = [i for i in numbers if i not in taken][: cfg.population]
    if len(numbers) < cfg.population:
        log(f"note: {len(numbers)} further images instead of {cfg.population}; there are no more")
    if not numbers:
        return shown, []
    settings.images, settings.labels = numbers, []
    return shown, choose_images(settings, snapshot, net, data, len(numbers))


def symmetric_images(
    cfg: DictConfig, snapshot: Snapshot, labels: Sequence[int]
) -> np.ndarray | None:
    """N bool: whether an image's object looks alike when turned; None where nobody said so."""
    names = cfg.symmetric
    if names is None and cfg.data.name == "scenes":
        names = SYMMETRIC_SCENES
    if not names:
        return None
    return np.array([snapshot.classes[label] in names for label in labels])
