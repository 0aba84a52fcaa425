"""Occlusion maps against a loop that covers one square at a time."""

import pytest
import torch
import torchvision

import deconv
from deconv.errors import DeconvError
from deconv.studies.occlusion.maps import last_convolution, square_corners


@pytest.fixture(scope="module")
def net():
    return deconv.build("zfnet_mini", 5, input_px=64, fc_width=16, init="he", seed=0).double()


@pytest.fixture(scope="module")
def image():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(3, 64, 64, generator=generator, dtype=torch.float64) * 50


@pytest.mark.parametrize("layer", ["conv5", "conv3", "fc6"])
def test_maps_equal_a_loop_over_squares(net, image, layer):
    maps = deconv.occlude(net, image, 3, layer=layer, size_px=24, stride_px=13, fill=7.0)
    clean = net.record(image[None], [layer]).activations[layer][0].detach()
    sums = [float(m.sum()) for m in clean]
    assert maps.map == sums.index(max(sums))
    tops = [0, 13, 26, 39]
    assert maps.positions.tolist() == [[[y, x] for x in tops] for y in tops]
    for i, y in enumerate(tops):
        for j, x in enumerate(tops):
            covered = image.clone()
            for c in range(3):
                for row in range(y, y + 24):
                    covered[c, row, x : x + 24] = 7.0
            with torch.no_grad():
                record = net.record(covered[None], [layer])
            odds = record.logits[0].exp() / record.logits[0].exp().sum()
            assert float(maps.probability[i, j]) == pytest.approx(float(odds[3]), rel=1e-9)
            summed = float(record.activations[layer][0, maps.map].sum())
            assert float(maps.activation[i, j]) == pytest.approx(summed, rel=1e-9)
            assert int(maps.label[i, j]) == int(odds.argmax())


def test_a_square_of_the_image_s_own_values_changes_nothing(net):
    flat = torch.full((3, 64, 64), 11.0, dtype=torch.float64)
    maps = deconv.occlude(net, flat, 0, size_px=20, stride_px=20, fill=11.0)
    assert torch.allclose(
        maps.probability, torch.tensor(maps.clean[0], dtype=torch.float64), rtol=1e-9
    )
    assert (maps.label == maps.clean[2]).all()


def test_the_image_is_left_alone(net, image):
    before = image.clone()
    deconv.occlude(net, image, 0, size_px=30, stride_px=30)
    assert torch.equal(image, before)


def test_a_square_as_large_as_the_image_has_one_position(net, image):
    maps = deconv.occlude(net, image, 0, size_px=64)
    assert maps.probability.shape == (1, 1)


def test_bad_requests_are_named(net, image):
    with pytest.raises(DeconvError, match="65 px does not fit an image of 64×64"):
        deconv.occlude(net, image, 0, size_px=65)
    with pytest.raises(DeconvError, match="no class 5: zfnet_mini has 5"):
        deconv.occlude(net, image, 5, size_px=9)
    with pytest.raises(DeconvError, match="stride_px"):
        deconv.occlude(net, image, 0, size_px=9, stride_px=0)
    with pytest.raises(DeconvError, match="'conv6'"):
        deconv.occlude(net, image, 0, layer="conv6", size_px=9)
    with pytest.raises(DeconvError, match="target has 3 classes for 2 images"):
        deconv.occlude(net, torch.stack([image, image]), [0, 1, 2], size_px=9)
    with pytest.raises(DeconvError, match="fill takes one number, or one a channel"):
        deconv.occlude(net, image, 0, size_px=9, fill=(1.0, 2.0))


def test_several_images_are_occluded_one_by_one(net, image):
    pair = torch.stack([image, image.flip(2)])
    options = {"size_px": 20, "stride_px": 22}
    for target, wanted in ((1, [1, 1]), ([1, 3], [1, 3]), (torch.tensor([2, 0]), [2, 0])):
        found = deconv.occlude(net, pair, target, **options)
        for maps, one, number in zip(found, pair, wanted, strict=True):
            alone = deconv.occlude(net, one, number, layer="conv5", **options)
            assert torch.equal(maps.probability, alone.probability) and maps.map == alone.map
            assert torch.equal(maps.activation, alone.activation), "conv5 is the last convolution"


def test_a_grey_of_its_own_for_each_channel(net, image):
    maps = deconv.occlude(net, image, 2, size_px=21, stride_px=43, fill=(5.0, -60.0, 7.5))
    covered = image.clone()
    for channel, grey in enumerate((5.0, -60.0, 7.5)):
        covered[channel, :21, 43:] = grey
    with torch.no_grad():
        odds = net.record(covered[None]).logits[0].softmax(0)
    assert float(maps.probability[0, 1]) == pytest.approx(float(odds[2]), rel=1e-9)


