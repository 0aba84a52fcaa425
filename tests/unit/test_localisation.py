"""Energy in boxes, preferred parts and intervals, against loops and typed-out cases."""

import numpy as np
import pytest
import torch

import deconv
from deconv.data import CentreCrops
from deconv.errors import DeconvError
from deconv.records import Peaks
from deconv.scenes import Scenes
from deconv.studies.bootstrap import bootstrap, bootstrap_difference
from deconv.studies.localisation import (
    Located,
    area_share,
    energy_share,
    excesses,
    in_crop,
    locate_peaks,
    other_units,
    preferred_part,
    score,
    truth_of,
    union,
)


@pytest.mark.parametrize(
    ("box", "wanted"),
    [
        ((0, 0, 10, 10), (0, 0, 8, 8)),
        ((1, 1, 9, 9), (0, 0, 8, 8)),
        ((3, 4, 6, 5), (2, 3, 5, 4)),
        ((0, 2, 1, 9), (0, 1, 0, 8)),
        ((9, 9, 10, 10), (8, 8, 8, 8)),
    ],
)
def test_a_box_of_a_10_px_square_in_its_crop_of_8(box, wanted):
    assert in_crop(box, 10, 8) == wanted


@pytest.mark.parametrize(("stored", "crop"), [(128, 112), (74, 64), (75, 64), (33, 33)])
def test_the_crop_is_the_one_that_the_network_is_fed(stored, crop):
    """A single white pixel at the corner of a box stands at the corner of its translation."""

    class One:
        classes, targets = ["a"], [0]

        def __len__(self):
            return 1

        def __getitem__(self, index):
            image = torch.zeros(3, stored, stored, dtype=torch.uint8)
            image[:, 20, 25] = 255
            return image, 0

    crops = CentreCrops(One(), torch.zeros(3, stored, stored), crop)
    top, left, _, _ = in_crop((20, 25, 21, 26), stored, crop)
    assert crops.picture(0)[0].nonzero().tolist() == [[top, left]]
    assert crops[0][0][0].nonzero().tolist() == [[top, left]]


def test_shares_agree_with_loops_over_pixels():
    for seed in range(30):
        rng = np.random.default_rng(seed)
        high, wide = rng.integers(3, 9, 2)
        pixels = torch.from_numpy(rng.normal(size=(3, high, wide)))
        boxes = []
        for _ in range(rng.integers(1, 4)):
            top, left = rng.integers(0, high), rng.integers(0, wide)
            boxes.append((top, left, rng.integers(top, high + 1), rng.integers(left, wide + 1)))
        top, left = rng.integers(0, high), rng.integers(0, wide)
        field = (top, left, rng.integers(top + 1, high + 1), rng.integers(left + 1, wide + 1))

        def within(y, x, boxes=boxes):
            return any(b[0] <= y < b[2] and b[1] <= x < b[3] for b in boxes)

        inside = total = covered = area = 0.0
        for y in range(high):
            for x in range(wide):
                energy = sum(float(pixels[c, y, x]) ** 2 for c in range(3))
                total += energy
                inside += energy * within(y, x)
                if field[0] <= y < field[2] and field[1] <= x < field[3]:
                    area += 1
                    covered += within(y, x)
        mask = union(boxes, high, wide)
        assert energy_share(pixels, mask) == pytest.approx(inside / total, abs=1e-12)
        assert area_share(field, mask) == pytest.approx(covered / area, abs=1e-12)


def test_a_typed_out_share():
    pixels = torch.zeros(3, 4, 4)
    pixels[0, 1, 1], pixels[2, 3, 3] = 3.0, -1.0
    mask = union([(0, 0, 2, 2), (1, 1, 3, 2)], 4, 4)
    assert energy_share(pixels, mask) == pytest.approx(0.9)
    assert area_share((0, 0, 2, 4), mask) == pytest.approx(4 / 8)
    with pytest.raises(DeconvError, match="blank projection"):
        energy_share(torch.zeros(3, 4, 4), mask)
    with pytest.raises(DeconvError, match="is empty"):
        area_share((2, 2, 2, 3), mask)


def test_the_preferred_part_has_the_largest_excess_over_all_peaks():
    peaks = [
        {"body": (0.8, 0.7), "eye": (0.3, 0.05)},
        {"body": (0.9, 0.6)},
        {"body": (0.6, 0.6), "eye": (0.5, 0.05), "ear": (0.1, 0.05)},
    ]
    found = excesses(peaks)
    assert found == pytest.approx({"body": 0.4 / 3, "eye": 0.7 / 3, "ear": 0.05 / 3})
    assert preferred_part(peaks) == "eye", "not the body, which is large"
    assert preferred_part(peaks[1:2]) == "body"
    assert preferred_part([{}, {}]) is None
    assert preferred_part([{"b": (0.2, 0.1), "a": (0.2, 0.1)}]) == "a"


def test_scores_are_means_over_the_peaks_and_absent_parts_count_as_nothing():
    own = [
        [Located((0.9, 0.5), {"eye": (0.4, 0.1)}), Located((0.7, 0.3), {})],
        [Located((0.2, 0.1), {}), Located((0.4, 0.1), {})],
    ]
    random = [
        [Located((0.5, 0.9), {"eye": (0.2, 0.9)}), Located((0.1, 0.9), {"eye": (0.6, 0.9)})],
        [Located((0.0, 0.9), {}), Located((1.0, 0.9), {})],
    ]
    found = score(own, random, ["eye", None])
    assert found["object/own"].tolist() == pytest.approx([0.8, 0.3])
    assert found["object/random_map"].tolist() == pytest.approx([0.3, 0.5])
    assert found["object/chance"].tolist() == pytest.approx([0.4, 0.1])
    assert found["part/own"].tolist() == pytest.approx([0.2, np.nan], nan_ok=True)
    assert found["part/random_map"].tolist() == pytest.approx([0.4, np.nan], nan_ok=True)
    assert found["part/chance"].tolist() == pytest.approx([0.05, np.nan], nan_ok=True)


