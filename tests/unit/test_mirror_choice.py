"""engine="auto": the mirror where it knows every stage, else the vector-Jacobian product."""

import warnings

import pytest
import torch
from oracles import chain, randn, relative_error
from torch import nn

import deconv
from deconv.deconvnet.mirror import refusal
from deconv.errors import DeconvError, NoRuleWarning

KNOWN = {
    "Hardtanh": nn.Hardtanh(0, 6),
    "ReLU6": nn.ReLU6(),
    "MaxPool2d": nn.MaxPool2d(3, 2),
    "BatchNorm2d": nn.BatchNorm2d(4),
    "AdaptiveAvgPool2d": nn.AdaptiveAvgPool2d(5),
    "Dropout": nn.Dropout(),
    "Dropout2d": nn.Dropout2d(),
    "Conv2d": nn.Conv2d(4, 4, 3, stride=2, dilation=2, groups=2),
}
AFFINE = {
    "AvgPool2d": nn.AvgPool2d(3, 2, 1),
    "Upsample": nn.Upsample(scale_factor=2),
    "ZeroPad2d": nn.ZeroPad2d((1, 0, 2, 1)),
    "ReflectionPad2d": nn.ReflectionPad2d(2),
    "ConvTranspose2d": nn.ConvTranspose2d(4, 4, 3, 2),
    "GroupNorm": nn.GroupNorm(2, 4),
    "reflect": nn.Conv2d(4, 4, 3, padding=2, padding_mode="reflect"),
    "circular": nn.Conv2d(4, 4, 3, padding=2, padding_mode="circular"),
    "replicate": nn.Conv2d(4, 4, 3, padding=2, padding_mode="replicate"),
    "same": nn.Conv2d(4, 4, 3, padding="same"),
    "unequal": nn.Conv2d(4, 4, 4, padding="same"),
}
CHAINED = {name: AFFINE[name] for name in AFFINE if not isinstance(AFFINE[name], nn.Conv2d)}
"""Those that a chain takes."""
WARNED = {
    "GELU": nn.GELU(),
    "SiLU": nn.SiLU(),
    "LeakyReLU": nn.LeakyReLU(),
    "Sigmoid": nn.Sigmoid(),
}


def stages(between):
    torch.manual_seed(0)
    first, second = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 3, 3, padding=1)
    return {"conv1": first, "between": between, "relu1": nn.ReLU(), "conv2": second}


def wrapped(between):
    made = nn.Sequential(*stages(between).values(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return deconv.wrap(made.double(), "plain", 14), "3"


def painted(net, point, engine):
    """The unit at the border and one inside, and the warnings."""
    record = net.record(randn(2, 3, 14, 14, seed=3), [point])
    units = torch.tensor([[0, 0, 0, 0], [1, 2, 2, 1]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        pixels = deconv.project(net, record, point, units, engine=engine)
    return pixels, [w for w in caught if w.category is NoRuleWarning]


@pytest.mark.parametrize("name", KNOWN | CHAINED | WARNED)
def test_auto_takes_the_engine_that_knows_every_stage(name):
    net = chain(**stages((KNOWN | AFFINE | WARNED)[name]))
    auto, warned = painted(net, "conv2", "auto")
    vjp, _ = painted(net, "conv2", "vjp")
    assert auto.count_nonzero() and relative_error(auto, vjp) < 1e-10
    assert len(warned) == (name in WARNED)
    assert not warned or f"no rule for {name}" in str(warned[0].message)
    if name in KNOWN:
        assert torch.equal(auto, painted(net, "conv2", "mirror")[0])
        return
    with pytest.raises(DeconvError, match=r"no way down through .*; use engine='vjp'"):
        painted(net, "conv2", "mirror")
    record = net.record(randn(1, 3, 14, 14), ["conv2"])
    with pytest.raises(DeconvError, match="no way down through"):
        deconv.deconvnet.projection.project_steps(
            net, record, "conv2", torch.tensor([[0, 0, 1, 1]])
        )


@pytest.mark.parametrize("name", AFFINE | WARNED)
def test_a_wrapped_module_goes_by_the_rules(name):
    between = (AFFINE | WARNED)[name]
    net, point = wrapped(between)
    auto, warned = painted(net, point, "auto")
    assert auto.count_nonzero() and len(warned) == (name in WARNED)
    assert not warned or f"no rule for {name}" in str(warned[0].message)
    assert "no chain of stages" in refusal(net, point)


class Averages(nn.Module):
    """Means over the map without a module, in both spellings."""

    def __init__(self, keep):
        super().__init__()
        self.conv, self.keep = nn.Conv2d(3, 4, 3), keep

    def forward(self, x):
        return self.conv(x).relu().mean((2, 3), keepdim=self.keep).flatten(1)


@pytest.mark.parametrize("keep", [False, True])
def test_means_by_function_go_down(keep):
    net = deconv.wrap(Averages(keep).double(), "averages", 14)
    auto, _ = painted_vector(net, "auto")
    vjp, _ = painted_vector(net, "vjp")
    assert relative_error(auto, vjp) < 1e-10


def painted_vector(net, engine):
    record = net.record(randn(2, 3, 14, 14, seed=3), ["flatten"])
    units = torch.tensor([[0, 1, 0, 0], [1, 2, 0, 0]])
    return deconv.project(net, record, "flatten", units, engine=engine), record
