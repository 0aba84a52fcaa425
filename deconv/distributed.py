"""Several processes that work as one: who am I, what is my share, and what did all find together.

Every function also works in a single process, where it does nothing.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.utils.data import Subset

from deconv.errors import DeconvError

T = TypeVar("T")


def _together() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """This process's number among all; 0 is the one that writes."""
    return dist.get_rank() if _together() else 0


def ranks() -> int:
    """How many processes work together."""
    return dist.get_world_size() if _together() else 1


@contextlib.contextmanager
def group() -> Iterator[None]:
    """Join the processes that torchrun started (RANK, WORLD_SIZE … are set); leave at the end.

    On machines with GPUs, process LOCAL_RANK of a machine takes its GPU of that number (nccl);
    elsewhere they talk over gloo. Without torchrun there is nothing to join.
    """
    if int(os.environ.get("WORLD_SIZE", 1)) == 1 or _together():
        yield
        return
    missing = [v for v in ("RANK", "MASTER_ADDR", "MASTER_PORT") if v not in os.environ]
    if missing:
        raise DeconvError(
            f"WORLD_SIZE is set but not {', '.join(missing)}: start the processes with torchrun"
        )
    if torch.cuda.is_available():
        local = int(os.environ.get("LOCAL_RANK", 0))
        if local >= torch.cuda.device_count():
            raise DeconvError(
                f"process {local} of this machine has no GPU ({torch.cuda.device_count()} here): "
                "start at most one process a GPU"
            )
        torch.cuda.set_device(local)
        dist.init_process_group("cpu:gloo,cuda:nccl")
    else:
        dist.init_process_group("gloo")
    try:
        yield
    finally:
        dist.destroy_process_group()


def total(values: list[float]) -> list[float]:
    """The sums of each value over all processes."""
    if not _together():
        return values
    tensor = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(tensor)
    return tensor.tolist()


def gather(value: T) -> list[T]:
    """Every process's value, in the order of their numbers; in each process."""
    if not _together():
        return [value]
    values: list[Any] = [None] * ranks()
    dist.all_gather_object(values, value)
    return values


def from_first(value: T) -> T:
    """Process 0's value, in each process."""
    if not _together():
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0)
    return values[0]


@contextlib.contextmanager
def first_alone() -> Iterator[None]:
    """Process 0 runs the block while the others wait, then they run it: for files made once."""
    if _together() and rank() > 0:
        dist.barrier()
    try:
        yield
    finally:
        if _together() and rank() == 0:
            dist.barrier()


class Share(Subset):
    """This process's part of a data set: whole chunks of it, in order; `first` is where it begins,
    `whole` how many images all parts have.

    chunk: images that are run through a network together, so that each image is in the same
    company for any number of processes and its values are the same to the last bit. In a single
    process a share is the whole data set. Parts differ by at most one chunk.
    """

    def __init__(self, data: Any, chunk: int) -> None:
        size = len(data)
        chunks = -(-size // chunk)
        begin, end = (chunks * r // ranks() for r in (rank(), rank() + 1))
        self.first, self.chunk, self.whole = begin * chunk, chunk, size
        super().__init__(data, range(self.first, min(end * chunk, size)))


def share_of(loader: Any) -> Share | None:
    """The Share that a loader walks, None for one of a whole data set."""
    data = getattr(loader, "dataset", None)
    return data if isinstance(data, Share) else None


def gather_shares(loader: Any, value: T) -> list[T]:
    """What each process found on its `Share`, in order; this one's alone if it saw all images."""
    return [value] if share_of(loader) is None else gather(value)