def test_truth_is_what_the_boxes_of_a_scene_say():
    scene = Scenes(20, 4, 74).scene(7)
    truth = truth_of(scene, 64)
    for y in range(64):
        for x in range(64):
            at = (y + 5, x + 5)
            names = {
                p.name
                for p in scene.parts
                if p.box[0] <= at[0] < p.box[2] and p.box[1] <= at[1] < p.box[3]
            }
            assert {name for name, mask in truth.parts.items() if mask[y, x]} == names
            box = scene.box
            assert bool(truth.object[y, x]) == (
                box[0] <= at[0] < box[2] and box[1] <= at[1] < box[3]
            )
    assert all(mask.any() for mask in truth.parts.values())


@pytest.fixture(scope="module")
def net():
    return deconv.build("zfnet_mini", 3, input_px=64, init="he", seed=0)


def test_located_peaks_are_those_of_projections_one_by_one(net):
    scenes = Scenes(8, 0, 74)
    crops = CentreCrops(scenes, torch.full((3, 74, 74), 128.0), 64)
    loader = torch.utils.data.DataLoader(crops, batch_size=8)
    peaks = deconv.top_activations(net, loader, ["conv3"], k=2, progress=False)["conv3"]
    maps = (peaks.value > 0).all(dim=1).nonzero().flatten()[[0, 3, 5]]
    peaks = Peaks(*(field[maps] for field in vars(peaks).values()))
    own, random = locate_peaks(
        net, crops, lambda i: truth_of(scenes.scene(i), 64), "conv3", maps, peaks, seed=3
    )
    for row, number in enumerate(maps.tolist()):
        for rank in range(2):
            image, y, x = (int(f[row, rank]) for f in (peaks.image, peaks.y, peaks.x))
            record = net.record(crops[image][0][None], ["conv3"])
            pixels = deconv.project(net, record, "conv3", torch.tensor([[0, number, y, x]]))[0]
            box = in_crop(scenes.scene(image).box, 74, 64)
            energy = pixels.double() ** 2
            wanted = energy[:, box[0] : box[2], box[1] : box[3]].sum() / energy.sum()
            assert own[row][rank].object[0] == pytest.approx(float(wanted), rel=1e-3)
            field = deconv.receptive_field(net, "conv3", y, x, (64, 64))
            high = max(0, min(box[2], field[2]) - max(box[0], field[0]))
            wide = max(0, min(box[3], field[3]) - max(box[1], field[1]))
            area = (field[2] - field[0]) * (field[3] - field[1])
            assert own[row][rank].object[1] == pytest.approx(high * wide / area)
    assert [len(row) for row in random] == [2, 2, 2] and random != own
    alone, none = locate_peaks(
        net, crops, lambda i: truth_of(scenes.scene(i), 64), "conv3", maps, peaks
    )
    assert none == [] and alone[1][1].object == own[1][1].object


def test_other_units_are_the_strongest_of_other_live_maps():
    values = torch.zeros(2, 4, 3, 5)
    values[0, 1, 2, 4], values[0, 3, 0, 1], values[0, 3, 1, 1] = 2.0, 5.0, 4.0
    values[1, 2, 1, 3] = 1.0
    units = torch.tensor([[0, 1, 2, 4]] * 5 + [[0, 0, 0, 0]] * 20 + [[1, 0, 0, 0]])
    found = other_units(values, units, np.random.default_rng(0)).tolist()
    assert found[:5] == [[0, 3, 0, 1]] * 5
    assert {tuple(row) for row in found[5:25]} == {(0, 1, 2, 4), (0, 3, 0, 1)}
    assert found[25] == [1, 2, 1, 3]
    with pytest.raises(DeconvError, match="map 2 has no other live map"):
        other_units(values, torch.tensor([[1, 2, 1, 3]]), np.random.default_rng(0))


def test_intervals_are_those_of_the_normal_law_where_it_holds():
    values = np.random.default_rng(0).normal(3, 2, 400)
    low, high = bootstrap(values, seed=1)
    error = values.std(ddof=1) / 20
    assert low == pytest.approx(values.mean() - 1.96 * error, abs=0.15 * error)
    assert high == pytest.approx(values.mean() + 1.96 * error, abs=0.15 * error)
    assert bootstrap(values, seed=1) == (low, high) != bootstrap(values, seed=2)
    other = np.random.default_rng(5).normal(1, 1, 100)
    low, high = bootstrap_difference(values, other, seed=1)
    error = np.hypot(error, other.std(ddof=1) / 10)
    middle = values.mean() - other.mean()
    assert low == pytest.approx(middle - 1.96 * error, abs=0.2 * error)
    assert high == pytest.approx(middle + 1.96 * error, abs=0.2 * error)
    assert bootstrap(np.full(5, 0.25), 0) == (0.25, 0.25)
    with pytest.raises(DeconvError, match="at least one value"):
        bootstrap(np.array([]), 0)


def test_an_interval_of_two_values_has_three_possible_means():
    """Means of two draws from {0, 1}: 0, ½, 1 with ¼, ½, ¼; so 2.5 % lies at 0, 97.5 % at 1."""
    assert bootstrap(np.array([0.0, 1.0]), 0) == (0.0, 1.0)
    assert bootstrap(np.array([0.0, 1.0]), 0, level=0.4) == (0.5, 0.5)
