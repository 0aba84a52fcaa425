"""Files that are written whole or not at all, also with their SHA-256 in a file beside them."""

from __future__ import annotations

import contextlib
import hashlib
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

CHECKSUM = ".sha256"
"""What follows a file's name in the name of its checksum, which `sha256sum -c` reads."""


class _Hashing:
    """A file that hashes what is written to it, and keeps an OSError until the writer is done.

    The error cannot pass through the C++ code that torch.save writes with.
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
        """Nothing: the file is flushed once, at the end."""


@contextlib.contextmanager
def whole(path: str | Path, temporary_name: str = "") -> Iterator[Path]:
    """Yield a path to write to; what is there takes the name of `path` once the block is done.

    If the block fails, `path` stays as it was and the temporary file is deleted.

    Args:
        path: its folder is made if it is missing.
        temporary_name: beside `path`; by default of this process's own, so that two may write one
            file. With a fixed name the next run overwrites what a killed one left.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(temporary_name or f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        os.replace(temporary, path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_whole(path: str | Path, content: bytes) -> None:
    """Write a file whole or not at all, also should the power be cut."""
    with whole(path) as temporary, temporary.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _flush_folder(Path(path).parent)


def write_checked(path: str | Path, write: Callable[[Any], Any]) -> Path:
    """Write a file by `write(file)`, with its checksum beside it, whole or not at all."""
    path = Path(path)
    beside = path.with_name(path.name + CHECKSUM)
    # The checksum is renamed first: a file without its checksum counts as damaged, a checksum
    # without its file as nothing.
    with whole(path) as content, whole(beside) as checksum:
        with content.open("wb") as file:
            hashing = _Hashing(file)
            write(hashing)
            if hashing.error is not None:
                raise hashing.error
            file.flush()
            os.fsync(file.fileno())
        with checksum.open("w") as file:
            file.write(f"{hashing.digest.hexdigest()}  {path.name}\n")
            file.flush()
            os.fsync(file.fileno())
    _flush_folder(path.parent)
    return path


def _flush_folder(folder: Path) -> None:
    """Make renames in a folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def damage(path: str | Path) -> str | None:
    """What is wrong with a file that `write_checked` wrote, by its checksum; None if nothing."""
    path = Path(path).resolve()
    beside = path.with_name(path.name + CHECKSUM)
    try:
        expected = beside.read_text().split()[0]
        with path.open("rb") as file:
            digest = hashlib.sha256()
            while block := file.read(1 << 22):
                digest.update(block)
    except FileNotFoundError as error:
        return f"{Path(error.filename).name} is missing"
    except (OSError, IndexError, UnicodeDecodeError) as error:
        return f"it or its checksum cannot be read ({error})"
    return None if digest.hexdigest() == expected else "it is not what its checksum says"
