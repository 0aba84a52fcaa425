"""Class folders of images, skipping litter from operating systems, archives and notebooks."""

from __future__ import annotations

import hashlib
import io
import os
import sys
from collections.abc import Iterator, Sequence, Set
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.data import Dataset

from deconv.errors import DeconvError

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")
"""The endings of image files, those that torchvision reads."""
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
    for place, names in sorted(walk(folder, nested), key=lambda pair: pair[0]):
        if names is None:
            raise DeconvError(f"{place} is a link to a folder that it is in: remove the link")
        images = (n for n in sorted(names) if n.lower().endswith(IMG_EXTENSIONS))
        found += [os.path.join(place, _text(name, place)) for name in images]
    return found


def walk(
    folder: str | Path, nested: bool = True, above: Set[str] = frozenset()
) -> Iterator[tuple[str, list[str] | None]]:
    """Yield each folder with its visible files; None for a link to a folder that it is in.

    os.walk would follow a loop of links until the path is too long, 40 times.

    Args:
        nested: include sub-folders.
        above: real paths of the folders on the way here; those that hold `folder` by default.
    """
    real, holds = os.path.realpath(folder), Path(os.path.realpath(Path(folder).parent))
    above = above or {str(holds), *map(str, holds.parents)}
    if real in above:
        yield str(folder), None
        return
    visible = [name for name in os.listdir(folder) if not is_hidden(name)]
    inner = [name for name in visible if os.path.isdir(os.path.join(folder, name))]
    yield str(folder), sorted({*visible} - {*inner})
    for name in inner if nested else ():
        yield from walk(os.path.join(folder, name), nested, above | {real})


def is_text(name: str) -> bool:
    """Whether a name is text in the system's encoding; Python keeps other bytes as surrogates."""
    return not any("\udc80" <= letter <= "\udcff" for letter in name)


def _text(name: str, place: str | Path) -> str:
    if not is_text(name):
        raise DeconvError(
            f"the name {os.fsencode(name)!r} in {place} is no {sys.getfilesystemencoding()}: "
            "rename it"
        )
    return name


class ImageFiles(Dataset):
    """Image files and their labels; item i is (PIL image, label).

    Attributes:
        digests: SHA-256 of each file, N×32 uint8, to compare as it is read; None: not known.
    """

    def __init__(self, paths: Sequence[str], targets: Sequence[int]) -> None:
        self.paths, self.targets = list(paths), list(targets)
        self.digests: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> tuple[Image.Image, int]:
        path, label = self.paths[index], self.targets[index]
        if self.digests is None:
            return Image.open(path), label
        content = Path(path).read_bytes()
        if hashlib.sha256(content).digest() != self.digests[index].tobytes():
            raise DeconvError(
                f"{path} is not what the manifest of its copy says: run the command that made the "
                "copy again"
            )
        return Image.open(io.BytesIO(content)), label
