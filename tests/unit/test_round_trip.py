"""What stands between the stages of a way up and down, and which maps and windows are shown."""

import itertools
from collections import OrderedDict

import pytest
import torch
from oracles import SMALL_SIZE, randn, relative_error, small_net
from torch import nn

import deconv
from deconv.deconvnet.pool_windows import pool_detail
from deconv.deconvnet.round_trip import (
    Level,
    leading_maps,
    map_points,
    round_trip,
    strongest_unit,
)
from deconv.errors import DeconvError
from deconv.fields import Axis
from deconv.networks.chain import ChainNet

IMAGE = randn(1, 3, *SMALL_SIZE, seed=9)


def trip(layer, unit=None):
    net = small_net(norm=True)
    record = net.record(IMAGE, list(map_points(net, layer).values()))
    unit = unit or strongest_unit(record.activations[layer][0])
    return net, record, unit, round_trip(net, record, layer, unit)


@pytest.mark.parametrize("layer", ["conv1:z", "conv2", "pool2", "conv3", "pool3", "grid"])
def test_levels_stand_between_the_stages_of_a_plain_pass(layer):
    net, _, unit, levels = trip(layer)
    x, wanted = IMAGE, {"": IMAGE}
    for name, stage in net.stages_to(layer):
        x = stage(x).detach()
        wanted[name] = x
    assert levels[-1].point == layer and levels[0].point == "image"
    assert [level.stage for level in levels] == list(wanted)
    for level in levels:
        assert relative_error(level.up, wanted[level.stage][0]) < 1e-12
        assert level.down.shape == level.up.shape
        assert (level.switches is not None) == level.stage.startswith("pool")
    assert levels[-1].down.count_nonzero() == 1 and levels[-1].down[unit] == levels[-1].up[unit]
    rows = torch.tensor([[0, *unit]])
    record = net.record(IMAGE, [layer])
    pixels = deconv.project(net, record, layer, rows, engine="vjp")[0]
    assert relative_error(levels[0].down, pixels) < 1e-12
    for level in levels[1:-1]:  # what is sent on from each level as if it began there
        if level.operation == "filter":
            stages = net.stages_to(f"{level.stage}:z")
            part = ChainNet("part", OrderedDict(stages), {}, 19)
            below = part.record(IMAGE, [level.stage])
            down = deconv.deconvnet.projection.vector_jacobian(
                lambda i, part=part, stage=level.stage: part.record(i, [stage]).activations[stage],
                below.images,
                lambda _, level=level: level.down[None],
            )[0]
            assert relative_error(levels[0].down, down) < 1e-10


@pytest.mark.parametrize("layer", ["conv2", "conv3", "pool3"])
def test_boxes_hold_exactly_what_moves_the_unit(layer):
    """Every position outside a level's box has no part in the unit, by autograd on all-ones."""
    net, _, unit, levels = trip(layer)
    stages = net.stages_to(layer)
    for level in levels[1:]:
        above = stages[[name for name, _ in stages].index(level.stage) + 1 :]
        start = torch.ones(1, 1, *level.up.shape[1:], dtype=torch.float64, requires_grad=True)
        x = start
        for _, stage in above:
            if isinstance(stage, nn.Conv2d):
                ones = torch.ones(1, 1, *stage.kernel_size, dtype=torch.float64)
                x = nn.functional.conv2d(x, ones, None, stage.stride, stage.padding, stage.dilation)
            elif isinstance(stage, nn.MaxPool2d):  # ceil_mode alone leaves a part of a window out
                kernel, stride, pad = stage.kernel_size, stage.stride, stage.padding
                high, wide = stage(x.detach()).shape[2:]
                x = nn.functional.pad(x, (pad, pad + stride, pad, pad + stride))
                x = nn.functional.avg_pool2d(x, kernel, stride)[..., :high, :wide]
        (gradient,) = torch.autograd.grad(x[0, 0, unit[1], unit[2]], start)
        seen = gradient[0, 0].nonzero()
        wanted = (*seen.min(0).values.tolist(), *(seen.max(0).values + 1).tolist())
        assert level.box == wanted, level.point
    size = tuple(IMAGE.shape[2:])
    assert levels[0].box == deconv.receptive_field(net, layer, *unit[1:], size)
    for level in levels:
        y0, x0, y1, x1 = level.box
        outside = level.down.clone()
        outside[:, y0:y1, x0:x1] = 0
        assert outside.count_nonzero() == 0


def test_layers_without_maps_are_refused():
    net = small_net()
    for layer in ("fc4", "fc5"):
        with pytest.raises(DeconvError, match=f"{layer} lies above flatten .* such as conv3"):
            map_points(net, layer)
    with pytest.raises(DeconvError, match="Did you mean 'conv3'"):
        map_points(net, "conv33")
    assert map_points(net, "pool1") == {0: "conv1:z", 1: "conv1", 2: "pool1"}


