"""Points of any network at several depths: blocks, and what the last layer reads."""

import pytest
import torch
from torch import nn

import deconv
from deconv.errors import DeconvError
from deconv.networks.depths import blocks, last_hidden, paper_layers, point_of, spread_points

SQUEEZE = "torchvision/squeezenet1_0"
SQUEEZENET = [f"features.{i}" for i in (1, 3, 4, 5, 7, 8, 9, 10, 12)]


@pytest.mark.parametrize(
    ("name", "count", "points"),
    [
        ("zfnet_mini", 5, ["conv1", "conv2", "conv3", "conv4", "conv5"]),
        ("zfnet_mini", 2, ["conv1", "conv5"]),
        ("torchvision/resnet18", 5, ["relu", "layer1", "layer2", "layer3", "layer4"]),
        (SQUEEZE, 9, SQUEEZENET),
        (SQUEEZE, 5, SQUEEZENET[::2]),
        (SQUEEZE, 1, SQUEEZENET[-1:]),
    ],
)
def test_a_block_counts_once_and_the_logits_never(name, count, points):
    assert spread_points(deconv.build(name), count) == points


def test_a_network_of_one_convolution_has_one_point_and_one_without_has_none():
    one = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 2))
    assert spread_points(deconv.wrap(one, "one", 8)) == ["1"]
    with pytest.raises(DeconvError, match="no convolution below its logits"):
        spread_points(deconv.build("mlp", 4))


@pytest.mark.parametrize("name", ["zfnet_mini", SQUEEZE, "torchvision/resnet18"])
def test_the_last_hidden_values_are_the_input_of_the_last_layer(name):
    net = deconv.build(name, 7).eval()
    images, seen = torch.randn(1, 3, net.input_px, net.input_px), []
    last = net.module_of(net.layers[-1])
    last.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].detach().clone()))
    with torch.no_grad():
        net(images)
        read = net.record(images, [last_hidden(net)], logits=False).activations[last_hidden(net)]
    assert torch.equal(read, seen[0])


def test_the_papers_layers_are_what_the_next_layer_is_given_or_spread_over_the_depth():
    wanted = {
        "zfnet": ["norm1", "norm2", "conv3", "conv4", "pool5", "fc6", "fc7", "fc8"],
        "alexnet": ["pool1", "pool2", "conv3", "conv4", "pool5", "fc6", "fc7", "fc8"],
        "zfnet_mini": ["norm1", "norm2", "conv3", "conv4", "grid", "fc6", "fc7", "fc8"],
    }
    for name, points in wanted.items():
        net = deconv.build(name, num_classes=3, seed=0)
        assert [point_of(net, str(n)) for n in range(1, 9)] == points
        assert point_of(net, "conv2") == "conv2"
    with pytest.raises(DeconvError, match="unknown layer of zfnet_mini '9'"):
        point_of(net, "9")
    shorter = deconv.build("zfnet_mini", num_classes=3, remove=[3, 4], seed=0)
    assert paper_layers(shorter).keys() == set("125678") and point_of(shorter, "5") == "grid"
    squeeze = deconv.build(SQUEEZE)
    numbers = dict(zip("123457", [*SQUEEZENET[::2], SQUEEZENET[-1]], strict=True))
    assert paper_layers(squeeze) == numbers
    assert point_of(squeeze, "features.4") == "features.4"
    with pytest.raises(DeconvError, match="unknown layer of torchvision/squeezenet1_0 '6'"):
        point_of(squeeze, "6")


def test_blocks_hold_each_layer_with_weights_once():
    net = deconv.build("torchvision/squeezenet1_0")
    found = blocks(net)
    fire = [f"features.{n}" for n in (3, 4, 5, 7, 8, 9, 10, 12)]
    assert list(found) == ["features.0", *fire, "classifier.1"]
    assert found["features.12"] == [
        f"features.12.{part}" for part in ("squeeze", "expand1x1", "expand3x3")
    ]
    assert [layer for own in found.values() for layer in own] == list(net.layers)
    assert blocks(deconv.build("zfnet_mini", 4)) == {
        name: [name] for name in ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    }
