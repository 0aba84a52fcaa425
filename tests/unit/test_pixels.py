"""What a picture becomes before it is drawn: averaged where it shrinks, cut to its energy."""

import numpy as np
import pytest

from deconv.figures.drawing import grey_centred, painted_tile
from deconv.pixels import area_average, energy_window


@pytest.mark.parametrize(("height", "width", "side"), [(12, 12, 4), (7, 10, 3), (31, 19, 13)])
def test_shrinking_averages_areas(height, width, side):
    """Oracle: each pixel repeated `side` times, then blocks of height×width averaged."""
    pixels = np.random.default_rng(0).normal(size=(3, height, width))
    fine = pixels.repeat(side, axis=1).repeat(side, axis=2)
    expected = fine.reshape(3, side, height, side, width).mean(axis=(2, 4))
    np.testing.assert_allclose(area_average(pixels, side), expected, atol=1e-12)


def test_a_tile_is_scaled_after_it_was_averaged():
    """A faint patch under a strong checkerboard, which averages to nothing, fills the scale."""
    pixels = np.indices((3, 40, 40)).sum(axis=0) % 2 * 20.0 - 10
    pixels[:, :20, :20] += 1
    shown = painted_tile(pixels, None, 20)
    assert (shown[:10, :10] == 255).all() and (shown[10:] == 128).all()
    assert np.array_equal(painted_tile(pixels, None, 40), grey_centred(pixels)), "as it is"


def window_by_loops(pixels, share=0.96, mostly=0.8):
    """The square that loses 1 % of a picture's energy on no side, line by line."""
    rows, columns = pixels.shape[2:]
    begins, ends = [rows, columns], [0, 0]
    for picture in pixels:
        energy = (picture**2).sum(axis=0)
        for axis, count in enumerate((rows, columns)):
            lines = [energy.take(i, axis).sum() for i in range(count)]
            first, last, lost = 0, count, (1 - share) / 4 * sum(lines)
            while sum(lines[: first + 1]) <= lost:
                first += 1
            while sum(lines[last - 1 :]) <= lost:
                last -= 1
            begins[axis], ends[axis] = min(begins[axis], first), max(ends[axis], last)
    side = max(ends[0] - begins[0], ends[1] - begins[1])
    if side >= mostly * min(rows, columns):
        return 0, 0, rows, columns
    corner = [(begin + end - side) // 2 for begin, end in zip(begins, ends, strict=True)]
    top = min(max(corner[0], 0), rows - side)
    left = min(max(corner[1], 0), columns - side)
    return top, left, top + side, left + side


def test_the_window_is_the_square_that_holds_each_pictures_energy():
    rng, whole = np.random.default_rng(1), 0
    for _ in range(60):
        size = rng.integers(8, 40, size=2)
        pixels = rng.normal(size=(3, 3, *size)) * rng.uniform(0, 0.05)
        for picture in pixels:
            y, x = (rng.integers(0, n - 4) for n in size)
            picture[:, y : y + rng.integers(1, 9), x : x + rng.integers(1, 9)] += 10
        expected = window_by_loops(pixels)
        top, left, bottom, right = expected
        kept = (pixels[:, :, top:bottom, left:right] ** 2).sum((1, 2, 3))
        assert (kept >= 0.96 * (pixels**2).sum((1, 2, 3))).all()
        assert energy_window(pixels) == expected
        whole += expected == (0, 0, *size)
    assert 5 < whole < 55, "both happen"


def test_a_blank_picture_asks_for_no_window():
    pixels = np.zeros((2, 3, 30, 20), np.float32)
    assert energy_window(pixels) == (0, 0, 30, 20)
    pixels[1, :, 29, 4:7] = 2
    assert energy_window(pixels) == (27, 4, 30, 7)
