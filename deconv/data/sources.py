"""Data sets of photographs in torchvision's layouts: found on disk, split and checked."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import torch

from deconv.data.average_precision import ABSENT, IGNORED, PRESENT
from deconv.data.class_names import in_words
from deconv.data.folders import ImageFiles, class_folders, is_hidden
from deconv.data.image_folders import by_class, imagefolder
from deconv.data.known_counts import KNOWN_COUNTS, WITH_CLUTTER, check_counts
from deconv.data.multi_label import MultiLabel
from deconv.data.photographs import Photographs
from deconv.data.preparation.manifest import check_finished, listed_digests
from deconv.data.skipping import BAD_IMAGES, ERROR
from deconv.data.splits import train_and_test
from deconv.errors import DataMissing, DeconvError, unknown

SPLITS = ("train", "val")
WHOLE = "all"
"""Instead of a split: all images of a data set in DRAWN."""
DRAWN = ("caltech101", "caltech256")
"""Data sets without official splits; theirs are drawn by a seed."""


def _of_torchvision() -> Any:
    """Import its data sets when one is read: they would take a third of the start of a command."""
    from torchvision import datasets

    return datasets


def caltech101(
    root: Path,
    split: str,
    side_px: int,
    train_per_class: int = 30,
    test_per_class: int = 50,
    seed: int = 0,
    download: bool = False,
    partial: bool = False,
) -> Photographs:
    """Read Caltech-101 from root/caltech101/101_ObjectCategories (§5.2), torchvision's layout.

    The split is random by `seed`: `train_per_class` training images (15 or 30) and at most
    `test_per_class` (50) test images. As in torchvision there is no background class.
    """
    folder = root / "caltech101" / "101_ObjectCategories"
    if _needs_download(folder, root, download, "Caltech-101", "caltech101"):
        _of_torchvision().Caltech101(str(root), download=True)
    data, classes = by_class(folder, BACKGROUND, nested=False)
    check_counts("caltech101", WHOLE, folder, len(data), len(classes), partial)
    chosen = _drawn(split, data.targets, classes, train_per_class, test_per_class, seed)
    return Photographs(data, data.targets, classes, data.paths, side_px, chosen)


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
    partial: bool = False,
) -> Photographs:
    """Read Caltech-256 from root/caltech256/256_ObjectCategories (§5.2), torchvision's layout.

    The split is random by `seed`: `train_per_class` training images (15, 30, 45 or 60, Table 5) and
    at most `test_per_class` test images (None: all others, as the paper states no number for this
    set). Class names are folder names, such as "001.ak47".

    Args:
        clutter: include the background class as the 257th.
    """
    folder = root / "caltech256" / "256_ObjectCategories"
    if _needs_download(folder, root, download, "Caltech-256", "caltech256"):
        _of_torchvision().Caltech256(str(root), download=True)
    if clutter and not (folder / CLUTTER).is_dir():
        raise DeconvError(f"clutter=true, but {folder} has no folder {CLUTTER}: unpack it again")
    # The background sorts last, so that all other images keep their positions without it.
    data, classes = by_class(folder, None if clutter else CLUTTER, nested=False)
    part = WITH_CLUTTER if clutter else WHOLE
    check_counts("caltech256", part, folder, len(data), len(classes), partial)
    chosen = _drawn(split, data.targets, classes, train_per_class, test_per_class, seed)
    return Photographs(data, data.targets, classes, data.paths, side_px, chosen)


def _drawn(
    split: str, targets: list[int], classes: list[str], train: int, test: int | None, seed: int
) -> list[int] | None:
    """Draw the images of a split of `train` and `test` images a class; None for WHOLE."""
    return None if split == WHOLE else train_and_test(targets, classes, train, test, seed)[split]


def imagenet(root: Path, split: str, side_px: int, partial: bool = False) -> Photographs:
    """Read ImageNet 2012 as torchvision does: from its archives or what it unpacked of them."""

    class ImageNet(_of_torchvision().ImageNet):  # type: ignore[misc]
        def find_classes(self, directory: str) -> tuple[list[str], dict[str, int]]:
            names = [folder.name for folder in class_folders(Path(directory))]
            return names, {name: label for label, name in enumerate(names)}

    try:
        names = [name[0] for name in ImageNet(str(root), split).classes]
    except (RuntimeError, OSError) as error:
        what = f"{root} is not ImageNet 2012 in torchvision's layout ({error})"
        raise _missing(what, "imagenet") from error
    data, found = by_class(root / split)
    check_counts("imagenet", split, root / split, len(data), len(found), partial)
    names = names if in_words(found) == found else found
    return Photographs(data, data.targets, names, data.paths, side_px)


def tiny_imagenet(root: Path, split: str, side_px: int, partial: bool = False) -> Photographs:
    """Read what scripts/prepare_tiny_imagenet.py wrote: root/train/<wnid>/…, root/val/<wnid>/…."""
    if not (root / split).is_dir() or (root / "val" / "val_annotations.txt").is_file():
        raise _missing(f"{root} is no prepared copy of Tiny ImageNet", "tiny_imagenet")
    data, classes = by_class(root / split)
    check_counts("tiny_imagenet", split, root / split, len(data), len(classes), partial)
    return Photographs(data, data.targets, classes, data.paths, side_px)


def imagenette(
    root: Path,
    split: str,
    side_px: int,
    size: str = "full",
    download: bool = False,
    partial: bool = False,
) -> Photographs:
    """Read Imagenette, ten classes of ImageNet. size: "full", "320px" or "160px" (shorter side)."""
    folder = root / {"full": "imagenette2"}.get(size, f"imagenette2-{size.removesuffix('px')}")
    if _needs_download(folder, root, download, "Imagenette", "imagenette"):
        _of_torchvision().Imagenette(str(root), split, size=size, download=True)
    data, wnids = by_class(folder / split)
    check_counts("imagenette", split, folder / split, len(data), len(wnids), partial)
    return Photographs(data, data.targets, wnids, data.paths, side_px)


def cifar10(root: Path, split: str, side_px: int, download: bool = False) -> Photographs:
    """Read CIFAR-10: 32 px images resized to `side_px`; "val" is its test set."""
    fetch = _needs_download(root / "cifar-10-batches-py", root, download, "CIFAR-10", "cifar10")
    data = _of_torchvision().CIFAR10(str(root), train=split == "train", download=fetch)
    names = [f"{split} image {i}" for i in range(len(data))]
    return Photographs(data, data.targets, data.classes, names, side_px)


def fashion_mnist(root: Path, split: str, side_px: int, download: bool = False) -> Photographs:
    """Read Fashion-MNIST: grey 28 px images as RGB at `side_px`; "val" is its test set."""
    fetch = _needs_download(
        root / "FashionMNIST" / "raw", root, download, "Fashion-MNIST", "fashion_mnist"
    )
    data = _of_torchvision().FashionMNIST(str(root), train=split == "train", download=fetch)
    names = [f"{split} image {i}" for i in range(len(data))]
    return Photographs(data, data.targets.tolist(), data.classes, names, side_px)


_VOC_WORDS = """
aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person
pottedplant sheep sofa train tvmonitor
"""
VOC_CLASSES = tuple(_VOC_WORDS.split())
"""The classes of Table 6 by VOC's names."""


