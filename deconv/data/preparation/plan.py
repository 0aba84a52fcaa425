"""What to copy and where to: files in folders and members of tar archives."""

from __future__ import annotations

import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from deconv.data.folders import is_hidden
from deconv.errors import DeconvError

IMAGES = (".jpg", ".jpeg", ".png")
"""Image file suffixes, case-insensitive."""


class Original(NamedTuple):
    """One image and where its copy goes.

    Attributes:
        target: path relative to the copy's folder, with "/".
        path: the image file, or the uncompressed archive that contains it.
        offset, size: the image's bytes in that file; size -1: up to its end.
    """

    target: str
    path: Path
    offset: int = 0
    size: int = -1

    @property
    def name(self) -> str:
        """For messages: the file, and the image within an archive."""
        inside = f" ({PurePosixPath(self.target).name})" if self.size >= 0 else ""
        return f"{self.path}{inside}"

    def read(self) -> bytes:
        """Read the image's bytes; OSError if the file is missing or the archive too short."""
        with open(self.path, "rb") as file:
            file.seek(self.offset)
            data = file.read(self.size)
        if len(data) < self.size:
            raise OSError("the archive ends inside the image")
        return data


@dataclass
class Plan:
    """Contents of the copy of one data set.

    Attributes:
        beside: small files that go with the images, target -> content.
        left_out: other files found among the images.
        notes: remarks to print.
    """

    dataset: str
    images: list[Original] = field(default_factory=list)
    beside: dict[str, bytes] = field(default_factory=dict)
    left_out: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add_folder(self, folder: Path, place: Callable[[str], str]) -> list[str]:
        """Add the images directly in a folder; `place` maps a name to its target.

        Returns:
            Their names, sorted.

        Raises:
            DeconvError: if the folder holds no image.
        """
        names: list[str] = []
        with os.scandir(folder) as entries:
            for entry in sorted(entries, key=lambda entry: entry.name):
                if entry.is_file() and is_image(entry.name):
                    names.append(entry.name)
                else:
                    self.left_out.append(folder / entry.name)
        if not names:
            raise DeconvError(f"{folder} holds no image ({', '.join(IMAGES)}): add or remove it")
        self.images += [Original(place(name), folder / name) for name in names]
        return names

    def add_tar(self, path: Path, place: Callable[[str], str]) -> None:
        """Add the images in an uncompressed tar archive; `place` maps a name to its target."""
        for name, offset, size in _members(path):
            if is_image(name):
                self.images.append(Original(place(name), path, offset, size))
            else:
                self.left_out.append(path / name)

    def add_tar_of_tars(self, path: Path, place: Callable[[str, str], str]) -> None:
        """Add the images in an archive of archives; place(stem of the inner archive, name)."""
        for inner, start, length in _members(path):
            stem = PurePosixPath(inner).stem
            for name, offset, size in _members(path, start, length):
                if is_image(name):
                    self.images.append(Original(place(stem, name), path, offset, size))
                else:
                    self.left_out.append(path / name)


def is_image(name: str) -> bool:
    """Whether a name is an image file's; hidden files (macOS leaves "._x.jpg") do not count."""
    return name.lower().endswith(IMAGES) and not is_hidden(name)


def _members(
    path: Path, start: int = 0, length: int | None = None
) -> Iterator[tuple[str, int, int]]:
    """Yield (name, offset in the file, size) of the regular files in a tar archive.

    The archive may itself be a member of `path`, at `start`; tarfile counts offsets from the start
    of the outer file, so an image can be read without unpacking either.
    """
    end = path.stat().st_size if length is None else start + length
    try:
        with open(path, "rb") as file:
            file.seek(start)
            with tarfile.open(fileobj=file, mode="r:") as archive:
                for member in archive:
                    if member.offset >= end:
                        break  # an inner archive without an end mark: what follows is the outer's
                    if member.isfile():
                        yield PurePosixPath(member.name).name, member.offset_data, member.size
    except tarfile.TarError as error:
        raise DeconvError(
            f"cannot read the tar archive {path}: {error}. Download it again."
        ) from error
