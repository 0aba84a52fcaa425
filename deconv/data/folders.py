"""Class folders of images, skipping litter from operating systems, archives and notebooks."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
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
    """List the visible folders in a folder, sorted."""
    return sorted(p for p in folder.iterdir() if p.is_dir() and not is_hidden(p.name))


def images_in(folder: Path, nested: bool = True) -> list[str]:
    """List the visible images in a folder, sorted. nested: include its sub-folders."""
    found = []
    for place, _, names in sorted(os.walk(folder, followlinks=True)):
        inside = Path(place).relative_to(folder).parts
        if any(map(is_hidden, inside)) or (inside and not nested):
            continue
        images = (n for n in sorted(names) if n.lower().endswith(IMG_EXTENSIONS))
        found += [os.path.join(place, name) for name in images if not is_hidden(name)]
    return found


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
