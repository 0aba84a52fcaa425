"""The same squares under the numbers of other classes, found by their names."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.utils.data import Dataset

from deconv.data.crops import Squares, paths_of


class Relabelled(Dataset):
    """Data whose labels are numbers of `classes`: five folders of ImageNet for all its networks.

    classes: those of `data` and more, in any order.
    """

    def __init__(self, data: Squares, classes: Sequence[str]) -> None:
        number = {name: i for i, name in enumerate(classes)}
        self.data, self.classes = data, list(classes)
        self.targets = [number[data.classes[label]] for label in data.targets]
        self.paths = paths_of(data)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return self.data[index][0], self.targets[index]

    def fingerprint(self) -> str:
        """Hash those of the data: 16 hex digits."""
        return self.data.fingerprint()

    def contents(self) -> str:
        """Hash those of the data: 16 hex digits."""
        return self.data.contents()

    def cache_key(self) -> str:
        """Hash those of the data: 16 hex digits."""
        return self.data.cache_key()
