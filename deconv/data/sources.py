"""Where photographs come from: each data set through torchvision's class, split and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import torch
from torchvision import datasets

from deconv.average_precision import ABSENT, IGNORED, PRESENT
from deconv.data.multi_label import MultiLabel
from deconv.data.photographs import Photographs
from deconv.errors import DataMissing, DeconvError, unknown
from deconv.images import read_rgb

SPLITS = ("train", "val")
WHOLE = "all"
"""In place of a split, all images of a data set out of DRAWN."""
DRAWN = ("caltech101", "caltech256")
"""The data sets that come in one piece, so that both splits are drawn at random by a seed."""


def imagefolder(
    root: Path, split: str, side_px: int, val_fraction: float = 0.2, seed: int = 0
) -> Photographs:
    """root/train/<class>/… and root/val/<class>/…; or root/<class>/… alone.

    A root without train and val folders is split by `seed`: of each class a `val_fraction`
    (at least one image of a class that has two) goes to "val".
    """
    has = {name: (root / name).is_dir() for name in SPLITS}
    if any(has.values()) and not has[split]:
        raise DeconvError(
            f"{root} has no folder {split!r}: add {root / split} with one folder a class"
        )
    folder = root / split if has[split] else root
    data = _folder(folder)
    paths = [path for path, _ in data.samples]
    chosen = None
    if not has[split]:
        held_out = _per_class(
            data.targets, lambda n: min(n - 1, max(1, round(n * val_fraction))), seed
        )
        chosen = sorted(held_out if split == "val" else set(range(len(paths))) - set(held_out))
    return Photographs(data, data.targets, data.classes, paths, side_px, chosen)


def _folder(folder: Path) -> datasets.ImageFolder:
    """torchvision's ImageFolder, with errors that say what is missing where."""
    empty = [c.name for c in sorted(folder.iterdir()) if c.is_dir() and not any(c.iterdir())]
    if empty:
        raise DeconvError(f"class folders without an image in {folder}: {', '.join(empty[:5])}")
    try:
        return datasets.ImageFolder(str(folder), loader=read_rgb)
    except FileNotFoundError as error:
        raise DeconvError(
            f"{folder} is not one folder of images for each class: {error}"
        ) from error


def _per_class(targets: Sequence[int], count: Callable[[int], int], seed: int) -> list[int]:
    """For each class, `count(its size)` of its indices, drawn by (seed, class)."""
    labels = np.asarray(targets)
    drawn: list[int] = []
    for label in np.unique(labels):
        members = np.random.default_rng((seed, int(label))).permutation(
            np.flatnonzero(labels == label)
        )
        drawn += [int(i) for i in members[: count(len(members))]]
    return drawn


def train_and_test(
    targets: Sequence[int],
    classes: Sequence[str],
    train_per_class: int,
    test_per_class: int | None,
    seed: int,
) -> dict[str, list[int]]:
    """A random split by (seed, class): "train" and "val" -> positions in `targets`, in order.

    `train_per_class` of each class to train on, of the others at most `test_per_class` (None: all)
    to test on. With one seed, fewer images to train on are a part of more of them.
    Raises DeconvError naming the classes of which none would be left to test on.
    """
    if train_per_class < 1 or (test_per_class is not None and test_per_class < 1):
        raise DeconvError(
            f"a split wants at least one image of a class, got {train_per_class=} and "
            f"{test_per_class=}"
        )
    sizes = np.bincount(np.asarray(targets), minlength=len(classes))
    few = {c: n for c, n in zip(classes, sizes.tolist(), strict=True) if n <= train_per_class}
    if few:
        named = ", ".join(f"{name} has {size}" for name, size in list(few.items())[:5])
        raise DeconvError(
            f"{train_per_class} training images of each class leave none to test on in "
            f"{len(few)} of {len(classes)} classes ({named}): ask for fewer training images, or "
            "complete these classes"
        )
    most = len(targets) if test_per_class is None else train_per_class + test_per_class
    seen = np.zeros(len(classes), int)
    parts: dict[str, list[int]] = {"train": [], "val": []}
    for index in _per_class(targets, lambda n: min(n, most), seed):
        parts["train" if seen[targets[index]] < train_per_class else "val"].append(index)
        seen[targets[index]] += 1
    return {name: sorted(chosen) for name, chosen in parts.items()}


