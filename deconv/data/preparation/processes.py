"""A process pool that shuts down cleanly on Ctrl-C, a crash or a killed parent."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from deconv.errors import DeconvError

T = TypeVar("T")
R = TypeVar("R")
CHUNK = 16
"""Items sent to a worker at a time."""


def mapped(job: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[R]:
    """Yield job(item) for every item, in order; 0 workers: in this process.

    If the caller stops early (Ctrl-C), running chunks are finished and no others started.

    Raises:
        DeconvError: if a worker is killed; errors of a job pass through.
    """
    if workers == 0:
        yield from map(job, items)
        return
    # Fresh interpreters: a forked one could inherit locks that threads of torch hold.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, end_with_parent) as pool:
        try:
            with _interrupts_held_back():
                results = pool.map(job, items, chunksize=CHUNK)  # starts the workers
            yield from results
        except BrokenProcessPool as error:
            raise DeconvError(
                "a worker process ended abruptly, perhaps for want of memory: run the same "
                "command again with fewer workers; what is done is kept"
            ) from error


@contextmanager
def _interrupts_held_back() -> Iterator[None]:
    """Defer Ctrl-C until the block ends; processes started in it never receive one.

    They inherit the blocked signal, so none dies of Ctrl-C while importing.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """End this process of multiprocessing's as soon as the one that started it has ended."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
