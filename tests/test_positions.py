"""Receptive fields through functions of every spelling: what a NaN reaches, or an error."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from oracles import positions_reached
from torch import nn

import deconv
from deconv.errors import DeconvError, NoRuleWarning
from deconv.models.kinds import BATCH_NORM, NO_RULE, RECTIFY

PX = 14


class Between(nn.Module):
    """Two convolutions with something between them, and logits."""

    def __init__(self, between, maps=4, first=None):
        super().__init__()
        self.a = first or nn.Conv2d(3, 4, 3, stride=1, padding=1)
        self.b = nn.Conv2d(maps, 2, 3)
        self.middle = between if isinstance(between, nn.Module) else None
        self.between = between

    def forward(self, x):
        return self.b(self.between(self.a(x))).flatten(1)[:, :5]


def net_with(between, maps=4, first=None):
    torch.manual_seed(0)
    return deconv.wrap(Between(between, maps, first).double(), "odd", PX)


def shuffled(x):
    n, c, h, w = x.shape
    return x.view(n, 2, c // 2, h, w).transpose(1, 2).reshape(n, c, h, w)


def gate(x):
    """Per-map weights, as squeeze and excitation has them, in vectors and back."""
    return x + x.mean((2, 3))[:, :, None, None]


def batch_norm(x):
    return F.batch_norm(x, torch.zeros(4).double(), torch.ones(4).double())


def last(x):
    return F.layer_norm(x.permute(0, 2, 3, 1), (4,)).permute(0, 3, 1, 2)


KNOWN = {
    "F.pad": (lambda x: F.pad(x, (1, 2, 0, 3)), 4),
    "F.pad of maps": (lambda x: F.pad(x, (0, 0, 0, 0, 1, 1)), 6),
    "F.pad crops": (lambda x: F.pad(x, (-1, 2, -2, 0)), 4),
    "F.pad reflects": (lambda x: F.pad(x, (3, 1, 2, 5), mode="reflect"), 4),
    "ReflectionPad2d": (nn.ReflectionPad2d((4, 1, 0, 5)), 4),
    "CircularPad2d": (nn.CircularPad2d(2), 4),
    "ReplicationPad2d": (nn.ReplicationPad2d(3), 4),
    "ZeroPad2d": (nn.ZeroPad2d((2, 0, 1, 3)), 4),
    "slice": (lambda x: x[:, :, 2:, 3:], 4),
    "slice with step": (lambda x: x[..., 1:-1:2, 2::3], 4),
    "slice of maps": (lambda x: x[:, 1:3], 2),
    "choice of maps": (lambda x: x[:, [2, 0]], 2),
    "chunk": (lambda x: torch.cat(x.chunk(2, 1)[::-1], 1), 4),
    "split": (lambda x: torch.split(x, [1, 3], dim=1)[1], 3),
    "shuffle": (shuffled, 4),
    "channels last": (last, 4),
    "gate": (gate, 4),
    "neg and scale": (lambda x: -x * 2 / 3 + x, 4),
    "batch_norm": (batch_norm, 4),
    "torch.batch_norm": (
        lambda x: torch.batch_norm(x, None, None, torch.zeros(4).double(),
                                   torch.ones(4).double(), False, 0.1, 1e-5, False), 4),
    "hardtanh": (lambda x: F.hardtanh(x, 0.0, 6.0), 4),
    "spatial attention": (lambda x: x * x.mean(1, keepdim=True), 4),
    "pool by position": (lambda x: torch.max_pool2d(x, 3, 2, 1), 4),
    "F.avg_pool2d": (lambda x: F.avg_pool2d(x, 3, 2), 4),
    "filters": (lambda x: F.conv2d(x, torch.ones(4, 4, 3, 2).double(), None, 1, (1, 2)), 4),
    "identity view": (lambda x: x.view(x.shape), 4),
}  # fmt: skip


def assert_seen_is_reached(net, point):
    for axis in (0, 1):
        reached = positions_reached(net, point, axis, PX).numpy()
        for unit in range(reached.shape[1]):
            found = net.support(point, axis, unit, (PX, PX))
            np.testing.assert_array_equal(found, reached[:, unit].nonzero()[0], err_msg=str(unit))


@pytest.mark.parametrize("name", KNOWN)
def test_what_is_known_is_what_a_nan_reaches(name):
    net = net_with(*KNOWN[name])
    assert_seen_is_reached(net, "b")
    if name == "gate":
        return
    for axis in (0, 1):
        size, stride, start = net.interior("b", axis)
        seen, low = net.support("b", axis, 3, (80, 80)), start + 3 * stride
        assert low < 0 or (seen[0], seen[-1]) == (low, low + size - 1), "away from the borders"


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [1, 3])
def test_convolutions_that_pad_with_the_image_see_what_they_padded_with(mode, padding):
    first = nn.Conv2d(3, 4, 3, padding=padding, padding_mode=mode)
    assert_seen_is_reached(net_with(lambda x: x.relu(), first=first), "b")


@pytest.mark.parametrize("kernel", [3, 4, (2, 5)])
def test_padding_by_name_may_differ_from_side_to_side(kernel):
    first = nn.Conv2d(3, 4, kernel, padding="same", dilation=(1, 2))
    assert_seen_is_reached(net_with(lambda x: x.relu(), first=first), "b")


UNKNOWN = {
    "transpose": lambda x: x.transpose(2, 3),
    "permute": lambda x: x.permute(0, 1, 3, 2),
    "order of rows": lambda x: x[:, :, list(range(PX))[::-1]],
    "rows one by one": lambda x: torch.cat([x, x], 2),
    "images": lambda x: torch.cat([x, x], 0).chunk(2, 0)[0],
    "halves of rows": lambda x: x.chunk(2, 2)[0],
    "maps into rows": lambda x: x.reshape(x.shape[0], 4, PX // 2, PX * 2),
    "mean of rows": lambda x: x - x.mean(2, keepdim=True),
    "a fixed end": lambda x: x[:, :, :9],
    "tokens": lambda x: x.flatten(2).view(-1, 4, PX, PX),
    "along columns": nn.Linear(PX, PX),
    "interpolate": lambda x: F.interpolate(x, scale_factor=2.0),
    "Upsample": nn.Upsample(scale_factor=2),
    "ConvTranspose2d": nn.ConvTranspose2d(4, 4, 2),
    "softmax": lambda x: x.softmax(2),
    "pool of pairs": lambda x: F.max_pool2d(x, 2, return_indices=True)[0],
    "grown by weights": lambda x: x.mean((2, 3), keepdim=True) + torch.ones(1, 1, PX, PX).double(),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_what_is_not_known_is_refused_by_the_name_of_its_step(name):
    net = net_with(UNKNOWN[name])
    with pytest.raises(DeconvError, match=r"receptive field through .* is not known") as error:
        net.support("b", 0, 2, (PX, PX))
    with pytest.raises(DeconvError, match="is not known"):
        net.interior("b", 0)
    assert any(step.name in str(error.value) for step in net.steps_to("b"))
    assert net.support("a", 0, 2, (PX, PX)).tolist() == [1, 2, 3], "below it all is known"


def test_a_flattened_vector_looks_at_all_that_was_flattened():
    net = net_with(lambda x: x[:, :, 4:, 4:])
    assert_seen_is_reached(net, "flatten")
    with pytest.raises(DeconvError, match="depends on the image's size"):
        net.interior("flatten", 0)


def test_timm_s_normalisation_by_function_has_a_rule_and_a_field():
    timm = pytest.importorskip("timm")
    net = deconv.wrap(timm.create_model("densenet121").double(), "densenet121", 32)
    point = "features.transition1.conv"
    steps = net.steps_to(point)
    assert NO_RULE not in {step.kind for step in steps}
    assert BATCH_NORM in {step.kind for step in steps if step.what == "batch_norm"}
    reached = positions_reached(net, point, 0, 32)
    for unit in (0, 3, 7):
        found = net.support(point, 0, unit, (32, 32))
        np.testing.assert_array_equal(found, reached[:, unit].nonzero().flatten())


@pytest.mark.parametrize(
    ("spelling", "kind"),
    [
        (nn.Hardtanh(0, 6), RECTIFY),
        (nn.Hardtanh(), NO_RULE),
        (lambda x: F.hardtanh(x, 0, 6), RECTIFY),
        (lambda x: F.hardtanh(x, min_val=0, max_val=6), RECTIFY),
        (lambda x: F.hardtanh(x, -1, 6), NO_RULE),
        (batch_norm, BATCH_NORM),
    ],
)
def test_saturating_rectifiers_are_rectifiers_where_they_begin_at_0(spelling, kind):
    net = net_with(spelling)
    assert {"a", "b"} < net.steps.keys()
    assert [step.kind for step in net.steps_to("b")][1:-1] == [kind]
    # The engine must agree with the account: the rectified signal is not the derivative.
    record = net.record(torch.randn(1, 3, PX, PX).double() * 4, ["b"])
    units = torch.tensor([[0, 0, 2, 2]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = deconv.project(net, record, "b", units, seed="one")
    assert [w.category for w in caught] == [NoRuleWarning] * (kind == NO_RULE)
    plain = deconv.project(net, record, "b", units, seed="one", rule="gradient")
    assert torch.allclose(found, plain) == (kind != RECTIFY)
