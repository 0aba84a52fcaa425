"""The single images that a figure is about: named by path, by number, or drawn at random."""

from __future__ import annotations

import dataclasses
import difflib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from deconv.data import Squares, paths_of, prepare
from deconv.data.class_names import class_number, in_words
from deconv.data.free_photographs import FREE, free_photograph
from deconv.errors import DeconvError, some
from deconv.images import read_rgb, square
from deconv.networks import Network
from deconv.training.snapshots import Snapshot
from deconv.whole_number import whole_number
from experiments.kit.facts import class_of, image_columns


@dataclass(frozen=True)
class ChosenImage:
    """One image. square: 3×S×S uint8, as stored; input: 3×c×c float32, what the network is fed.

    name: for captions. label: number of its class, None if unknown. index: its number in the data
    set, None for a file. file: its name, with its folder where it is one of the data set.
    """

    name: str
    square: torch.Tensor
    input: torch.Tensor
    label: int | None
    index: int | None
    file: str = ""

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
    root: str | None = None,
) -> list[ChosenImage]:
    """Images by their paths, or by their numbers or file names in `data`.

    labels: the class of each, by name or number; where empty, an image of `data` has its own, and
    a file below `root`, the data set's folder, that of its folder. data: not needed for paths.
    Raises DeconvError for an image or class that does not exist, and for labels that are not one
    for each image.
    """
    if labels and len(labels) != len(images):
        raise DeconvError(
            f"labels has {len(labels)} entries for {len(images)} images: give one for each"
        )
    return [
        _named(one, labels[i] if labels else None, snapshot, input_px, data, root)
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
    one: object,
    label: str | None,
    snapshot: Snapshot,
    input_px: int,
    data: Squares | None,
    root: str | None,
) -> ChosenImage:
    if of_data_set(one) and data is not None:
        one = number_of(one, data) if isinstance(one, str) else whole_number(one, "images")
        if not 0 <= one < len(data):
            raise DeconvError(f"there is no image {one}: the data set has {len(data)} images")
        chosen = _of_data(one, snapshot, input_px, data)
        if label is None:
            return chosen
        number = class_number(label, snapshot.classes)
        return dataclasses.replace(chosen, label=number)
    file = free_photograph(str(one))
    stored = square(read_rgb(file), snapshot.mean.shape[-1])
    label = label if label is not None else class_of_folder(file, root, snapshot.classes)
    number = None if label is None else class_number(label, snapshot.classes)
    inputs = prepare(stored, snapshot.mean, input_px)
    path = Path(file).absolute()
    name = str(one) if one in FREE else path.name
    return ChosenImage(name, stored, inputs, number, None, "/".join(path.parts[-2:]))


def of_data_set(one: object) -> bool:
    """Whether an image is named by its number or file name in a data set, not by a path."""
    return not isinstance(one, str) or not Path(free_photograph(one)).expanduser().is_file()


def number_of(name: str, data: Squares) -> int:
    """The number of an image by its file name, or by as much of the end of its path as is needed.

    Raises DeconvError, naming the nearest, where no image or several are called so.
    """
    paths, wanted = paths_of(data) or [], Path(name).parts
    found = [i for i, path in enumerate(paths) if Path(path).parts[-len(wanted) :] == wanted]
    if len(found) == 1:
        return found[0]
    if found:
        ways = some("/".join(Path(paths[i]).parts[-len(wanted) - 1 :]) for i in found)
        raise DeconvError(
            f"{len(found)} images are called {name}: name one with its folder, {ways}"
        )
    near = difflib.get_close_matches(
        name, ["/".join(Path(path).parts[-len(wanted) :]) for path in paths], n=5, cutoff=0.6
    )
    hint = f"; the nearest there: {', '.join(dict.fromkeys(near))}" if near else ""
    raise DeconvError(
        f"cannot read the image {name}: there is no such file, nor an image of the split that is "
        f"called so (split=all looks in both){hint}"
    )


def class_of_folder(path: str, root: str | None, classes: Sequence[str]) -> str | None:
    """The class of a file below `root`: the nearest folder above it that is called as a class.

    ImageNet's folders are called by numbers, its classes by words.
    """
    file = Path(path).expanduser().resolve()
    if root is None or not file.is_relative_to(folder := Path(root).expanduser().resolve()):
        return None
    above = [in_words([name])[0] for name in file.relative_to(folder).parts[:-1]]
    return next((name for name in reversed(above) if name in classes), None)


def _of_data(index: int, snapshot: Snapshot, input_px: int, data: Squares) -> ChosenImage:
    stored, _ = data[index]
    inputs = prepare(stored, snapshot.mean, input_px)
    name = class_of(data, index)
    known = list(snapshot.classes).index(name) if name in snapshot.classes else None
    file = image_columns(data, index)["file"]
    return ChosenImage(name, stored, inputs, known, index, file)


def need_label(image: ChosenImage) -> int:
    """Its label. Raises DeconvError for an image without one."""
    if image.label is None:
        raise DeconvError(
            f"the class of {image.name} is needed and not known: name it with labels=[…], one "
            "for each of images=[…]"
        )
    return image.label
