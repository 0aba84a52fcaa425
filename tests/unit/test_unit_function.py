"""One unit as a function of its pixels: the network's own value, and nothing outside matters."""

import pytest
import torch
from torch import nn

import deconv
from deconv.errors import DeconvError
from deconv.studies.single_unit.unit_function import climbed_point, map_size, unit_function

SIDE = 64


@pytest.fixture(scope="module")
def net():
    return deconv.build("zfnet_mini", 5, input_px=SIDE, fc_width=16, init="he", seed=0).double()


@pytest.mark.parametrize(
    ("layer", "position"), [("conv1", None), ("conv3", None), ("conv3", (0, 6))]
)
def test_a_patch_gives_the_value_of_the_unit_in_the_whole_image(net, layer, position):
    unit = unit_function(net, layer, 3, position)
    assert unit.interior == (position is None)
    images = torch.randn(2, 3, SIDE, SIDE, dtype=torch.float64) * 40
    top, left, bottom, right = unit.box
    patches = images[:, :, top:bottom, left:right]
    assert patches.shape[1:] == unit.shape
    seen = net.record(images, [layer, f"{layer}:z"]).activations
    at = (slice(None), 3, unit.y, unit.x)
    torch.testing.assert_close(unit(patches), seen[f"{layer}:z"][at], msg="the rest cannot matter")
    torch.testing.assert_close(unit.activation(patches), seen[layer][at])
    outside = unit.inputs(patches)
    outside[:, :, top:bottom, left:right] = 0
    assert not outside.any() and outside.shape == images.shape


def test_the_box_holds_every_pixel_that_matters_and_its_edges_do(net):
    unit = unit_function(net, "conv2", 0)
    pixels = torch.randn(8, *unit.shape, dtype=torch.float64).mul(40).requires_grad_()
    (gradient,) = torch.autograd.grad(unit(pixels).sum(), pixels)
    seen = gradient.abs().sum((0, 1)) > 0
    assert seen[0].any() and seen[-1].any() and seen[:, 0].any() and seen[:, -1].any()


def test_the_unit_is_the_maps_centre(net):
    height, width = map_size(net, "conv3", 0)
    unit = unit_function(net, "conv3", 0)
    assert (unit.y, unit.x) == (height // 2, width // 2)
    assert map_size(net, "fc6", 0) == (1, 1)
    whole = unit_function(net, "fc6", 2)
    assert whole.box == (0, 0, SIDE, SIDE) and whole.climbed == "fc6:z"
    image = torch.randn(1, 3, SIDE, SIDE, dtype=torch.float64)
    torch.testing.assert_close(
        whole(image), net.record(image, ["fc6:z"]).activations["fc6:z"][:, 2]
    )


@pytest.mark.parametrize(("number", "branch"), [(5, "expand1x1"), (70, "expand3x3")])
def test_a_joined_map_is_its_branchs(number, branch):
    """By a fire module's own value: 64 maps of the one expansion, then 64 of the other."""
    net = deconv.build("torchvision/squeezenet1_1", 5, input_px=SIDE, seed=0).double()
    unit = unit_function(net, "features.3", number)
    assert (unit.climbed, unit.map) == (f"features.3.{branch}", number % 64)
    patches = torch.randn(3, *unit.shape, dtype=torch.float64) * 40
    joined = net.record(unit.inputs(patches), ["features.3"]).activations["features.3"]
    seen = joined[:, number, unit.y, unit.x]
    torch.testing.assert_close(unit.activation(patches), seen, rtol=0, atol=0)
    torch.testing.assert_close(unit(patches).clamp(min=0), seen, rtol=0, atol=0)


class Residual(nn.Module):
    """A ReLU behind a sum, another activation, a group norm."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.relu, self.smooth = nn.ReLU(), nn.SiLU()
        self.norm, self.head = nn.GroupNorm(2, 4), nn.Linear(4, 2)

    def forward(self, x):
        x = self.first(x)
        x = self.relu(x + self.second(x))
        x = self.norm(self.smooth(x))
        return self.head(x.mean((2, 3)))


def test_only_rectifications_are_climbed_before_them():
    net = deconv.wrap(Residual(), input_px=16)
    assert climbed_point(net, "relu") == "add" and climbed_point(net, "first") == "first"
    assert climbed_point(net, "smooth") == "smooth", "no monotone function"
    assert unit_function(net, "relu", 1).shape == (3, 5, 5)
    whole = unit_function(net, "norm", 1)
    assert whole.shape == (3, 16, 16) and not whole.interior


def test_what_does_not_exist_is_named(net):
    for layer, number, position, words in (
        ("conv7", 0, None, "Did you mean 'conv"),
        ("conv1", 999, None, r"conv1 of zfnet_mini has \d+ maps, no map 999"),
        ("conv1", -1, None, "no map -1"),
        ("conv5", 0, (0, 99), r"unit \(0, 99\) is outside its map"),
    ):
        with pytest.raises(DeconvError, match=words):
            unit_function(net, layer, number, position)