def test_the_last_convolution_is_watched_behind_its_relu():
    assert last_convolution(deconv.build("zfnet_mini", 3, input_px=64)) == "conv5"
    resnet = deconv.wrap(torchvision.models.resnet18(num_classes=3), "r", 64)
    assert last_convolution(resnet) == "layer4.1.relu:2"
    with pytest.raises(DeconvError, match="mlp has no convolution with maps: name"):
        last_convolution(deconv.build("mlp", 3))


@pytest.mark.parametrize(("stride", "size"), [(13, 24), (8, 15), (9, 1), (50, 50), (21, 50)])
def test_squares_that_hang_over_fill_the_image_with_their_cells(stride, size):
    corners = square_corners((64, 50), size, stride, "overhang").double()
    centres = corners + size / 2
    for axis, extent in ((0, 64), (1, 50)):
        along = (centres[:, 0] if axis == 0 else centres[0])[:, axis]
        assert (along[1:] - along[:-1] == stride).all()
        assert along[0] >= 0 and along[-1] <= extent, "every centre lies in the image"
        before, after = along[0] - stride / 2, extent - along[-1] - stride / 2
        assert before <= 0.5 and after <= 0.5, "no pixel is left without a cell"
        assert abs(before - after) <= 1, "as much on both sides"
    assert torch.equal(corners[..., 0], corners[:, :1, 0].expand(corners.shape[:2]))


def test_maps_of_squares_that_hang_over_equal_a_loop(net, image):
    maps = deconv.occlude(net, image, 2, size_px=21, stride_px=19, fill=-3.0, squares="overhang")
    assert maps.probability.shape == (4, 4)
    assert maps.positions[0, 0].tolist() == [-7, -7] and maps.positions[3, 3].tolist() == [50, 50]
    rows = torch.arange(64)
    for i in range(4):
        for j in range(4):
            y, x = maps.positions[i, j].tolist()
            under = ((rows >= y) & (rows < y + 21))[:, None] & ((rows >= x) & (rows < x + 21))
            with torch.no_grad():
                record = net.record(torch.where(under, -3.0, image)[None], ["conv5"])
            odds = record.logits[0].softmax(0)
            assert float(maps.probability[i, j]) == pytest.approx(float(odds[2]), rel=1e-9)
            summed = float(record.activations["conv5"][0, maps.map].sum())
            assert float(maps.activation[i, j]) == pytest.approx(summed, rel=1e-9)
            assert int(maps.label[i, j]) == int(odds.argmax())


@pytest.mark.parametrize("layer", ["conv5", "fc6"])
def test_the_strongest_map_by_sum_or_by_maximum(net, layer):
    different = 0
    for seed in range(8):
        generator = torch.Generator().manual_seed(seed)
        image = torch.randn(3, 64, 64, generator=generator, dtype=torch.float64) * 50
        maps = net.record(image[None], [layer]).activations[layer][0]
        found = {
            how: deconv.occlude(net, image, 0, layer, 64, 64, strongest=how).map
            for how in ("sum", "max")
        }
        sums = [float(m.sum()) for m in maps]
        tops = [float(m.max()) for m in maps]
        assert found == {"sum": sums.index(max(sums)), "max": tops.index(max(tops))}
        different += found["sum"] != found["max"]
    assert (different > 0) == (layer == "conv5")


def test_unknown_options_are_named(net, image):
    with pytest.raises(DeconvError, match="Did you mean 'overhang'"):
        deconv.occlude(net, image, 0, size_px=9, squares="overhangs")
    with pytest.raises(DeconvError, match=r"'mean'.*Valid: sum, max"):
        deconv.occlude(net, image, 0, size_px=9, strongest="mean")
    with pytest.raises(DeconvError, match="whole numbers"):
        square_corners((64, 64), 9.5, 3)


def test_the_map_to_watch_may_be_named():
    """Its sums are those of the covered images, one by one."""
    net = deconv.build("zfnet_mini", num_classes=3, input_px=64, seed=0)
    image = 40 * torch.randn(3, 64, 64, generator=torch.Generator().manual_seed(1))
    maps = deconv.occlude(net, image, 1, "conv2", size_px=20, stride_px=22, number=7)
    assert maps.map == 7 and maps.positions.shape == (3, 3, 2)
    for row, column in ((0, 0), (1, 2)):
        y, x = maps.positions[row, column].tolist()
        covered = image.clone()
        covered[:, y : y + 20, x : x + 20] = 0
        wanted = net.record(covered[None], ["conv2"]).activations["conv2"][0, 7].sum()
        torch.testing.assert_close(maps.activation[row, column], wanted, rtol=1e-4, atol=1e-3)
    with pytest.raises(DeconvError, match="there is no map 96: conv2 has 96"):
        deconv.occlude(net, image, 1, "conv2", size_px=20, stride_px=22, number=96)
