"""Layouts of Tiny ImageNet and both Caltech sets, and of their copies."""

from __future__ import annotations

from pathlib import Path

from deconv.data.folders import class_folders
from deconv.data.preparation.plan import Plan
from deconv.data.text_files import read_lines
from deconv.errors import DeconvError, some


def tiny_imagenet(source: Path) -> Plan:
    """Plan train/<wnid>/… and val/<wnid>/… of tiny-imagenet-200, with words.txt and wnids.txt.

    Validation classes come from val/val_annotations.txt. Test images, unlabelled, are left out.
    """
    inside = source / "tiny-imagenet-200"
    root = inside if inside.is_dir() else source
    annotations = root / "val" / "val_annotations.txt"
    if not annotations.is_file() or not (root / "train").is_dir():
        raise DeconvError(
            f"{source} is not Tiny ImageNet: name the folder tiny-imagenet-200 with train/ and "
            "val/val_annotations.txt, or its zip file"
        )
    plan = Plan("tiny_imagenet", notes=["the test images have no labels: left out"])
    for folder in class_folders(root / "train"):
        _add_class(plan, folder / "images", f"train/{folder.name}")
    lines = read_lines(annotations, "annotations")
    wnids = dict(line.split("\t")[:2] for line in lines if "\t" in line)

    def place(name: str) -> str:
        if name not in wnids:
            raise DeconvError(f"{annotations} names no class for {name}: add or remove the image")
        return f"val/{wnids[name]}/{name}"

    missing = wnids.keys() - set(plan.add_folder(root / "val" / "images", place))
    if missing:
        raise DeconvError(
            f"{root / 'val' / 'images'} lacks {some(sorted(missing))} of {annotations.name}"
        )
    for name in ("wnids.txt", "words.txt"):
        if (root / name).is_file():
            plan.beside[name] = (root / name).read_bytes()
    return plan


BACKGROUND = "BACKGROUND_Google"


def caltech101(source: Path) -> Plan:
    """Plan caltech101/101_ObjectCategories, torchvision's layout.

    torchvision numbers the images by counting a folder's files, and requires a folder of background
    images, which it then ignores; a missing one is made.
    """
    root = _find(source, "101_ObjectCategories")
    plan, base = Plan("caltech101"), "caltech101/101_ObjectCategories"
    for folder in class_folders(root):
        names = _add_class(plan, folder, f"{base}/{folder.name}")
        if folder.name != BACKGROUND:
            _numbered(folder, names, "image_{:04d}.jpg")
    if not (root / BACKGROUND).is_dir():
        plan.beside[f"{base}/{BACKGROUND}/README"] = b"The source had no background images.\n"
        plan.notes.append(f"no {BACKGROUND} in the source: made an empty one, as torchvision wants")
    return plan


def caltech256(source: Path) -> Plan:
    """Plan caltech256/256_ObjectCategories, torchvision's layout.

    Stray files and folders of the original (056.dog/greg, 198.spider/RENAME2) are left out.
    """
    root = _find(source, "256_ObjectCategories")
    plan, base = Plan("caltech256"), "caltech256/256_ObjectCategories"
    for number, folder in enumerate(class_folders(root), start=1):
        if folder.name.partition(".")[0] != f"{number:03d}":
            raise DeconvError(f"{root} has no class {number:03d}: unpack Caltech-256 again")
        names = _add_class(plan, folder, f"{base}/{folder.name}")
        _numbered(folder, names, f"{number:03d}_{{:04d}}.jpg")
    return plan


def _add_class(plan: Plan, folder: Path, target: str) -> list[str]:
    """Add the images of one class; return their names."""
    return plan.add_folder(folder, lambda name: f"{target}/{name}")


def _numbered(folder: Path, names: list[str], pattern: str) -> None:
    """Check that the names are 1 … n, which is what torchvision assumes."""
    expected = {pattern.format(i) for i in range(1, len(names) + 1)}
    if expected != set(names):
        raise DeconvError(
            f"{folder} holds {len(names)} images but not {some(sorted(expected - set(names)))}: "
            "they are numbered without a gap, as torchvision expects; unpack the data set again"
        )


def _find(source: Path, name: str) -> Path:
    """Find the folder `name`: the source itself, or one or two levels below."""
    places = [source] if source.resolve().name == name else [source / name]
    places += sorted(source.glob(f"*/{name}"))
    for place in places:
        if place.is_dir() and class_folders(place):
            return place
    raise DeconvError(f"{source} holds no folder {name}: name that folder, or its archive")
