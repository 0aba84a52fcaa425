"""Progress of a long run over many files: a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")
LINES = 10


def watched(items: Iterable[T], total: int, done: str, show: bool = True) -> Iterator[T]:
    """Yield the items while reporting progress on standard error.

    Without a terminal a line is printed after each tenth.

    Args:
        done: verb for the report, such as "prepared".
    """
    if show and sys.stderr.isatty():
        yield from tqdm(items, done, total, smoothing=0.05)
        return
    for count, item in enumerate(items, start=1):
        yield item
        if show and count * LINES // total > (count - 1) * LINES // total:
            print(f"{done} {count} of {total} files", file=sys.stderr, flush=True)
