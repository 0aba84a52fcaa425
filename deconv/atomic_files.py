"""Atomic writing of files, also with a SHA-256 checksum file beside them."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import secrets
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

CHECKSUM = ".sha256"
"""Suffix of a checksum file, in the format of `sha256sum -c`."""


class _Hashing:
    """A file that hashes what is written and stores an OSError until the writer is done.

    The error cannot pass through the C++ code of torch.save.
    """

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.digest = file, hashlib.sha256()
        self.error: OSError | None = None

    def write(self, part: Any) -> int:
        if self.error is None:
            try:
                self.file.write(part)
                self.digest.update(part)
            except OSError as error:
                self.error = error
        return len(part)

    def flush(self) -> None:
        """Do nothing: the file is flushed once, at the end."""


UNIQUE = r"[\w-]+-[0-9a-f]{16}"
"""Pattern of `unique`."""


def host() -> str:
    """Return this machine's name as it may stand in a file name."""
    return re.sub(r"\W", "-", socket.gethostname())[:32] or "host"


def unique() -> str:
    """Make a name for a temporary file that no other process on any machine has.

    Process numbers are not enough: in containers and on other machines they repeat.
    """
    return f"{host()}-{secrets.token_hex(8)}"


@contextlib.contextmanager
def whole(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path, which replaces `path` when the block succeeds.

    If the block fails, `path` is left as it was and the temporary file is deleted. Several
    processes may write one file: each has its own temporary one.

    Args:
        path: its folder is created if missing.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{unique()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file atomically, also in the event of a power cut."""
    with whole(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        _sync(file)
    _sync_folder(Path(path).parent)


def write_checked(path: str | Path, write: Callable[[Any], Any]) -> Path:
    """Write a file by `write(file)` atomically, with its checksum beside it."""
    path = Path(path)
    beside = path.with_name(path.name + CHECKSUM)
    # The checksum is renamed first: a checksum without its file is harmless, but a file without
    # its checksum counts as damaged.
    with whole(path) as content, whole(beside) as checksum:
        with content.open("wb") as file:
            hashing = _Hashing(file)
            write(hashing)
            if hashing.error is not None:
                raise hashing.error
            _sync(file)
        with checksum.open("w", encoding="utf-8") as file:
            file.write(f"{hashing.digest.hexdigest()}  {path.name}\n")
            _sync(file)
    _sync_folder(path.parent)
    return path


def _sync(file: IO[Any]) -> None:
    file.flush()
    os.fsync(file.fileno())


def _sync_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def damage(path: str | Path) -> str | None:
    """Say what is wrong with a file of `write_checked` by its checksum; None if it is intact."""
    path = Path(path).resolve()
    beside = path.with_name(path.name + CHECKSUM)
    try:
        expected = beside.read_text(encoding="utf-8").split()[0]
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 22):
                digest.update(block)
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, IndexError, UnicodeDecodeError) as error:
        return f"it or its checksum cannot be read ({error})"
    return None if digest.hexdigest() == expected else "it is not what its checksum says"
