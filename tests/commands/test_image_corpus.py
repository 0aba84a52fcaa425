"""Images of every kind and damage: decoded as an oracle says, or named; all at once by a script."""

import contextlib
import io
import os
import re
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import encoded, put, script
from mostly_slow import mostly_slow
from PIL import Image
from test_images import SIDES, scene, turned_file

from deconv.data import photographs
from deconv.errors import UnreadableImage
from deconv.images import read_rgb

pytestmark = pytest.mark.fault("image corpus")
SIZE = (24, 16)
SCENE = np.random.default_rng(3).integers(0, 256, (*SIZE[::-1], 3)).astype(np.uint8)
GREY = SCENE[..., 0]
ALPHA = np.kron([[0, 255], [255, 0]], np.ones((8, 12))).astype(np.uint8)


def file_of(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


def of(pixels, kind="PNG", **options):
    return file_of(Image.fromarray(pixels), kind, **options)


def repeated(grey):
    return np.repeat(grey[..., None], 3, axis=2)


def palette():
    """Four colours by number, and the picture that they make."""
    colours = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [9, 8, 7]], np.uint8)
    numbers = GREY % 4
    image = Image.fromarray(numbers, "P")
    image.putpalette(colours.flatten().tolist())
    return file_of(image, "PNG"), colours[numbers]


def cmyk():
    """No black, so that red is 255 minus cyan and so on."""
    bands = np.concatenate([255 - SCENE, np.zeros((*SCENE.shape[:2], 1), np.uint8)], axis=2)
    return file_of(Image.fromarray(bands, "CMYK"), "TIFF")


WHITENED = np.where(ALPHA[..., None] > 0, SCENE, 255)
GOOD = {
    "rgb.png": (of(SCENE), SCENE),
    "UPPER.PNG": (of(SCENE), SCENE),
    "png called.jpg": (of(SCENE), SCENE),
    "rgb.bmp": (of(SCENE, "BMP"), SCENE),
    "rgb.webp": (of(SCENE, "WEBP", lossless=True), SCENE),
    "cmyk.tif": (cmyk(), SCENE),
    "grey.png": (of(GREY), repeated(GREY)),
    "bilevel.png": (file_of(Image.fromarray(GREY > 99), "PNG"), repeated((GREY > 99) * 255)),
    "deep.png": (of(GREY.astype(np.uint16) * 257), repeated(GREY)),
    "rgba.png": (of(np.dstack([SCENE, ALPHA])), WHITENED),
    "grey alpha.png": (
        of(np.dstack([GREY, ALPHA])),
        np.where(ALPHA[..., None] > 0, repeated(GREY), 255),
    ),
    "palette.png": palette(),
    "animated.webp": (
        of(SCENE, "WEBP", lossless=True, save_all=True, append_images=[Image.new("RGB", SIZE)]),
        SCENE,
    ),
    "pages.tiff": (of(SCENE, "TIFF", save_all=True, append_images=[Image.new("L", (3, 3))]), SCENE),
    "animated.png": (of(SCENE, save_all=True, append_images=[Image.new("RGB", SIZE)]), SCENE),
    "1x1.png": (of(SCENE[:1, :1]), SCENE[:1, :1]),
    "4000x1.png": (of(np.resize(SCENE, (1, 4000, 3))), np.resize(SCENE, (1, 4000, 3))),
} | {f"exif {n}.png": (turned_file(scene(), n), scene()) for n in SIDES}


def bomb():
    """A PNG file of a few bytes that says it has 60,000 × 60,000 pixels."""
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(b"")), (b"IEND", b""))
    parts = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def damaged(data, at, by):
    return data[:at] + by + data[at + len(by) :]


WHOLE = {kind: encoded(0, (60, 50), kind=kind) for kind in ("JPEG", "PNG", "TIFF", "WEBP", "BMP")}
BAD = {
    "empty.jpg": (b"", "empty or of no known format"),
    "page.jpg": (b"<!DOCTYPE html><title>404</title>", "empty or of no known format"),
    "cut.jpg": (WHOLE["JPEG"][:900], "truncated"),
    "cut.png": (WHOLE["PNG"][:900], "truncated"),
    "middle.png": (damaged(WHOLE["PNG"], 3000, b"damage"), "."),
    "bomb.png": (bomb(), "decompression bomb"),
    "nan.tiff": (of(np.full((4, 4), np.nan, np.float32), "TIFF"), "values range"),
}
STILL_DECODES = damaged(WHOLE["JPEG"], 3000, b"damage")


@pytest.mark.parametrize("name", GOOD)
def test_an_image_is_what_its_oracle_says(tmp_path, name):
    data, expected = GOOD[name]
    put(tmp_path / "val" / "a" / name, data)
    assert np.array_equal(read_rgb(tmp_path / "val" / "a" / name), expected)
    square = photographs("imagefolder", tmp_path, "val", 8)[0][0]
    assert square.shape == (3, 8, 8)


@pytest.mark.parametrize("name", BAD)
def test_a_bad_image_is_named_with_its_reason(tmp_path, name):
    data, reason = BAD[name]
    put(tmp_path / "val" / "a" / name, data)
    for read in (
        lambda: read_rgb(tmp_path / "val" / "a" / name),
        lambda: photographs("imagefolder", tmp_path, "val", 8)[0],
    ):
        with pytest.raises(UnreadableImage, match=rf"cannot read the image \S+/{name}: .*{reason}"):
            read()