def voc2012(
    root: Path, split: str, side_px: int, download: bool = False, partial: bool = False
) -> MultiLabel:
    """Read PASCAL VOC 2012 from root/VOCdevkit/VOC2012, torchvision's layout.

    As in VOC's classification lists, a class is PRESENT if the image has a non-difficult object of
    it, IGNORED if it has difficult ones only, else ABSENT.
    """
    folder = root / "VOCdevkit" / "VOC2012"
    fetch = _needs_download(folder, root, download, "PASCAL VOC 2012", "voc2012")
    data = _of_torchvision().VOCDetection(
        str(root), "2012", split, download=fetch, target_transform=_no_label
    )
    there = sum(map(os.path.isfile, data.images))
    check_counts("voc2012", split, folder, there, len(VOC_CLASSES), partial)
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


def _missing(what: str, name: str, place: str = "") -> DataMissing:
    place = place or "If it is elsewhere, set root=<folder>"
    return DataMissing(f"{what}. {place}. To get it: {TO_GET[name]}.")


def _needs_download(folder: Path, root: Path, download: bool, title: str, name: str) -> bool:
    """Whether to download a data set; DataMissing if it is missing and may not be downloaded."""
    if download or folder.is_dir():
        return not folder.is_dir()
    layout, here = folder.relative_to(root), root.resolve()
    places = [*here.parents[:3], *class_folders(here)]
    there = next((place for place in places if (place / layout).is_dir()), None)
    place = f"It is at {there / layout}: set root={there}" if there else ""
    raise _missing(f"{title} is not at {folder}", name, place)


