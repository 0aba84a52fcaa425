"""The folder of an atlas: unfinished beside its final name, and there at once when it is whole."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from deconv.atomic_files import whole, write_whole
from deconv.data.text_files import json_text
from deconv.errors import DeconvError, some
from deconv.locks import lock

INPUTS, LOCK, WORK = "inputs.json", ".lock", "work"
"""What an atlas was made from; held while it is written; what is needed until it is whole."""


def put(path: Path, content: bytes) -> None:
    """Write a file whole; that it survives a power cut is seen to when the atlas is."""
    with whole(path) as temporary:
        temporary.write_bytes(content)


def is_finished(final: Path, inputs: Mapping[str, Any]) -> bool:
    """Whether an atlas of these inputs stands at `final`; DeconvError if something else does."""
    if not final.exists():
        return False
    if not (final / INPUTS).is_file():
        raise DeconvError(f"{final} is there and is no atlas: choose another folder, or move it")
    _same(final, inputs, "holds an atlas of other inputs")
    return True


@contextlib.contextmanager
def unfinished(final: Path, inputs: Mapping[str, Any]) -> Iterator[Path]:
    """Yield the folder to write in, which becomes `final` when the block succeeds.

    Left by a kill, it is gone on with where its inputs are the same.

    Raises:
        DeconvError: if it cannot be made, is of other inputs, or another process writes there.
    """
    place = final.with_name(f"{final.name}.unfinished")
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DeconvError(f"cannot write an atlas to {final}: {error.strerror}") from error
    there = [path for path in place.iterdir() if path.name != LOCK]
    if there and not (place / INPUTS).is_file():
        raise DeconvError(f"{place} is there and is no unfinished atlas: move it away")
    if there:
        _same(place, inputs, "is an unfinished atlas of other inputs")
    with (place / LOCK).open("a") as file:
        if lock(file) is False:
            raise DeconvError(f"{place} is being written by another process: wait for it")
        for path in place.rglob(".*.tmp"):  # left by a kill in the middle of a file
            path.unlink()
        write_whole(place / INPUTS, (json_text(inputs) + "\n").encode())
        yield place
    shutil.rmtree(place / WORK, ignore_errors=True)
    (place / LOCK).unlink()
    with ThreadPoolExecutor(16) as pool:  # disks take many at once ten times as fast
        list(pool.map(_settle, (path for path in place.rglob("*") if path.is_file())))
    place.rename(final)


def _settle(path: Path) -> None:
    """Have a file on the disk before the folder gets its name."""
    with path.open("rb+") as file:
        os.fsync(file.fileno())


def _same(place: Path, inputs: Mapping[str, Any], what: str) -> None:
    try:
        before = json.loads((place / INPUTS).read_text(encoding="utf-8"))
    except ValueError as error:
        raise DeconvError(f"{place / INPUTS} is damaged ({error}): delete {place}") from error
    now = json.loads(json_text(inputs))
    if wrong := sorted(
        key for key in before.keys() | now.keys() if before.get(key) != now.get(key)
    ):
        raise DeconvError(
            f"{place} {what} ({some(wrong)} differ): choose another folder, or delete it"
        )
