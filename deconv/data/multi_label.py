"""Multi-label data sets: squares with a mark for every class."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch.utils.data import Dataset

from deconv.data.crops import Squares, paths_of
from deconv.errors import DeconvError


class MultiLabel(Dataset):
    """Squares with marks in place of labels.

    Item i is (3×side×side uint8 RGB, C int8 of PRESENT, IGNORED, ABSENT).

    Args:
        squares: the images; their labels are not used.
        targets: N×C int8.
        classes: C names.
    """

    def __init__(self, squares: Squares, targets: torch.Tensor, classes: Sequence[str]) -> None:
        if targets.shape != (len(squares), len(classes)):
            raise DeconvError(
                f"{len(squares)} images and {len(classes)} classes have no marks of shape "
                f"{tuple(targets.shape)}"
            )
        self.squares, self.classes = squares, list(classes)
        self.targets = targets.to(torch.int8)

    @property
    def paths(self) -> list[str] | None:
        """The file of each image, in the order of the items."""
        return paths_of(self.squares)

    def __len__(self) -> int:
        return len(self.squares)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.squares[index][0], self.targets[index]

    def fingerprint(self) -> str:
        """Hash the images' fingerprint, the classes and the marks: 16 hex digits."""
        key = f"{self.squares.fingerprint()} {self.classes}".encode()
        return hashlib.sha256(key + self.targets.numpy().tobytes()).hexdigest()[:16]

    def contents(self) -> str:
        """Return that of the images."""
        return self.squares.contents()

    def cache_key(self) -> str:
        """Return the images' own key: marks do not change the squares."""
        return self.squares.cache_key()
