"""Projections against captum, hooks, dense matrices, typed-out answers, and engine for engine."""

import copy
import dataclasses
import importlib
import itertools
import types
import warnings
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
import torchvision
from captum.attr import NeuronDeconvolution
from oracles import (
    SMALL_SIZE,
    live_units,
    loop_max_pool,
    loop_unpool,
    randn,
    randomise,
    relative_error,
    small_net,
    small_stages,
    walk_down,
)
from torch import nn

import deconv
from deconv.errors import DeadUnitWarning, DeconvError
from deconv.layers import COLLISIONS
from deconv.models.chain import ChainNet
from deconv.projection import ENGINES, DeconvnetRules, vector_jacobian
from deconv.projection.mirror import mirror

IMAGES = randn(3, 3, *SMALL_SIZE, seed=7)
POINTS = small_net(norm=True).points
NORM_POINTS = ("norm1", "norm2")


@pytest.fixture(scope="module")
def plain():
    """The small net without contrast normalisation, and the record of all its points."""
    net = small_net()
    return net, net.record(IMAGES, net.points)


@pytest.fixture(scope="module")
def normed():
    """The small net with contrast normalisation, and the record of all its points."""
    net = small_net(norm=True)
    return net, net.record(IMAGES, net.points)


@pytest.fixture(scope="module")
def mini():
    """zfnet_mini on two images of 64 px, in float64, and the record of all its points."""
    net = deconv.build("zfnet_mini", 4, fc_width=8, init="he", seed=0).double()
    return net, net.record(randn(2, 3, 64, 64, seed=2) * 60, net.points)


def chain(size=None, **stages):
    net = ChainNet("chain", OrderedDict(stages), {}, size or 1)
    return net.double()


# ------------------------------------------------------------------ other libraries and oracles


@pytest.mark.parametrize("point", [p for p in POINTS if p not in NORM_POINTS])
def test_a_projection_is_captums_deconvolution_times_the_activation(plain, point):
    net, record = plain
    twin = copy.deepcopy(net)
    twin = nn.Sequential(OrderedDict(twin.named_children())).eval()
    at = len(net.stages_to(point)) - 1
    units = live_units(record.activations[point].clamp(min=0), 2)
    for unit, pixels in zip(units, deconv.project(net, record, point, units), strict=True):
        image, *place = unit.tolist()
        place = tuple(place[: record.activations[point].dim() - 1])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # captum tells of its hooks
            attribution = NeuronDeconvolution(twin, twin[at]).attribute(
                IMAGES[image : image + 1], place
            )
        expected = attribution[0] * record.activations[point][(image, *place)]
        assert expected.count_nonzero() > 0
        assert relative_error(pixels, expected.detach()) < 1e-10


@pytest.mark.parametrize("collisions", COLLISIONS)
@pytest.mark.parametrize("point", POINTS)
def test_both_engines_follow_the_definition(normed, point, collisions):
    net, record = normed
    units = live_units(record.activations[point], 3)
    assert len(units[:, 0].unique()) > 1
    expected = walk_down(net, record, point, units, collisions)
    # Zeros from other windows may erase a lone unit, but not where they are summed.
    assert expected.count_nonzero() > 0 or collisions in ("overwrite", "max")
    for engine in ENGINES:
        pixels = deconv.project(net, record, point, units, engine=engine, collisions=collisions)
        assert relative_error(pixels, expected) < 1e-10, engine


@pytest.mark.parametrize("collisions", COLLISIONS)
@pytest.mark.parametrize("point", ["conv1:z", "norm1", "conv3", "pool5", "fc6", "fc7:z", "fc8"])
def test_the_engines_agree_on_zfnet_mini(mini, point, collisions):
    net, record = mini
    units = live_units(record.activations[point], 4)
    first, second = (
        deconv.project(net, record, point, units, engine=engine, collisions=collisions)
        for engine in ENGINES
    )
    assert relative_error(first, second) < 1e-10


def test_the_engines_agree_on_zfnet():
    net = deconv.build("zfnet", 2, fc_width=2, init="he", seed=0).double()
    with torch.no_grad():
        record = net.record(randn(1, 3, 224, 224) * 60, ["conv5"], logits=False)
    units = live_units(record.activations["conv5"], 1)
    first, second = (deconv.project(net, record, "conv5", units, engine=e) for e in ENGINES)
    assert relative_error(first, second) < 1e-10


