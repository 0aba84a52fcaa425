"""Occlusion maps against a loop that covers one square at a time."""

import pytest
import torch

import deconv
from deconv.errors import DeconvError


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
    with pytest.raises(DeconvError, match="one image, got 2"):
        deconv.occlude(net, torch.stack([image, image]), 0, size_px=9)
