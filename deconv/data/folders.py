"""Class folders of images, skipping litter from operating systems, archives and notebooks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

from PIL import Image
from torch.utils.data import Dataset
from torchvision.datasets.folder import IMG_EXTENSIONS

from deconv.errors import DeconvError

_OF_WINDOWS = ("$RECYCLE.BIN", "System Volume Information", "Thumbs.db", "desktop.ini")
LITTER = ("__MACOSX", "@eaDir", "#recycle", *_OF_WINDOWS)
"""Left by archives, network drives and Windows; besides all names that begin with a dot."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is litter."""
    return name.startswith(".") or name in LITTER


def class_folders(folder: Path) -> list[Path]:
    """List the visible folders in a folder, sorted; DeconvError for a name that is no text."""
    return sorted(
        p for p in folder.iterdir() if not is_hidden(_text(p.name, folder)) and p.is_dir()
    )


def images_in(folder: Path, nested: bool = True) -> list[str]:
    """List the visible images in a folder, sorted.

    Args:
        nested: include its sub-folders.

    Raises:
        DeconvError: for a name that is no text, or a link to a folder that the link is in.
    """
    found = []
    for place, names in sorted(_walk(str(folder), nested, _ancestors(folder))):
        images = (n for n in sorted(names) if n.lower().endswith(IMG_EXTENSIONS))
        found += [os.path.join(place, _text(name, place)) for name in images]
    return found


def _walk(folder: str, nested: bool, above: Set[str]) -> Iterator[tuple[str, list[str]]]:
    """Yield each folder with its visible files; os.walk would follow a loop of links 40 times."""
    real = os.path.realpath(folder)
    if real in above:
        raise DeconvError(f"{folder} is a link to a folder that it is in: remove the link")
    with os.scandir(folder) as entries:
        visible = [entry for entry in entries if not is_hidden(entry.name)]
    yield folder, [entry.name for entry in visible if not entry.is_dir()]
    for entry in visible:
        if nested and entry.is_dir():
            yield from _walk(entry.path, nested, above | {real})


def _ancestors(folder: Path) -> set[str]:
    real = Path(os.path.realpath(folder.parent))
    return {str(real), *map(str, real.parents)}


def _text(name: str, place: str | Path) -> str:
    """Return the name; DeconvError if it is no text in the system's encoding."""
    if any("\udc80" <= letter <= "\udcff" for letter in name):
        raise DeconvError(
            f"the name {os.fsencode(name)!r} in {place} is no {sys.getfilesystemencoding()}: "
            "rename it"
        )
    return name


class ImageFiles(Dataset):
    """Image files and their labels; item i is (PIL image, label)."""

    def __init__(self, paths: Sequence[str], targets: Sequence[int]) -> None:
        self.paths, self.targets = list(paths), list(targets)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        return Image.open(self.paths[index]), self.targets[index]