def caltech101(
    root: Path,
    split: str,
    side_px: int,
    train_per_class: int = 30,
    test_per_class: int = 50,
    seed: int = 0,
    download: bool = False,
) -> Photographs:
    """Caltech-101 in torchvision's layout, root/caltech101/101_ObjectCategories (§5.2).

    The split is random by `seed`: `train_per_class` images (15 or 30) to train on and at most
    `test_per_class` (50) of the others to test on. The background class is left out, as
    torchvision does.
    """
    folder = root / "caltech101" / "101_ObjectCategories"
    _present(folder, download, "Caltech-101", "caltech101")
    data = datasets.Caltech101(str(root), download=download)
    paths = [
        str(folder / data.categories[label] / f"image_{number:04d}.jpg")
        for label, number in zip(data.y, data.index, strict=True)
    ]
    chosen = None
    if split != WHOLE:
        parts = train_and_test(data.y, data.categories, train_per_class, test_per_class, seed)
        chosen = parts[split]
    return Photographs(data, data.y, data.categories, paths, side_px, chosen)


CLUTTER = "257.clutter"
"""The background class of Caltech-256."""


def caltech256(
    root: Path,
    split: str,
    side_px: int,
    train_per_class: int = 60,
    test_per_class: int | None = None,
    clutter: bool = False,
    seed: int = 0,
    download: bool = False,
) -> Photographs:
    """Caltech-256 in torchvision's layout, root/caltech256/256_ObjectCategories (§5.2).

    The split is random by `seed`: `train_per_class` images (15, 30, 45 or 60, Table 5) to train on
    and at most `test_per_class` of the others to test on; None takes all of them, as the paper
    states no number for this set. The classes keep the names of their folders, such as "001.ak47".
    clutter: whether the background class is a class like the others, the 257th.
    """
    folder = root / "caltech256" / "256_ObjectCategories"
    _present(folder, download, "Caltech-256", "caltech256")
    data = datasets.Caltech256(str(root), download=download)
    classes = [name for name in data.categories if clutter or name != CLUTTER]
    # The background sorts last, so that all other images keep their positions without it.
    targets = [label for label in data.y if label < len(classes)]
    paths = [
        str(folder / classes[label] / f"{label + 1:03d}_{number:04d}.jpg")
        for label, number in zip(targets, data.index, strict=False)
    ]
    chosen = None
    if split != WHOLE:
        chosen = train_and_test(targets, classes, train_per_class, test_per_class, seed)[split]
    return Photographs(data, targets, classes, paths, side_px, chosen)


def imagenet(root: Path, split: str, side_px: int) -> Photographs:
    """ImageNet 2012 as torchvision reads it: its archives, or what it unpacked."""
    try:
        data = datasets.ImageNet(str(root), split, loader=read_rgb)
    except (RuntimeError, OSError) as error:
        what = f"{root} is not ImageNet 2012 in torchvision's layout ({error})"
        raise _missing(what, "imagenet") from error
    names = [name[0] for name in data.classes]
    return Photographs(data, data.targets, names, [path for path, _ in data.samples], side_px)


def imagenette(
    root: Path, split: str, side_px: int, size: str = "full", download: bool = False
) -> Photographs:
    """Imagenette, ten classes of ImageNet; size "full", "320px" or "160px" (shorter side)."""
    folder = root / {"full": "imagenette2"}.get(size, f"imagenette2-{size.removesuffix('px')}")
    _present(folder, download, "Imagenette", "imagenette")
    fetch = download and not folder.is_dir()
    data = datasets.Imagenette(str(root), split, size=size, download=fetch, loader=read_rgb)
    names = [name[0] for name in data.classes]
    targets, paths = [y for _, y in data._samples], [path for path, _ in data._samples]
    return Photographs(data, targets, names, paths, side_px)


def cifar10(root: Path, split: str, side_px: int, download: bool = False) -> Photographs:
    """CIFAR-10: 32 px images, enlarged or reduced to `side_px`; "val" is its test set."""
    _present(root / "cifar-10-batches-py", download, "CIFAR-10", "cifar10")
    data = datasets.CIFAR10(str(root), train=split == "train", download=download)
    names = [f"{split} image {i}" for i in range(len(data))]
    return Photographs(data, data.targets, data.classes, names, side_px)


def fashion_mnist(root: Path, split: str, side_px: int, download: bool = False) -> Photographs:
    """Fashion-MNIST: grey 28 px images as RGB, enlarged to `side_px`; "val" is its test set."""
    _present(root / "FashionMNIST" / "raw", download, "Fashion-MNIST", "fashion_mnist")
    data = datasets.FashionMNIST(str(root), train=split == "train", download=download)
    names = [f"{split} image {i}" for i in range(len(data))]
    return Photographs(data, data.targets.tolist(), data.classes, names, side_px)


VOC_CLASSES = (
    "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow",
    "diningtable", "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train",
    "tvmonitor",
)  # fmt: skip
"""Table 6, under VOC's own names."""


