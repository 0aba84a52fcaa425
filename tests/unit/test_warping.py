"""Shifts, enlargements and turns against slices, np.rot90, and values worked out pixel by pixel."""

import math

import numpy as np
import pytest
import torch

from deconv.errors import DeconvError
from deconv.studies.invariance.warping import FILLS, IDENTITY, warp

SIDE = 21


@pytest.fixture(scope="module")
def image():
    random = np.random.default_rng(0)
    return torch.from_numpy(random.integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8))


@pytest.fixture(scope="module")
def mean():
    return torch.from_numpy(np.random.default_rng(1).uniform(80, 150, (3, SIDE, SIDE))).float()


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("kind", IDENTITY)
def test_the_identity_changes_nothing(image, mean, kind, fill):
    assert torch.equal(warp(image, kind, IDENTITY[kind], mean, fill), image.float())


def outside(y, fill):
    """The row that stands at row y of an endless image, None for the mean image."""
    if 0 <= y < SIDE:
        return y
    if fill == "mean":
        return None
    if fill == "edge":
        return 0 if y < 0 else SIDE - 1
    return -y if y < 0 else 2 * (SIDE - 1) - y


@pytest.mark.parametrize("fill", FILLS)
@pytest.mark.parametrize("down", [-7, -1, 1, 4, 20])
def test_whole_shifts_are_slices(image, mean, down, fill):
    moved = warp(image, "translation", down, mean, fill)
    for y in range(SIDE):
        source = outside(y - down, fill)
        wanted = mean[:, y] if source is None else image[:, source].float()
        assert torch.equal(moved[:, y], wanted), (y, source)


def test_half_a_pixel_is_the_mean_of_two_rows(image, mean):
    moved = warp(image, "translation", 2.5, mean)
    for y in range(3, SIDE):
        pair = (image[:, y - 2].double() + image[:, y - 3].double()) / 2
        torch.testing.assert_close(moved[:, y], pair.float(), rtol=0, atol=1e-4)
    half = (image[:, 0].double() + mean[:, 2].double()) / 2
    torch.testing.assert_close(moved[:, 2], half.float(), rtol=0, atol=1e-4)


@pytest.mark.parametrize("side", [SIDE, SIDE - 1])
@pytest.mark.parametrize("quarters", [-1, 1, 2, 3, 4, 5])
def test_quarter_turns_are_those_of_numpy_to_the_bit(image, mean, quarters, side):
    image, mean = image[:, :side, :side], mean[:, :side, :side]
    turned = warp(image, "rotation", 90 * quarters, mean)
    assert np.array_equal(turned.numpy(), np.rot90(image.numpy(), quarters, (1, 2)))


def bilinear(plane, y, x):
    """The value at (y, x) from the four pixels around it, in Python's own arithmetic."""
    top, left = math.floor(y), math.floor(x)
    total = 0.0
    for row, down in ((top, 1 - (y - top)), (top + 1, y - top)):
        for column, across in ((left, 1 - (x - left)), (left + 1, x - left)):
            if down * across:
                total += down * across * float(plane[row, column])
    return total


def test_twice_as_large_reads_half_as_far_from_the_middle(image, mean):
    large = warp(image, "scale", 2.0, mean)
    middle = (SIDE - 1) / 2
    for c in range(3):
        for y in range(SIDE):
            for x in range(0, SIDE, 3):
                at = middle + (y - middle) / 2, middle + (x - middle) / 2
                assert float(large[c, y, x]) == pytest.approx(
                    bilinear(image[c], *at), rel=1e-6, abs=1e-4
                )


@pytest.mark.parametrize("angle", [30.0, 117.0, -45.0])
def test_turned_pixels_come_from_where_trigonometry_says(image, mean, angle):
    turned = warp(image, "rotation", angle, mean, "edge")
    middle, compared = (SIDE - 1) / 2, 0
    for y in range(SIDE):
        for x in range(SIDE):
            # Polar, with y upwards: a counterclockwise turn adds to the angle of a point.
            radius, now = math.hypot(x - middle, middle - y), math.atan2(middle - y, x - middle)
            before = now - math.radians(angle)
            at = middle - radius * math.sin(before), middle + radius * math.cos(before)
            if all(0 <= v < SIDE - 1 for v in at):
                wanted = bilinear(image[1], *at)
                assert float(turned[1, y, x]) == pytest.approx(wanted, rel=1e-6, abs=1e-4)
                compared += 1
    assert compared > 250


def test_a_point_on_the_right_turns_upwards(mean):
    image = torch.zeros(3, SIDE, SIDE)
    image[:, 10, 18] = 200.0
    turned = warp(image, "rotation", 90, mean)
    assert turned.argmax() % (SIDE * SIDE) == 2 * SIDE + 10


def test_what_a_turn_leaves_open_is_filled(image, mean):
    corner = (slice(None), 0, 0)
    filled = {fill: warp(image, "rotation", 45, mean, fill)[corner] for fill in FILLS}
    assert torch.equal(filled["mean"], mean[corner])
    # The corner comes from straight left of the middle, or above it, beyond the edge.
    reach = 10 * math.sqrt(2)
    wanted = [float(image[c, 0, 10]) for c in range(3)]
    np.testing.assert_allclose(filled["edge"], wanted, atol=1e-3)
    wanted = [bilinear(image[c], reach - 10, 10) for c in range(3)]
    np.testing.assert_allclose(filled["mirror"], wanted, atol=1e-3)


@pytest.mark.parametrize(
    ("kind", "amount", "fill", "message"),
    [
        ("shear", 1, "mean", "unknown transform 'shear'"),
        ("scale", 0, "mean", "scale takes a factor above 0, got 0"),
        ("rotation", math.nan, "mean", "rotation takes a finite number"),
        ("rotation", 10, "miror", "unknown fill 'miror'. Did you mean 'mirror'"),
    ],
)
def test_what_is_no_transform_is_refused(image, mean, kind, amount, fill, message):
    with pytest.raises(DeconvError, match=message):
        warp(image, kind, amount, mean, fill)


def test_an_image_that_is_not_the_mean_s_size_is_refused(image, mean):
    with pytest.raises(DeconvError, match="a mean image of its size"):
        warp(image[:, 1:], "scale", 1.5, mean)
