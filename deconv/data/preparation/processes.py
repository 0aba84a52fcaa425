"""Work shared out to several processes that end when they should."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import TypeVar

from deconv.errors import DeconvError

T, R = TypeVar("T"), TypeVar("R")
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
            yield from pool.map(job, items, chunksize=CHUNK)
        except BrokenProcessPool as error:
            raise DeconvError(
                "a worker process ended abruptly, perhaps for want of memory: run the same "
                "command again with fewer workers; what is done is kept"
            ) from error


def _start_worker() -> None:
    """Leave Ctrl-C to the parent, which lets chunks end; and end with it if it is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
