"""Image files as people have them: turned by EXIF, of more than 8 bits, very long."""

import io

import numpy as np
import pytest
from command_line import program
from image_files import put
from PIL import Image
from torch.utils.data import Dataset

from deconv.data import photographs
from deconv.data.photographs import Photographs
from deconv.data.preparation.copying import resized_jpeg
from deconv.errors import DeconvError
from deconv.images import read_rgb, resized, square, to_rgb

SIDES = {
    1: ("top", "left"),
    2: ("top", "right"),
    3: ("bottom", "right"),
    4: ("bottom", "left"),
    5: ("left", "top"),
    6: ("right", "top"),
    7: ("right", "bottom"),
    8: ("left", "bottom"),
}
"""EXIF 2.3, tag 0x0112: at which side of the scene the stored row 0 and column 0 lie."""


def scene(height=3, width=5):
    """A picture of which every pixel is another."""
    return np.random.default_rng(1).integers(0, 256, (height, width, 3)).astype(np.uint8)


def stored(seen, orientation):
    """The pixels a camera stores for a scene, by the definition of SIDES."""
    height, width = seen.shape[:2]
    row0, column0 = SIDES[orientation]
    turned = row0 in ("left", "right")
    out = np.zeros((width, height, 3) if turned else (height, width, 3), np.uint8)
    for r, c in np.ndindex(*out.shape[:2]):
        place = {row0: r, column0: c}
        y = place["top"] if "top" in place else height - 1 - place["bottom"]
        x = place["left"] if "left" in place else width - 1 - place["right"]
        out[r, c] = seen[y, x]
    return out


