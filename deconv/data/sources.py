"""Data sets of photographs in torchvision's layouts: found on disk, split and checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import torch
from torchvision import datasets

from deconv.data.average_precision import ABSENT, IGNORED, PRESENT
from deconv.data.folders import ImageFiles, class_folders, images_in, is_hidden
from deconv.data.multi_label import MultiLabel
from deconv.data.photographs import Photographs
from deconv.data.preparation.manifest import check_finished, listed_digests
from deconv.errors import DataMissing, DeconvError, unknown

SPLITS = ("train", "val")
WHOLE = "all"
"""Instead of a split: all images of a data set in DRAWN."""
DRAWN = ("caltech101", "caltech256")
"""Data sets without official splits; theirs are drawn at random by a seed."""
SPLIT_FOLDERS = {"train": ("train", "training"), "val": ("val", "valid", "validation")}
"""Split -> possible names of its folder, case-insensitive."""


def imagefolder(
    root: Path, split: str, side_px: int, val_fraction: float = 0.2, seed: int = 0
) -> Photographs:
    """Read root/train/<class>/… and root/val/<class>/… (see SPLIT_FOLDERS), or root/<class>/….

    Without split folders, a random `val_fraction` of each class (at least one image if the class
    has two) is held out for "val".
    """
    folders = _split_folders(root)
    if folders and split not in folders:
        raise DeconvError(
            f"{root} has no folder {split!r}: add {root / split} with one folder a class"
        )
    data, classes = _by_class(folders.get(split, root))
    chosen = None
    if not folders:
        held_out = _per_class(
            data.targets, lambda n: min(n - 1, max(1, round(n * val_fraction))), seed
        )
        chosen = sorted(held_out if split == "val" else set(range(len(data))) - set(held_out))
    return Photographs(data, data.targets, classes, data.paths, side_px, chosen)


def _split_folders(root: Path) -> dict[str, Path]:
    """Map each split found to its folder."""
    found: dict[str, Path] = {}
    for folder in class_folders(root):
        for split, names in SPLIT_FOLDERS.items():
            if folder.name.lower() not in names:
                continue
            if split in found:
                raise DeconvError(
                    f"{root} has folders {found[split].name!r} and {folder.name!r}, and either "
                    f"could be {split!r}: rename or remove one"
                )
            found[split] = folder
    return found


def _by_class(
    where: Path, left_out: str | None = None, nested: bool = True
) -> tuple[ImageFiles, list[str]]:
    """Read one folder per class, without `left_out`: the images and the class names."""
    folders = [folder for folder in class_folders(where) if folder.name != left_out]
    if not folders:
        raise DeconvError(f"{where} holds no folders: it needs one folder of images per class")
    images = [images_in(folder, nested) for folder in folders]
    if empty := [f.name for f, own in zip(folders, images, strict=True) if not own]:
        raise DeconvError(f"class folders without an image in {where}: {', '.join(empty[:5])}")
    targets = [label for label, own in enumerate(images) for _ in own]
    return ImageFiles(list(chain(*images)), targets), [folder.name for folder in folders]


def _per_class(targets: Sequence[int], count: Callable[[int], int], seed: int) -> list[int]:
    """Draw `count(class size)` indices of each class by (seed, class)."""
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
    """Draw a random split by (seed, class): "train" and "val" -> sorted positions in `targets`.

    For one seed a smaller training set is a subset of a larger one.

    Args:
        train_per_class: training images of each class.
        test_per_class: at most so many of the others for testing; None: all.

    Raises:
        DeconvError: if a class would have no test image left; names the classes.
    """
    if train_per_class < 1 or (test_per_class is not None and test_per_class < 1):
        raise DeconvError(
            f"a split needs at least one image per class, got {train_per_class=} and "
            f"{test_per_class=}"
        )
    sizes = np.bincount(np.asarray(targets), minlength=len(classes))
    few = [(c, n) for c, n in zip(classes, sizes.tolist(), strict=True) if n <= train_per_class]
    if few:
        named = ", ".join(f"{name} has {size}" for name, size in few[:5])
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
    """Read Caltech-101 from root/caltech101/101_ObjectCategories (§5.2), torchvision's layout.

    The split is random by `seed`: `train_per_class` training images (15 or 30) and at most
    `test_per_class` (50) test images. As in torchvision there is no background class.
    """
    folder = root / "caltech101" / "101_ObjectCategories"
    if _needs_download(folder, download, "Caltech-101", "caltech101"):
        datasets.Caltech101(str(root), download=True)
    return _caltech(folder, split, side_px, train_per_class, test_per_class, seed, BACKGROUND)


BACKGROUND = "BACKGROUND_Google"
"""The background class of Caltech-101."""
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
    """Read Caltech-256 from root/caltech256/256_ObjectCategories (§5.2), torchvision's layout.

    The split is random by `seed`: `train_per_class` training images (15, 30, 45 or 60, Table 5) and
    at most `test_per_class` test images (None: all others, as the paper states no number for this
    set). Class names are folder names, such as "001.ak47".

    Args:
        clutter: include the background class as the 257th.
    """
    folder = root / "caltech256" / "256_ObjectCategories"
    if _needs_download(folder, download, "Caltech-256", "caltech256"):
        datasets.Caltech256(str(root), download=True)
    # The background sorts last, so that all other images keep their positions without it.
    left_out = None if clutter else CLUTTER
    return _caltech(folder, split, side_px, train_per_class, test_per_class, seed, left_out)


def _caltech(
    folder: Path,
    split: str,
    side_px: int,
    train_per_class: int,
    test_per_class: int | None,
    seed: int,
    left_out: str | None,
) -> Photographs:
    data, classes = _by_class(folder, left_out, nested=False)
    chosen = None
    if split != WHOLE:
        parts = train_and_test(data.targets, classes, train_per_class, test_per_class, seed)
        chosen = parts[split]
    return Photographs(data, data.targets, classes, data.paths, side_px, chosen)


class _ImageNet(datasets.ImageNet):
    def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
        names = [folder.name for folder in class_folders(Path(directory))]
        return names, {name: label for label, name in enumerate(names)}


def imagenet(root: Path, split: str, side_px: int) -> Photographs:
    """Read ImageNet 2012 as torchvision does: from its archives or what it unpacked of them."""
    try:
        names = [name[0] for name in _ImageNet(str(root), split).classes]
    except (RuntimeError, OSError) as error:
        what = f"{root} is not ImageNet 2012 in torchvision's layout ({error})"
        raise _missing(what, "imagenet") from error
    data, _ = _by_class(root / split)
    return Photographs(data, data.targets, names, data.paths, side_px)


def imagenette(
    root: Path, split: str, side_px: int, size: str = "full", download: bool = False
) -> Photographs:
    """Read Imagenette, ten classes of ImageNet. size: "full", "320px" or "160px" (shorter side)."""
    folder = root / {"full": "imagenette2"}.get(size, f"imagenette2-{size.removesuffix('px')}")
    if _needs_download(folder, download, "Imagenette", "imagenette"):
        datasets.Imagenette(str(root), split, size=size, download=True)
    data, wnids = _by_class(folder / split)
    names = [datasets.Imagenette._WNID_TO_CLASS.get(wnid, [wnid])[0] for wnid in wnids]
    return Photographs(data, data.targets, names, data.paths, side_px)


def cifar10(root: Path, split: str, side_px: int, download: bool = False) -> Photographs:
    """Read CIFAR-10: 32 px images resized to `side_px`; "val" is its test set."""
    fetch = _needs_download(root / "cifar-10-batches-py", download, "CIFAR-10", "cifar10")
    data = datasets.CIFAR10(str(root), train=split == "train", download=fetch)
    names = [f"{split} image {i}" for i in range(len(data))]
    return Photographs(data, data.targets, data.classes, names, side_px)


def fashion_mnist(root: Path, split: str, side_px: int, download: bool = False) -> Photographs:
    """Read Fashion-MNIST: grey 28 px images as RGB at `side_px`; "val" is its test set."""
    fetch = _needs_download(
        root / "FashionMNIST" / "raw", download, "Fashion-MNIST", "fashion_mnist"
    )
    data = datasets.FashionMNIST(str(root), train=split == "train", download=fetch)
    names = [f"{split} image {i}" for i in range(len(data))]
    return Photographs(data, data.targets.tolist(), data.classes, names, side_px)


_VOC_WORDS = """
aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person
pottedplant sheep sofa train tvmonitor
"""
VOC_CLASSES = tuple(_VOC_WORDS.split())
"""The classes of Table 6 by VOC's names."""