def voc2012(root: Path, split: str, side_px: int, download: bool = False) -> MultiLabel:
    """PASCAL VOC 2012 in torchvision's layout, root/VOCdevkit/VOC2012, under VOC's marks.

    A class is PRESENT in an image if its annotation has an object of it that is not difficult,
    IGNORED if it has difficult ones alone, else ABSENT: what VOC's lists for classification say.
    """
    _present(root / "VOCdevkit" / "VOC2012", download, "PASCAL VOC 2012", "voc2012")
    fetch = download and not (root / "VOCdevkit" / "VOC2012").is_dir()
    data = datasets.VOCDetection(
        str(root), "2012", split, download=fetch, target_transform=_no_label
    )
    targets = torch.tensor([_voc_marks(path) for path in data.annotations], dtype=torch.int8)
    images = Photographs(data, [0] * len(data), ["-"], data.images, side_px)
    return MultiLabel(images, targets, VOC_CLASSES)


def _no_label(annotation: object) -> int:
    return 0


def _voc_marks(path: str) -> list[int]:
    """The mark of each class by one annotation file."""
    difficult: dict[str, list[bool]] = {}
    try:
        for thing in ElementTree.parse(path).getroot().findall("object"):
            found = difficult.setdefault(thing.findtext("name", "").strip(), [])
            found.append(thing.findtext("difficult", "0").strip() == "1")
    except (OSError, ElementTree.ParseError) as error:
        raise DeconvError(f"cannot read the annotation {path}: {error}. Replace it.") from error
    if strange := sorted(difficult.keys() - set(VOC_CLASSES)):
        raise DeconvError(f"{path} names {', '.join(strange)}, which is no class of VOC 2012")
    return [
        ABSENT if name not in difficult else IGNORED if all(difficult[name]) else PRESENT
        for name in VOC_CLASSES
    ]


_DOWNLOAD = "data.download=true fetches it into data.root"
TO_GET = {
    "imagefolder": "put photographs into <folder>/<class>/…, or into train and val folders of "
    "such; scripts/prepare_tiny_imagenet.py makes one of Tiny ImageNet",
    "caltech101": _DOWNLOAD,
    "caltech256": _DOWNLOAD,
    "imagenet": "with an account at image-net.org download ILSVRC2012_devkit_t12.tar.gz, "
    "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar into one folder, and name it; "
    "scripts/prepare_imagenet.py makes a smaller copy of them",
    "imagenette": _DOWNLOAD,
    "cifar10": _DOWNLOAD,
    "fashion_mnist": _DOWNLOAD,
    "voc2012": _DOWNLOAD,
}
"""Data set -> how to get it, for the errors that it is not there."""


def _missing(what: str, name: str) -> DataMissing:
    return DataMissing(
        f"{what}. If it is elsewhere, set data.root=<folder>. To get it: {TO_GET[name]}."
    )


def _present(folder: Path, download: bool, title: str, name: str) -> None:
    if not download and not folder.is_dir():
        raise _missing(f"{title} is not at {folder}", name)


SOURCES: dict[str, Callable[..., Photographs | MultiLabel]] = {
    "imagefolder": imagefolder,
    "caltech101": caltech101,
    "caltech256": caltech256,
    "imagenet": imagenet,
    "imagenette": imagenette,
    "cifar10": cifar10,
    "fashion_mnist": fashion_mnist,
    "voc2012": voc2012,
}


def photographs(
    name: str, root: str | Path, split: str, side_px: int, **options
) -> Photographs | MultiLabel:
    """One split of a data set of photographs, as squares of `side_px`.

    name: one of SOURCES; split: "train" or "val", of those in DRAWN also WHOLE; options: those of
    the source.
    Raises DataMissing if the folder is missing or empty and says how to get the data.
    """
    if name not in SOURCES:
        raise unknown("data set", name, SOURCES)
    valid = (*SPLITS, WHOLE) if name in DRAWN else SPLITS
    if split not in valid:
        raise unknown("split", split, valid)
    root = Path(root).expanduser()
    if not 0 <= options.get("val_fraction", 0) <= 1:
        raise DeconvError(f"val_fraction must be in 0…1, got {options['val_fraction']}")
    if not options.get("download") and (not root.is_dir() or not any(root.iterdir())):
        state = "empty" if root.is_dir() else "missing"
        raise _missing(f"the data folder {root} of {name} is {state}", name)
    try:
        return SOURCES[name](root, split, side_px, **options)
    except DeconvError:
        raise
    except (RuntimeError, ValueError, OSError) as error:
        raise DeconvError(
            f"{root} does not hold {name} as torchvision lays it out: {error}"
        ) from error
