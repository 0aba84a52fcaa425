"""A disk that is soon full."""

import ctypes
import os
from pathlib import Path


def small_disk(folder, size="3m"):
    """Put a disk of 3 MB, or of another size, at `folder`, for this process alone."""
    system, user, group = ctypes.CDLL(None, use_errno=True), os.getuid(), os.getgid()
    assert system.unshare(0x10000000 | 0x00020000) == 0, "CLONE_NEWUSER, CLONE_NEWNS"
    Path("/proc/self/setgroups").write_text("deny")
    Path("/proc/self/uid_map").write_text(f"0 {user} 1")
    Path("/proc/self/gid_map").write_text(f"0 {group} 1")
    options = (b"tmpfs", str(folder).encode(), b"tmpfs", 0, f"size={size}".encode())
    assert system.mount(*options) == 0, os.strerror(ctypes.get_errno())
