"""The first weights: their distribution, and what decides them."""

import math

import pytest
import torch

import deconv


def test_the_first_weights_are_normal_with_deviation_0_01_and_biases_0():
    net = deconv.build("zfnet", num_classes=2, fc_width=32, seed=0)
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            assert parameter.count_nonzero() == 0, name
            continue
        values, error = parameter.double().flatten(), parameter.numel() ** -0.5
        assert abs(values.mean()) < 5 * 0.01 * error, name
        assert abs(values.std() / 0.01 - 1) < 5 * error, name
        within = (values.abs() < 0.01).double().mean()
        assert abs(within - math.erf(0.5**0.5)) < 5 * error, name


def test_he_weights_have_variance_2_over_fan_in():
    net = deconv.build("alexnet", num_classes=2, fc_width=32, init="he", seed=0)
    fan_in = {"conv1": 3 * 121, "conv2": 48 * 25, "conv4": 192 * 9, "fc6": 9216}
    for layer, count in fan_in.items():
        weight = net.get_submodule(layer).weight
        assert abs(weight.std() * (count / 2) ** 0.5 - 1) < 5 * weight.numel() ** -0.5, layer
    assert net.conv2.bias.count_nonzero() == 0


def test_he_pixels_takes_the_scale_of_pixels_off_in_equal_parts():
    net = deconv.build("zfnet", num_classes=2, fc_width=256, init="he_pixels", seed=0).eval()
    he = deconv.build("zfnet", num_classes=2, fc_width=256, init="he", seed=0)
    factors = [net.get_submodule(n).weight / he.get_submodule(n).weight for n in net.layers]
    assert all(torch.allclose(f, f.flatten()[0].expand_as(f), rtol=1e-5) for f in factors)
    assert math.prod(f.flatten()[0].item() for f in factors) == pytest.approx(1 / 64, rel=1e-4)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1)) * 64
    points = ("conv1:z", "fc7:z")
    seen = net.record(images, points).activations
    paper = deconv.build("zfnet", num_classes=2, fc_width=256, seed=0).record(images, points)
    strength = [v["fc7:z"].square().mean().sqrt().item() for v in (seen, paper.activations)]
    assert strength[0] > 0.3 > 0.1 > strength[1], strength


def test_gain_weights_are_the_papers_for_zfnet():
    paper, gain = (
        deconv.build("zfnet", 1000, fc_width=4096, remove=(6, 7), init=init, seed=0)
        for init in ("paper", "gain")
    )
    for layer in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        first, second = (net.get_submodule(layer).weight for net in (paper, gain))
        assert torch.allclose(first, second, rtol=1e-6, atol=0), layer


def test_gain_weights_make_a_narrow_layer_as_strong_as_zfnets():
    net = deconv.build("zfnet_mini", 2, init="gain", seed=0)
    fan_in = {  # ZFNet's, own
        "conv1": (3 * 49, 3 * 25),
        "conv2": (96 * 25, 48 * 9),
        "conv3": (256 * 9, 96 * 9),
        "conv5": (384 * 9, 128 * 9),
        "fc6": (9216, 96 * 36),
        "fc7": (4096, 512),
    }
    for layer, (wide, narrow) in fan_in.items():
        weight = net.get_submodule(layer).weight
        expected = 0.01 * (wide / narrow) ** 0.5
        assert abs(weight.std() / expected - 1) < 5 * weight.numel() ** -0.5, layer
    assert net.fc7.bias.count_nonzero() == 0


def weights_of(**arguments):
    net = deconv.build(arguments.pop("name", "zfnet_mini"), 3, **arguments)
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_the_seed_alone_decides_the_weights():
    torch.manual_seed(1)
    first = weights_of(seed=5)
    torch.manual_seed(2)
    assert torch.equal(weights_of(seed=5), first)
    assert not torch.equal(weights_of(seed=6), first)


def test_without_a_seed_torchs_generator_decides():
    torch.manual_seed(1)
    first = weights_of()
    torch.manual_seed(1)
    assert torch.equal(weights_of(), first)
    assert not torch.equal(weights_of(), first)


def test_a_seed_makes_torchvisions_random_weights_reproducible():
    first = weights_of(name="torchvision/alexnet", seed=5)
    assert torch.equal(weights_of(name="torchvision/alexnet", seed=5), first)
