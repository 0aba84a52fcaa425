"""Record locks: which process writes a file, known for as long as that process lives."""

from __future__ import annotations

import errno
from typing import IO, Any

fcntl: Any
# Not the package filelock: it takes flock's locks, which worker processes inherit.
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def lock(file: IO[Any]) -> bool | None:
    """Lock a file that is open for writing, without waiting, until it is closed.

    Returns True; False if another process holds it; None where there are no such locks, as on
    some network disks. Unlike those of flock these are not inherited by worker processes, which
    may outlive a killed run for some seconds; the process that holds one must not open and close
    the file a second time, or it is free.
    """
    if fcntl is None:
        return None
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EACCES, errno.EAGAIN) else None
    return True
