"""Why is it blank: networks made so that each cause is known, and energies by hand."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

import deconv
from deconv.deconvnet.blank import visible_share
from deconv.errors import DeadUnitWarning, DeconvError
from deconv.networks.chain import ChainNet
from deconv.pooling import max_pool, unpool


def chain(first, second, pool=None):
    """conv1 → relu → (pool) → conv2, both 1×1 and without bias, of 3 and 2 maps."""
    stages = OrderedDict(conv1=nn.Conv2d(3, 2, 1, bias=False), relu1=nn.ReLU())
    if pool:
        stages["pool1"] = pool
    stages["conv2"] = nn.Conv2d(2, 1, 1, bias=False)
    stages["relu2"] = nn.ReLU()
    net = ChainNet("made", stages, {}, 4)
    net.conv1.weight.data = torch.tensor(first).view(2, 3, 1, 1)
    net.conv2.weight.data = torch.tensor(second).view(1, 2, 1, 1)
    return net


IMAGE = torch.arange(1.0, 49.0).view(1, 3, 4, 4)
UNIT = torch.tensor([0, 0, 1, 2])
ONES = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def followed(net, layer="conv2", image=IMAGE, unit=UNIT, **options):
    return deconv.trace(net, net.record(image, [layer]), layer, unit, **options)


def test_energies_are_those_computed_by_hand():
    image = IMAGE * torch.tensor([9.0, 1.0, 1.0])[:, None, None]
    found = followed(chain(ONES, [3.0, -1.0]), image=image)
    value = 3 * image[0, 0, 1, 2] - image[0, 1, 1, 2]  # of the unit
    assert found.activation == pytest.approx(float(value)) and value > 0
    kept = [
        ("conv2", "seed"),
        ("relu2", "rectify"),
        ("conv2", "filter"),
        ("relu1", "rectify"),
        ("conv1", "filter"),
    ]
    assert [(row.stage, row.operation) for row in found.rows] == kept
    # Down the second layer: 3v and −v in its two maps; the rectification takes the second.
    energies = np.array([1, 1, 10, 9, 9]) * float(value) ** 2
    assert [row.energy for row in found.rows] == pytest.approx(energies)
    assert [row.kept for row in found.rows] == pytest.approx([1, 1, 10, 0.9, 1])
    assert [row.negative for row in found.rows] == [None, 0.0, None, pytest.approx(0.1), None]
    assert [row.nonzero for row in found.rows] == pytest.approx(
        [1 / 16, 1 / 16, 2 / 32, 1 / 32, 1 / 48]
    )
    assert found.visible == pytest.approx(1 / 16) and found.cause == ""
    assert "10.0 % was negative" in str(found) and "not blank: 6.2 % visible" in str(found)


def test_each_cause_is_named():
    with pytest.warns(DeadUnitWarning):
        dead = followed(chain(ONES, [1.0, -1.0]))
    assert dead.cause == "blank: the unit is dead here, its activation is 0"
    negative = followed(chain(ONES, [-1.0, -1.0]), image=-IMAGE + 100, layer="conv2:z", seed="one")
    assert negative.cause == "blank: everything was negative at the rectification of relu1"
    weak = followed(
        chain(ONES, [0.05, -1.0]), image=IMAGE * torch.tensor([1000.0, 1, 1])[:, None, None]
    )
    assert weak.cause.startswith("almost blank: the rectification of relu1 keeps 0.25 %")
    huge = torch.zeros(1, 3, 40, 40)
    huge[0, 0, 0, 0] = 1.0
    assert visible_share(huge[0]) == pytest.approx(1 / 1600)
    one = followed(chain(ONES, [1.0, 0.0]), image=huge, unit=torch.tensor([0, 0, 0, 0]))
    assert one.cause.startswith("looks blank: a few strong pixels") and "0.062 %" in one.cause


def test_signals_that_collisions_cover_are_told():
    """Two overlapping windows share their switch; overwriting leaves the later one, a zero."""
    net = chain(ONES, [1.0, 0.0], nn.MaxPool2d(2, 1))
    image = torch.zeros(1, 3, 4, 4)
    image[0, 0, 1, 1] = 5.0
    unit = torch.tensor([0, 0, 0, 0])
    assert followed(net, image=image, unit=unit).rows[3].kept == 1
    covered = followed(net, image=image, unit=unit, collisions="overwrite")
    assert covered.cause == "blank: nothing passes the unpool of pool1"


def test_what_cannot_be_followed_is_refused():
    net = chain(ONES, [1.0, 1.0])
    with pytest.raises(DeconvError, match="one unit"):
        followed(net, unit=torch.tensor([[0, 0, 1, 2], [0, 0, 1, 1]]))
    with pytest.raises(DeconvError, match="outside conv2"):
        followed(net, unit=torch.tensor([0, 0, 9, 9]))


class Residual(nn.Module):
    """Two ReLUs, a pool in a branch beside a sum, and one ReLU that no signal of `last` passes."""

    def __init__(self):
        super().__init__()
        self.stem, self.relu = nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(inplace=True)
        self.inner, self.pool = nn.Conv2d(4, 4, 3, padding=1), nn.MaxPool2d(3, 1, 1)
        self.last, self.fc = nn.ReLU(), nn.Linear(4, 2)

    def forward(self, x):
        x = self.relu(self.stem(x))
        beside = torch.relu(x - 1)
        x = self.last(self.inner(self.pool(x)) + x)
        return self.fc((x + 0 * beside).mean((2, 3)))


def energy(signal):
    return float(signal.double().square().sum())


@pytest.mark.parametrize("collisions", ["sum", "overwrite"])
def test_a_branching_network_is_followed_through_its_relus_and_pools(collisions):
    """By hand: down the sum's two paths, each rectification and pool as the rules say."""
    torch.manual_seed(1)
    module = Residual()
    net = deconv.wrap(module, input_px=8, normalize=([0] * 3, [2 / 255, 3 / 255, 4 / 255]))
    images = 20 * torch.randn(2, 3, 8, 8)
    record = net.record(images, ["last", "relu"])
    _, number, y, x = (record.activations["last"][1:] > 0).nonzero()[5].tolist()
    unit = torch.tensor([1, number, y, x])
    found = deconv.trace(net, record, "last", unit, collisions=collisions)
    assert [(row.stage, row.operation) for row in found.rows] == [
        ("last", "seed"),
        ("last", "rectify"),
        ("pool", "unpool"),
        ("relu", "rectify"),
        ("image", "arrive"),
    ]
    with torch.no_grad():
        seed = torch.zeros(1, 4, 8, 8)
        seed[0, number, y, x] = record.activations["last"][1, number, y, x]
        top = seed.clamp(min=0)
        into_pool = F.conv_transpose2d(top, module.inner.weight, padding=1)
        lower = record.activations["relu"][1:]
        _, switches = max_pool(module.pool, lower)
        unpooled = unpool(into_pool, switches, (8, 8), collisions)
        both = unpooled + top
        rectified = both.clamp(min=0)
        pixels = F.conv_transpose2d(rectified, module.stem.weight, padding=1)
        pixels = pixels / torch.tensor([2.0, 3.0, 4.0]).view(1, 3, 1, 1)
    wanted = [(seed, None), (top, seed), (unpooled, into_pool), (rectified, both), (pixels, seed)]
    for row, (after, before) in zip(found.rows, wanted, strict=True):
        assert row.energy == pytest.approx(energy(after), rel=1e-4), row
        assert row.nonzero == pytest.approx(float((after != 0).double().mean()))
        kept = 1.0 if before is None else energy(after) / energy(before)
        assert row.kept == pytest.approx(kept, rel=1e-4)
    assert found.rows[3].negative == pytest.approx(1 - found.rows[3].kept, rel=1e-4)
    painted = deconv.project(net, record, "last", unit[None], collisions=collisions)
    torch.testing.assert_close(painted, pixels, rtol=1e-4, atol=1e-5)
    assert found.cause == "" and "image      arrive" in str(found)