def test_the_policies_differ_where_windows_overlap(mini):
    net, record = mini
    units = live_units(record.activations["conv5"], 2)
    painted = [deconv.project(net, record, "conv5", units, collisions=c) for c in COLLISIONS]
    for one, other in itertools.combinations(painted, 2):
        assert relative_error(one, other) > 1e-3


@pytest.mark.parametrize("engine", ENGINES)
def test_torchs_own_response_norm_is_skipped_too(engine):
    net = chain(
        conv1=nn.Conv2d(3, 6, 3),
        relu1=nn.ReLU(),
        norm1=nn.LocalResponseNorm(5, alpha=2.0),
        conv2=nn.Conv2d(6, 4, 3),
        relu2=nn.ReLU(),
    )
    randomise(net)
    record = net.record(IMAGES, ["conv2"], logits=False)
    units = live_units(record.activations["conv2"], 3)
    expected = walk_down(net, record, "conv2", units)
    pixels = deconv.project(net, record, "conv2", units, engine=engine)
    assert relative_error(pixels, expected) < 1e-10


def test_contrast_norm_is_skipped_on_the_way_down(normed):
    net, record = normed
    without = ChainNet("without", small_stages(norm=False), {}, SMALL_SIZE[0]).double()
    without.load_state_dict(net.state_dict())
    for point in ("pool2", "conv3", "fc5"):
        units = live_units(record.activations[point], 4)
        pixels = deconv.project(net, record, point, units)
        assert torch.equal(pixels, deconv.project(without, record, point, units))


# ------------------------------------------------------------------ linear algebra


def without_relus():
    stages = small_stages(norm=False)
    return randomise(chain(**{n: s for n, s in stages.items() if not isinstance(s, nn.ReLU)}))


def linear_forward(net, record, point, x):
    """The chain upwards without biases, with the switches of the record in place of maxima."""
    for name, stage in net.stages_to(point):
        if isinstance(stage, nn.Conv2d):
            window = (stage.stride, stage.padding, stage.dilation, stage.groups)
            x = F.conv2d(x, stage.weight, None, *window)
        elif isinstance(stage, nn.Linear):
            x = x @ stage.weight.T
        elif isinstance(stage, nn.MaxPool2d):
            switches = record.switches[name]
            x = x.flatten(2).gather(2, switches.flatten(2)).view(switches.shape)
        else:
            x = stage(x)
    return x


@pytest.mark.parametrize("point", ["conv1:z", "pool1", "pool2", "conv3:z", "pool3", "grid", "fc5"])
def test_without_relus_the_way_down_is_the_adjoint_of_the_way_up(point):
    net = without_relus()
    record = net.record(IMAGES, [point])
    x = randn(*IMAGES.shape, seed=1)
    up = linear_forward(net, record, point, x).detach()
    y = randn(*up.shape, seed=2)
    down = mirror(net, record, point, torch.arange(len(x)), y).detach()
    assert down.shape == x.shape
    for row in range(len(x)):
        left, right = (up[row] * y[row]).sum(), (x[row] * down[row]).sum()
        assert abs(left - right) < 1e-10 * up[row].norm() * y[row].norm()


