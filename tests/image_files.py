"""Image files, archives and scripts for the tests of prepared copies."""

import functools
import io
import runpy
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deconv import data

ROOT = Path(__file__).resolve().parent.parent

photographs = functools.partial(data.photographs, partial=True)
"""Miniatures of well-known data sets have other counts than they."""


def encoded(seed, size=(40, 30), mode="RGB", kind="JPEG"):
    """An image file of noise."""
    bands = len(mode)
    noise = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], bands))
    image = Image.fromarray(noise.astype(np.uint8).squeeze(), mode if bands > 1 else "L")
    file = io.BytesIO()
    image.save(file, kind)
    return file.getvalue()


def plain(colour, size=(40, 30)):
    """A JPEG file of one colour."""
    file = io.BytesIO()
    Image.new("RGB", size, colour).save(file, "JPEG")
    return file.getvalue()


def put(path, data):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def opened(data):
    image = Image.open(io.BytesIO(data))
    image.load()
    return image


def tar_of(path, members, mode="w"):
    with tarfile.open(path, mode) as archive:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


def files(folder):
    return {p.relative_to(folder).as_posix() for p in Path(folder).rglob("*") if p.is_file()}


def red(image):
    return round(image[0].float().mean().item())


def script(monkeypatch, name, *arguments):
    """Run scripts/<name> in this process, as `python scripts/<name>` does; its exit status."""
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    with pytest.raises(SystemExit) as end:
        runpy.run_path(str(ROOT / "scripts" / name), run_name="__main__")
    return end.value.code
