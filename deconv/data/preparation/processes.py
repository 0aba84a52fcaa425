"""Work shared out to several processes that end when they should."""

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
"""Items that a worker is handed at a time."""


def mapped(job: Callable[[T], R], items: Sequence[T], workers: int) -> Iterator[R]:
    """job(item) of every item, in order; 0 workers: in this process.

    Where the caller stops early, as at Ctrl-C, chunks that were begun are ended and no others are.
    Raises what a job raises, and DeconvError if a worker is killed.
    """
    if workers == 0:
        yield from map(job, items)
        return
    # Fresh interpreters: a forked one could inherit locks that threads of torch hold.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _start_worker) as pool:
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
    """Ctrl-C waits until the block ends; processes started in it never see one.

    They inherit the blocked signal, so that none dies of Ctrl-C while it still imports.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _start_worker() -> None:
    """End with the parent if it is killed. Ctrl-C is left to it, which lets chunks end."""
    parent = multiprocessing.parent_process()
    assert parent is not None  # this is a worker

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
