"""Hashes of a copy's files in sha256sum's format, and how the copy was made.

manifest.sha256     one line per other file; check with `sha256sum -c manifest.sha256`
manifest.json       the data set, how its images were made, the number of images per folder
manifest.partial    the finished files, while the copy is being made
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

import numpy as np

from deconv.atomic_files import UNIQUE, whole
from deconv.data.preparation.plan import is_image
from deconv.data.preparation.progress import watched
from deconv.data.text_files import json_text
from deconv.errors import DeconvError
from deconv.locks import lock

MANIFEST, FACTS, JOURNAL = "manifest.sha256", "manifest.json", "manifest.partial"
LINE = re.compile(r"([0-9a-f]{64})  (.+)\n")


def sha256(data: bytes) -> str:
    """Hash bytes: 64 hex digits."""
    return hashlib.sha256(data).hexdigest()


def line(target: str, digest: str) -> str:
    """Format one line; DeconvError for a name that sha256sum would have to escape."""
    if re.search(r"[\\\r\n]", target):
        raise DeconvError(f"the name {target!r} has a backslash or a line break: rename the file")
    return f"{digest}  {target}\n"


def write_file(path: Path, data: bytes) -> None:
    """Write a file atomically; its digest reveals damage by a power cut."""
    with whole(path) as temporary:
        temporary.write_bytes(data)


def read_manifest(path: Path) -> dict[str, str]:
    """Read target -> digest, skipping torn lines; empty if there is no such file."""
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        return _parse(file)


def _parse(lines: Iterable[str]) -> dict[str, str]:
    matches = map(LINE.fullmatch, lines)
    return {match[2]: match[1] for match in matches if match}


@contextmanager
def begun(folder: Path, facts: Mapping[str, Any]) -> Iterator[tuple[IO[str], dict[str, str]]]:
    """Prepare `folder` for a new or resumed copy; yield its journal and digests of finished files.

    The journal is locked, as far as the disk has locks, until the block ends.

    Args:
        facts: how the images are made.

    Raises:
        DeconvError: if the folder holds something else, a copy made differently, or one that
            another process makes.
    """
    if folder.is_dir() and any(folder.iterdir()):
        had = _facts(folder)
        for key, value in facts.items():
            if had.get(key) != value:
                raise DeconvError(
                    f"{folder} holds a copy with {key}={had.get(key)}, not {value}: name another "
                    "folder, or delete this one"
                )
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / JOURNAL, "a+", encoding="utf-8", newline="") as journal:
        locked = lock(journal)
        if locked is False:
            raise DeconvError(
                f"another process makes the copy {folder}: wait for it, or name another folder"
            )
        if locked:  # so only a killed run can have left temporary files
            for path in folder.rglob(".*"):
                if re.fullmatch(rf"\..+\.{UNIQUE}\.tmp", path.name):
                    path.unlink()
        journal.seek(0)
        lines, listed = list(journal), read_manifest(folder / MANIFEST)
        if lines and not lines[-1].endswith("\n"):
            journal.write("\n")  # after what a power cut left of a line
        journal.write(format_manifest(listed))
        journal.flush()
        write_file(folder / FACTS, _json(facts))
        (folder / MANIFEST).unlink(missing_ok=True)
        yield journal, _parse(lines) | listed


def finish(folder: Path, facts: Mapping[str, Any], digests: Mapping[str, str]) -> None:
    """Write the manifest of a complete copy, sorted by name."""
    content = _json({**facts, "folders": counts(digests)})
    write_file(folder / FACTS, content)
    write_file(folder / MANIFEST, format_manifest({**digests, FACTS: sha256(content)}).encode())
    (folder / JOURNAL).unlink(missing_ok=True)


def verify(folder: str | Path, progress: bool = False) -> list[str]:
    """List differences from a copy's manifest: "missing: …", "changed: …", "unlisted: …".

    Raises:
        DeconvError: if there is no manifest.
    """
    folder = Path(folder)
    listed = read_manifest(folder / MANIFEST)
    if not listed:
        raise DeconvError(
            f"{folder} has no {MANIFEST}: the copy was not finished; run the same command again"
        )
    present = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    differing = dict.fromkeys(listed.keys() - present, "missing")
    differing |= dict.fromkeys(present - listed.keys() - {MANIFEST}, "unlisted")
    both = sorted(listed.keys() & present)
    for name in watched(both, len(both), "verified", progress):
        if sha256((folder / name).read_bytes()) != listed[name]:
            differing[name] = "changed"
    return [f"{state}: {name}" for name, state in sorted(differing.items())]


def check_finished(root: Path) -> None:
    """Raise DeconvError if `root` is a prepared copy that is not finished."""
    if (root / JOURNAL).is_file():
        raise DeconvError(f"{root} is an unfinished copy: run the command that makes it again")


def listed_digests(root: Path, paths: Sequence[str]) -> np.ndarray | None:
    """Return the digest that a prepared copy's manifest lists for each of its images: N×32 uint8.

    None if `root` is no prepared copy.

    Args:
        paths: all images of some classes, below `root`.

    Raises:
        DeconvError: if the files of these classes are not those that the manifest lists.
    """
    listed = read_manifest(root / MANIFEST)
    if FACTS not in listed:
        return None
    names = [Path(path).relative_to(root).as_posix() for path in paths]
    splits = {PurePosixPath(name).parent.parent for name in names}
    classes = {PurePosixPath(name).parent for name in names}
    unlisted = [name for name in names if name not in listed]
    found, missing = set(names), []
    for name in filter(is_image, listed.keys() - found):
        of = PurePosixPath(name).parent
        if of in classes or (of.parent in splits and not (root / of).is_dir()):
            missing.append(name)
    for state, differing in (("is not there", missing), ("is not listed", unlisted)):
        if differing:
            raise DeconvError(
                f"{root} is not the copy that its {MANIFEST} lists: {min(differing)} {state} "
                f"({len(differing)} such): {MEND}"
            )
    digests = b"".join(bytes.fromhex(listed[name]) for name in names)
    return np.frombuffer(digests, np.uint8).reshape(-1, 32)


MEND = (
    f"run the command that made the copy again, or, if the change is meant, delete {MANIFEST}, and "
    "it is read as any folder of images"
)


def _facts(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DeconvError(
            f"{folder} is not empty and holds no copy with a {FACTS}: name a new folder"
        ) from error


def _json(facts: Mapping[str, Any]) -> bytes:
    return (json_text(facts) + "\n").encode()


def format_manifest(digests: Mapping[str, str]) -> str:
    """Format a manifest, sorted by name."""
    return "".join(line(name, digests[name]) for name in sorted(digests))


def counts(targets: Iterable[str]) -> dict[str, dict[str, int]]:
    """Count images and classes of each split (a folder of class folders)."""
    classes: dict[str, list[str]] = defaultdict(list)
    for path in map(PurePosixPath, targets):
        if is_image(path.name):
            classes[str(path.parent.parent)].append(path.parent.name)
    return {
        split: {"images": len(names), "classes": len(set(names))}
        for split, names in sorted(classes.items())
    }
