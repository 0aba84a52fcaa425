"""Receptive fields against what autograd says a unit depends on, through all-ones layers."""

import itertools
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from oracles import SMALL_SIZE, randn, small_net
from torch import nn

import deconv
from deconv.errors import DeconvError
from deconv.fields import interior_field, unclipped_field
from deconv.networks.chain import ChainNet

PROPERTY = settings(max_examples=60, deadline=None, derandomize=True, database=None)


def pair(value):
    return value if isinstance(value, tuple) else (value, value)


def ones_forward(stage, x):
    """One stage on a single map, with every weight 1 and a sum in place of each maximum."""
    if isinstance(stage, nn.Conv2d):
        kernel = torch.ones(1, 1, *stage.kernel_size, dtype=x.dtype)
        return F.conv2d(x, kernel, None, stage.stride, stage.padding, stage.dilation)
    if isinstance(stage, nn.MaxPool2d):
        kernel = torch.ones(1, 1, *pair(stage.kernel_size), dtype=x.dtype)
        (rows, columns), (down, right) = pair(stage.padding), pair(stage.stride)
        padded = F.pad(x, (columns, columns + right, rows, rows + down))
        sums = F.conv2d(padded, kernel, None, stage.stride, 0, stage.dilation)
        height, width = stage(x.detach()).shape[2:]
        return sums[..., :height, :width]
    if isinstance(stage, nn.Linear):
        return x.sum((1, 2, 3), keepdim=True)
    if isinstance(stage, nn.AdaptiveAvgPool2d):
        return stage(x)
    return x


def probe(stages, size):
    """(height, width) of the top map, and (y, x) -> box of the pixels that unit depends on."""
    image = torch.ones(1, 1, *size, dtype=torch.float64, requires_grad=True)
    top = image
    for stage in stages:
        top = ones_forward(stage, top)

    def box(y, x):
        (gradient,) = torch.autograd.grad(top[0, 0, y, x], image, retain_graph=True)
        seen = gradient[0, 0].nonzero()
        if len(seen) == 0:
            return (0, 0, 0, 0)
        return (*seen.min(0).values.tolist(), *(seen.max(0).values + 1).tolist())

    return tuple(top.shape[2:]), box


