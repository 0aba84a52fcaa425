"""Points of any network at several depths: blocks, and what the last layer reads."""

import pytest
import torch
from torch import nn

import deconv
from deconv.errors import DeconvError
from deconv.networks.depths import blocks, last_hidden, spread_points

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