def dense_conv(stage, height, width):
    """A convolution's matrix: rows are (map, y, x) above, columns (map, y, x) below."""
    maps, below, rows, columns = stage.weight.shape
    (down, right), (top, left) = stage.stride, stage.padding
    up = [
        ((side + 2 * pad - kernel) // stride + 1)
        for side, pad, kernel, stride in (
            (height, top, rows, down),
            (width, left, columns, right),
        )
    ]
    matrix = torch.zeros(maps, *up, below, height, width, dtype=torch.float64)
    every = itertools.product(*map(range, (maps, *up, below, rows, columns)))
    for o, i, j, c, r, s in every:
        y, x = i * down - top + r, j * right - left + s
        if 0 <= y < height and 0 <= x < width:
            matrix[o, i, j, c, y, x] += stage.weight[o, c, r, s].detach()
    return matrix.flatten(3).flatten(0, 2), tuple(up)


def dense_pool(switches, height, width):
    """The matrix that selects the switches of one image, C×h×w."""
    maps, count = switches.shape[0], switches[0].numel()
    matrix = torch.zeros(maps, count, maps, height * width, dtype=torch.float64)
    for c, i in itertools.product(range(maps), range(count)):
        matrix[c, i, c, switches[c].flatten()[i]] = 1.0
    return matrix.flatten(2).flatten(0, 1)


def tiny(relu):
    relus = {f"relu{i}": nn.ReLU() for i in (1, 2)} if relu else {}
    stages = dict(
        conv1=nn.Conv2d(3, 4, 3, stride=2, padding=1),
        relu1=relus.get("relu1"),
        pool1=nn.MaxPool2d(3, 2, ceil_mode=True),
        conv2=nn.Conv2d(4, 2, 2),
        relu2=relus.get("relu2"),
    )
    return randomise(chain(**{name: stage for name, stage in stages.items() if stage}))


@pytest.mark.filterwarnings("ignore::deconv.errors.DeadUnitWarning")
@pytest.mark.parametrize("relu", [False, True])
def test_a_tiny_chain_is_the_product_of_transposed_dense_matrices(relu):
    net, images = tiny(relu), randn(2, 3, 11, 12, seed=3)
    record = net.record(images, ["conv1", "conv2"])
    first, size = dense_conv(net.conv1, 11, 12)
    second, _ = dense_conv(net.conv2, 3, 3)
    rectify = (lambda v: v.clamp(min=0)) if relu else (lambda v: v)
    assert size == (6, 6)
    for image in range(2):
        switches = loop_max_pool(record.activations["conv1"].detach(), 3, 2, ceil_mode=True)[1]
        pool = dense_pool(switches[image], 6, 6)
        units = torch.tensor([[image, c, y, x] for c in (0, 1) for y in (0, 1) for x in (0, 1)])
        pixels = deconv.project(net, record, "conv2", units, seed="one")
        for row in range(len(units)):
            signal = second.T @ torch.eye(len(units), dtype=torch.float64)[row]
            expected = first.T @ rectify(pool.T @ signal)
            assert relative_error(pixels[row].flatten(), expected) < 1e-10


# ------------------------------------------------------------------ typed-out answers


def weighted(stage, weight, bias):
    with torch.no_grad():
        stage.weight.copy_(torch.tensor(weight).view(stage.weight.shape))
        stage.bias.copy_(torch.tensor(bias))
    return stage


@pytest.mark.parametrize("engine", ENGINES)
def test_filter_pool_filter_typed_out(engine):
    net = chain(
        conv1=weighted(nn.Conv2d(3, 1, (1, 2)), [1.0, 2.0, 0.0, 0.0, -1.0, 0.0], [0.5]),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d((1, 2)),
        conv2=weighted(nn.Conv2d(1, 1, 1), [3.0], [-1.0]),
        relu2=nn.ReLU(),
    )
    red, blue = [1.0, 0.0, 2.0, 1.0, 3.0], [0.0, 0.0, 1.0, 0.0, 0.0]
    images = torch.tensor([red, [0.0] * 5, blue], dtype=torch.float64)[None, :, None]
    record = net.record(images, ["conv1", "pool1", "conv2"])
    assert record.activations["conv1"].tolist() == [[[[1.5, 4.5, 3.5, 7.5]]]]
    assert record.activations["conv2"].tolist() == [[[[12.5, 21.5]]]]
    units = torch.tensor([[0, 0, 0, 0], [0, 0, 0, 1]])
    pixels = deconv.project(net, record, "conv2", units, engine=engine)
    # 12.5 · 3 goes to position 1, 21.5 · 3 to position 3; biases play no part, blue is negative.
    assert pixels[0, :, 0].tolist() == [
        [0.0, 37.5, 75.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, -37.5, 0.0, 0.0, 0.0],
    ]
    assert pixels[1, :, 0].tolist() == [
        [0.0, 0.0, 0.0, 64.5, 129.0],
        [0.0, 0.0, 0.0, 0.0, 0.0],
        [0.0, 0.0, 0.0, -64.5, 0.0],
    ]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(("red", "activation"), [(5.0, 9.0), (-5.0, 4.0)])
def test_the_signal_is_rectified_and_the_activity_is_no_mask(engine, red, activation):
    """Green arrives negative and is cut; red arrives positive and passes, even if red was off."""
    net = chain(
        conv1=weighted(nn.Conv2d(3, 2, 1), [1.0, 0.0, 0.0, 0.0, 1.0, 0.0], [0.0, 0.0]),
        relu1=nn.ReLU(),
        conv2=weighted(nn.Conv2d(2, 1, 1), [1.0, -2.0], [10.0]),
        relu2=nn.ReLU(),
    )
    images = torch.tensor([red, 3.0, 7.0], dtype=torch.float64).view(1, 3, 1, 1)
    record = net.record(images, ["conv2"])
    assert record.activations["conv2"].item() == activation
    units = torch.zeros(1, 4, dtype=torch.int64)
    pixels = deconv.project(net, record, "conv2", units, engine=engine)
    assert pixels.flatten().tolist() == [activation, 0.0, 0.0]


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize(
    ("collisions", "shared"), [("sum", 165.0), ("max", 110.0), ("mean", 82.5), ("overwrite", 110.0)]
)
def test_two_windows_that_share_a_switch_typed_out(engine, collisions, shared):
    net = chain(
        conv1=weighted(nn.Conv2d(3, 1, 1), [1.0, 0.0, 0.0], [0.0]),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d((1, 3), (1, 2)),
        conv2=weighted(nn.Conv2d(1, 1, (1, 3)), [1.0, 2.0, 4.0], [0.0]),
        relu2=nn.ReLU(),
    )
    images = torch.zeros(1, 3, 1, 7, dtype=torch.float64)
    images[0, 0, 0] = torch.tensor([1.0, 0.0, 9.0, 3.0, 2.0, 0.0, 7.0])
    record = net.record(images, ["conv2"])
    assert record.activations["conv2"].item() == 9 + 18 + 28
    units = torch.zeros(1, 4, dtype=torch.int64)
    pixels = deconv.project(net, record, "conv2", units, engine=engine, collisions=collisions)
    assert pixels[0, 0, 0].tolist() == [0.0, 0.0, shared, 0.0, 0.0, 0.0, 220.0]
    assert pixels[0, 1:].count_nonzero() == 0


def test_the_final_pixels_keep_their_sign(plain):
    net, record = plain
    for point in POINTS:
        if point not in NORM_POINTS:
            units = live_units(record.activations[point], 8)
            assert (deconv.project(net, record, point, units) < 0).any(), point


# ------------------------------------------------------------------ properties


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("point", ["conv1", "pool1", "conv2", "norm2", "pool2", "conv3", "pool3"])
def test_nothing_is_painted_outside_the_receptive_field(normed, point, engine):
    net, record = normed
    height, width = record.activations[point].shape[2:]
    places = [(0, 0), (height - 1, width - 1), (0, width - 1), (height // 2, width // 2)]
    units = torch.tensor([[i, c, *p] for i in range(3) for c in range(4) for p in places])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeadUnitWarning)
        pixels = deconv.project(net, record, point, units, engine=engine)
    assert pixels.count_nonzero() > 0
    for unit, painted in zip(units, pixels, strict=True):
        y, x = unit[2:].tolist()
        top, left, bottom, right = deconv.receptive_field(net, point, y, x, SMALL_SIZE)
        painted[:, top:bottom, left:right] = 0
        assert painted.count_nonzero() == 0, (point, unit)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("point", ["conv1", "norm1", "conv3", "fc4", "fc5"])
def test_a_seed_of_one_changes_only_the_scale(normed, point, engine):
    net, record = normed
    units = live_units(record.activations[point].clamp(min=0), 5)
    value = record.activations[point][tuple(units[:, : record.activations[point].dim()].T)]
    ones = deconv.project(net, record, point, units, engine=engine, seed="one")
    pixels = deconv.project(net, record, point, units, engine=engine)
    assert relative_error(ones * value.view(-1, 1, 1, 1), pixels) < 1e-10
    assert relative_error(ones, walk_down(net, record, point, units, seed="one")) < 1e-10


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("point", ["conv2", "pool3", "fc4"])
def test_units_of_several_images_do_not_mix_whatever_the_chunk(normed, point, engine):
    net, record = normed
    units = live_units(record.activations[point], 5)
    together = deconv.project(net, record, point, units, engine=engine)
    for row in range(len(units)):
        alone = deconv.project(net, record, point, units[row : row + 1], engine=engine)
        assert relative_error(together[row], alone[0]) < 1e-12
        image = int(units[row, 0])
        own = net.record(IMAGES[image : image + 1], [point])
        unit = units[row : row + 1] * torch.tensor([0, 1, 1, 1])
        assert relative_error(deconv.project(net, own, point, unit)[0], alone[0]) < 1e-10
    for chunk in (2, 5, 100):
        parts = deconv.project(net, record, point, units, engine=engine, chunk=chunk)
        assert relative_error(parts, together) < 1e-12


def test_a_unit_asked_for_twice_is_painted_twice(normed):
    net, record = normed
    unit = live_units(record.activations["conv3"], 1)
    pixels = deconv.project(net, record, "conv3", unit.repeat(2, 1))
    assert torch.equal(pixels[0], pixels[1])


@pytest.mark.parametrize("engine", ENGINES)
def test_no_units_give_no_pictures(normed, engine):
    net, record = normed
    none = torch.empty(0, 4, dtype=torch.int64)
    pixels = deconv.project(net, record, "conv2", none, engine=engine)
    assert pixels.shape == (0, 3, *SMALL_SIZE)


def state(module):
    """What a module holds besides its weights, and its weights."""
    attributes = [copy.deepcopy(vars(m)) for m in module.modules()]
    for kept in attributes:
        kept.pop("_parameters"), kept.pop("_modules"), kept.pop("_buffers")
    return attributes, {key: value.clone() for key, value in module.state_dict().items()}


def assert_unchanged(module, before):
    attributes, weights = state(module)
    assert attributes == before[0]
    assert weights.keys() == before[1].keys()
    assert all(torch.equal(weights[key], before[1][key]) for key in weights)
    assert all(p.grad is None for p in module.parameters())


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("engine", ENGINES)
def test_a_projection_leaves_nothing_behind(engine, training):
    net = small_net(norm=True).train(training)
    record = net.record(IMAGES, net.points)
    before, kept = state(net), copy.deepcopy(dataclasses.asdict(detached(record)))
    units = live_units(record.activations["fc5"], 2)
    pixels = deconv.project(net, record, "fc5", units, engine=engine)
    assert not pixels.requires_grad
    assert_unchanged(net, before)
    after = dataclasses.asdict(detached(record))
    for part in ("activations", "switches"):
        assert all(torch.equal(after[part][name], kept[part][name]) for name in kept[part])
    assert torch.equal(after["images"], kept["images"])
    assert torch.is_grad_enabled()


def detached(record):
    return dataclasses.replace(
        record,
        activations={name: value.detach() for name, value in record.activations.items()},
        logits=None,
    )


@pytest.mark.parametrize("engine", ENGINES)
def test_dropout_plays_no_part_in_training_mode(engine):
    net = small_net(norm=True)
    record = net.record(IMAGES, ["fc5"])
    units = live_units(record.activations["fc5"], 3)
    expected = deconv.project(net, record, "fc5", units, engine=engine)
    net.train()
    assert torch.equal(deconv.project(net, record, "fc5", units, engine=engine), expected)


# ------------------------------------------------------------------ any graph


class Residual(nn.Module):
    """A small residual network with a branch, a concatenation and normalisations; modules only."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, padding=1)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.inner, self.outer = (nn.Conv2d(4, 4, 3, padding=1) for _ in range(2))
        self.side = nn.Conv2d(4, 3, 1)
        self.batch = nn.BatchNorm2d(4)
        self.norm = nn.LocalResponseNorm(3, alpha=1.0)
        self.top = nn.Conv2d(7, 5, 3)
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(5))

    def rectify(self, number, x):
        return self.relus[number](x)

    def forward(self, x):
        x = self.pool(self.rectify(0, self.stem(x)))
        x = x + self.batch(self.outer(self.rectify(1, self.inner(x))))
        x = self.rectify(2, x)
        x = torch.cat([x, self.rectify(3, self.side(x))], dim=1)
        return self.rectify(4, self.top(x))


def _relu_and_discard(x):
    x = x + 0
    torch.relu_(x)
    return x


RELUS = {
    "torch.relu": torch.relu,
    "by keyword": lambda x: torch.relu(input=x),
    "F.relu": F.relu,
    "F.relu by keyword": lambda x: F.relu(input=x),
    "F.relu in place": lambda x: F.relu(x, inplace=True),
    "torch.relu_": lambda x: torch.relu_(x + 0),
    "method": lambda x: x.relu(),
    "method in place": lambda x: (x + 0).relu_(),
    "module in place": nn.ReLU(inplace=True),
    "in place, result unused": _relu_and_discard,
}


class Spelled(Residual):
    """The same network with its ReLUs written in another way."""

    def __init__(self, relu):
        super().__init__()
        self.relu = relu

    def rectify(self, number, x):
        return self.relu(x)


def hooked(net, point, images, seed):
    """The deconvnet by hooks that rectify the gradient at the outputs of nn.ReLU modules."""

    def rectify(module, below, above):
        return (above[0].clamp(min=0),)

    handles = []
    for module in net.modules():
        if isinstance(module, nn.ReLU):
            # The gradient through a plain ReLU is masked by activity; a linear one is not.
            module.forward = types.MethodType(lambda self, x: _Straight.apply(x), module)
            handles.append(module.register_full_backward_hook(rectify))
    images = images.clone().requires_grad_()
    values = point(images)
    (pixels,) = torch.autograd.grad(values, images, seed(values.detach()))
    for handle in handles:
        handle.remove()
    return pixels


class _Straight(torch.autograd.Function):
    """ReLU forwards, identity backwards."""

    @staticmethod
    def forward(ctx, x):
        return torch.where(x > 0, x, 0.0)

    @staticmethod
    def backward(ctx, signal):
        return signal


def centre_unit(values):
    """The seed that keeps the strongest unit of each row."""
    flat = values.flatten(1)
    signal = torch.zeros_like(flat)
    at = flat.argmax(1, keepdim=True)
    return signal.scatter(1, at, flat.gather(1, at)).view_as(values)


def residual_oracle(images):
    """The residual net by hooks; its response norm replaced by a constant, hence skipped."""
    net = randomise(Residual())
    return hooked(net, net, images, centre_unit)


@pytest.mark.parametrize("spelling", RELUS)
def test_any_spelling_of_relu_on_a_residual_graph(spelling):
    net = Spelled(RELUS[spelling])
    reference = randomise(Residual())
    net.double().eval().load_state_dict(reference.state_dict())
    images = randn(2, 3, 12, 13, seed=5)
    expected = residual_oracle(images)
    before = state(net)
    pixels = vector_jacobian(net, images, centre_unit)
    assert relative_error(pixels, expected) < 1e-10
    assert_unchanged(net, before)
    with DeconvnetRules():
        values = net(images)
    assert torch.equal(values, reference(images))


def test_the_deconvnet_is_not_the_gradient_on_a_residual_graph():
    net, images = randomise(Residual()), randn(1, 3, 12, 13, seed=5).requires_grad_()
    (gradient,) = torch.autograd.grad(net(images), images, centre_unit(net(images).detach()))
    pixels = vector_jacobian(net, images, centre_unit)
    assert relative_error(pixels, gradient) > 1e-2


def test_the_rules_end_with_their_context():
    net, images = randomise(Residual()), randn(1, 3, 12, 13, seed=5).requires_grad_()

    def gradient():
        return torch.autograd.grad(net(images).square().sum(), images)[0]

    expected = gradient()
    vector_jacobian(net, images, centre_unit)
    assert torch.equal(gradient(), expected)

    def broken(x):
        raise KeyError("broken")

    with pytest.raises(KeyError):
        vector_jacobian(broken, images, centre_unit)
    assert torch.equal(gradient(), expected)
    assert images.grad is None


@pytest.mark.parametrize("weights_need_gradients", [True, False])
def test_vector_jacobian_works_without_gradient_mode(weights_need_gradients):
    net, images = randomise(Residual()), randn(1, 3, 12, 13, seed=5)
    expected = vector_jacobian(net, images, centre_unit)
    net.requires_grad_(weights_need_gradients)
    with torch.no_grad():
        assert torch.equal(vector_jacobian(net, images, centre_unit), expected)


POOL_CALLS = {
    "function": lambda x: F.max_pool2d(x, 3, 2, 1),
    "keywords": lambda x: F.max_pool2d(input=x, kernel_size=3, stride=2, padding=1),
    "torch": lambda x: torch.max_pool2d(x, 3, 2, 1),
    "module": nn.MaxPool2d(3, 2, 1),
    "with indices": lambda x: F.max_pool2d(x, 3, 2, 1, return_indices=True)[0],
    "indices function": lambda x: F.max_pool2d_with_indices(x, 3, 2, 1)[0],
}


@pytest.mark.parametrize("collisions", COLLISIONS)
@pytest.mark.parametrize("spelling", POOL_CALLS)
def test_any_spelling_of_max_pool_follows_the_policy(spelling, collisions):
    images = randn(2, 3, 8, 9)
    values, switches = loop_max_pool(images, 3, 2, 1)
    signal = randn(*values.shape, seed=1)
    below = vector_jacobian(POOL_CALLS[spelling], images, lambda _: signal, collisions)
    assert relative_error(below, loop_unpool(signal, switches, (8, 9), collisions)) < 1e-12


@pytest.mark.parametrize(
    "spelling",
    [
        lambda x: F.local_response_norm(x, 3, 1.0),
        lambda x: F.local_response_norm(input=x, size=3, alpha=1.0),
        nn.LocalResponseNorm(3, 1.0),
    ],
    ids=["function", "keywords", "module"],
)
def test_any_spelling_of_response_norm_is_skipped(spelling):
    images = randn(2, 3, 4, 5)
    signal = randn(*images.shape, seed=1)
    seen = []
    below = vector_jacobian(spelling, images, lambda values: (seen.append(values), signal)[1])
    assert torch.equal(below, signal)
    assert relative_error(seen[0], nn.LocalResponseNorm(3, 1.0)(images)) < 1e-14


def up_to(net, last):
    """Images to the output of the child `last` of a torchvision ResNet."""

    def point(images):
        x = images
        for name, child in net.named_children():
            x = child(x)
            if name == last:
                return x

    return point


def test_resnet18_equals_the_hooks():
    torch.manual_seed(0)
    net = torchvision.models.resnet18(num_classes=2).double().eval()
    twin = copy.deepcopy(net)
    for module in twin.modules():
        if isinstance(module, nn.ReLU):
            module.inplace = False
    images, before = randn(2, 3, 64, 64), state(net)
    pixels = vector_jacobian(up_to(net, "layer3"), images, centre_unit)
    assert_unchanged(net, before)
    assert pixels.shape == images.shape and pixels.isfinite().all()
    assert relative_error(pixels, hooked(twin, up_to(twin, "layer3"), images, centre_unit)) < 1e-10


def test_googlenet_with_functional_relus_equals_replaced_functions(monkeypatch):
    net = torchvision.models.GoogLeNet(num_classes=2, aux_logits=False, init_weights=False)
    randomise(net)
    images, before = randn(1, 3, 64, 64), state(net)
    pixels = vector_jacobian(net, images, torch.ones_like)
    assert_unchanged(net, before)
    assert pixels.isfinite().all()

    class Rectified(_Straight):
        @staticmethod
        def backward(ctx, signal):
            return signal.clamp(min=0)

    replaced = types.SimpleNamespace(relu=lambda x, inplace: Rectified.apply(x))
    module = importlib.import_module("torchvision.models.googlenet")
    monkeypatch.setattr(module, "F", replaced)
    leaf = images.clone().requires_grad_()
    (expected,) = torch.autograd.grad(net(leaf).sum(), leaf)
    assert relative_error(pixels, expected) < 1e-10


# ------------------------------------------------------------------ refusals and warnings


@pytest.mark.parametrize(
    "unit", [(3, 0, 0, 0), (0, 6, 0, 0), (0, 0, 5, 0), (0, 0, 0, 5), (-1, 0, 0, 0), (0, 0, -1, 0)]
)
def test_a_unit_outside_its_map_is_refused_with_the_numbers(normed, unit):
    net, record = normed
    units = torch.tensor([(0, 0, 0, 0), unit])
    said = rf"{unit} is outside conv2, which has 6 maps of 5×5 for each of 3 images"
    with pytest.raises(DeconvError, match=said.replace("(", r"\(").replace(")", r"\)")):
        deconv.project(net, record, "conv2", units)


def test_a_fully_connected_unit_has_y_and_x_zero(normed):
    net, record = normed
    with pytest.raises(DeconvError, match=r"fc4, which has 7 maps of 1×1"):
        deconv.project(net, record, "fc4", torch.tensor([[0, 0, 0, 1]]))


@pytest.mark.parametrize(
    ("units", "message"),
    [
        ([(0, 0, 0, 0)], "units must be a K×4 integer tensor"),
        (torch.zeros(4, dtype=torch.int64), "K×4"),
        (torch.zeros(1, 3, dtype=torch.int64), "K×4"),
        (torch.zeros(1, 1, 4, dtype=torch.int64), "K×4"),
        (torch.zeros(1, 4), "integers.*torch.float32"),
        (torch.zeros(1, 4, dtype=torch.bool), "integers.*torch.bool"),
        (torch.zeros(1, 4, dtype=torch.complex128), "integers.*torch.complex128"),
    ],
)
def test_units_of_a_wrong_shape_or_type_are_refused(normed, units, message):
    net, record = normed
    with pytest.raises(DeconvError, match=message):
        deconv.project(net, record, "conv2", units)


def test_a_layer_that_was_not_recorded_is_refused_with_those_that_were(normed):
    net, _ = normed
    record = net.record(IMAGES, ["conv1", "conv3"])
    with pytest.raises(DeconvError, match=r"no 'conv2'; record it .*it has conv1, conv3"):
        deconv.project(net, record, "conv2", torch.zeros(1, 4, dtype=torch.int64))


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("point", ["conv1", "conv3"])
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"engine": "miror"}, "unknown projection engine 'miror'. Did you mean 'mirror'.*vjp"),
        ({"seed": "ones"}, "unknown seed 'ones'. Did you mean 'one'.*activation"),
        ({"collisions": "summ"}, "unknown collision policy 'summ'. Did you mean 'sum'.*mean"),
        ({"chunk": 0}, "chunk"),
        ({"layer": "conv9"}, "unknown layer of small 'conv9'"),
    ],
)
def test_unknown_options_are_named_with_the_nearest_ones(normed, engine, point, arguments, message):
    net, record = normed
    units = live_units(record.activations[point], 1)
    arguments = {"engine": engine, "layer": point} | arguments
    with pytest.raises(DeconvError, match=message):
        deconv.project(net, record, units=units, **arguments)


def test_an_unknown_policy_is_refused_by_the_rules():
    with pytest.raises(DeconvError, match="unknown collision policy 'summ'"):
        DeconvnetRules("summ")


def test_the_mirror_names_a_stage_that_it_cannot_go_down_through():
    net = chain(conv1=nn.Conv2d(3, 2, 1), act1=nn.Sigmoid(), conv2=nn.Conv2d(2, 2, 1))
    record = net.record(randn(1, 3, 4, 4), ["conv2"])
    units = torch.zeros(1, 4, dtype=torch.int64)
    with pytest.raises(DeconvError, match="no way down through Sigmoid; use engine='vjp'"):
        deconv.project(net, record, "conv2", units)
    assert deconv.project(net, record, "conv2", units, engine="vjp").count_nonzero() > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_dead_units_are_blank_and_warned_of_at_the_callers_line(normed, engine):
    net, record = normed
    dead = (record.activations["conv2"] == 0).nonzero()[:5]
    units = torch.cat([dead, live_units(record.activations["conv2"], 1)])
    with pytest.warns(DeadUnitWarning, match="5 of 6 units of conv2 have activation 0") as seen:
        pixels = deconv.project(net, record, "conv2", units, engine=engine)
    assert str(tuple(dead[0].tolist())) in str(seen[0].message)
    assert seen[0].filename == __file__
    assert pixels[:5].count_nonzero() == 0
    assert pixels[5].count_nonzero() > 0


@pytest.mark.parametrize("engine", ENGINES)
def test_a_seed_of_one_paints_dead_units_and_warns_of_none(normed, engine):
    net, record = normed
    dead = (record.activations["conv3"] == 0).nonzero()[:3]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pixels = deconv.project(net, record, "conv3", dead, engine=engine, seed="one")
    assert relative_error(pixels, walk_down(net, record, "conv3", dead, seed="one")) < 1e-10
    assert pixels.flatten(1).any(1).all()


def test_live_units_are_not_warned_of(normed):
    net, record = normed
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for point in net.points:
            deconv.project(net, record, point, live_units(record.activations[point], 4))
