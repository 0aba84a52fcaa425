"""Boxes in crops against painted pixels, covered shares against counted ones."""

import numpy as np
import pytest
import torch

from deconv.data import CentreCrops
from deconv.errors import DeconvError
from deconv.scenes import Scenes, render
from deconv.studies.boxes import covered_share, crop_box


class Painted:
    """One stored square, black but for a white box."""

    def __init__(self, box, side_px):
        self.square = torch.zeros(3, side_px, side_px, dtype=torch.uint8)
        self.square[:, box[0] : box[2], box[1] : box[3]] = 255

    def __getitem__(self, index):
        return self.square, 0


def painted_box(pixels):
    """The box around the white pixels, None if there are none."""
    rows, columns = (np.flatnonzero(pixels[0].numpy().any(axis=axis)) for axis in (1, 0))
    if not len(rows):
        return None
    return rows[0], columns[0], rows[-1] + 1, columns[-1] + 1


@pytest.mark.parametrize(("stored", "crop"), [(256, 224), (128, 112), (74, 64), (75, 64), (9, 9)])
def test_a_box_lies_where_the_network_sees_its_pixels(stored, crop):
    rng, outside = np.random.default_rng(stored), 0
    for _ in range(60):
        top, left = rng.integers(0, stored, 2)
        box = (top, left, rng.integers(top + 1, stored + 1), rng.integers(left + 1, stored + 1))
        crops = CentreCrops(Painted(box, stored), torch.zeros(3, stored, stored), crop)
        wanted = painted_box(crops.picture(0))
        assert crop_box(tuple(int(n) for n in box), stored, crop) == wanted
        outside += wanted is None
    assert crop_box((0, 0, 1, 1), stored, crop) == ((0, 0, 1, 1) if stored == crop else None)


def test_the_box_of_a_scene_holds_the_object_as_the_network_sees_it():
    """A scene drawn with and without its parts differs inside the translated boxes."""
    seen = 0
    for index in range(6):
        scene = render(2, index, 128)
        names = frozenset(part.name for part in scene.parts)
        bare = render(2, index, 128, omit=names)
        changed = np.abs(scene.image.astype(int) - bare.image).max(axis=2)[8:120, 8:120] > 12
        box = crop_box(scene.box, 128, 112)
        inside = np.zeros_like(changed)
        inside[box[0] : box[2], box[1] : box[3]] = True
        if changed.sum() > 200:
            seen += 1
            assert (changed & inside).sum() / changed.sum() > 0.9
    assert seen >= 4
    assert Scenes(1, 0, 128).scene(0).image.shape == (128, 128, 3), "boxes are in stored pixels"


def test_shares_are_counted_pixels():
    rng = np.random.default_rng(0)
    some = 0
    for _ in range(200):
        square, box = [], []
        for out in (square, box):
            top, left = rng.integers(-5, 15, 2).tolist()
            out += [top, left, top + int(rng.integers(1, 12)), left + int(rng.integers(1, 12))]
        both = sum(
            square[0] <= y < square[2] and square[1] <= x < square[3]
            for y in range(box[0], box[2])
            for x in range(box[1], box[3])
        )
        share = both / ((box[2] - box[0]) * (box[3] - box[1]))
        assert covered_share(tuple(square), tuple(box)) == pytest.approx(share)
        some += 0 < share < 1
    assert some > 30


def test_typed_out_shares():
    assert covered_share((0, 0, 2, 2), (0, 0, 4, 4)) == 0.25
    assert covered_share((0, 0, 4, 4), (0, 0, 2, 2)) == 1
    assert covered_share((0, 0, 4, 4), (4, 0, 8, 4)) == 0, "boxes are half-open"
    assert covered_share((-2, -2, 2, 2), (0, 0, 4, 2)) == 0.5


def test_what_is_no_box_is_refused():
    for box in ((3, 0, 3, 5), (0, 5, 4, 4)):
        with pytest.raises(DeconvError, match="holds no pixel"):
            crop_box(box, 128, 112)
        with pytest.raises(DeconvError, match="holds no pixel"):
            covered_share((0, 0, 9, 9), box)
    for crop in (129, 0):
        with pytest.raises(DeconvError, match=f"a crop of {crop} px"):
            crop_box((0, 0, 1, 1), 128, crop)
