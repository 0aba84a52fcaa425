"""The single images that a figure is about: named by path, by number, or drawn at random."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from deconv.data import Squares, prepare
from deconv.data.class_names import class_number
from deconv.errors import DeconvError
from deconv.images import read_rgb, square
from deconv.networks import Network
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


def named_images(
    images: Sequence[object],
    labels: Sequence[str],
    snapshot: Snapshot,
    input_px: int,
    data: Squares | None,
) -> list[ChosenImage]:
    """Images by their paths, or by their numbers in `data`, which paths alone do not need.

    labels: for paths, the class of each, by name; may be empty where no label is needed.
    Raises DeconvError for a number or class that does not exist, and for labels that are not one
    for each image.
    """
    if labels and len(labels) != len(images):
        raise DeconvError(
            f"labels has {len(labels)} entries for {len(images)} images: give one for each"
        )
    return [
        _named(one, labels[i] if labels else None, snapshot, input_px, data)
        for i, one in enumerate(images)
    ]


def draw_right_ones(
    snapshot: Snapshot,
    net: Network,
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
        image = _of_data(i, snapshot, net.input_px, data)
        if foreign or int(net.record(image.input[None].to(where)).logits.argmax()) == image.label:
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
    one: object, label: str | None, snapshot: Snapshot, input_px: int, data: Squares | None
) -> ChosenImage:
    if isinstance(one, int | float):
        one = whole_number(one, "images")
        if not 0 <= one < len(data):
            raise DeconvError(f"there is no image {one}: the data set has {len(data)} images")
        chosen = _of_data(one, snapshot, input_px, data)
        if label is None:
            return chosen
        number = class_number(label, snapshot.classes)
        return ChosenImage(chosen.name, chosen.square, chosen.input, number, one)
    stored = square(read_rgb(str(one)), snapshot.mean.shape[-1])
    number = None if label is None else class_number(label, snapshot.classes)
    inputs = prepare(stored, snapshot.mean, input_px)
    return ChosenImage(Path(str(one)).name, stored, inputs, number, None)


def _of_data(index: int, snapshot: Snapshot, input_px: int, data: Squares) -> ChosenImage:
    stored, label = data[index]
    inputs = prepare(stored, snapshot.mean, input_px)
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