def voc2012(root: Path, split: str, side_px: int, download: bool = False) -> MultiLabel:
    """Read PASCAL VOC 2012 from root/VOCdevkit/VOC2012, torchvision's layout.

    As in VOC's classification lists, a class is PRESENT if the image has a non-difficult object of
    it, IGNORED if it has difficult ones only, else ABSENT.
    """
    fetch = _needs_download(root / "VOCdevkit" / "VOC2012", download, "PASCAL VOC 2012", "voc2012")
    data = datasets.VOCDetection(
        str(root), "2012", split, download=fetch, target_transform=_no_label
    )
    targets = torch.tensor([_voc_marks(path) for path in data.annotations], dtype=torch.int8)
    images = Photographs(data, [0] * len(data), ["-"], data.images, side_px)
    return MultiLabel(images, targets, VOC_CLASSES)


def _no_label(annotation: object) -> int:
    return 0


def _voc_marks(path: str) -> list[int]:
    """Return the mark of each class in one annotation file."""
    difficult: dict[str, list[bool]] = {}
    try:
        for thing in ElementTree.parse(path).getroot().findall("object"):
            found = difficult.setdefault(thing.findtext("name", "").strip(), [])
            found.append(thing.findtext("difficult", "0").strip() == "1")
    except (OSError, ElementTree.ParseError) as error:
        raise DeconvError(f"cannot read the annotation {path}: {error}. Replace it.") from error
    if strange := sorted(difficult.keys() - set(VOC_CLASSES)):
        raise DeconvError(
            f"{path} names {', '.join(strange)}, not a class of VOC 2012. Replace it."
        )
    return [
        ABSENT if name not in difficult else IGNORED if all(difficult[name]) else PRESENT
        for name in VOC_CLASSES
    ]


