"""Distributed processes: rank, collectives and each process's shard of a data set.

Every function also works in a single process, as if it were the only rank.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from datetime import timedelta
from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch.utils.data import Subset

from deconv.errors import DeconvError

T = TypeVar("T")


PATIENCE = timedelta(days=24)
"""How long processes wait for what process 0 prepares alone; more does not fit in milliseconds."""

_patient: Any = None
"""The process group in which they do."""


def launched() -> int:
    """Return how many processes torchrun has started, of which this is one."""
    return int(os.environ.get("WORLD_SIZE", 1))


def _initialized() -> bool:
    return dist.is_available() and dist.is_initialized()


def rank() -> int:
    """Return this process's rank; rank 0 writes files."""
    return dist.get_rank() if _initialized() else 0


def ranks() -> int:
    """Return the world size."""
    return dist.get_world_size() if _initialized() else 1


@contextlib.contextmanager
def group(timeout_s: float = 1800.0) -> Iterator[None]:
    """Join the process group of torchrun (RANK, WORLD_SIZE … are set) and leave it at the end.

    With GPUs, each process takes GPU number LOCAL_RANK (nccl); otherwise the backend is gloo.
    Without torchrun this does nothing.

    Args:
        timeout_s: how long the processes wait for one another where all compute.

    Raises:
        DeconvError: if a process has died or is late; in each of the others.
    """
    global _patient
    if launched() == 1 or _initialized():
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
                "start at most one process per GPU"
            )
        torch.cuda.set_device(local)
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    try:
        dist.init_process_group(backend, timeout=timedelta(seconds=timeout_s))
        _patient = dist.new_group(backend="gloo", timeout=PATIENCE)
        yield
    except RuntimeError as error:
        if not _is_of_group(error):
            raise
        raise DeconvError(
            f"the processes have lost one another ({_plain(error)}): one has died, "
            "look at what it wrote last, or kept the others waiting for more than "
            f"group_timeout_s={timeout_s:g}. Start all again, a training with resume=<its folder>"
        ) from error
    finally:
        _patient = None
        if _initialized():
            dist.destroy_process_group()


def _plain(error: RuntimeError) -> str:
    """Return the first sentence of an error without the place in its source."""
    return re.sub(r"^\[\S+\] ", "", str(error).splitlines()[0]).split(". ")[0]


def _is_of_group(error: RuntimeError) -> bool:
    """Tell whether an error is of the communication between processes; gloo's have no type."""
    words = ("gloo", "Application timeout caused pair closure", "Connection closed by peer")
    return isinstance(error, dist.DistError) or any(word in str(error) for word in words)


def total(values: list[float]) -> list[float]:
    """Sum each value over all processes (all-reduce)."""
    if not _initialized():
        return values
    tensor = torch.tensor(values, dtype=torch.float64)
    dist.all_reduce(tensor)
    return tensor.tolist()


def gather(value: T) -> list[T]:
    """Gather every process's value, in the order of ranks, in each process (all-gather)."""
    if not _initialized():
        return [value]
    values: list[Any] = [None] * ranks()
    dist.all_gather_object(values, value)
    return values


def from_first(value: T) -> T:
    """Broadcast rank 0's value, however long it takes to find it."""
    if not _initialized():
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0, group=_patient)
    return values[0]


@contextlib.contextmanager
def first_alone() -> Iterator[None]:
    """Let rank 0 run the block before the others do, such as to make a file that all read.

    They wait as long as it takes.
    """
    if rank() > 0:
        dist.barrier(_patient)
    try:
        yield
    finally:
        if _initialized() and rank() == 0:
            dist.barrier(_patient)


class Share(Subset):
    """This process's contiguous shard of a data set, in whole chunks.

    first: index of its first image. whole: size of the whole data set. Shards differ by at most one
    chunk; in a single process the shard is the whole data set.

    Args:
        data: the data set.
        chunk: images that run through a network as one batch. As a chunk is never split, results
            are bit-identical for any number of processes.
    """

    def __init__(self, data: Any, chunk: int) -> None:
        size = len(data)
        chunks = -(-size // chunk)
        begin, end = (chunks * r // ranks() for r in (rank(), rank() + 1))
        self.first, self.chunk, self.whole = begin * chunk, chunk, size
        super().__init__(data, range(self.first, min(end * chunk, size)))


def share_of(loader: Any) -> Share | None:
    """Return the shard that a loader iterates over, or None."""
    data = getattr(loader, "dataset", None)
    return data if isinstance(data, Share) else None


def gather_shares(loader: Any, value: T) -> list[T]:
    """Gather each process's value for its `Share`, in order; only this one's if there is none."""
    return [value] if share_of(loader) is None else gather(value)
