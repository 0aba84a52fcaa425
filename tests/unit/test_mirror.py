"""The way down against adjoints, products of dense matrices, and answers typed out by hand."""

import itertools

import pytest
import torch
import torch.nn.functional as F
from oracles import SMALL_SIZE, chain, loop_max_pool, randn, randomise, relative_error, small_stages
from torch import nn

import deconv
from deconv.deconvnet.mirror import mirror
from deconv.deconvnet.projection import ENGINES

IMAGES = randn(3, 3, *SMALL_SIZE, seed=7)


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
    stages = {
        "conv1": nn.Conv2d(3, 4, 3, stride=2, padding=1),
        "relu1": relus.get("relu1"),
        "pool1": nn.MaxPool2d(3, 2, ceil_mode=True),
        "conv2": nn.Conv2d(4, 2, 2),
        "relu2": relus.get("relu2"),
    }
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
