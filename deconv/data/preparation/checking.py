"""Check the images of any folder: decode each one, and compare it with a manifest of hashes."""

from __future__ import annotations

import argparse
import io
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from PIL import Image

from deconv.data.folders import IMG_EXTENSIONS, is_text, walk
from deconv.data.preparation import manifest
from deconv.data.preparation.command import DIFFERS, exit_status
from deconv.data.preparation.processes import mapped
from deconv.data.preparation.progress import watched
from deconv.errors import DeconvError, UnreadableImage
from deconv.images import naming, to_rgb

NO_TEXT = "its name is no text in the system's encoding: rename it"
LOOP = "a link to a folder that it is in: remove it"
CHANGED = "changed: it is not what the manifest lists"


def check_images(
    folder: str | Path, listed: dict[str, str], workers: int = 0, progress: bool = False
) -> tuple[dict[str, str], dict[str, str], list[str]]:
    """Decode all images of a folder and compare them with a manifest.

    Args:
        listed: name relative to `folder` -> SHA-256; empty: nothing is compared.
        workers: processes; 0: this one.

    Returns:
        name -> SHA-256 of each image that decodes; name -> what is wrong; names of other files.
    """
    names, bad = _files(Path(folder))
    # A manifest also lists files that go with the images.
    others = [n for n in names if not n.lower().endswith(IMG_EXTENSIONS) and n not in listed]
    work = sorted(set(names) - set(others))
    digests = {}
    results = mapped(partial(_check, str(folder)), work, workers)
    for name, digest, problem in watched(results, len(work), "checked", progress):
        if problem:
            bad[name] = problem
        elif listed.get(name, digest) != digest:
            bad[name] = CHANGED
        else:
            digests[name] = digest
        if listed and name not in listed:
            bad.setdefault(name, "not in the manifest")
    bad |= dict.fromkeys(listed.keys() - set(names), "missing: the manifest lists it")
    return digests, bad, others


def _files(folder: Path) -> tuple[list[str], dict[str, str]]:
    """List the visible files, by names relative to `folder`, and what cannot be one."""
    names, bad = [], {}
    for place, files in walk(folder):
        inside = Path(place).relative_to(folder)
        if files is None:
            bad[inside.as_posix()] = LOOP
        names += [(inside / name).as_posix() for name in files or ()]
    bad |= {name: NO_TEXT for name in names if not is_text(name)}
    return [n for n in names if n not in bad and n != manifest.MANIFEST], bad


def _check(folder: str, name: str) -> tuple[str, str, str]:
    """Decode one image: (name, digest, problem or "")."""
    try:
        with naming(name):
            data = Path(folder, name).read_bytes()
            if name.lower().endswith(IMG_EXTENSIONS):
                with Image.open(io.BytesIO(data)) as image:
                    to_rgb(image)
    except UnreadableImage as error:
        return name, "", error.reason
    return name, manifest.sha256(data), ""


def main(description: str, arguments: Sequence[str] | None = None) -> int:
    """Run scripts/check_data.py and return its exit status."""
    parser = argparse.ArgumentParser(
        description=description, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path, help="the data set")
    parser.add_argument("--manifest", type=Path, help="default: <folder>/manifest.sha256")
    parser.add_argument("--write", action="store_true", help="write the manifest if all is well")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, metavar="N")
    options = parser.parse_args(arguments)
    return exit_status(lambda: _run(options), "nothing was written")


def _run(options: argparse.Namespace) -> int:
    folder = options.folder.expanduser()
    path = options.manifest or folder / manifest.MANIFEST
    if not folder.is_dir():
        raise DeconvError(f"{folder} is no folder: name that of a data set")
    listed = manifest.read_manifest(path)
    if options.write and path.exists():
        raise DeconvError(f"{path} is there already: delete it to have it written anew")
    if not listed and not options.write and (options.manifest or path.exists()):
        raise DeconvError(f"{path} holds no hashes: name a manifest, or --write one")
    digests, bad, others = check_images(folder, listed, options.workers, progress=True)
    if others:
        some = ", ".join(map(_printable, others[:5])) + (", …" if len(others) > 5 else "")
        print(f"passed over, being no images by their names: {len(others)} files: {some}")
    for name in sorted(bad):
        print(f"{_printable(name)}: {_printable(bad[name])}")
    if bad:
        print(f"{len(bad)} files of {folder} are bad", file=sys.stderr)
        return DIFFERS
    if not digests:
        raise DeconvError(f"{folder} holds no image")
    if options.write:
        manifest.write_file(path, manifest.format_manifest(digests).encode())
    compared = " and are as listed" if listed else ""
    print(f"{len(digests)} files can be read{compared}")
    return 0


def _printable(text: str) -> str:
    """Escape what could not be written, or would be a line or a command to the terminal."""
    return text if text.isprintable() else ascii(text)[1:-1]
