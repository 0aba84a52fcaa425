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
from collections.abc import Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from deconv.atomic_files import whole
from deconv.data.preparation.plan import is_image
from deconv.data.preparation.progress import watched
from deconv.errors import DeconvError

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
    with whole(path, f".{path.name}.new") as temporary:
        temporary.write_bytes(data)


def read_manifest(path: Path) -> dict[str, str]:
    """Read target -> digest, skipping torn lines; empty if there is no such file."""
    if not path.is_file():
        return {}
    with open(path, encoding="utf-8", newline="") as file:
        matches = [LINE.fullmatch(text) for text in file]
    return {match[2]: match[1] for match in matches if match}


def begin(folder: Path, facts: Mapping[str, Any]) -> dict[str, str]:
    """Prepare `folder` for a new or resumed copy; return the digests of finished files.

    Args:
        facts: how the images are made.

    Raises:
        DeconvError: if the folder holds something else, or a copy made differently.
    """
    if folder.is_dir() and any(folder.iterdir()):
        had = _facts(folder)
        for key, value in facts.items():
            if had.get(key) != value:
                raise DeconvError(
                    f"{folder} holds a copy with {key}={had.get(key)}, not {value}: name another "
                    "folder, or delete this one"
                )
    done = read_manifest(folder / JOURNAL) | read_manifest(folder / MANIFEST)
    write_file(folder / FACTS, _json(facts))
    write_file(folder / JOURNAL, lines(done))
    (folder / MANIFEST).unlink(missing_ok=True)
    return done


def finish(folder: Path, facts: Mapping[str, Any], digests: Mapping[str, str]) -> None:
    """Write the manifest of a complete copy, sorted by name."""
    content = _json({**facts, "folders": counts(digests)})
    write_file(folder / FACTS, content)
    write_file(folder / MANIFEST, lines({**digests, FACTS: sha256(content)}))
    (folder / JOURNAL).unlink()


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


def _facts(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / FACTS).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DeconvError(
            f"{folder} is not empty and holds no copy with a {FACTS}: name a new folder"
        ) from error


def _json(facts: Mapping[str, Any]) -> bytes:
    return (json.dumps(facts, indent=2) + "\n").encode()


def lines(digests: Mapping[str, str]) -> bytes:
    """Format a manifest, sorted by name."""
    return "".join(line(name, digests[name]) for name in sorted(digests)).encode()


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