def test_the_strongest_unit_typed_out():
    values = torch.tensor([[[1.0, 5.0], [2.0, 0.0]], [[0.0, 3.0], [7.0, 7.0]], [[0, 0], [0, -1]]])
    assert strongest_unit(values) == (1, 1, 0)
    assert strongest_unit(values, 0) == (0, 0, 1)
    with pytest.raises(DeconvError, match="nothing in map 2 is above 0"):
        strongest_unit(values, 2)
    with pytest.raises(DeconvError, match="nothing in the layer"):
        strongest_unit(torch.zeros(2, 2, 2))


def test_leading_maps_are_those_with_most_energy_where_the_signal_is_filtered():
    *_, unit, levels = trip("conv3")
    shown = leading_maps(levels, unit[0], 3)
    assert shown[0].tolist() == [0, 1, 2]
    for level, maps in zip(levels[1:], shown[1:], strict=True):
        layer = level.point[4:5]
        first = next(x for x in levels if x.point == f"conv{layer}:z")
        by_hand = {}
        for c in range(len(first.down)):
            values = levels[-1].up if layer == "3" else first.down
            by_hand[c] = sum(v * v for v in values[c].flatten().tolist())
        if layer == "3":
            by_hand[unit[0]] = float("inf")
        assert maps.tolist() == sorted(by_hand, key=lambda c: -by_hand[c])[:3]
    for number in range(4):  # the unit's own map comes first, however weak it is
        assert leading_maps(levels, number, 1)[-1].tolist() == [number]
    few = leading_maps(levels, unit[0], 99)
    assert [len(maps) for maps in few] == [len(level.up) for level in levels]


def pair(up, signal, kernel, stride):
    """The levels around one pool of one map."""
    pool = nn.MaxPool2d(kernel, stride)
    up = torch.tensor(up)[None]
    pooled, switches = deconv.pooling.max_pool(pool, up[None])
    below = Level("conv1", "relu1", "rectify", up, torch.zeros_like(up), (0, 0, 1, 1), None)
    down = torch.tensor(signal)[None]
    above = Level("pool1", "pool1", "unpool", pooled[0], down, (0, 0, 1, 1), switches[0])
    return below, above, (Axis(kernel, stride),) * 2


UP = [
    [1.0, 2, 0, 0, 0, 0, 3],
    [0, 0, 0, 0, 0, 0, 0],
    [0, 0, 9, 0, 0, 0, 0],
    [0, 0, 0, 0, 8, 0, 0],
    [0, 4, 0, 0, 0, 0, 0],
]


def test_windows_typed_out():
    below, above, axes = pair(UP, [[1.0, 2, 0], [3, -4, 0.5]], 3, 2)
    found = pool_detail(below, above, axes, 0, span=2)
    assert (found.top, found.left) == (0, 0)
    assert found.up.tolist() == [row[:5] for row in UP]
    assert found.pooled.tolist() == [[9, 9], [9, 9]]
    assert found.switches.tolist() == [[[2, 2], [2, 2]], [[2, 2], [2, 2]]]
    assert found.signal.tolist() == [[1, 2], [3, -4]]
    assert found.unpooled.nonzero().tolist() == [[2, 2]] and found.unpooled[2, 2] == 2
    boxes = [[[0, 0, 3, 3], [0, 2, 3, 5]], [[2, 0, 5, 3], [2, 2, 5, 5]]]
    assert found.windows.tolist() == boxes
    most = pool_detail(below, above, axes, 0, span=2, collisions="max")
    assert most.unpooled[2, 2] == 3


def test_windows_elsewhere_leave_out_what_their_neighbours_send():
    below, above, axes = pair(UP, [[50.0, 0, 1], [0, 0, 70]], 3, 2)
    found = pool_detail(below, above, axes, 0, span=1)
    assert (found.top, found.left) == (2, 4)
    assert found.up.tolist() == [[0, 0, 0], [8, 0, 0], [0, 0, 0]]
    assert found.switches.tolist() == [[[1, 0]]] and found.signal.tolist() == [[70]]
    assert found.unpooled.tolist() == [[0, 0, 0], [70, 0, 0], [0, 0, 0]]
    whole = pool_detail(below, above, axes, 0, span=3)
    assert whole.signal.shape == (2, 3) and whole.unpooled.sum() == 121


def test_values_of_a_detail_are_those_of_the_levels():
    net, _, _, levels = trip("conv3")
    below, above = next(p for p in itertools.pairwise(levels) if p[1].point == "pool1")
    axes = net.windows("pool1")[-1]
    number = int(above.down.flatten(1).square().sum(1).argmax())
    found = pool_detail(below, above, axes, number, span=2)
    for y in range(2):
        for x in range(2):
            at = tuple(found.switches[y, x].tolist())
            assert found.up[at] == found.pooled[y, x]
            t, left, b, r = found.windows[y, x].tolist()
            assert found.up[t:b, left:r].max() == found.pooled[y, x]
            assert t <= at[0] < b and left <= at[1] < r
    assert found.unpooled.sum().item() == pytest.approx(found.signal.sum().item())
