"""Folders of class folders, with or without folders for the splits above them."""

from __future__ import annotations

import re
from itertools import chain
from pathlib import Path

from deconv.data.folders import ImageFiles, class_folders, images_in
from deconv.data.photographs import Photographs
from deconv.data.splits import per_class
from deconv.errors import DeconvError, some

_WORDS = {
    "train": "train|training",
    "val": "val|valid|validation|dev|eval|evaluation",
    "test": "test|testing",
}
SPLIT_NAMES = {
    split: re.compile(rf"({words})([ _-]?(set|data|images|split))?", re.IGNORECASE)
    for split, words in _WORDS.items()
}
"""Split -> names of its folder; "test" stands for "val" where there is no such folder."""
_SPLIT_WORD = re.compile(rf"(^|[^a-z])({'|'.join(_WORDS.values())})([^a-z]|$)", re.IGNORECASE)


def imagefolder(
    root: Path, split: str, side_px: int, val_fraction: float = 0.2, seed: int = 0
) -> Photographs:
    """Read root/train/<class>/… and root/val/<class>/… (see SPLIT_NAMES), or root/<class>/….

    Without split folders, a random `val_fraction` of each class (at least one image if the class
    has two) is held out for "val".
    """
    folders = _split_folders(root)
    if folders and split not in folders:
        raise DeconvError(
            f"{root} has no folder {split!r}: add {root / split} with one folder a class"
        )
    data, classes = by_class(folders.get(split, root))
    if folders:
        return Photographs(data, data.targets, classes, data.paths, side_px)
    held_out = per_class(data.targets, lambda n: min(n - 1, max(1, round(n * val_fraction))), seed)
    chosen = sorted(held_out if split == "val" else set(range(len(data))) - set(held_out))
    found = Photographs(data, data.targets, classes, data.paths, side_px, chosen)
    share = val_fraction if split == "val" else 1 - val_fraction
    found.drawn = f"a random {100 * share:.3g} % of each class of a folder without splits"
    return found


def all_images(root: Path, side_px: int) -> Photographs:
    """Read all images below a folder, whatever its layout, as one class.

    Raises:
        DeconvError: if there is none.
    """
    paths = images_in(root) if root.is_dir() else []
    if not paths:
        raise DeconvError(f"{root} is no folder with images")
    data = ImageFiles(paths, [0] * len(paths))
    return Photographs(data, data.targets, [root.name], paths, side_px)


def _split_folders(root: Path) -> dict[str, Path]:
    """Map each split found to its folder."""
    folders, found = class_folders(root), dict[str, Path]()
    for split, name in SPLIT_NAMES.items():
        named = [folder for folder in folders if name.fullmatch(folder.name)]
        if len(named) > 1:
            raise DeconvError(
                f"{root} has folders {named[0].name!r} and {named[1].name!r}, and either could be "
                f"{split!r}: rename or remove one"
            )
        if named:
            found[split] = named[0]
    test = found.pop("test", None)
    if test and "val" not in found:
        found["val"] = test
    if len(found) == 1 < len(folders) and not class_folders(*found.values()):
        return {}  # a class that is called so, such as VOC's trains
    if not found and len(folders) > 1 and all(_SPLIT_WORD.search(f.name) for f in folders):
        raise DeconvError(
            f"the folders {some(f.name for f in folders)} of {root} look like splits, not classes: "
            "rename them to train and val"
        )
    return found


def by_class(
    where: Path, left_out: str | None = None, nested: bool = True
) -> tuple[ImageFiles, list[str]]:
    """Read one folder per class, without `left_out`: the images and the class names.

    Args:
        nested: whether the images may lie in sub-folders of their class.

    Raises:
        DeconvError: if there are no folders, one is empty, or there is one level too many.
    """
    folders = [folder for folder in class_folders(where) if folder.name != left_out]
    if not folders:
        raise DeconvError(f"{where} holds no folders: it needs one folder of images per class")
    if len(folders) == 1 and len(inner := class_folders(deeper := _only_folder(folders[0]))) > 1:
        raise DeconvError(
            f"{where} has 1 class, {folders[0].name!r}, with one folder level too many: name "
            f"{deeper}, which holds {some(f.name for f in inner)}, as root=, or move its folders "
            f"into {where}"
        )
    images = [images_in(folder, nested) for folder in folders]
    if empty := [f for f, own in zip(folders, images, strict=True) if not own]:
        raise DeconvError(
            f"class folders without an image in {where}: {some(f.name for f in empty)}"
        )
    targets = [label for label, own in enumerate(images) for _ in own]
    return ImageFiles(list(chain(*images)), targets), [folder.name for folder in folders]


def _only_folder(folder: Path) -> Path:
    """Go down to where there is more than one folder, or an image."""
    while not images_in(folder, nested=False) and len(inner := class_folders(folder)) == 1:
        folder = inner[0]
    return folder
