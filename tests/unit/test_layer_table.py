"""The table of layers against passes, autograd, sums of parameters and PyTorch's own counter."""

import pytest
import torch
from oracles import SMALL_SIZE, chain, meta, small_net
from test_geometry import probe
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

import deconv
from deconv.errors import DeconvError
from deconv.networks.layer_table import KINDS, layer_table, totals
from deconv.normalisation import ContrastNorm, LocalContrastNorm
from deconv.pixels import Divide

CASES = [
    ("zfnet", {}),
    ("zfnet", {"remove": [3, 4, 6, 7], "num_classes": 7}),
    ("zfnet", {"maps_345": [512, 1024, 512], "fc_width": 2048, "input_px": 160}),
    ("alexnet", {}),
    ("zfnet_mini", {"num_classes": 17, "input_px": 96}),
    ("torchvision/vgg16", {}),
    ("torchvision/alexnet", {"num_classes": 3}),
]


@pytest.fixture(scope="module", params=CASES, ids=lambda case: f"{case[0]}-{len(case[1])}")
def net(request):
    return meta(request.param[0], **request.param[1])


def passed(net):
    """Stage -> the shape of what comes out, by running the modules on a device without numbers."""
    x = torch.zeros(1, 3, net.input_px, net.input_px, device="meta")
    shapes = {"image": tuple(x.shape[1:])}
    for name, stage in net.named_children():
        x = stage(x)
        shapes[name] = (*x.shape[1:], 1, 1)[:3]
    return shapes


def test_shapes_are_those_of_a_pass(net):
    shapes, rows = passed(net), layer_table(net)
    for row in rows:
        assert (row.maps, row.height, row.width) == shapes[row.stage], row.stage
        assert row.kind in KINDS
    idle = (nn.ReLU, nn.Dropout, nn.Flatten, Divide)
    listed = [name for name, stage in net.named_children() if not isinstance(stage, idle)]
    assert [row.stage for row in rows] == ["image", *listed]


def test_parameters_are_those_of_the_modules(net):
    rows = layer_table(net)
    assert totals(rows)[0] == sum(p.numel() for p in net.parameters())
    below = 3
    for row in rows:
        if row.kind == "convolution":
            by_hand = row.maps * (below // row.groups * row.kernel[0] * row.kernel[1] + 1)
            assert row.parameters == by_hand
        elif row.kind == "fully connected":
            assert row.parameters == row.maps * (below + 1)
        else:
            assert row.parameters == 0
        below = row.maps * row.height * row.width if row.height * row.width == 1 else row.maps
        after = rows[rows.index(row) + 1 : rows.index(row) + 2]
        if after and after[0].kind == "fully connected":
            below = row.maps * row.height * row.width


def test_multiply_adds_are_half_of_pytorchs_operations(net):
    image = torch.zeros(1, 3, net.input_px, net.input_px, device="meta")
    with FlopCounterMode(display=False) as counter:
        net(image)
    counted = {
        name.split(".")[-1]: sum(ops.values()) for name, ops in counter.get_flop_counts().items()
    }
    weighted = [row for row in layer_table(net) if row.parameters]
    assert weighted
    for row in weighted:
        assert 2 * row.multiply_adds == counted[row.stage], row.stage
    assert totals(layer_table(net))[1] == sum(counted[row.stage] for row in weighted) // 2


def test_fields_are_the_support_of_a_gradient(net):
    # So that a unit of every layer has its field inside the image.
    side = 320 if net.input_px > 160 and "vgg" in net.name else 260
    stages = list(net.named_children())
    checked = 0
    for row in layer_table(net):
        if row.kind not in ("convolution", "max-pool", "contrast norm"):
            continue
        index = [name for name, _ in stages].index(row.stage)
        (height, width), box = probe([_cpu(s) for _, s in stages[: index + 1]], (side, side))
        y, x = height // 2, width // 2
        top, left, bottom, right = box(y, x)
        assert (bottom - top, right - left) == row.field_px, row.stage
        below, after = box(y - 1, x), box(y, x - 1)
        if below[0] > 0 and after[1] > 0:
            assert (top - below[0], left - after[1]) == row.step_px, row.stage
            checked += 1
    assert checked > 5 or len(stages) < 20


def _cpu(stage):
    """The same window without weights, which `probe` does not read."""
    if isinstance(stage, nn.Conv2d):
        return nn.Conv2d(1, 1, stage.kernel_size, stage.stride, stage.padding, stage.dilation)
    return stage


def test_unequal_sides_and_dilation_of_a_small_chain():
    rows = {row.stage: row for row in layer_table(small_net(), SMALL_SIZE[0])}
    assert rows["conv3"].dilation == (2, 2) and rows["conv2"].groups == 2
    assert rows["pool1"].kernel == (3, 3) and rows["pool2"].padding == (1, 1)
    assert rows["grid"].field_px is None and (rows["grid"].height, rows["grid"].width) == (3, 2)
    assert rows["conv1"].relu and not rows["fc5"].relu and not rows["pool1"].relu
    oblong = chain(conv1=nn.Conv2d(3, 2, (3, 5), (2, 1), (0, 2)))
    (_, row) = layer_table(oblong, 9)
    assert (row.height, row.width) == (4, 9) and row.field_px == (3, 5) and row.step_px == (2, 1)
    assert row.multiply_adds == 2 * 3 * 3 * 5 * 4 * 9


def test_images_that_do_not_fit_are_refused():
    net = meta("zfnet")
    with pytest.raises(DeconvError, match="images of 20 px are too small for conv2"):
        layer_table(net, 20)
    with pytest.raises(DeconvError, match="fc6 of zfnet takes 9216 inputs and images of 300 px"):
        layer_table(net, 300)
    with pytest.raises(DeconvError, match="no rule for Sigmoid"):
        layer_table(chain(sigmoid=nn.Sigmoid()))


def test_the_networks_weights_do_not_matter():
    built = deconv.build("zfnet_mini", 5, seed=1)
    assert layer_table(built) == layer_table(meta("zfnet_mini", num_classes=5))


@pytest.mark.parametrize("norm", [nn.LocalResponseNorm(5), LocalContrastNorm(3), ContrastNorm()])
def test_every_contrast_normalisation_is_a_point_and_a_row(norm):
    net = chain(
        conv1=nn.Conv2d(3, 4, 3),
        relu1=nn.ReLU(),
        norm1=norm,
        flatten=nn.Flatten(),
        fc2=nn.Linear(4 * 36, 2),
    )
    net.input_px = 8
    assert net.points == ("conv1:z", "conv1", "norm1", "fc2")
    images = torch.randn(2, 3, 8, 8).double()
    record = net.record(images, ["conv1", "norm1"])
    torch.testing.assert_close(record.activations["norm1"], norm(record.activations["conv1"]))
    assert [row.kind for row in layer_table(net)][2] == "contrast norm"
