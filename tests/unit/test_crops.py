"""Preprocessing: the paper's square, mean and ten sub-crops; training crops as pure functions."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader

from deconv.data import (
    Batches,
    CentreCrops,
    TenCrops,
    TrainingCrops,
    mean_image,
    prepare,
    ten_crops,
)
from deconv.errors import DeconvError
from deconv.images import square


class Noise:
    """A data set of random squares."""

    classes = ("a", "b")

    def __init__(self, length=10, side=16):
        generator = torch.Generator().manual_seed(0)
        self.images = torch.randint(0, 256, (length, 3, side, side), generator=generator).byte()
        self.targets = [i % 2 for i in range(length)]

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], self.targets[index]


def test_the_square_has_the_shorter_side_and_its_centre():
    ramp = np.zeros((300, 500, 3), np.uint8)
    ramp[..., 0] = np.arange(500) // 2  # red grows to the right
    ramp[:, :, 1] = 100
    out = square(Image.fromarray(ramp), 150)
    assert out.shape == (3, 150, 150) and out.dtype == torch.uint8
    # 500×300 becomes 250×150; columns 50 to 200 remain, two source columns to a column.
    expected = (np.arange(50, 200) * 2 + 0.5) / 2
    assert np.abs(out[0].double().numpy() - expected).max() <= 1.0
    assert (out[1] == 100).all() and (out[2] == 0).all(), "RGB order"


@pytest.mark.parametrize("size", [(256, 256), (256, 400), (1, 7), (33, 32), (257, 999)])
def test_the_square_fits_any_image(size):
    image = Image.new("RGB", size, (7, 8, 9))
    assert square(image, 256).flatten(1).float().mean(1).tolist() == [7, 8, 9]


def test_the_mean_image_is_per_pixel_and_exact():
    data = Noise(130)
    expected = np.stack([data[i][0].numpy() for i in range(130)]).astype(np.float64).mean(0)
    assert np.abs(mean_image(data).numpy() - expected).max() < 1e-5


def test_the_ten_sub_crops_are_corners_and_centre_with_mirrors():
    image, mean = Noise().images[0], torch.rand(3, 16, 16) * 255
    crops = ten_crops(image, mean, 12)
    full = image.double() - mean.double()
    corners = [(0, 0), (0, 4), (4, 0), (4, 4), (2, 2)]
    for i, (top, left) in enumerate(corners):
        plain = full[:, top : top + 12, left : left + 12]
        assert torch.allclose(crops[i].double(), plain, atol=1e-4)
        assert torch.allclose(crops[5 + i].double(), plain.flip(2), atol=1e-4)


def test_inputs_stay_in_about_128_and_are_not_divided():
    data = Noise(50)
    x, _ = CentreCrops(data, mean_image(data), 12)[3]
    assert 60 < x.abs().max() <= 255 and x.dtype == torch.float32


def test_the_centre_crop_and_its_picture_show_the_same_pixels():
    data = Noise()
    crops = CentreCrops(data, torch.zeros(3, 16, 16), 10)
    for i in (0, 9):
        assert torch.equal(crops[i][0], crops.picture(i).float())


@pytest.mark.parametrize("crops", ["ten", "any", "resized"])
def test_training_crops_depend_on_seed_epoch_and_index_alone(crops):
    data, mean = Noise(), torch.full((3, 16, 16), 100.0)
    views = [TrainingCrops(data, mean, 12, seed, crops) for seed in (5, 5, 6)]
    first = [views[0][1, i][0] for i in range(10)]
    backwards = [views[1][1, i][0] for i in reversed(range(10))][::-1]
    assert all(torch.equal(a, b) for a, b in zip(first, backwards, strict=True))
    for other in ([views[0][2, i][0] for i in range(10)], [views[2][1, i][0] for i in range(10)]):
        assert not all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_paper_s_training_crops_are_the_ten_and_all_of_them_occur():
    data, mean = Noise(), torch.zeros(3, 16, 16)
    view = TrainingCrops(data, mean, 12, 0, "ten")
    ten = ten_crops(data[0][0], mean, 12)
    seen = set()
    for epoch in range(200):
        (match,) = (ten == view[epoch, 0][0]).flatten(1).all(1).nonzero().flatten().tolist()
        seen.add(match)
    assert seen == set(range(10))


def test_any_crop_reaches_every_offset():
    image = torch.arange(256).view(1, 16, 16).expand(3, -1, -1).byte()
    data = Noise(1)
    data.images = image[None]
    view = TrainingCrops(data, torch.zeros(3, 16, 16), 14, 0, "any")
    corners = {int(view[epoch, 0][0][0, 0].min()) for epoch in range(300)}
    assert corners == {y * 16 + x for y in range(3) for x in range(3)}


def test_resized_crops_are_parts_within_the_limits_of_size_and_shape():
    """On a ramp the corner values of a crop tell its place, its size and its mirror image."""
    side, crop = 64, 16
    ramps = torch.arange(side).expand(side, side)
    data = Noise(1, side)
    data.images = torch.stack([ramps, ramps.T, ramps])[None].byte()
    view = TrainingCrops(data, torch.zeros(3, side, side), crop, 0, "resized")
    areas, aspects, mirrors, lefts = [], [], [], []
    for epoch in range(400):
        x, y, _ = view[epoch, 0][0].double()
        mirrors.append(bool(x[0, 0] > x[0, -1]))
        # Antialiasing bends the ramp only near the edges of the part.
        width, height = (float((v[8] - v[7]).abs().mean() * crop) for v in (x.T, y))
        areas.append(width * height / side**2)
        aspects.append(width / height)
        lefts.append(float(x.mean()) + 0.5 - width / 2)
    assert 0.33 < min(areas) < 0.42 and 0.9 < max(areas) < 1.02
    assert 0.72 < min(aspects) < 0.8 and 1.25 < max(aspects) < 1.4
    assert 150 < sum(mirrors) < 250
    assert -0.6 < min(lefts) < 1 and max(lefts) > 15


def test_a_resized_crop_is_what_pillow_makes_of_the_same_part():
    from deconv.data.crops import _crop, _random_box

    image = Noise(1, 48).images[0]
    mean = torch.rand(3, 48, 48) * 255
    for seed in range(5):
        box = _random_box(np.random.default_rng(seed), 48)
        found = _crop(image, mean, box, mirror=True, resize_px=20)
        top, left, bottom, right = box
        for plane, pixels in zip(found, image.float() - mean, strict=True):
            part = Image.fromarray(pixels.numpy()[top:bottom, left:right])
            wanted = np.asarray(part.resize((20, 20), Image.Resampling.BILINEAR))
            np.testing.assert_allclose(plane.numpy(), wanted[:, ::-1], atol=1e-3)


@pytest.mark.parametrize("workers", [0, 2])
def test_an_epoch_holds_each_image_once_in_an_order_of_its_own(workers):
    data = Noise(37)
    batches = Batches(len(data), 8, seed=3)
    view = TrainingCrops(data, torch.zeros(3, 16, 16), 12, 3)
    loader = DataLoader(view, batch_sampler=batches, num_workers=workers)
    epochs = []
    for epoch in (1, 2, 1):
        batches.epoch = epoch
        assert [len(batch) for batch in batches] == [8, 8, 8, 8, 5]
        keys = [key for batch in batches for key in batch]
        assert sorted(index for _, index in keys) == list(range(37))
        images = torch.cat([images for images, _ in loader])
        expected = torch.stack([view[key][0] for key in keys])
        assert torch.equal(images, expected)
        epochs.append(keys)
    assert epochs[0] == epochs[2] != epochs[1]


def test_an_epoch_can_begin_at_any_batch():
    batches = Batches(37, 8, seed=3)
    batches.epoch = 5
    whole = list(batches)
    for first in range(6):
        batches.first = first
        assert list(batches) == whole[first:] and len(batches) == 5 - first


@pytest.mark.parametrize("ranks", [2, 3, 6])
def test_processes_divide_each_batch_among_them(ranks):
    whole = Batches(21, 4, seed=3)
    parts = [Batches(21, 4, seed=3, rank=rank, ranks=ranks) for rank in range(ranks)]
    for batches in (whole, *parts):
        batches.epoch = 2
    for number, batch in enumerate(whole):
        found, sizes = [], []
        for part in parts:
            own = part.shard(part.batch(number))
            held = list(part)[number]
            assert held == ([(2, i) for i in own] if len(own) else batch[:1])
            found += [(2, i) for i in own]
            sizes.append(len(own))
        assert found == batch
        assert max(sizes) - min(sizes) <= 1


def test_ten_crops_of_a_data_set_are_those_of_each_image():
    data, mean = Noise(3), torch.rand(3, 16, 16) * 255
    view = TenCrops(data, mean, 12)
    assert len(view) == 3
    for i in range(3):
        crops, label = view[i]
        assert torch.equal(crops, ten_crops(data[i][0], mean, 12)) and label == data[i][1]


def test_sizes_that_do_not_fit_are_named():
    data = Noise()
    with pytest.raises(DeconvError, match="crop of 20 px does not fit an image of 16 px"):
        prepare(data[0][0], torch.zeros(3, 16, 16), 20)
    with pytest.raises(DeconvError, match=r"mean image is \(3, 8, 8\)"):
        CentreCrops(data, torch.zeros(3, 8, 8), 4)[0]
    with pytest.raises(DeconvError, match=r"'an'.*any"):
        TrainingCrops(data, torch.zeros(3, 16, 16), 12, 0, "an")