def turned_file(seen, orientation, kind="PNG", **options):
    """An image file of a scene with its EXIF orientation."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = io.BytesIO()
    Image.fromarray(stored(seen, orientation)).save(file, kind, exif=exif, **options)
    return file.getvalue()


@pytest.mark.parametrize("orientation", SIDES)
@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_a_file_is_read_as_it_was_seen(tmp_path, orientation, kind):
    options = {"lossless": True} if kind == "WEBP" else {}
    path = put(tmp_path / "x.png", turned_file(scene(), orientation, kind, **options))
    assert np.array_equal(read_rgb(path), scene())
    assert np.array_equal(to_rgb(read_rgb(path)), scene()), "turned once"


@pytest.mark.parametrize("orientation", SIDES)
def test_data_sets_of_files_and_of_pil_images_are_turned(tmp_path, orientation):
    class OfImages(Dataset):
        def __getitem__(self, i):
            return Image.open(io.BytesIO(turned_file(scene(20, 20), orientation))), 0

    put(tmp_path / "val" / "a" / "x.png", turned_file(scene(20, 20), orientation))
    for data in (
        Photographs(OfImages(), [0], ["a"], ["x"], 20),
        photographs("imagefolder", tmp_path, "val", 20),
    ):
        assert np.array_equal(data[0][0].permute(1, 2, 0), scene(20, 20))


@pytest.mark.parametrize("orientation", SIDES)
def test_a_prepared_copy_shows_what_was_seen(tmp_path, orientation):
    whole = np.kron(scene(2, 3), np.ones((30, 30, 1), np.uint8))
    copy = resized_jpeg(turned_file(whole, orientation), 40)
    put(tmp_path / "x.jpg", copy)
    shown = np.asarray(read_rgb(tmp_path / "x.jpg")).astype(int)
    assert shown.shape == (40, 60, 3)
    assert np.abs(shown[10::20, 10::20] - scene(2, 3)).max() <= 3


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")
@pytest.mark.parametrize("exif", [b"Exif\0\0nonsense", b"Exif\0\0MM\0*\0\0\0\x08\0\x07", b"x"])
def test_an_image_whose_exif_is_damaged_is_read_as_it_is_stored(tmp_path, exif):
    file = io.BytesIO()
    Image.fromarray(scene()).save(file, "WEBP", lossless=True, exif=exif)
    assert np.array_equal(read_rgb(put(tmp_path / "x.webp", file.getvalue())), scene())


@pytest.mark.parametrize("orientation", [1, 6])
def test_a_truncated_file_is_named_whatever_its_orientation(tmp_path, orientation):
    whole = turned_file(scene(60, 60), orientation, "JPEG")
    put(tmp_path / "val" / "a" / "cut.jpg", whole[: len(whole) // 2])
    with pytest.raises(DeconvError, match=r"cut\.jpg.*truncated"):
        photographs("imagefolder", tmp_path, "val", 20)[0]


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_an_orientation_that_does_not_exist_is_none(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(scene()).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(read_rgb(tmp_path / "x.png"), scene())


@pytest.mark.parametrize(
    ("values", "levels"),
    [
        (np.array([[0, 257, 65535]], np.uint16), [0, 1, 255]),
        (np.array([[0, 257, 65535]], ">u2"), [0, 1, 255]),
        (np.array([[0, 0, 200]], np.uint16), [0, 0, 1]),  # 16 bits are 16 bits, dark or not
        (np.array([[0, 7, 255]], np.int32), [0, 7, 255]),
        (np.array([[0, 257, 65535]], np.int32), [0, 1, 255]),
        (np.array([[0, 0.2, 1]], np.float32), [0, 51, 255]),
        (np.array([[0, 1.2, 255]], np.float32), [0, 1, 255]),
        (np.array([[0, 257, 65535]], np.float32), [0, 1, 255]),
    ],
)
def test_more_than_8_bits_are_read_by_their_range(tmp_path, values, levels):
    Image.fromarray(values).save(tmp_path / "x.tiff")
    image = read_rgb(tmp_path / "x.tiff")
    assert [image.getpixel((x, 0)) for x in range(3)] == [(v, v, v) for v in levels]


@pytest.mark.parametrize(
    "values",
    [
        np.array([[0, -1]], np.int32),
        np.array([[0, 65536]], np.int32),
        np.array([[0, -0.5]], np.float32),
        np.array([[0, 1e6]], np.float32),
        np.array([[0, np.nan]], np.float32),
        np.array([[0, np.inf]], np.float32),
    ],
)
def test_a_range_that_is_none_of_an_image_is_refused_with_the_file(tmp_path, values):
    path = tmp_path / "val" / "a" / "deep.tiff"
    path.parent.mkdir(parents=True)
    Image.fromarray(values).save(path)
    with pytest.raises(DeconvError, match=r"deep\.tiff: its values .* save it with 8 bits"):
        read_rgb(path)
    with pytest.raises(DeconvError, match=r"deep\.tiff: its values .* save it with 8 bits"):
        photographs("imagefolder", tmp_path, "val", 8)[0]


def resized_then_cut(image, side):
    """The square by its definition: the shorter side to `side`, then the centre."""
    image = resized(image, side)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return np.asarray(image.crop((left, top, left + side, top + side))).transpose(2, 0, 1)


@pytest.mark.parametrize("size", [(40, 30), (300, 90), (64, 64), (33, 500), (1000, 70), (200, 48)])
@pytest.mark.parametrize("side", [24, 48, 90])
def test_the_square_of_a_photograph_is_that_of_resizing_then_cutting(size, side):
    image = Image.fromarray(scene(size[1], size[0]))
    assert np.array_equal(square(image, side), resized_then_cut(image, side))


@pytest.mark.parametrize("size", [(1, 90), (3, 70), (500, 9), (6000, 31), (6001, 300), (17, 300)])
@pytest.mark.parametrize("side", [8, 31, 64])
def test_the_square_of_a_panorama_is_the_same_within_a_level(size, side):
    image = Image.fromarray(scene(size[1], size[0]))
    difference = square(image, side).numpy().astype(int) - resized_then_cut(image, side)
    assert np.abs(difference).max() <= 1


MEMORY = """
import resource, sys
from PIL import Image
from deconv.images import square
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for size in ((1, 6000), (60000, 1)):
    assert square(Image.new("RGB", size), 256).shape == (3, 256, 256)
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_a_panorama_takes_little_more_memory_than_its_square(tmp_path):
    assert int(program(MEMORY, cwd=tmp_path)[0]) < 50_000, "kilobytes"
