"""Several data sets of the same classes, one after the other: both splits as one."""

from __future__ import annotations

import bisect
import hashlib
import itertools
from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch.utils.data import Dataset

from deconv.data.crops import Squares, paths_of
from deconv.errors import DeconvError


class Joined(Dataset):
    """The images of all parts, in their order; item i is that of the part that it falls in.

    Raises:
        DeconvError: for parts with other classes than the first.
    """

    def __init__(self, parts: Sequence[Squares]) -> None:
        self.parts, self.classes = list(parts), list(parts[0].classes)
        for part in parts:
            if list(part.classes) != self.classes:
                raise DeconvError(
                    f"the splits have other classes ({len(part.classes)} and {len(self.classes)}), "
                    "so they cannot be looked at as one: take train or val"
                )
        self.ends = list(itertools.accumulate(len(part) for part in parts))
        targets: list[Any] = [part.targets for part in parts]
        several = isinstance(targets[0], torch.Tensor)
        self.targets = torch.cat(targets) if several else list(itertools.chain(*targets))
        names = [paths_of(part) for part in parts]
        self.paths = [path for part in names if part for path in part] if all(names) else None

    def __len__(self) -> int:
        return self.ends[-1]

    def place(self, index: int) -> tuple[int, int]:
        """Return the number of the part that image `index` is in, and its number there."""
        part = bisect.bisect_right(self.ends, index)
        return part, index - (self.ends[part - 1] if part else 0)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        if not 0 <= index < len(self):
            raise IndexError(f"image {index} of {len(self)}")
        part, number = self.place(index)
        return self.parts[part][number]

    def scene(self, index: int) -> Any:
        """Draw a scene with its boxes, where the parts are the built-in `Scenes`."""
        part, number = self.place(index)
        return self.parts[part].scene(number)  # type: ignore[attr-defined]

    def fingerprint(self) -> str:
        """Hash those of the parts: 16 hex digits."""
        return _hash(part.fingerprint() for part in self.parts)

    def contents(self) -> str:
        """Hash those of the parts: 16 hex digits."""
        return _hash(part.contents() for part in self.parts)

    def cache_key(self) -> str:
        """Hash those of the parts: 16 hex digits."""
        return _hash(part.cache_key() for part in self.parts)


def _hash(words: Iterable[str]) -> str:
    return hashlib.sha256(" ".join(words).encode()).hexdigest()[:16]
