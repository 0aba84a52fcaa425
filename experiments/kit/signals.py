"""The signals that ask a command to stop."""

from __future__ import annotations

import contextlib
import signal
from collections.abc import Callable, Iterator
from typing import Any

SIGNALS = [
    getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGINT") if hasattr(signal, name)
]


@contextlib.contextmanager
def on_signals(handle: Callable[[int, Any], None]) -> Iterator[None]:
    """Call handle(number, the handler that stood before) for each of SIGNALS within the context."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, lambda number, _: handle(number, before[number]))
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
