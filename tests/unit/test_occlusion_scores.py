"""Scores of occlusion maps against counted pixels, loops and every exchange written out."""

import itertools

import numpy as np
import pytest

from deconv.errors import DeconvError
from deconv.studies.occlusion.maps import square_corners
from deconv.studies.occlusion.scores import (
    compare,
    contrast,
    hit,
    squares_on,
    squares_over,
    squares_over_most,
)

SIDE, SIZE = 40, 9


@pytest.fixture(scope="module")
def corners():
    return square_corners((SIDE, SIDE), SIZE, 6, "overhang").numpy()


def mask(box):
    """Pixels of a box on a canvas with a rim, on which squares may hang over."""
    out = np.zeros((SIDE + 2 * SIZE, SIDE + 2 * SIZE), bool)
    top, left, bottom, right = (n + SIZE for n in box)
    out[top:bottom, left:right] = True
    return out


def test_regions_are_counted_pixels(corners):
    boxes = [(3, 4, 20, 15), (25, 25, 31, 40), (0, 30, 4, 33)]
    counts = {"on": 0, "over": 0}
    for least in (0.5, 1.0, 0.1):
        on, over = (f(boxes, corners, SIZE, least) for f in (squares_on, squares_over))
        for i, j in np.ndindex(corners.shape[:2]):
            y, x = corners[i, j].tolist()
            square = mask((y, x, y + SIZE, x + SIZE))
            shared = [(square & mask(box)).sum() for box in boxes]
            assert on[i, j] == any(n / SIZE**2 >= least for n in shared)
            sizes = [mask(box).sum() for box in boxes]
            assert over[i, j] == any(n / m >= least for n, m in zip(shared, sizes, strict=True))
        counts["on"] += on.sum()
        counts["over"] += over.sum()
        assert not squares_on([], corners, SIZE, least).any()
    assert min(counts.values()) > 5 and counts["on"] != counts["over"]


def test_the_squares_over_most_energy_are_found_by_loops(corners):
    pixels = np.random.default_rng(0).normal(size=(3, SIDE, SIDE)) ** 3
    region = squares_over_most(pixels, corners, SIZE, 0.25)
    energy = {}
    for i, j in np.ndindex(corners.shape[:2]):
        y, x = corners[i, j].tolist()
        energy[i, j] = sum(
            pixels[c, row, column] ** 2
            for c in range(3)
            for row in range(max(y, 0), min(y + SIZE, SIDE))
            for column in range(max(x, 0), min(x + SIZE, SIDE))
        )
    best = sorted(energy, key=energy.get, reverse=True)[: round(len(energy) / 4)]
    assert {tuple(at) for at in np.argwhere(region).tolist()} == set(best)


def test_typed_out_contrasts():
    fall = np.array([[0.9, 0.1], [0.3, 0.1]])
    region = np.array([[True, False], [True, False]])
    assert contrast(fall, region) == pytest.approx(0.6 - 0.1)
    assert contrast(fall, ~region) == pytest.approx(-0.5)
    assert np.isnan(contrast(fall, np.ones((2, 2), bool)))
    assert np.isnan(contrast(fall, np.zeros((2, 2), bool)))
    assert (hit(fall, region), hit(fall, ~region)) == (1, 0)
    assert hit(np.zeros((2, 2)), region) == 1, "the first of equal ones"


def test_comparison_of_a_typed_out_matrix():
    scores = np.array([[5.0, 1, 0, 1], [2, 3, 2, 2], [0, 0, 4, 0], [6, 0, 0, 2]])
    found = compare(scores, seed=1)
    assert found.images == 4
    assert found.own == pytest.approx((5 + 3 + 4 + 2) / 4)
    assert found.shuffled == pytest.approx((2 / 3 + 2 + 0 + 2) / 4)
    assert found.beyond == pytest.approx(found.own - found.shuffled)
    means = [
        np.mean([scores[i, j] for i, j in enumerate(order)])
        for order in itertools.permutations(range(4))
    ]
    wanted = np.mean([mean >= found.own for mean in means])
    assert 0 < wanted < 0.5 and found.chance == pytest.approx(wanted, abs=0.01)


def test_intervals_are_those_of_all_resamples_written_out():
    own = np.array([0.0, 1.0, 5.0, 2.0])
    scores = np.where(np.eye(4, dtype=bool), own, 0.5)
    found = compare(scores)
    for interval, values in ((found.own_interval, own), (found.beyond_interval, own - 0.5)):
        every = [np.mean(pick) for pick in itertools.product(values, repeat=4)]
        assert interval == pytest.approx(np.percentile(every, [2.5, 97.5]), abs=0.26)
        assert interval[0] < np.mean(values) - 0.5 and interval[1] > np.mean(values) + 0.5


def test_images_without_a_score_are_left_out():
    nan = np.nan
    scores = np.array([[2.0, nan, 1.0], [1.0, nan, 7.0], [0.5, nan, 3.0]])
    found = compare(scores)
    assert (found.images, found.own, found.shuffled) == (2, 2.5, 0.75)
    assert compare(np.array([[nan, 1], [nan, 1]])) is None
    assert compare(np.zeros((0, 0))) is None
    with pytest.raises(DeconvError, match="square matrix"):
        compare(np.zeros((2, 3)))


def test_a_shuffle_that_scores_as_high_says_so():
    """A fall in the middle of every image is nothing that an own box explains."""
    same = compare(np.full((10, 10), 0.4))
    assert same.chance == 1 and same.beyond == pytest.approx(0)
    own = compare(np.where(np.eye(10, dtype=bool), 1.0, 0.0))
    assert own.chance < 0.001 and own.beyond_interval == (1, 1)
