"""The single images that a figure is about: named by path, by number, or drawn at random."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from omegaconf import DictConfig, ListConfig

from deconv.data import Squares, prepare
from deconv.data.class_names import class_number
from deconv.errors import DeconvError
from deconv.images import read_rgb, square
from deconv.networks import ChainNet
from deconv.training.snapshots import Snapshot
from deconv.whole_number import whole_number


@dataclass(frozen=True)
class ChosenImage:
    """One image. square: 3×S×S uint8, as stored; input: 3×c×c float32, what the network is fed.

    name: for captions. label: number of its class, None if unknown. index: its number in the data
    set, None for a file.
    """

    name: str
    square: torch.Tensor
    input: torch.Tensor
    label: int | None
    index: int | None

    def picture(self) -> torch.Tensor:
        """The part of the square that the network sees, 3×c×c uint8."""
        crop = self.input.shape[-1]
        edge = (self.square.shape[-1] - crop) // 2
        return self.square[:, edge : edge + crop, edge : edge + crop]


def choose_images(
    cfg: DictConfig,
    snapshot: Snapshot,
    net: ChainNet,
    data: Squares,
    count: int,
    classes: Sequence[str] = (),
) -> list[ChosenImage]:
    """The images that cfg.images names, or `count` that the network classifies rightly.

    cfg.images: a list of paths or of numbers in `data`; empty: drawn by cfg.seed among the images
        of `data` whose centre crop the network gets right, of as many classes as there are, only
        of `classes` if given; among all images where the network knows none of data's classes.
    cfg.labels: for paths, the class of each, by name; may be empty where no label is needed.
    Raises DeconvError for a number or class that does not exist, for labels that are not one for
    each image, and where too few images are classified rightly, saying how many are.
    """
    if not isinstance(cfg.images, ListConfig):
        raise DeconvError(f"images takes a list of paths or numbers such as [3,17]: {cfg.images}")
    labels = list(cfg.get("labels") or [])
    if labels and len(labels) != len(cfg.images):
        raise DeconvError(
            f"labels has {len(labels)} entries for {len(cfg.images)} images: give one for each"
        )
    if cfg.images:
        return [
            _named(one, labels[i] if labels else None, snapshot, net, data)
            for i, one in enumerate(cfg.images)
        ]
    wanted = {class_number(name, data.classes) for name in classes} or None
    return [
        _of_data(i, snapshot, net, data)
        for i in draw_right_ones(snapshot, net, data, count, cfg.seed, wanted)
    ]


def draw_right_ones(
    snapshot: Snapshot,
    net: ChainNet,
    data: Squares,
    count: int,
    seed: int,
    wanted: set[int] | None = None,
    least: int | None = None,
) -> list[int]:
    """Numbers of the first `count` images that `net` classifies rightly, in an order of `seed`.

    Classes take turns: the order begins with one image of each. wanted: numbers of the classes to
    draw from, None for all. least: how many will do if there are no `count`; by default all of
    them. Raises DeconvError where fewer are right.
    """
    where = net.device
    foreign = not set(data.classes) & set(snapshot.classes)
    seen: Counter[int] = Counter()
    turns = []
    for i in np.random.default_rng(seed).permutation(len(data)).tolist():
        label = data.targets[i]
        if wanted is None or label in wanted:
            turns.append((seen[label], len(turns), i))
            seen[label] += 1
    found: list[int] = []
    for _, _, i in sorted(turns):
        image = _of_data(i, snapshot, net, data)
        if foreign:
            found.append(i)
        elif int(net.record(image.input[None].to(where)).logits.argmax()) == image.label:
            found.append(i)
        if len(found) == count:
            return found
    if least is not None and len(found) >= least:
        return found
    raise DeconvError(
        f"the network classifies {len(found)} of {len(turns)} images rightly, "
        f"{count if least is None else least} are wanted: "
        "train longer, take another split, or name images=[…]"
    )


def _named(
    one: object, label: str | None, snapshot: Snapshot, net: ChainNet, data: Squares
) -> ChosenImage:
    if isinstance(one, int | float):
        one = whole_number(one, "images")
        if not 0 <= one < len(data):
            raise DeconvError(f"there is no image {one}: the data set has {len(data)} images")
        chosen = _of_data(one, snapshot, net, data)
        if label is None:
            return chosen
        number = class_number(label, snapshot.classes)
        return ChosenImage(chosen.name, chosen.square, chosen.input, number, one)
    stored = square(read_rgb(str(one)), snapshot.mean.shape[-1])
    number = None if label is None else class_number(label, snapshot.classes)
    inputs = prepare(stored, snapshot.mean, net.input_px)
    return ChosenImage(Path(str(one)).name, stored, inputs, number, None)


def _of_data(index: int, snapshot: Snapshot, net: ChainNet, data: Squares) -> ChosenImage:
    stored, label = data[index]
    inputs = prepare(stored, snapshot.mean, net.input_px)
    name = data.classes[label]
    known = list(snapshot.classes).index(name) if name in snapshot.classes else None
    return ChosenImage(name, stored, inputs, known, index)


def need_label(image: ChosenImage) -> int:
    """Its label. Raises DeconvError for an image without one."""
    if image.label is None:
        raise DeconvError(
            f"the class of {image.name} is needed and not known: name it with labels=[…], one "
            "for each of images=[…]"
        )
    return image.label