damages = st.lists(st.tuples(st.floats(0, 0.9999), st.binary(min_size=1, max_size=8)), max_size=4)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "tries", [20, pytest.param(3000, marks=pytest.mark.slow)], ids=["few", "many"]
)
@pytest.mark.parametrize("kind", WHOLE)
def test_whatever_is_damaged_is_read_or_named(tmp_path, kind, tries, record_property):
    @settings(max_examples=tries, deadline=None, derandomize=tries < 100, database=None)
    @given(damages, st.floats(0, 1), st.booleans())
    def prove(places, end, cut):
        data = WHOLE[kind]
        for where, by in places:
            data = damaged(data, int(where * len(data)), by)
        path = put(tmp_path / "x.jpg", data[: int(end * len(data))] if cut else data)
        with contextlib.suppress(UnreadableImage):
            assert read_rgb(path).mode == "RGB"

    prove()
    record_property("tries", tries)


# ------------------------------------------------------------------ scripts/check_data.py


@pytest.fixture
def corpus(tmp_path):
    """All of these files at once, in class folders, with litter and what is no image by name."""
    for folder, files in (("good", GOOD), ("bad", BAD)):
        for name, (data, _) in files.items():
            put(tmp_path / "set" / folder / name, data)
    put(tmp_path / "set" / "good" / "Thumbs.db", b"litter")
    put(tmp_path / "set" / "good" / "moving.gif", b"GIF")
    (tmp_path / "set" / "bad" / "loop").symlink_to(tmp_path / "set")
    (tmp_path / "set" / "bad" / "self.jpg").symlink_to("self.jpg")
    put(tmp_path / "set" / "bad" / os.fsdecode(b"caf\xe9.png"), WHOLE["PNG"])
    return tmp_path / "set"


@pytest.mark.parametrize("workers", mostly_slow([0, 2]))
def test_all_bad_files_are_listed_at_once(corpus, monkeypatch, capsys, workers):
    arguments = (corpus, "--workers", workers)
    assert script(monkeypatch, "check_data.py", *arguments, "--write") == 1
    out, err = capsys.readouterr()
    listed = dict(line.split(": ", 1) for line in out.splitlines())
    assert listed.pop("passed over, being no images by their names") == "1 files: good/moving.gif"
    assert listed.pop("bad/loop") == "a link to a folder that it is in: remove it"
    assert "Too many levels" in listed.pop("bad/self.jpg")
    assert "no text" in listed.pop(r"bad/caf\udce9.png")
    assert listed.keys() == {f"bad/{name}" for name in BAD}
    assert all(re.search(BAD[name[4:]][1], reason) for name, reason in listed.items())
    bad = len(BAD) + 3
    assert err.splitlines()[-1] == f"{bad} files of {corpus} are bad"
    total = len(GOOD) + len(BAD) + 1
    lines = [line for line in err.splitlines() if line.startswith("checked")]
    assert lines[-1] == f"checked {total} of {total} files" and len(lines) == 10
    assert not (corpus / "manifest.sha256").exists(), "none of bad files"


def test_a_manifest_finds_damage_that_decodes(tmp_path, monkeypatch, capsys):
    def check(*more):
        status = script(monkeypatch, "check_data.py", tmp_path / "set", "--workers", 0, *more)
        out, err = capsys.readouterr()
        return status, out.splitlines(), err

    for name in "abcd":
        put(tmp_path / "set" / "x" / f"{name}.jpg", WHOLE["JPEG"])
    assert check() == (0, ["4 files can be read"], check()[2])
    elsewhere = ("--manifest", tmp_path / "sums")
    assert check(*elsewhere)[0] == 2 and check("--write")[0] == check(*elsewhere, "--write")[0] == 0
    assert os.system(f"cd {tmp_path}/set && sha256sum --quiet -c manifest.sha256") == 0
    assert check()[1] == ["4 files can be read and are as listed"]
    assert check("--write")[0] == 2, "is there already"
    put(tmp_path / "set" / "x" / "a.jpg", STILL_DECODES)
    assert np.asarray(read_rgb(tmp_path / "set" / "x" / "a.jpg")).shape == (50, 60, 3)
    (tmp_path / "set" / "x" / "b.jpg").unlink()
    put(tmp_path / "set" / "x" / "new.jpg", WHOLE["JPEG"])
    for manifest in ((), elsewhere):
        status, out, _ = check(*manifest)
        assert status == 1 and out == [
            "x/a.jpg: changed: it is not what the manifest lists",
            "x/b.jpg: missing: the manifest lists it",
            "x/new.jpg: not in the manifest",
        ]
    status, _, err = check("--manifest", tmp_path / "none")
    assert status == 2 and "holds no hashes" in err and "Traceback" not in err
    assert script(monkeypatch, "check_data.py", tmp_path / "nowhere") == 2
    (tmp_path / "nothing").mkdir()
    assert script(monkeypatch, "check_data.py", tmp_path / "nothing", "--workers", 0) == 2
    assert "holds no image" in capsys.readouterr().err
