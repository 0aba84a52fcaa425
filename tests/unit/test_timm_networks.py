"""timm's networks that branch on the image's size or hold attention: painted as patched ReLUs
paint, seen as a NaN sees."""

import warnings

import pytest
import torch
from oracles import positions_reached
from test_wrapped import painted_with_hooks
from torch import nn

import deconv
from deconv.errors import NoRuleWarning

timm = pytest.importorskip("timm")

NETWORKS = {
    "tf_efficientnet_lite0": 64,
    "tf_efficientnet_b0": 64,
    "tf_mobilenetv3_small_100": 64,
    "mobilevit_xxs": 256,
    "tiny_vit_5m_224": 224,
}
"""Name -> side of the images."""


@pytest.fixture(scope="module", params=NETWORKS)
def subject(request):
    """(module, network, images)"""
    side = NETWORKS[request.param]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        made = timm.create_model(request.param, num_classes=5)
        for part in made.modules():
            if isinstance(part, nn.BatchNorm2d):
                part.running_mean.normal_(0, 0.1)
                part.running_var.uniform_(0.5, 2)
    made = made.double()
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0)).double()
    return made, deconv.wrap(made, request.param, side), images


def test_values_and_pictures_are_the_module_s(subject):
    made, net, images = subject
    point = net.layers[len(net.layers) // 2]
    with torch.no_grad():
        assert torch.equal(net.record(images, [point]).logits, made.eval()(images))
    record = net.record(images, [point])
    at = record.activations[point][1].abs().argmax()
    unit = [1, *torch.unravel_index(at, record.activations[point].shape[1:])]
    expected = painted_with_hooks(made, point, images, unit, "deconvnet")
    rows = torch.tensor([[*unit, 0, 0][:4]])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", NoRuleWarning)
        (found,) = deconv.project(net, record, point, rows)
    assert expected.abs().max() > 0
    torch.testing.assert_close(found, expected, rtol=1e-8, atol=1e-12 * expected.abs().max())


@pytest.mark.parametrize("name", ["tf_efficientnet_lite0", "tf_mobilenetv3_small_100", "mixnet_s"])
def test_fields_are_what_a_nan_reaches(name):
    net = deconv.wrap(timm.create_model(name, num_classes=5).double(), name, 64)
    point = {"mixnet_s": "blocks.0.0.conv_dw"}.get(name, "blocks.1.0.conv_pw")
    for axis in (0, 1):
        reached = positions_reached(net, point, axis, 64)
        for unit in (0, 1, 5, reached.shape[1] - 1):
            at = reached[:, unit].nonzero().flatten()
            box = net.field(point, unit, unit, (64, 64))
            assert (box[axis], box[axis + 2]) == (int(at[0]), int(at[-1]) + 1), (axis, unit)
