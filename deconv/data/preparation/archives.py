"""Unpack compressed archives, which cannot be read in place."""

from __future__ import annotations

import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tarfile import TarError
from zipfile import BadZipFile

from deconv.errors import DeconvError


@contextmanager
def unpacked(source: Path, beside: Path) -> Iterator[Path]:
    """Yield `source` if it is a folder, else a temporary folder in `beside` with its contents.

    Nested archives are unpacked too.

    Raises:
        DeconvError: if `source` is missing or cannot be unpacked.
    """
    if source.is_dir():
        yield source
        return
    if not source.is_file():
        raise DeconvError(f"{source} is missing: name the data set's folder or archive")
    from torchvision.datasets.utils import extract_archive

    beside.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=beside) as folder:
        try:
            extract_archive(str(source), folder)
            for inner in sorted(Path(folder).rglob("*.tar*")):
                if not inner.name.startswith("."):
                    extract_archive(str(inner), str(inner.parent))
        except (OSError, EOFError, RuntimeError, TarError, BadZipFile, zlib.error) as error:
            raise DeconvError(f"cannot unpack {source}: {error}. Download it again.") from error
        yield Path(folder)
