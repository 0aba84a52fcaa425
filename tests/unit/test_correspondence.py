"""Correspondence: boxes, masks, signs, distances between faces and how sure they are."""

import itertools
import json

import numpy as np
import pytest
import torch
from command_line import ROOT
from PIL import Image

import deconv
from deconv.errors import DeconvError
from deconv.images import square
from deconv.scenes import render
from deconv.scenes.scene import class_of
from deconv.studies.bootstrap import middle
from deconv.studies.boxes import (
    area,
    centre_box,
    centred_box,
    common_masks,
    inside,
    mask_boxes,
    overlap,
    random_boxes,
    square_box,
)
from deconv.studies.correspondence.consistency import ZERO, delta, sign_changes, sign_distances
from deconv.studies.correspondence.faces import (
    PARTS,
    borrowed_masks,
    draws,
    file_faces,
    part_masks,
    random_masks,
    scene_faces,
)
from deconv.studies.correspondence.pair_statistics import (
    bootstrap_means,
    exchange_test,
    gap,
    resamples,
)

# Boxes


@pytest.mark.parametrize(
    ("width", "height", "box"),
    [
        (90, 60, (10, 30, 20, 50)),
        (60, 90, (30, 10, 47, 33)),
        (128, 128, (13, 14, 50, 60)),
        (301, 200, (77, 140, 101, 171)),
        (33, 64, (20, 5, 40, 25)),
    ],
)
def test_a_box_goes_where_its_pixels_go(width, height, box):
    top, left, bottom, right = box
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[top:bottom, left:right] = 255
    stored, crop = 64, 56
    there = centre_box(square_box(box, width, height, stored), stored, crop)
    edge = (stored - crop) // 2
    seen = square(Image.fromarray(pixels), stored)[0, edge : edge + crop, edge : edge + crop]
    for share, reach in ((127, 1), (254, 2)):
        rows, columns = np.nonzero((seen > share).numpy())
        found = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        for mine, wanted in zip(there, found, strict=True):
            assert abs(mine - wanted) <= reach
    y, x = np.nonzero((seen > 254 // 2).numpy())
    assert there[0] <= y.min() and there[1] <= x.min() and y.max() < there[2] and x.max() < there[3]


def test_a_box_of_an_image_of_the_stored_size_only_moves():
    assert square_box((3, 4, 5, 6), 64, 64, 64) == (3, 4, 5, 6)
    assert square_box((3, 4, 5, 6), 84, 64, 64) == (3, -6, 5, -4), "beyond the square's edge"
    assert square_box((1, 1, 3, 3), 10, 10, 25) == (2, 2, 8, 8), "grown to whole pixels"
    assert centre_box((10, 12, 20, 22), 128, 112) == (2, 4, 12, 14)


def test_areas_and_overlaps_are_those_of_counted_pixels():
    rng = np.random.default_rng(0)
    for _ in range(50):
        boxes, grids = [], []
        for _ in range(2):
            top, left = rng.integers(0, 8, 2)
            box = (top, left, top + rng.integers(1, 6), left + rng.integers(1, 6))
            grid = np.zeros((14, 14), bool)
            grid[box[0] : box[2], box[1] : box[3]] = True
            boxes.append(box)
            grids.append(grid)
        assert area(boxes[0]) == grids[0].sum()
        shared = (grids[0] & grids[1]).sum() / (grids[0] | grids[1]).sum()
        assert overlap(*boxes) == pytest.approx(shared)
    assert inside((0, 0, 3, 4), 3, 4) and not inside((0, 0, 4, 4), 3, 4)
    assert not inside((1, 1, 1, 4), 9, 9) and not inside((-1, 0, 2, 2), 9, 9)


def test_common_masks_have_one_size_cover_their_parts_and_stay_inside():
    parts = {"a": (0, 0, 4, 9), "b": (20, 25, 31, 32), "c": (10, 10, 12, 12)}
    masks = common_masks(parts, 32)
    assert masks == {"a": (0, 0, 11, 9), "b": (20, 23, 31, 32), "c": (5, 6, 16, 15)}
    for name, (top, left, bottom, right) in parts.items():
        mask = masks[name]
        assert mask[0] <= top and mask[1] <= left and bottom <= mask[2] and right <= mask[3]
    with pytest.raises(DeconvError, match="40×2 px does not fit"):
        common_masks({"a": (0, 0, 40, 2)}, 32)
    assert centred_box(4, 4, (30, 30, 32, 32), 32) == (28, 28, 32, 32)


def test_random_boxes_are_all_the_free_places_and_no_other():
    within, avoid = (2, 1, 12, 14), [(6, 6, 8, 8), (0, 0, 4, 3)]
    free = set()
    for top, left in itertools.product(range(20), range(20)):
        box = (top, left, top + 3, left + 4)
        fits = within[0] <= top and within[1] <= left and box[2] <= within[2]
        if fits and box[3] <= within[3] and not any(overlap(box, other) for other in avoid):
            free.add(box)
    drawn = random_boxes(3, 4, within, avoid, len(free), np.random.default_rng(0))
    assert len(free) > 10 and set(drawn) == free and len(drawn) == len(free)
    many = random_boxes(3, 4, within, avoid, 3 * len(free), np.random.default_rng(0))
    assert set(many) <= free and len(many) == 3 * len(free)
    assert random_boxes(11, 4, within, [], 2, np.random.default_rng(0)) == []
    assert random_boxes(3, 4, within, [within], 2, np.random.default_rng(0)) == []


def test_hiding_fills_the_box_alone():
    image = torch.arange(3 * 5 * 6, dtype=torch.float32).reshape(3, 5, 6)
    copies = mask_boxes(image, [(1, 2, 3, 6), (0, 0, 5, 1)], -1.0)
    for c, y, x in itertools.product(range(3), range(5), range(6)):
        assert copies[0, c, y, x] == (-1 if 1 <= y < 3 and x >= 2 else image[c, y, x])
        assert copies[1, c, y, x] == (-1 if x == 0 else image[c, y, x])
    assert image.min() == 0, "the image itself stays"


# Signs and distances


@pytest.fixture(scope="module")
def net():
    return deconv.build("zfnet_mini", 5, init="he", seed=0)


def test_changes_are_those_of_two_separate_passes(net):
    image = 60 * torch.randn(3, 112, 112, generator=torch.Generator().manual_seed(0))
    boxes = [(40, 30, 60, 52), (0, 0, 20, 20), (5, 5, 6, 6)]
    found = sign_changes(net, image, boxes, ["conv5", "fc7"], fill=3.0)
    whole = net.record(image[None], ["conv5", "fc7"]).activations
    for k, (top, left, bottom, right) in enumerate(boxes):
        copy = image.clone()
        copy[:, top:bottom, left:right] = 3.0
        for layer, values in net.record(copy[None], ["conv5", "fc7"]).activations.items():
            change = (whole[layer] - values).flatten()
            clear = change.abs() > 3 * ZERO * whole[layer].abs().max()
            sign = found[layer].sign[k]
            assert sign.dtype == torch.int8 and clear.any()
            assert (sign[clear] == change.sign()[clear]).all()
            assert (sign[change == 0] == 0).all()
            size = change.norm() / whole[layer].norm()
            assert found[layer].size[k].item() == pytest.approx(size.item(), rel=1e-4)
            assert found[layer].zeros[k].item() == (sign == 0).sum().item() / sign.numel()


def test_units_that_do_not_see_the_mask_do_not_change(net):
    image = 60 * torch.randn(3, 112, 112, generator=torch.Generator().manual_seed(1))
    sign = sign_changes(net, image, [(0, 0, 12, 12)], ["conv5"])["conv5"].sign.reshape(96, 13, 13)
    blind = torch.zeros(13, 13, dtype=torch.bool)
    for y, x in itertools.product(range(13), range(13)):
        field = deconv.receptive_field(net, "conv5", y, x, (112, 112))
        blind[y, x] = overlap(field, (0, 0, 12, 12)) == 0
    assert 20 < blind.sum() < 169
    assert (sign[:, blind] == 0).all() and (sign[:, ~blind] != 0).any()


def test_rounding_is_no_change(net):
    image = 60 * torch.randn(3, 112, 112, generator=torch.Generator().manual_seed(2))
    # A box filled with what is there already, but for a change far below float32's reach.
    image[:, 10:30, 10:30] = 0.0
    found = sign_changes(net, image, [(10, 10, 30, 30)], ["conv5", "fc7"], fill=1e-6)
    assert all((of.sign == 0).all() for of in found.values())
    with pytest.raises(DeconvError, match="at least one box"):
        sign_changes(net, image, [], ["conv5"])
    with pytest.raises(DeconvError, match="conv55"):
        sign_changes(net, image, [(0, 0, 2, 2)], ["conv55"])


def test_distances_of_typed_out_signs():
    signs = torch.tensor([[1, -1, 0, 0], [1, 1, 0, -1], [-1, 1, 0, 0], [0, 0, 0, 0]])
    found = sign_distances(signs.to(torch.int8))
    assert (found.all * 4).tolist() == [[0, 2, 2, 2], [2, 0, 2, 3], [2, 2, 0, 2], [2, 3, 2, 0]]
    assert found.moved[0].tolist() == [0, 2 / 3, 1, 1]
    assert found.moved[3].tolist() == [1, 1, 1, 0]


def test_distances_agree_with_loops(monkeypatch):
    monkeypatch.setattr("deconv.studies.correspondence.consistency.CHUNK", 7)
    signs = torch.randint(-1, 2, (6, 40), generator=torch.Generator().manual_seed(0))
    found = sign_distances(signs.to(torch.int8))
    for a, b in itertools.product(range(6), range(6)):
        pairs = list(zip(signs[a].tolist(), signs[b].tolist(), strict=True))
        different = sum(p != q for p, q in pairs)
        moved = sum(p != 0 or q != 0 for p, q in pairs)
        assert found.all[a, b].item() == different / 40
        assert found.moved[a, b].item() == different / moved


def test_identical_masks_give_0_and_opposite_signs_give_1():
    one = torch.tensor([[1, -1, 1, 1, -1]], dtype=torch.int8)
    for rows, wanted in ((one.repeat(5, 1), 0.0), (torch.cat([one, -one]), 1.0)):
        found = sign_distances(rows)
        assert delta(found.all) == (wanted, 0.0) and delta(found.moved) == (wanted, 0.0)


def test_delta_is_the_papers_sum_over_pairs_as_a_mean_and_has_no_order():
    signs = torch.randint(-1, 2, (5, 30), generator=torch.Generator().manual_seed(3))
    found = sign_distances(signs.to(torch.int8)).all
    total, values = 0.0, []
    for i, j in itertools.permutations(range(5), 2):
        hamming = sum(
            int(a != b) for a, b in zip(signs[i].tolist(), signs[j].tolist(), strict=True)
        )
        total += hamming
        values.append(hamming / 30)
    mean, spread = delta(found)
    assert mean == pytest.approx(total / 20 / 30) and len(values) == 20
    assert spread == pytest.approx(np.std(values))
    order = torch.tensor([3, 1, 4, 0, 2])
    assert delta(found[order][:, order]) == pytest.approx((mean, spread))
    assert delta(sign_distances(signs[order].to(torch.int8)).all)[0] == pytest.approx(mean)
    with pytest.raises(DeconvError, match="two or more"):
        delta(found[:1, :1])


# How sure


def test_bootstrap_means_are_those_of_the_drawn_images_pair_by_pair():
    rng = np.random.default_rng(0)
    distances = rng.random((2, 6, 6))
    kinds = np.array([0, 0, 0, 1, 1, 1])
    pairs = (kinds[:, None] == kinds) & ~np.eye(6, dtype=bool)
    counts = resamples(6, 40, rng)
    assert (counts.sum(axis=1) == 6).all()
    counts[0] = [6, 0, 0, 0, 0, 0]
    found = bootstrap_means(distances, pairs, counts)
    assert np.isnan(found[:, 0]).all()
    for b in range(1, 40):
        drawn = [i for i in range(6) for _ in range(counts[b, i])]
        if np.isnan(found[:, b]).any():
            assert not any(pairs[i, j] for i, j in itertools.product(drawn, drawn))
            continue
        for which in range(2):
            values = [
                distances[which, i, j] for i, j in itertools.product(drawn, drawn) if pairs[i, j]
            ]
            assert found[which, b] == pytest.approx(np.mean(values))
    low, high = middle(np.r_[np.nan, np.arange(101.0)])
    assert (low, high) == pytest.approx((2.5, 97.5))


def test_a_gap_is_that_of_loops():
    rng = np.random.default_rng(1)
    distances = rng.random((4, 3, 4, 3))
    pairs = ~np.eye(4, dtype=bool)
    names = np.array([[0, 1, 2], [1, 0, 2], [2, 1, 0], [0, 2, 1]])
    means = [
        np.mean(
            [
                distances[i, names[i, c], j, names[j, c]]
                for i, j in itertools.permutations(range(4), 2)
            ]
        )
        for c in range(3)
    ]
    assert gap(distances, pairs, names) == pytest.approx(np.mean(means[1:]) - means[0])


def masks_of_faces(rng, alike, images=8, masks=5, size=200):
    """Signs of `masks` masks of each image; the first is alike in all images if `alike`."""
    signs = rng.integers(-1, 2, (images, masks, size))
    if alike:
        signs[:, 0, :60] = signs[0, 0, :60]
    found = sign_distances(torch.from_numpy(signs.reshape(-1, size)).to(torch.int8)).all
    return found.numpy().reshape(images, masks, images, masks)


def test_exchange_finds_what_is_alike_and_is_even_where_nothing_is():
    pairs = ~np.eye(8, dtype=bool)
    seen, p = exchange_test(
        masks_of_faces(np.random.default_rng(0), True),
        pairs,
        0,
        [1, 2, 3, 4],
        200,
        np.random.default_rng(0),
    )
    assert seen > 0.1 and p == 1 / 201
    values = [
        exchange_test(
            masks_of_faces(np.random.default_rng(seed), False),
            pairs,
            0,
            [1, 2, 3, 4],
            99,
            np.random.default_rng(seed),
        )[1]
        for seed in range(100)
    ]
    assert np.mean(values) == pytest.approx(0.5, abs=0.12)
    assert 0 <= np.mean(np.array(values) <= 0.1) < 0.25 and np.mean(np.array(values) > 0.9) > 0.01
    same = np.zeros((4, 3, 4, 3))
    assert exchange_test(same, ~np.eye(4, dtype=bool), 0, [1, 2], 99, np.random.default_rng(0)) == (
        0.0,
        1.0,
    )


# Faces


@pytest.fixture(scope="module")
def faces():
    return scene_faces("dog face", 5, seed=2, side_px=64, crop_px=56, smallest_px=4)


def test_faces_of_scenes_show_their_parts_where_the_boxes_say(faces):
    assert len({face.name for face in faces}) == 5
    for face in faces:
        index = int(face.name.split()[-1])
        assert class_of(2, index) == 0 and face.kind == "dog face"
        scene = render(2, index, 64)
        assert np.array_equal(face.square.permute(1, 2, 0).numpy(), scene.image)
        for name, (top, left, bottom, right) in face.parts.items():
            assert 0 <= top < bottom <= 56 and 0 <= left < right <= 56
            assert min(bottom - top, right - left) >= 4
            without = render(2, index, 64, omit=frozenset([name])).image
            change = np.abs(scene.image.astype(int) - without).max(axis=2) > 8
            cut = change[top + 4 : bottom + 4, left + 4 : right + 4]
            assert cut.mean() >= 0.4 and cut.sum() > 0.7 * change.sum()
        left, right = (face.parts[f"{side}_eye"] for side in ("left", "right"))
        assert left[1] < right[1], "of the image"


def test_faces_behind_something_are_passed_over():
    every = scene_faces("dog face", 4, 2, 64, 56, 4, seen=0.0)
    clear = scene_faces("dog face", 4, 2, 64, 56, 4, seen=0.85)
    assert {face.name for face in every} != {face.name for face in clear}
    for face in clear:
        index = int(face.name.split()[-1])
        scene = render(2, index, 64)
        for name, (top, left, bottom, right) in face.parts.items():
            without = render(2, index, 64, omit=frozenset([name])).image
            change = np.abs(scene.image.astype(int) - without).max(axis=2) > 8
            assert change[top + 4 : bottom + 4, left + 4 : right + 4].mean() >= 0.85


def test_masks_of_a_face_keep_apart(faces):
    for face in faces:
        for mask in ("same", "box"):
            masks = part_masks(face, 56, mask)
            sizes = {(b - t, r - x) for t, x, b, r in masks.values()}
            assert tuple(masks) == PARTS and (len(sizes) == 1 or mask == "box")
            drawn = random_masks(face, 56, 7, np.random.default_rng(0), mask)
            assert len(drawn) == 7 and drawn != random_masks(
                face, 56, 7, np.random.default_rng(1), mask
            )
            for box in drawn:
                assert all(overlap(box, other) == 0 for other in masks.values())
                assert face.within[0] <= box[0] and box[2] <= face.within[2]
    assert part_masks(faces[0], 56, "box") == faces[0].parts
    with pytest.raises(DeconvError, match="Did you mean 'same'"):
        part_masks(faces[0], 56, "some")


def test_borrowed_masks_lie_where_one_other_face_has_the_part(faces):
    found = borrowed_masks(faces, 56, np.random.default_rng(0))
    lenders = []
    for own, (face, masks) in enumerate(zip(faces, found, strict=True)):
        size = part_masks(face, 56)["nose"]
        fitting = [
            other
            for other, lender in enumerate(faces)
            if all(
                masks[part]
                == centred_box(size[2] - size[0], size[3] - size[1], lender.parts[part], 56)
                for part in PARTS
            )
        ]
        assert len(fitting) == 1 and fitting[0] != own
        lenders += fitting
    assert sorted(lenders) == list(range(5))


def test_draws_are_of_different_images_of_one_class():
    kinds = ["cat"] * 6 + ["dog"] * 7
    found = draws(kinds, 5, 20, np.random.default_rng(0))
    assert len(found) == 20 and len({tuple(group) for group in found}) > 8
    for number, group in enumerate(found):
        assert len(set(group)) == 5 and {kinds[i] for i in group} == {["cat", "dog"][number % 2]}
    with pytest.raises(DeconvError, match="6 images of 'cat' are too few for groups of 7"):
        draws(kinds, 7, 1, np.random.default_rng(0))


def test_faces_that_cannot_be_found_are_named(monkeypatch):
    with pytest.raises(DeconvError, match="'cat face'"):
        scene_faces("cat fase", 1, 2, 64, 56)
    monkeypatch.setattr("deconv.studies.correspondence.faces.SEARCH", 3)
    with pytest.raises(DeconvError, match="0 of 3 scenes of 'car' show right_eye"):
        scene_faces("car", 1, 2, 64, 56)


# Faces of files

BOXES = {"left_eye": [20, 30, 30, 42], "right_eye": [20, 54, 30, 66], "nose": [36, 42, 48, 54]}


def write(folder, entries):
    rng = np.random.default_rng(0)
    for name in ("a.png", "b.png"):
        Image.fromarray(rng.integers(0, 256, (96, 144, 3)).astype(np.uint8)).save(folder / name)
    path = folder / "boxes.json"
    path.write_text(entries if isinstance(entries, str) else json.dumps(entries))
    return path


def test_faces_of_a_file_are_the_networks_pixels(tmp_path):
    entry = {name: [t, x + 24, b, r + 24] for name, (t, x, b, r) in BOXES.items()}
    more = entry | {"class": "dog", "object": [10, 34, 70, 120]}
    path = write(tmp_path, {"a.png": entry, "b.png": more})
    first, second = file_faces(path, 48, 42)
    assert (first.kind, second.kind) == ("", "dog") and first.name == "a.png"
    # Half the size, minus the 12 columns left of the square, minus the 3 around the crop.
    assert first.parts == {
        "right_eye": (7, 24, 12, 30),
        "left_eye": (7, 12, 12, 18),
        "nose": (15, 18, 21, 24),
    }
    assert first.within == (0, 0, 42, 42) and second.within == (2, 2, 32, 42)
    assert first.square.shape == (3, 48, 48)
    (tmp_path / "elsewhere").mkdir()
    path = path.rename(tmp_path / "elsewhere" / "boxes.json")
    again, _ = file_faces(path, 48, 42, root=tmp_path)
    assert again.parts == first.parts and torch.equal(again.square, first.square)
    with pytest.raises(DeconvError, match=r"elsewhere/a\.png"):
        file_faces(path, 48, 42)


def test_the_boxes_of_the_dogs_are_those_of_faces_seen_from_the_front():
    entries = json.loads((ROOT / "docs" / "dogs.json").read_text())
    assert len(entries) == 41
    for name, entry in entries.items():
        boxes = {part: np.array(entry[part]).reshape(2, 2) for part in (*PARTS, "object")}
        for part in PARTS:
            (top, left), (bottom, right) = boxes[part]
            assert top < bottom and left < right, name
            assert (boxes["object"][0] <= (top, left)).all(), name
            assert (boxes["object"][1] >= (bottom, right)).all(), name
        eyes, nose = (boxes[p].mean(axis=0) for p in ("left_eye", "right_eye")), boxes["nose"]
        left_eye, right_eye = eyes
        y, x = nose.mean(axis=0)
        assert left_eye[1] < x < right_eye[1], f"{name}: the nose lies between the eyes"
        across = abs(right_eye[0] - left_eye[0]) / (right_eye[1] - left_eye[1])
        assert across < 0.7 and y > (left_eye[0] + right_eye[0]) / 2, f"{name}: eyes above the nose"
        shared = [overlap(entry[a], entry[b]) for a, b in itertools.combinations(PARTS, 2)]
        assert max(shared) < 0.1, f"{name}: a part for each box"
        sides = [np.subtract(*boxes[part][::-1]) for part in ("left_eye", "right_eye")]
        assert np.max(np.divide(*sides)) < 2 > np.max(np.divide(*sides[::-1])), f"{name}: two eyes"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"nose": None}, "a.png in .*boxes.json has no box of nose"),
        ({"nos": [1, 2, 3, 4]}, "Did you mean 'nose'"),
        ({"nose": [1, 2, 3]}, "nose of a.png .* takes four whole numbers"),
        ({"nose": [1, 2, 3, 4.5]}, "four whole numbers"),
        ({"nose": [40, 42, 36, 54]}, "is not a box within the image's 96 rows and 144"),
        ({"nose": [90, 42, 97, 54]}, "nose of a.png .* within the image"),
        ({"left_eye": [20, 2, 30, 20]}, "left_eye of a.png .* outside the part of the image"),
        ({"class": 3}, "class of a.png .* is a name"),
        ({"object": [20, 54, 32, 68]}, "no room for a random mask"),
    ],
)
def test_boxes_that_cannot_be_used_are_named(tmp_path, change, words):
    entry = {name: [t, x + 24, b, r + 24] for name, (t, x, b, r) in BOXES.items()} | change
    entry = {name: box for name, box in entry.items() if box is not None}
    with pytest.raises(DeconvError, match=words):
        file_faces(write(tmp_path, {"a.png": entry}), 48, 42)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "boxes.json is not JSON"),
        ("[]", "needs the form"),
        ("{}", "needs the form"),
        ('{"a.png": [1]}', "needs boxes by name"),
        ('{"no.png": %s}', "the image .*no.png"),
    ],
)
def test_files_of_boxes_that_cannot_be_read_are_named(tmp_path, text, words):
    text = text % json.dumps(BOXES) if "%s" in text else text
    with pytest.raises(DeconvError, match=words):
        file_faces(write(tmp_path, text), 48, 42)
    with pytest.raises(DeconvError, match=r"cannot read the file of boxes .*none\.json"):
        file_faces(tmp_path / "none.json", 48, 42)


# Boxes around a detector's points


def test_boxes_stand_around_the_points_of_faces_seen_from_the_front():
    from scripts.find_face_parts import boxes_of

    def found(nose=(150, 140), right=(200, 100), size=(300, 300)):
        points = np.array([(100, 100), right, nose, (110, 180), (190, 180)], float)
        return boxes_of(np.array([60.0, 40.0, 240.0, 320.0]), points, size)

    assert found() == {
        "left_eye": [78, 69, 122, 131],
        "right_eye": [78, 169, 122, 231],
        "nose": [98, 119, 160, 181],
        "object": [40, 60, 300, 240],
    }
    assert found(nose=(180, 140)) is None, "turned aside"
    assert found(right=(195, 140)) is None, "tilted"
    assert found(size=(300, 150)) is None, "a part beyond the image"
