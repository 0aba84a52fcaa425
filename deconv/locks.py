"""Record locks (fcntl), which a file's writer holds as long as its process lives."""

from __future__ import annotations

import errno
from typing import IO, Any

fcntl: Any
# Not the package filelock: it uses flock, whose locks worker processes inherit.
try:
    import fcntl
except ImportError:  # Windows
    fcntl = None


def lock(file: IO[Any]) -> bool | None:
    """Lock a file that is open for writing, without blocking, until it is closed.

    Unlike flock's, these locks are not inherited by worker processes, which may outlive a killed
    run for some seconds. The holder must not open and close the file a second time: that releases
    the lock.

    Returns:
        True; False if another process holds it; None if there are no such locks, as on some
        network file systems.
    """
    if fcntl is None:
        return None
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EACCES, errno.EAGAIN) else None
    return True
