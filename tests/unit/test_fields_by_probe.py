"""Receptive fields by a probe, through functions of every spelling: what a NaN reaches."""

import warnings

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchvision
from mostly_slow import mostly_slow
from oracles import positions_reached
from torch import nn

import deconv
from deconv.errors import NoRuleWarning
from deconv.fields import WholeImage, box_of, receptive_field, sizes, support, unclipped_field
from deconv.networks.chain import window
from deconv.rules.normalisation import BATCH
from deconv.rules.rectification import RECTIFY

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
        lambda x: torch.batch_norm(
            x, None, None, torch.zeros(4).double(), torch.ones(4).double(), False, 0.1, 1e-5, False
        ),
        4,
    ),
    "hardtanh": (lambda x: F.hardtanh(x, 0.0, 6.0), 4),
    "spatial attention": (lambda x: x * x.mean(1, keepdim=True), 4),
    "pool by position": (lambda x: torch.max_pool2d(x, 3, 2, 1), 4),
    "F.avg_pool2d": (lambda x: F.avg_pool2d(x, 3, 2), 4),
    "filters": (lambda x: F.conv2d(x, torch.ones(4, 4, 3, 2).double(), None, 1, (1, 2)), 4),
    "identity view": (lambda x: x.view(x.shape), 4),
    "transpose": (lambda x: x.transpose(2, 3), 4),
    "permute": (lambda x: x.permute(0, 1, 3, 2), 4),
    "order of rows": (lambda x: x[:, :, list(range(PX))[::-1]], 4),
    "rows one by one": (lambda x: torch.cat([x, x], 2), 4),
    "halves of rows": (lambda x: x.chunk(2, 2)[0], 4),
    "maps into rows": (lambda x: x.reshape(x.shape[0], 4, PX // 2, PX * 2), 4),
    "mean of rows": (lambda x: x - x.mean(2, keepdim=True), 4),
    "a fixed end": (lambda x: x[:, :, :9], 4),
    "tokens": (lambda x: x.flatten(2).view(-1, 4, PX, PX), 4),
    "along columns": (nn.Linear(PX, PX), 4),
    "interpolate": (lambda x: F.interpolate(x, scale_factor=2.0), 4),
    "bilinear": (lambda x: F.interpolate(x, size=(9, 20), mode="bilinear"), 4),
    "Upsample": (nn.Upsample(scale_factor=2), 4),
    "ConvTranspose2d": (nn.ConvTranspose2d(4, 4, 2, 3), 4),
    "softmax": (lambda x: x.softmax(2), 4),
    "pool of pairs": (lambda x: F.max_pool2d(x, 2, return_indices=True)[0], 4),
    "pool with padding and ceil": (nn.MaxPool2d(3, 2, 1, ceil_mode=True), 4),
    "dilated pool": (nn.MaxPool2d(2, 2, 0, 3), 4),
    "adaptive pool": (lambda x: F.adaptive_max_pool2d(x, 5), 4),
    "largest of a map": (lambda x: x + x.amax((2, 3), keepdim=True), 4),
    "difference of twins": (lambda x: x[:, :2] - x[:, 2:], 2),
    "roll": (lambda x: x.roll(3, 2), 4),
    "shuffled pixels": (lambda x: F.pixel_unshuffle(x, 2), 16),
    "group norm": (nn.GroupNorm(2, 4), 4),
    "instance norm": (nn.InstanceNorm2d(4), 4),
    "squares": (lambda x: x * x, 4),
    "saturated": (lambda x: F.hardswish(x - 100) + F.hardtanh(x - 100), 4),
    "either": (lambda x: torch.where(x > 0, x, 0.1 * x), 4),
    "custom": (lambda x: Custom.apply(x), 4),
}


class Custom(torch.autograd.Function):
    """An operation that PyTorch's functions know nothing of."""

    @staticmethod
    def forward(ctx, x):
        return x.exp()

    @staticmethod
    def backward(ctx, signal):
        return signal


class Attention(nn.Module):
    """Every position looks at every other."""

    def __init__(self):
        super().__init__()
        self.heads = nn.MultiheadAttention(4, 2, batch_first=True)

    def forward(self, x):
        tokens = x.flatten(2).transpose(1, 2)
        return self.heads(tokens, tokens, tokens)[0].transpose(1, 2).view(x.shape)


KNOWN["attention"] = (Attention(), 4)


def boxes_reached(net, point):
    """rows × columns × 4: the box of pixels whose NaN reaches each unit, by one pass a row and
    column of the image."""
    rows, columns = (positions_reached(net, point, axis, PX) for axis in (0, 1))
    some = [
        sorted({0, 1, n // 2, n - 2, n - 1} & {*range(n)})
        for n in (rows.shape[1], columns.shape[1])
    ]
    for y in some[0]:
        for x in some[1]:
            at = [reached[:, u].nonzero().flatten() for reached, u in ((rows, y), (columns, x))]
            ends = [(int(a[0]), int(a[-1]) + 1) if len(a) else (0, 0) for a in at]
            box = (ends[0][0], ends[1][0], ends[0][1], ends[1][1])
            yield y, x, (0, 0, 0, 0) if box[0] == box[2] or box[1] == box[3] else box


def assert_seen_is_reached(net, point):
    for y, x, box in boxes_reached(net, point):
        assert receptive_field(net, point, y, x, (PX, PX)) == box, (y, x)


SLOW = pytest.param("attention", marks=pytest.mark.slow)  # each unit sees all others


@pytest.mark.parametrize("name", [*(name for name in KNOWN if name != "attention"), SLOW])
def test_a_field_is_what_a_nan_reaches(name):
    net = net_with(*KNOWN[name])
    if name in ("transpose", "permute"):
        assert receptive_field(net, "b", 1, 5, (PX, PX)) == (4, 0, 9, 5)
        return
    if name == "maps into rows":
        assert receptive_field(net, "a", 2, 2, (PX, PX)) == (1, 1, 4, 4)
        return
    assert_seen_is_reached(net, "b")


class Rectified(torch.autograd.Function):
    """A ReLU of a user's own, whose derivative is 0 for half of all images."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x > 0)
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx, signal):
        return signal * ctx.saved_tensors[0]


OTHERS = {
    "cosine": (lambda x: F.normalize(x, dim=1), (3, 3, 8, 8)),
    "where": (lambda x: torch.where(x > 0, x, 0 * x), (3, 3, 8, 8)),
    "masked_fill": (lambda x: x.masked_fill(x < 0, 0), (3, 3, 8, 8)),
    "custom ReLU": (lambda x: Rectified.apply(x), (3, 3, 8, 8)),
    "PReLU": (nn.PReLU(4), (3, 3, 8, 8)),
    "softplus": (lambda x: F.softplus(x, 2.0), (3, 3, 8, 8)),
    "median": (
        lambda x: F.pad(
            F.unfold(F.pad(x, (1,) * 4), 3).view(len(x), 4, 9, PX, PX).median(2).values, (0,) * 4
        ),
        (2, 2, 9, 9),
    ),
    "instance norm of statistics": (nn.InstanceNorm2d(4, track_running_stats=True), (3, 3, 8, 8)),
}


@pytest.mark.parametrize("name", OTHERS)
def test_fields_through_what_a_nan_does_not_pass(name):
    """By hand: 3×3, what is named, 3×3 without padding."""
    between, box = OTHERS[name]
    assert receptive_field(net_with(between), "b", 4, 4, (PX, PX)) == box


@pytest.mark.parametrize(
    ("stages", "px", "unit", "box"),
    [
        ((nn.Conv2d(3, 4, 3, 2, 1), nn.ZeroPad2d((1, 0, 0, 0))), 17, (0, 1), (0, 0, 2, 2)),
        (
            (nn.MaxPool2d(2, 3), nn.Conv2d(3, 4, 1), nn.ZeroPad2d((3, 1, 1, 0))),
            16,
            (1, 3),
            (0, 0, 2, 2),
        ),
        # Rows -3, -1, 1 and 3: the first pixel is no part of what the corner would see.
        ((nn.Conv2d(3, 4, (4, 1), (1, 3), 3, (2, 1)),), (23, 5), (0, 1), (1, 0, 4, 1)),
    ],
)
def test_corners_that_see_padding_alone_hide_no_border(stages, px, unit, box):
    made = nn.Sequential(*stages, nn.AdaptiveAvgPool2d(1), nn.Flatten())
    size = px if isinstance(px, tuple) else (px, px)
    net = deconv.wrap(made, "padded", max(size))
    assert net.field(str(len(stages) - 1), *unit, size) == box


@pytest.mark.parametrize("name", ["F.pad", "slice of maps", "shuffle", "neg and scale", "filters"])
def test_fields_without_clipping_are_those_of_a_large_image(name):
    net = net_with(*KNOWN[name])
    big = receptive_field(net, "b", 20, 30, (80, 80))
    assert unclipped_field(net, "b", 20, 30, (PX, PX)) == big
    assert unclipped_field(net, "b", 20, 30, (80, 80)) == big


@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
@pytest.mark.parametrize("padding", [1, 3])
def test_convolutions_that_pad_with_the_image_see_what_they_padded_with(mode, padding):
    first = nn.Conv2d(3, 4, 3, padding=padding, padding_mode=mode)
    assert_seen_is_reached(net_with(lambda x: x.relu(), first=first), "b")


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths")
@pytest.mark.parametrize("kernel", [3, 4, (2, 5)])
def test_padding_by_name_may_differ_from_side_to_side(kernel):
    first = nn.Conv2d(3, 4, kernel, padding="same", dilation=(1, 2))
    assert_seen_is_reached(net_with(lambda x: x.relu(), first=first), "b")


def test_filters_of_zeros_are_looked_at_all_the_same():
    net = net_with(lambda x: x.relu())
    nn.init.zeros_(net.module.a.weight)
    assert receptive_field(net, "b", 3, 4, (PX, PX)) == (2, 3, 7, 8)


def test_what_sees_everything_has_no_size_of_its_own():
    net = net_with(lambda x: x[:, :, 4:, 4:])
    with pytest.raises(WholeImage, match="depends on the image's size"):
        net.interior("flatten", 0)
    assert receptive_field(net, "flatten", 0, 0, (PX, PX)) == (3, 3, PX, PX)
    assert unclipped_field(net_with(gate), "b", 2, 2, (PX, PX)) == (0, 0, PX, PX)


@pytest.mark.parametrize("name", mostly_slow(["resnet18", "densenet121"]))
def test_a_deep_field_is_larger_than_the_image_and_found(name):
    """The law of a layer whose units all reach over the image, against interval arithmetic."""
    net = deconv.wrap(torchvision.models.get_model(name, weights=None, num_classes=3), name, 64)
    point, wanted = {
        "resnet18": ("layer3", (211, 16, -105)),
        # 7/2, 3/2, six of 3×3 at 4 px, 2/2, twelve of 3×3 at 8 px: 7 + 4 + 48 + 4 + 192
        "densenet121": ("features.transition2.conv", (255, 8, -125)),
    }[name]
    assert net.interior(point, 0) == net.interior(point, 1) == wanted


def test_fields_grow_with_the_image_where_padding_follows_its_size():
    """TensorFlow's padding depends on the parity of the image's size."""
    timm = pytest.importorskip("timm")
    net = deconv.wrap(timm.create_model("tf_efficientnet_lite0").double(), "e", 32)
    for size in (32, 33):
        for axis in (0, 1):
            reached = positions_reached(net, "blocks.1.0.conv_dw", axis, size)
            for unit in (0, 3, reached.shape[1] - 1):
                box = net.field("blocks.1.0.conv_dw", unit, unit, (size, size))
                at = reached[:, unit].nonzero().flatten()
                assert (box[axis], box[axis + 2]) == (int(at[0]), int(at[-1]) + 1), (size, unit)


@pytest.mark.parametrize(
    ("spelling", "entry"),
    [
        (nn.Hardtanh(0, 6), RECTIFY),
        (nn.Hardtanh(), None),
        (lambda x: F.hardtanh(x, 0, 6), RECTIFY),
        (lambda x: F.hardtanh(x, min_val=0, max_val=6), RECTIFY),
        (lambda x: F.hardtanh(x, -1, 6), None),
        (lambda x: x.clamp(min=0), RECTIFY),
        (lambda x: x.clamp(0, 6), RECTIFY),
        (lambda x: x.clamp(-1, 6), None),
        (lambda x: torch.clamp_min(x, 0), RECTIFY),
        (batch_norm, BATCH),
    ],
)
def test_saturating_rectifiers_are_rectifiers_where_they_begin_at_0(spelling, entry):
    net = net_with(spelling)
    (between,) = [ran for ran in net.calls.ran if ran.name not in ("a", "b", "flatten", "getitem")]
    assert between.known == (entry is not None)
    assert entry is None or between.operation is entry
    # The engine must agree with the account: the rectified signal is not the derivative.
    record = net.record(torch.randn(1, 3, PX, PX).double() * 4, ["b"])
    units = torch.tensor([[0, 0, 2, 2]])
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = deconv.project(net, record, "b", units, seed="one")
    assert [w.category for w in caught] == [NoRuleWarning] * (entry is None)
    plain = deconv.project(net, record, "b", units, seed="one", rule="gradient")
    assert torch.allclose(found, plain) == (entry is not RECTIFY)


def random_chain(draw):
    """Stages of a chain with random kernels, strides, paddings and pools; the images' side."""
    stages, maps = [], 3
    for _ in range(draw.integers(1, 5)):
        kernel, stride = int(draw.integers(1, 5)), int(draw.integers(1, 4))
        kind = draw.integers(4)
        if kind == 0:
            padding = tuple(int(n) for n in draw.integers(0, 4, 4))
            stages.append(nn.ZeroPad2d(padding))
        elif kind == 1:
            ceil = bool(draw.integers(2))
            stages.append(
                nn.MaxPool2d(kernel, stride, int(draw.integers(kernel // 2 + 1)), ceil_mode=ceil)
            )
        else:
            stages.append(nn.Conv2d(maps, 4, kernel, stride, int(draw.integers(4))))
            maps = 4
    return stages, int(draw.integers(14, 30))


@pytest.mark.parametrize("seed", mostly_slow([*range(23, 60), *range(23)], first=20))
def test_the_probe_and_the_arithmetic_of_chains_agree(seed):
    stages, side = random_chain(np.random.default_rng(seed))
    chain = nn.Sequential(*stages)
    axes = [[w[a] for s in stages if (w := window(s)) is not None] for a in (0, 1)]
    count = [sizes(axes[a], side)[-1] for a in (0, 1)]
    if min(n for a in (0, 1) for n in sizes(axes[a], side)) < 1:
        return  # too small for its stages
    net = deconv.wrap(nn.Sequential(chain, nn.AdaptiveAvgPool2d(1), nn.Flatten()), "c", side)
    for y in range(count[0]):
        for x in range(count[1]):
            rows, columns = (support(axes[a], (y, x)[a], side) for a in (0, 1))
            assert net.field("0", y, x, (side, side)) == box_of(rows, columns), (stages, y, x)
