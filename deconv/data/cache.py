"""Squares made once and kept as one array on disk, so that no later pass decodes or draws them."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from deconv.data.crops import Squares
from deconv.data.workers import apart


def cache_path(data: Squares, folder: str | Path) -> Path:
    """The file that holds, or will hold, the squares of a data set."""
    return Path(folder) / f"{data.cache_key()}.npy"


class Cached(Dataset):
    """The same items as `data`, read from folder/<cache key>.npy, which is made if missing.

    The array is memory-mapped: processes share it, and memory does not grow with the data set.
    """

    def __init__(
        self, data: Squares, folder: str | Path, workers: int = 0, progress: bool = True
    ) -> None:
        self.classes, self.targets = data.classes, data.targets
        self._fingerprint = data.fingerprint()
        self.path = cache_path(data, folder)
        if not self.path.exists():
            _write(data, self.path, workers, progress)
        self.images = np.load(self.path, mmap_mode="c")  # copy-on-write: torch wants writable

    def __getstate__(self) -> dict[str, object]:
        # A spawned worker maps the file itself; a pickled memmap would be a copy of it all.
        return self.__dict__ | {"images": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__ |= state
        self.images = np.load(self.path, mmap_mode="c")

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self.images[index]), self.targets[index]

    def fingerprint(self) -> str:
        """The fingerprint of the data set it was made from."""
        return self._fingerprint


def _write(data: Squares, path: Path, workers: int, progress: bool) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.stem}.{os.getpid()}.npy")
    try:
        shape = (len(data), *data[0][0].shape)
        array = np.lib.format.open_memmap(temporary, "w+", np.uint8, shape)
        loader = DataLoader(data, batch_size=64, num_workers=workers, worker_init_fn=apart)
        done = 0
        for images, _ in tqdm(loader, "preparing images", disable=None if progress else True):
            array[done : done + len(images)] = images.numpy()
            done += len(images)
        array.flush()
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