def test_a_branching_network_says_where_its_signal_ends():
    module = Residual()
    for layer in (module.stem, module.inner):
        nn.init.constant_(layer.weight, 0.1)
        nn.init.zeros_(layer.bias)
    net = deconv.wrap(module, input_px=8)
    unit, ones = torch.tensor([0, 0, 4, 4]), torch.ones(1, 3, 8, 8)
    assert followed(net, "last", ones, unit).cause == ""
    # A value below 0 before its ReLU sends a signal below 0 through weights above 0.
    nn.init.constant_(module.inner.bias, -100.0)
    found = followed(net, "add:1", ones, unit)
    assert found.cause == "blank: nothing arrives, the signal ends at the rectify of relu"
    with pytest.warns(DeadUnitWarning):
        assert "is dead here" in followed(net, "last", ones, unit).cause


def test_the_share_of_visible_pixels_is_that_of_a_loop_also_for_large_images():
    pixels = torch.randn(3, 2500, 2500, generator=torch.Generator().manual_seed(0)) ** 3
    scale = np.quantile(np.abs(pixels.numpy()[pixels.numpy() != 0]).astype(float), 0.99)
    wanted = (pixels.abs().amax(0) * 127 >= 0.5 * scale).double().mean()
    assert visible_share(pixels) == pytest.approx(float(wanted), abs=1e-9)


def test_relus_are_named_as_they_run_also_where_one_module_is_several():
    """The order of names is that of running, whichever of them the signal passes."""
    torch.manual_seed(0)
    net = deconv.wrap(torchvision.models.resnet18(num_classes=3), "r", 64)
    record = net.record(50 * torch.randn(1, 3, 64, 64), ["layer1.1"])
    unit = [0, *torch.unravel_index(record.activations["layer1.1"][0].argmax(), (64, 16, 16))]
    found = deconv.trace(net, record, "layer1.1", unit)
    stages = [row.stage for row in found.rows if row.operation == "rectify"]
    assert stages[0] == "layer1.1.relu:2" and stages[-1] == "relu"
    assert set(stages) == {"relu", *(f"layer1.{b}.relu:{n}" for b in (0, 1) for n in (1, 2))}