def _missing(what: str, name: str) -> DataMissing:
    return DataMissing(f"{what}. If it is elsewhere, set root=<folder>. To get it: {TO_GET[name]}.")


def _needs_download(folder: Path, download: bool, title: str, name: str) -> bool:
    """Whether to download a data set; DataMissing if it is missing and may not be downloaded."""
    if not download and not folder.is_dir():
        raise _missing(f"{title} is not at {folder}", name)
    return not folder.is_dir()


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
TO_GET = dict.fromkeys(SOURCES, "download=true fetches it into root") | {
    "imagefolder": "put photographs into <folder>/<class>/…, or into train and val folders of "
    "such; scripts/prepare_tiny_imagenet.py makes one of Tiny ImageNet",
    "imagenet": "with an account at image-net.org download ILSVRC2012_devkit_t12.tar.gz, "
    "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar into one folder, and name it; "
    "scripts/prepare_imagenet.py makes a smaller copy of them",
}
"""Data set -> how to get it, for DataMissing."""


def photographs(
    name: str, root: str | Path, split: str, side_px: int, **options: Any
) -> Photographs | MultiLabel:
    """Open one split of a data set of photographs as squares of `side_px`.

    Args:
        name: a key of SOURCES.
        split: "train" or "val"; for data sets in DRAWN also WHOLE.
        options: keyword arguments of the source.

    Raises:
        DataMissing: if the folder is missing or empty; says how to get the data.
        DeconvError: if it is a prepared copy, see `deconv.data.preparation`, and not as its
            manifest lists it. Each of its images is compared with the manifest as it is read.
    """
    if name not in SOURCES:
        raise unknown("data set", name, SOURCES)
    valid = (*SPLITS, WHOLE) if name in DRAWN else SPLITS
    if split not in valid:
        raise unknown("split", split, valid)
    root = Path(root).expanduser()
    if not 0 <= options.get("val_fraction", 0) <= 1:
        raise DeconvError(f"val_fraction must be in 0…1, got {options['val_fraction']}")
    empty = not root.is_dir() or all(is_hidden(path.name) for path in root.iterdir())
    if empty and not options.get("download"):
        state = "empty" if root.is_dir() else "missing"
        raise _missing(f"the data folder {root} of {name} is {state}", name)
    check_finished(root)
    try:
        data = SOURCES[name](root, split, side_px, **options)
        files = data.dataset if isinstance(data, Photographs) else None
        if isinstance(files, ImageFiles):
            files.digests = listed_digests(root, files.paths)
        return data
    except DeconvError:
        raise
    except (RuntimeError, ValueError, OSError) as error:
        raise DeconvError(
            f"{root} does not hold {name} as torchvision lays it out: {error}"
        ) from error