SOURCES: dict[str, Callable[..., Photographs | MultiLabel]] = {
    "imagefolder": imagefolder,
    "caltech101": caltech101,
    "caltech256": caltech256,
    "imagenet": imagenet,
    "tiny_imagenet": tiny_imagenet,
    "imagenette": imagenette,
    "cifar10": cifar10,
    "fashion_mnist": fashion_mnist,
    "voc2012": voc2012,
}
TO_GET = dict.fromkeys(SOURCES, "download=true fetches it into root") | {
    "imagefolder": "put photographs into <folder>/<class>/…, or into train and val folders of such",
    "tiny_imagenet": "download tiny-imagenet-200.zip; scripts/prepare_tiny_imagenet.py copies it "
    "with its validation images in class folders",
    "imagenet": "with an account at image-net.org download ILSVRC2012_devkit_t12.tar.gz, "
    "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar into one folder, and name it; "
    "scripts/prepare_imagenet.py makes a smaller copy of them",
}
"""Data set -> how to get it, for DataMissing."""


def photographs(
    name: str,
    root: str | Path,
    split: str,
    side_px: int,
    *,
    partial: bool = False,
    bad_images: str = ERROR,
    **options: Any,
) -> Photographs | MultiLabel:
    """Open one split of a data set of photographs as squares of `side_px`.

    Args:
        name: a key of SOURCES.
        split: "train" or "val"; for data sets in DRAWN also WHOLE.
        partial: accept other numbers of images and classes than KNOWN_COUNTS.
        bad_images: "error", or "skip": train without the images that cannot be read.
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
    if bad_images not in BAD_IMAGES:
        raise unknown("bad_images", bad_images, BAD_IMAGES)
    root = Path(root).expanduser()
    if name in KNOWN_COUNTS:
        options["partial"] = partial
    if not 0 <= options.get("val_fraction", 0) <= 1:
        raise DeconvError(f"val_fraction must be in 0…1, got {options['val_fraction']}")
    empty = not root.is_dir() or all(is_hidden(path.name) for path in root.iterdir())
    if empty and not options.get("download"):
        state = "empty" if root.is_dir() else "missing"
        raise _missing(f"the data folder {root} of {name} is {state}", name)
    check_finished(root)
    try:
        found = SOURCES[name](root, split, side_px, **options)
        files = found.dataset if isinstance(found, Photographs) else None
        if isinstance(files, ImageFiles):
            files.digests = listed_digests(root, files.paths)
    except DeconvError:
        raise
    except (RuntimeError, ValueError, OSError) as error:
        what = f"{root} does not hold {name} as torchvision lays it out"
        raise DeconvError(f"{what}: {error}") from error
    if isinstance(found, Photographs):
        found.bad_images = bad_images
    return found