def some_units(height, width):
    """The corners and the centre."""
    corners = itertools.product({0, height - 1}, {0, width - 1})
    return sorted({*corners, (height // 2, width // 2)})


@st.composite
def convolutions(draw):
    sizes = [draw(st.tuples(st.integers(low, high), st.integers(low, high))) for low, high in CONV]
    return nn.Conv2d(1, 1, *sizes)


CONV = ((1, 5), (1, 4), (0, 6), (1, 3))  # kernel, stride, padding, dilation


@st.composite
def max_pools(draw):
    kernel = draw(st.tuples(st.integers(1, 5), st.integers(1, 5)))
    stride = draw(st.tuples(st.integers(1, 4), st.integers(1, 4)))
    padding = tuple(draw(st.integers(0, side // 2)) for side in kernel)
    dilation = draw(st.tuples(st.integers(1, 2), st.integers(1, 2)))
    return nn.MaxPool2d(kernel, stride, padding, dilation, ceil_mode=draw(st.booleans()))


def chain(modules):
    """A ChainNet of these modules and the name of its last point."""
    kinds = {nn.Conv2d: "conv", nn.MaxPool2d: "pool", nn.AdaptiveAvgPool2d: "grid"}
    stages = OrderedDict((f"{kinds[type(m)]}{i}", m) for i, m in enumerate(modules, 1))
    return ChainNet("chain", stages, {}, 0), next(reversed(stages))


def real_sizes(modules, size):
    """Sizes of the maps by running the modules themselves; None where one does not fit."""
    x, out = torch.zeros(1, 1, *size), [tuple(size)]
    for module in modules:
        try:
            x = module(x)
        except RuntimeError:
            return None
        if 0 in x.shape:
            return None
        out.append(tuple(x.shape[2:]))
    return out


chains = st.lists(st.one_of(convolutions(), max_pools()), min_size=1, max_size=4)
image_sizes = st.tuples(st.integers(3, 48), st.integers(3, 48))


@PROPERTY
@given(chains, image_sizes, st.tuples(st.floats(0, 0.999), st.floats(0, 0.999)))
def test_the_field_is_the_support_of_the_gradient(modules, size, where):
    assume(real_sizes(modules, size))
    net, layer = chain(modules)
    (height, width), box = probe(modules, size)
    anywhere = (int(where[0] * height), int(where[1] * width))
    for y, x in [*some_units(height, width), anywhere]:
        assert deconv.receptive_field(net, layer, y, x, size) == box(y, x)


@PROPERTY
@given(chains, image_sizes)
def test_output_sizes_are_those_of_pytorch(modules, size):
    expected = real_sizes(modules, size)
    assume(expected)
    net, layer = chain(modules)
    axes = net.windows(layer)
    for a in (0, 1):
        assert deconv.fields.sizes([w[a] for w in axes], size[a]) == [s[a] for s in expected]


@PROPERTY
@given(chains, image_sizes)
def test_images_too_small_for_pytorch_are_refused(modules, size):
    assume(real_sizes(modules, size) is None)
    net, layer = chain(modules)
    with pytest.raises(DeconvError, match="too small"):
        deconv.receptive_field(net, layer, 0, 0, size)


@PROPERTY
@given(chains, image_sizes)
def test_unclipped_fields_contain_the_field_and_have_one_size(modules, size):
    assume(real_sizes(modules, size))
    net, layer = chain(modules)
    boxes = set()
    for y, x in some_units(*real_sizes(modules, size)[-1]):
        top, left, bottom, right = unclipped_field(net, layer, y, x, size)
        boxes.add((bottom - top, right - left))
        inner = deconv.receptive_field(net, layer, y, x, size)
        if inner != (0, 0, 0, 0):
            assert top <= inner[0] and left <= inner[1] and bottom >= inner[2] and right >= inner[3]
    assert len(boxes) == 1


@pytest.mark.parametrize("out", [(1, 1), (3, 2), (5, 7), (9, 4)])
def test_fields_through_adaptive_pooling(out):
    modules = [nn.Conv2d(1, 1, 3, 2, 1), nn.AdaptiveAvgPool2d(out), nn.Conv2d(1, 1, 1)]
    net, layer = chain(modules)
    (height, width), box = probe(modules, (13, 17))
    assert (height, width) == out
    for y, x in itertools.product(range(height), range(width)):
        assert deconv.receptive_field(net, layer, y, x, (13, 17)) == box(y, x)


def test_every_unit_of_every_point_of_a_small_net():
    net = small_net(norm=True)
    for point in net.points:
        stages = [stage for _, stage in net.stages_to(point)]
        (height, width), box = probe(stages, SMALL_SIZE)
        for y, x in itertools.product(range(height), range(width)):
            assert deconv.receptive_field(net, point, y, x, SMALL_SIZE) == box(y, x), point


@pytest.mark.parametrize("name", ["zfnet", "alexnet", "zfnet_mini", "torchvision/vgg16"])
def test_fields_of_the_networks(name):
    with torch.device("meta"):
        net = deconv.build(name, num_classes=2)
    size = (net.input_px, net.input_px)
    top = {"zfnet": 6, "alexnet": 6, "zfnet_mini": 6, "torchvision/vgg16": 7}[name]
    for point in ("conv2", "pool2", "conv4", "conv5:z", "pool5", *net.points[-2:]):
        if point in net.points:
            stages = [stage for _, stage in net.stages_to(point)]
            (height, width), box = probe(stages, size)
            assert point != "pool5" or (height, width) == (top, top)
            for y, x in some_units(height, width):
                assert deconv.receptive_field(net, point, y, x, size) == box(y, x), point


ZFNET_FIELDS = {
    "conv1": (7, 2),
    "pool1": (11, 4),
    "norm1": (11, 4),
    "conv2": (27, 8),
    "pool2": (43, 16),
    "norm2": (43, 16),
    "conv3": (75, 16),
    "conv4": (107, 16),
    "conv5": (139, 16),
    "pool5": (171, 32),
}
"""Layer -> (size, stride) of an interior unit's field, in pixels."""


@pytest.fixture(scope="module")
def zfnet():
    with torch.device("meta"):
        return deconv.build("zfnet", num_classes=2)


@pytest.mark.parametrize("layer", ZFNET_FIELDS)
def test_interior_fields_of_zfnet_typed_out(zfnet, layer):
    size, stride = ZFNET_FIELDS[layer]
    middle = {"conv1": 55, "pool1": 27, "norm1": 27, "conv2": 13, "pool5": 2}.get(layer, 6)
    top, left, bottom, right = deconv.receptive_field(zfnet, layer, middle, middle, (224, 224))
    assert (bottom - top, right - left) == (size, size)
    further = deconv.receptive_field(zfnet, layer, middle + 1, middle + 1, (224, 224))
    # The next field begins one stride further; its end can already be clipped.
    assert further[:2] == (top + stride, left + stride)
    rows = [rows for rows, _ in zfnet.windows(layer)]
    assert interior_field(rows)[:2] == (size, stride)


def test_fields_of_conv5_of_zfnet_typed_out(zfnet):
    # The first unit's field begins at -1 (conv1) - 3·16 (conv3 to conv5) = -49.
    assert deconv.receptive_field(zfnet, "conv5", 0, 0, (224, 224)) == (0, 0, 90, 90)
    assert deconv.receptive_field(zfnet, "conv5", 6, 6, (224, 224)) == (47, 47, 186, 186)
    assert deconv.receptive_field(zfnet, "conv5", 12, 3, (224, 224)) == (143, 0, 224, 138)
    assert unclipped_field(zfnet, "conv5", 0, 0, (224, 224)) == (-49, -49, 90, 90)
    assert unclipped_field(zfnet, "conv5", 12, 3, (224, 224)) == (143, -1, 282, 138)


def test_a_fully_connected_unit_sees_the_whole_image(zfnet):
    for layer in ("fc6", "fc6:z", "fc7", "fc8"):
        assert deconv.receptive_field(zfnet, layer, 0, 0, (224, 224)) == (0, 0, 224, 224)
        assert unclipped_field(zfnet, layer, 0, 0, (224, 224)) == (0, 0, 224, 224)


def test_a_unit_that_sees_padding_alone_has_an_empty_field():
    net, layer = chain([nn.Conv2d(1, 1, 1, padding=2)])
    assert deconv.receptive_field(net, layer, 0, 4, (5, 5)) == (0, 0, 0, 0)
    assert deconv.receptive_field(net, layer, 2, 4, (5, 5)) == (0, 2, 1, 3)


def test_rows_and_columns_are_not_mixed_up():
    net, layer = chain([nn.Conv2d(1, 1, (3, 5), stride=(1, 2))])
    assert deconv.receptive_field(net, layer, 1, 3, (9, 30)) == (1, 6, 4, 11)


@pytest.mark.parametrize("unit", [(13, 0), (0, 13), (-1, 0), (0, -1)])
def test_a_unit_outside_its_map_is_refused_with_the_numbers(zfnet, unit):
    outside = next(u for u in unit if u)
    with pytest.raises(DeconvError, match=f"unit {outside} .*13 positions"):
        deconv.receptive_field(zfnet, "conv5", *unit, (224, 224))


def test_a_fully_connected_layer_has_the_one_unit_0_0(zfnet):
    with pytest.raises(DeconvError, match="unit 1 is outside its map, which has 1 positions"):
        deconv.receptive_field(zfnet, "fc6", 0, 1, (224, 224))


def test_an_image_too_small_is_refused_with_its_size(zfnet):
    with pytest.raises(DeconvError, match="8 px is too small"):
        deconv.receptive_field(zfnet, "conv5", 0, 0, (224, 8))


def test_an_unknown_layer_is_named_with_the_nearest_ones(zfnet):
    with pytest.raises(DeconvError, match=r"unknown layer of zfnet 'conv6'.*'conv5'"):
        deconv.receptive_field(zfnet, "conv6", 0, 0, (224, 224))


def test_fields_that_depend_on_the_image_have_no_interior_size(zfnet):
    with pytest.raises(DeconvError, match="depends on the size of the image"):
        interior_field([rows for rows, _ in zfnet.windows("fc6")])


@pytest.mark.parametrize(("norm", "reaches"), [("local", 1), ("response", 0), ("none", 0)])
def test_local_normalisation_widens_what_a_unit_depends_on_and_not_its_projection(norm, reaches):
    """Gradient of a live unit of layer 2 in the middle against its field; then its projection."""
    net = deconv.build("zfnet_mini", 3, input_px=96, fc_width=4, init="he", norm=norm, seed=0)
    net = net.double().eval()
    image = randn(1, 3, 96, 96).requires_grad_()
    active = net.record(image, ["conv2"]).activations["conv2"]
    y = x = active.shape[2] // 2
    number = int(active[0, :, y, x].argmax())
    (gradient,) = torch.autograd.grad(active[0, number, y, x], image)
    top, left, bottom, right = deconv.receptive_field(net, "conv2", y, x, (96, 96))
    assert min(top, left, 96 - bottom, 96 - right) > 32
    seen = gradient[0].abs().amax(0).nonzero()
    first, last = seen.min(0).values.tolist(), seen.max(0).values.tolist()
    found = first[0], first[1], last[0] + 1, last[1] + 1
    # Twice half a window of 9 positions of 4 px: at least 32 px further on each side.
    further = (top - found[0], left - found[1], found[2] - bottom, found[3] - right)
    assert all(side >= 32 for side in further) if reaches else further == (0, 0, 0, 0)
    record = net.record(image.detach(), ["conv2"])
    units = torch.tensor([[0, number, y, x]])
    for engine in ("mirror", "vjp"):
        painted = deconv.project(net, record, "conv2", units, engine=engine)[0].abs().amax(0)
        at = painted.nonzero()
        assert at.min(0).values.tolist() >= [top, left] and painted[top:bottom, left:right].any()
        assert (at < torch.tensor([bottom, right])).all() and (at[:, 1] >= left).all()
