"""Rounded ReLUs and pools against loops, the network itself in the limit, and every way to call."""

import itertools
import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

import deconv
from deconv.errors import DeconvError
from deconv.studies.single_unit.smoothing import smoothed, soft_max_pool, soft_relu
from deconv.studies.single_unit.unit_function import unit_function


@pytest.mark.parametrize(
    ("kernel", "stride", "padding", "dilation", "ceil_mode"),
    [
        (3, 2, 0, 1, True),
        (3, 2, 1, 1, False),
        (2, 2, 0, 1, False),
        (2, 1, 1, 2, False),
        ((2, 3), (3, 2), (1, 1), 1, True),
    ],
)
def test_a_rounded_pool_by_loops(kernel, stride, padding, dilation, ceil_mode):
    x = torch.randn(2, 3, 8, 7, dtype=torch.float64)
    width = 0.3
    found = soft_max_pool(x, width, kernel, stride, padding, dilation, ceil_mode)
    hard = F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode)
    assert found.shape == hard.shape
    k, s, p, d = (
        n if isinstance(n, tuple) else (n, n) for n in (kernel, stride, padding, dilation)
    )
    for n, c, y, z in itertools.product(*map(range, hard.shape)):
        total = 0.0
        for i, j in itertools.product(range(k[0]), range(k[1])):
            row, column = y * s[0] - p[0] + i * d[0], z * s[1] - p[1] + j * d[1]
            if 0 <= row < 8 and 0 <= column < 7:
                total += math.exp(float(x[n, c, row, column]) / width)
        assert float(found[n, c, y, z]) == pytest.approx(width * math.log(total))
    most = width * math.log(k[0] * k[1])
    assert (found >= hard - 1e-12).all() and (found <= hard + most + 1e-12).all()


def test_a_rounded_relu_is_softplus_of_a_width():
    z = torch.linspace(-2, 2, 9, dtype=torch.float64)
    wanted = [0.25 * math.log1p(math.exp(float(v) / 0.25)) for v in z]
    assert soft_relu(z, 0.25).tolist() == pytest.approx(wanted)
    assert torch.autograd.gradcheck(lambda v: soft_relu(v, 0.25), z.requires_grad_())


WAYS = {
    "module": lambda z: nn.ReLU()(z),
    "in place": lambda z: nn.ReLU(inplace=True)(z * 1),
    "function": lambda z: F.relu(z),
    "positional in place": lambda z: F.relu(z * 1, True),
    "method": lambda z: z.relu(),
    "method in place": lambda z: (z * 1).relu_(),
    "torch": lambda z: torch.relu(z),
    "torch in place": lambda z: torch.relu_(z * 1),
}


@pytest.mark.parametrize("way", WAYS)
def test_every_way_to_write_a_relu_is_rounded(way):
    z = torch.randn(1, 30, dtype=torch.float64)
    scale = float(z.square().mean().sqrt())
    rounded = smoothed(lambda x: WAYS[way](x), z, 0.2)
    torch.testing.assert_close(rounded(z), soft_relu(z, 0.2 * scale))
    torch.testing.assert_close(rounded(2 * z), soft_relu(2 * z, 0.2 * scale), msg="one function")
    torch.testing.assert_close(WAYS[way](z), z.clamp(min=0), msg="nothing stays behind")


@pytest.mark.parametrize(
    "pool",
    [
        nn.MaxPool2d(3, 2),
        lambda x: F.max_pool2d(x, 3, 2),
        lambda x: F.max_pool2d(x, 3, stride=2, return_indices=True)[0],
        lambda x: torch.max_pool2d(x, 3, 2),
        nn.MaxPool2d(3, 2, ceil_mode=True, return_indices=False),
    ],
)
def test_every_way_to_write_a_pool_is_rounded(pool):
    x = torch.randn(1, 2, 7, 7, dtype=torch.float64)
    width = 0.1 * float(x.square().mean().sqrt())
    torch.testing.assert_close(smoothed(pool, x, 0.1)(x), soft_max_pool(x, width, 3, 2))


def test_indices_of_a_rounded_pool_are_the_switches():
    x = torch.randn(1, 2, 7, 7)
    found = smoothed(lambda x: F.max_pool2d(x, 3, 2, return_indices=True)[1], x, 0.1)(x)
    assert torch.equal(found, F.max_pool2d(x, 3, 2, return_indices=True)[1])


def test_relu6_is_rounded_at_both_corners():
    z = torch.linspace(-3, 9, 25, dtype=torch.float64)[None]
    width = 0.05 * float(z.square().mean().sqrt())
    wanted = soft_relu(z, width) - soft_relu(z - 6, width)
    torch.testing.assert_close(smoothed(F.relu6, z, 0.05)(z), wanted)


@pytest.mark.parametrize("make", ["chain", "graph"])
def test_in_the_limit_it_is_the_network(make):
    net = deconv.build("zfnet_mini", 3, input_px=64, fc_width=16, init="he", seed=0).double()
    if make == "graph":
        stages = [nn.Conv2d(3, 8, 5), nn.ReLU(True), nn.MaxPool2d(3, 2), nn.LocalResponseNorm(5)]
        stages += [nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 4, 3), nn.ReLU(), nn.Flatten()]
        net = deconv.wrap(nn.Sequential(*stages, nn.Linear(4 * 25 * 25, 2)).double(), input_px=64)
    layer = "conv3" if make == "chain" else net.layers[2]
    unit = unit_function(net, layer, 2)
    x = torch.randn(1, *unit.shape, dtype=torch.float64) * 40
    exact = float(unit(x).detach())
    gaps = [abs(float(smoothed(unit, x, share)(x).detach()) - exact) for share in (0.1, 1e-2, 1e-3)]
    assert gaps[0] > gaps[1] > gaps[2] and gaps[2] < 0.02 * gaps[0]


def test_a_width_that_is_none_is_refused():
    for share in (0.0, -1.0, math.inf):
        with pytest.raises(DeconvError, match="share above 0"):
            smoothed(F.relu, torch.zeros(1), share)


def test_where_nothing_comes_in_nothing_is_rounded():
    assert torch.equal(smoothed(F.relu, torch.zeros(1, 4), 0.1)(torch.ones(1, 4)), torch.ones(1, 4))
