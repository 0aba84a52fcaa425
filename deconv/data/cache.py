"""Squares cached as one memory-mapped array, so that images are decoded or drawn only once.

folder/<cache key>.npy holds the squares, an array in NumPy's format, and after it a CRC-32 of each.
A cache is never read as a whole, however large it is: its size is compared when it is opened, and
each square with its checksum when a process reads it for the first time.
"""

from __future__ import annotations

import contextlib
import errno
import math
import os
import re
import time
import warnings
import zlib
from pathlib import Path
from typing import IO

import numpy as np
import torch
from numpy.lib.format import write_array_header_1_0
from torch.utils.data import Dataset

from deconv.atomic_files import UNIQUE, host, whole
from deconv.data.batches import walk_squares
from deconv.data.crops import Squares, paths_of
from deconv.errors import DeconvError
from deconv.locks import lock

CHECKSUM = np.dtype("<u4")
HEADER = {"descr": "|u1", "fortran_order": False}


def cache_path(data: Squares, folder: str | Path) -> Path:
    """Return where the squares of a data set are, or will be, cached."""
    return Path(folder) / f"{data.cache_key()}.npy"


class Cached(Dataset):
    """The items of `data` from folder/<cache key>.npy, written first if missing or not whole.

    The array is memory-mapped: processes share it, and memory does not grow with the data set.

    Raises:
        DeconvError: if it does not fit on the disk; on access, if a square is damaged.
    """

    def __init__(
        self, data: Squares, folder: str | Path, workers: int = 0, progress: bool = True
    ) -> None:
        self.classes, self.targets = data.classes, data.targets
        self.paths, self.drawn = paths_of(data), getattr(data, "drawn", "")
        self._original: Squares | None = data
        self._fingerprint = data.fingerprint()
        self.path = cache_path(data, folder)
        try:
            self._open()
        except FileNotFoundError:
            _write(data, self.path, workers, progress)
        except DeconvError as error:
            warnings.warn(f"{error}; writing it again", stacklevel=2)
            _write(data, self.path, workers, progress)
        self._open()

    def _open(self) -> None:
        self.images, self._checksums = _read(self.path, len(self.targets))
        self._checked = np.zeros(len(self.targets), bool)

    def __getstate__(self) -> dict[str, object]:
        # Spawned workers map the file themselves; pickling a memmap would copy all of it.
        return self.__dict__ | dict.fromkeys(("images", "_checksums", "_checked", "_original"))

    def __setstate__(self, state: dict[str, object]) -> None:
        self.__dict__ |= state
        self._open()

    def __len__(self) -> int:
        return len(self.targets)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image = self.images[index]
        if not self._checked[index]:
            if zlib.crc32(image) != self._checksums[index]:
                raise DeconvError(
                    f"{self.path} is damaged (square {index} is not what its checksum says): "
                    "delete it, and it is written again"
                )
            self._checked[index] = True
        return torch.from_numpy(image), self.targets[index]

    def fingerprint(self) -> str:
        """Return the fingerprint of the original data set."""
        return self._fingerprint

    def contents(self) -> str:
        """Return that of the original data set; not in a worker process."""
        assert self._original is not None
        return self._original.contents()

    def cache_key(self) -> str:
        """Return the name of the file."""
        return self.path.stem


def _read(path: Path, length: int) -> tuple[np.memmap, np.ndarray]:
    """Map the squares and read their checksums.

    Raises:
        DeconvError: unless the file holds `length` of both.
        FileNotFoundError: if there is no such file.
    """
    try:
        images = np.load(path, mmap_mode="c")  # copy-on-write: torch wants writable
    except (ValueError, EOFError) as error:
        raise DeconvError(f"{path} is damaged ({error})") from error
    if not isinstance(images, np.memmap) or images.dtype != np.uint8 or images.ndim != 4:
        raise DeconvError(f"{path} is damaged (it holds no squares)")
    if len(images) != length:
        raise DeconvError(f"{path} is damaged ({len(images)} images in place of {length})")
    checksums = np.fromfile(path, CHECKSUM, offset=images.offset + images.nbytes)
    if len(checksums) != length or not images.flags.c_contiguous:
        raise DeconvError(f"{path} is damaged ({len(checksums)} checksums of {length} images)")
    return images, checksums


def _write(data: Squares, path: Path, workers: int, progress: bool) -> None:
    _delete_stale(path)
    shape = (len(data), *data[0][0].shape)
    try:
        # The file stays open, and so locked, until it has its name.
        with contextlib.ExitStack() as until_named, whole(path) as temporary:
            file = until_named.enter_context(temporary.open("x+b"))
            lock(file)  # tells another run's `_delete_stale` that it is in use
            write_array_header_1_0(file, HEADER | {"shape": shape})
            begin, end = file.tell(), file.tell() + math.prod(shape)
            _reserve_space(file, end + len(data) * CHECKSUM.itemsize)
            array = np.memmap(file, np.uint8, "r+", begin, shape)
            checksums: list[int] = []
            for images, _ in walk_squares(data, "preparing images", workers, progress):
                for image in images.numpy():
                    array[len(checksums)] = image
                    checksums.append(zlib.crc32(image))
            array.flush()
            file.seek(end)
            file.write(np.array(checksums, CHECKSUM).tobytes())
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise DeconvError(
            f"cannot write {path}: {error.strerror or error}. It takes {math.prod(shape) / 1e6:.1f}"
            " MB: make room, put the cache on another disk, or do without one"
        ) from error


def _reserve_space(file: IO[bytes], size: int) -> None:
    """Allocate the disk space of a file now.

    On a full disk, writing to a mapped page would otherwise kill the process by SIGBUS.
    """
    file.flush()
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except AttributeError:
        pass  # not on this platform
    except OSError as error:
        if error.errno not in (errno.EOPNOTSUPP, errno.EINVAL):  # not on this file system
            raise


UNSEEN_S = 86400.0
"""How long a temporary file that seems unlocked is left alone, where a lock may not be seen: one
still empty may be about to be locked, and another machine's locks do not reach this one on every
network disk."""


def _delete_stale(path: Path) -> None:
    """Delete temporary files of killed runs: those that no living process has locked."""
    pattern = rf"\.{re.escape(path.name)}\.(\d+|{UNIQUE})\.tmp"
    for stale in path.parent.glob(f".{path.name}.*.tmp"):
        if not re.fullmatch(pattern, stale.name):
            continue
        own = stale.name.startswith(f".{path.name}.{host()}-")
        with contextlib.suppress(OSError), stale.open("r+b") as file:
            state = os.fstat(file.fileno())
            idle = time.time() - state.st_mtime > UNSEEN_S
            if (idle or (own and state.st_size)) and lock(file):
                stale.unlink()
