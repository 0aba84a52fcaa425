"""PIL-image data sets as the paper's uint8 squares (§3)."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from torch.utils.data import Dataset

from deconv.data.class_names import shown_names
from deconv.data.skipping import ERROR
from deconv.errors import DeconvError
from deconv.images import naming, square, to_rgb

VERSION = 2  # raise whenever squares are made differently: it invalidates caches
SAMPLED = 1000
"""So many files are read to tell apart data sets whose files are alike in name and size."""


class Photographs(Dataset):
    """Images of a torchvision-style data set as the paper's squares (§3).

    Item i is (3×side×side uint8 RGB, label); UnreadableImage names a file.

    Args:
        paths: a name for each image, for messages and the fingerprint.
        chosen: indices of the images to use; all by default.

    Attributes:
        paths: the file of each image, in the order of the items: the strongest activation of map 7
            is of the photograph `paths[peaks["conv5"].image[7, 0]]`.
        targets: the label of each image, a number of `classes`.
        bad_images: what training does about an unreadable one, see `read_or_skip`.
        drawn: how the split was drawn, in words, where the folder has none of its own.
    """

    def __init__(
        self,
        dataset: Dataset,
        targets: Sequence[int],
        classes: Sequence[str],
        paths: Sequence[str],
        side_px: int,
        chosen: Sequence[int] | None = None,
    ) -> None:
        chosen = range(len(targets)) if chosen is None else chosen
        self.dataset, self.side_px, self.bad_images = dataset, side_px, ERROR
        self.drawn = ""
        self.classes = shown_names(classes)
        self.chosen = [int(i) for i in chosen]
        self.targets = [int(targets[i]) for i in self.chosen]
        self.paths = [str(paths[i]) for i in self.chosen]
        if not self.chosen:
            raise DeconvError("the data set has no image in this split")

    def __len__(self) -> int:
        return len(self.chosen)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        with naming(self.paths[index]):
            image, label = self.dataset[self.chosen[index]]
            return square(to_rgb(image), self.side_px), int(label)

    def fingerprint(self) -> str:
        """Hash names, sizes and labels of the files and the side: 16 hex digits."""
        digest = hashlib.sha256(f"side={self.side_px}".encode())
        for path, label in zip(self.paths, self.targets, strict=True):
            size = os.path.getsize(path) if os.path.exists(path) else 0
            digest.update(f"{'/'.join(Path(path).parts[-2:])} {size} {label}\n".encode())
        return digest.hexdigest()[:16]

    def contents(self) -> str:
        """Hash what the images hold, of files at most SAMPLED, evenly spaced: 16 hex digits."""
        digest = hashlib.sha256()
        step = -(-len(self) // SAMPLED)
        for number, path in enumerate(self.paths):
            if not os.path.exists(path):  # an image of a larger file
                digest.update(self.dataset[self.chosen[number]][0].tobytes())
            elif number % step == 0:
                digest.update(hashlib.sha256(Path(path).read_bytes()).digest())
        return digest.hexdigest()[:16]

    def cache_key(self) -> str:
        """Extend the fingerprint by the files' locations and modification times."""
        digest = hashlib.sha256(f"{VERSION} {self.fingerprint()}".encode())
        for path in self.paths:
            changed = os.stat(path).st_mtime_ns if os.path.exists(path) else 0
            digest.update(f"{Path(path).resolve()} {changed}\n".encode())
        return f"{self.fingerprint()}-{digest.hexdigest()[:8]}"
