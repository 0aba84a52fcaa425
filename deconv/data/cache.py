"""Squares cached as one memory-mapped array, so that images are decoded or drawn only once."""

from __future__ import annotations

import contextlib
import errno
import math
import os
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.lib.format import open_memmap
from torch.utils.data import Dataset

from deconv.atomic_files import whole
from deconv.data.batches import walk_squares
from deconv.data.crops import Squares
from deconv.errors import DeconvError
from deconv.locks import lock


def cache_path(data: Squares, folder: str | Path) -> Path:
    """Return where the squares of a data set are, or will be, cached."""
    return Path(folder) / f"{data.cache_key()}.npy"


class Cached(Dataset):
    """The items of `data` from folder/<cache key>.npy, written first if missing.

    The array is memory-mapped: processes share it, and memory does not grow with the data set.

    Raises:
        DeconvError: if the file is damaged or does not fit on the disk.
    """

    def __init__(
        self, data: Squares, folder: str | Path, workers: int = 0, progress: bool = True
    ) -> None:
        self.classes, self.targets = data.classes, data.targets
        self._fingerprint = data.fingerprint()
        self.path = cache_path(data, folder)
        if not self.path.exists():
            _write(data, self.path, workers, progress)
        self.images = _read(self.path, len(self.targets))

    def __getstate__(self) -> dict[str, object]:
        # Spawned workers map the file themselves; pickling a memmap would copy all of it.
        return self.__dict__ | {"images": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__ |= state
        self.images = _read(self.path, len(self.targets))

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        return torch.from_numpy(self.images[index]), self.targets[index]

    def fingerprint(self) -> str:
        """Return the fingerprint of the original data set."""
        return self._fingerprint


def _read(path: Path, length: int) -> np.ndarray:
    try:
        images = np.load(path, mmap_mode="c")  # copy-on-write: torch wants writable
    except (ValueError, EOFError) as error:
        raise _damaged(path, str(error)) from error
    if len(images) != length:
        raise _damaged(path, f"{len(images)} images in place of {length}")
    return images


def _damaged(path: Path, why: str) -> DeconvError:
    return DeconvError(f"{path} is damaged ({why}): delete it, and it is written again")


def _write(data: Squares, path: Path, workers: int, progress: bool) -> None:
    _delete_stale(path)
    shape = (len(data), *data[0][0].shape)
    try:
        with whole(path) as temporary:
            array = open_memmap(temporary, "w+", np.uint8, shape)
            with temporary.open("r+b") as file:
                lock(file)  # tells another run's `_delete_stale` that it is in use
                _reserve_space(file)
                done = 0
                for images, _ in walk_squares(data, "preparing images", workers, progress):
                    array[done : done + len(images)] = images.numpy()
                    done += len(images)
                array.flush()
    except OSError as error:
        raise DeconvError(
            f"cannot write {path}: {error.strerror or error}. It takes {math.prod(shape) / 1e6:.1f}"
            " MB: make room, put the cache on another disk, or do without one"
        ) from error


def _reserve_space(file: IO[bytes]) -> None:
    """Allocate the disk space of a file now.

    On a full disk, writing to a mapped page would otherwise kill the process by SIGBUS.
    """
    try:
        os.posix_fallocate(file.fileno(), 0, os.fstat(file.fileno()).st_size)
    except AttributeError:
        pass  # not on this platform
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # not on this file system
            raise


def _delete_stale(path: Path) -> None:
    """Delete temporary files of killed runs: those that no living process has locked."""
    for stale in path.parent.glob(f".{path.name}.*.tmp"):
        with contextlib.suppress(OSError), stale.open("r+b") as file:
            if lock(file):
                stale.unlink()
