"""Filters as pictures: reshaping, rules and the changed layer against loops; the small mlp."""

import pytest
import torch
from torch import nn

import deconv
from deconv.errors import DeconvError
from deconv.studies.first_layers import (
    changed,
    ends,
    entry,
    layer_filters,
    make_change,
    pictures,
    same_response,
    showable,
)
from deconv.studies.first_layers.input_change import Change

MEAN = torch.tensor([120.0, 110.0, 100.0])


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


class Square(nn.Module):
    """Standardises 3×6×6 images and flattens them, in one of two layouts, for a layer of 7."""

    def __init__(self, last):
        super().__init__()
        self.last = last
        self.fc, self.out = nn.Linear(3 * 6 * 6, 7), nn.Linear(7, 2)

    def forward(self, x):
        x = (x - 3.0) / 2.0
        x = x.permute(0, 2, 3, 1) if self.last else x
        return self.out(self.fc(x.flatten(1)).relu())


# Reshaping


@pytest.mark.parametrize("grey", [False, True])
def test_rows_of_a_fully_connected_layer_are_pictures_of_the_input(grey):
    """The response is the sum of picture times image, pixel by pixel."""
    net = deconv.build("mlp", 5, input_px=6, fc_width=4, grey=grey, seed=0)
    found = layer_filters(net, "fc1")
    assert found.weights.shape == (4, 1 if grey else 3, 6, 6) and found.sees_image
    assert found.colour != grey
    image = randn(1, 3, 6, 6, seed=1) * 50
    z = net.record(image, ["fc1:z"]).activations["fc1:z"][0]
    luma = 0.299 * image[0, 0] + 0.587 * image[0, 1] + 0.114 * image[0, 2]
    for unit in range(4):
        total = float(found.bias[unit])
        for y in range(6):
            for x in range(6):
                for c in range(found.weights.shape[1]):
                    value = float(luma[y, x] if grey else image[0, c, y, x])
                    total += float(found.weights[unit, c, y, x]) * value / 64
        assert float(z[unit]) == pytest.approx(total, rel=1e-4, abs=1e-5)
    with pytest.raises(DeconvError, match=r"fc2 of mlp has no pictures: .* These have: fc1$"):
        layer_filters(net, "fc2")


@pytest.mark.parametrize("last", [False, True])
def test_rows_are_reshaped_as_the_image_was_flattened(last):
    net = deconv.wrap(Square(last), "hand", 6)
    found = layer_filters(net, "fc")
    assert found.sees_image and found.weights.shape == (7, 3, 6, 6)
    # The picture answers to a single pixel at its place.
    for c, y, x in ((0, 0, 1), (2, 4, 3)):
        image = torch.zeros(2, 3, 6, 6)
        image[1, c, y, x] = 2.0
        z = net.record(image, ["fc"]).activations["fc"]
        assert torch.allclose(z[1] - z[0], found.weights[:, c, y, x], atol=1e-5)
    factor, offset = entry(net, found)
    assert factor.tolist() == pytest.approx([0.5] * 3)
    assert offset.tolist() == pytest.approx([-1.5] * 3)


def test_which_layers_have_pictures():
    mini = deconv.build("zfnet_mini", 3, fc_width=8, seed=0)
    assert showable(mini) == ["conv1", "conv2", "conv3", "conv4", "conv5", "fc6"]
    assert layer_filters(mini, "conv1").colour
    deep = layer_filters(mini, "fc6")
    assert deep.weights.shape == (8, 96, 6, 6) and not deep.sees_image
    assert torch.equal(deep.weights[3].flatten(), mini.fc6.weight[3].detach())
    with pytest.raises(DeconvError, match="fc7 of zfnet_mini has no pictures"):
        layer_filters(mini, "fc7")
    resnet = deconv.build("torchvision/resnet18", 3, seed=0)
    names = showable(resnet)
    assert layer_filters(resnet, names[0]).colour and names[0] == "conv1"
    assert "fc" not in names and not any("downsample" in name for name in names)
    alexnet = deconv.build("alexnet", 3, fc_width=8, seed=0)
    grouped = layer_filters(alexnet, "conv2")
    assert grouped.channel[0].tolist() == list(range(48))
    assert grouped.channel[-1].tolist() == list(range(48, 96))


# Rules


def test_intensities_of_typed_filters():
    weights = torch.tensor([[-1.0, 0.0, 3.0], [2.0, 2.0, 2.0], [0.0, 0.0, 0.0]])[:, None, None]
    expected = {
        "filter": [[0, 0.25, 1], [0.5, 0.5, 0.5], [0.5, 0.5, 0.5]],
        "layer": [[0, 0.25, 1], [0.75, 0.75, 0.75], [0.25, 0.25, 0.25]],
        "symmetric": [[1 / 3, 0.5, 1], [1, 1, 1], [0.5, 0.5, 0.5]],
        "symmetric_layer": [[1 / 3, 0.5, 1], [5 / 6] * 3, [0.5, 0.5, 0.5]],
    }
    for rule, values in expected.items():
        found = pictures(weights, rule)[:, 0, 0]
        assert torch.allclose(found, torch.tensor(values, dtype=torch.float32)), rule
    assert [e.tolist() for e in ends(weights, "symmetric")] == [[-3, -2, 0], [3, 2, 0]]
    with pytest.raises(DeconvError, match="unknown intensity rule 'filer'"):
        ends(weights, "filer")


# The changed input


def loop_response(net, x, weights, bias, around):
    """conv1 of zfnet_mini (5×5, stride 2, padding 1) at every place, by loops."""
    side = (x.shape[-1] + 2 - 5) // 2 + 1
    out = torch.zeros(len(weights), side, side, dtype=torch.float64)
    for i in range(side):
        for j in range(side):
            window = around[:, None, None].expand(3, 5, 5).clone()
            for r in range(5):
                for c in range(5):
                    y, z = 2 * i - 1 + r, 2 * j - 1 + c
                    if 0 <= y < x.shape[1] and 0 <= z < x.shape[2]:
                        window[:, r, c] = x[:, y, z]
            out[:, i, j] = (weights * window).flatten(1).sum(dim=1) + bias
    return out


def test_the_changed_layer_answers_as_before():
    net = deconv.build("zfnet_mini", 3, fc_width=8, input_px=32, seed=0)
    nn.init.normal_(net.conv1.bias, generator=torch.Generator().manual_seed(3))
    filters = layer_filters(net, "conv1")
    scale, shift = torch.tensor([0.5, 2.0, 0.01]).double(), torch.tensor([3.0, -1.0, 0.2]).double()
    change = Change(scale, shift, "")
    image = randn(1, 3, 32, 32, seed=2) * 60
    z = net.record(image, ["conv1:z"]).activations["conv1:z"][0].double()
    weights, bias = changed(filters, change)
    x = image[0].double() * scale[:, None, None] + shift[:, None, None]
    assert (loop_response(net, x, weights, bias, shift) - z).abs().max() < 1e-4
    naive = (loop_response(net, x, weights, bias, torch.zeros(3).double()) - z).abs()
    same = same_response(net, filters, change, image)
    assert same["difference"].max() < 1e-4 * same["largest"].max()
    assert torch.allclose(same["zero_padding"], naive.flatten(1).amax(dim=1), rtol=1e-4)
    assert torch.allclose(same["largest"], z.abs().flatten(1).amax(dim=1))
    # A picture with a scale of its own changes by the channels' scales alone.
    undone = weights * scale[None, :, None, None]
    assert torch.allclose(pictures(undone, "filter"), pictures(filters.weights.double(), "filter"))
    assert (pictures(weights, "filter") - pictures(undone, "filter")).abs().max() > 0.1
    even = changed(filters, Change(torch.full((3,), 0.3).double(), shift, ""))[0]
    for rule in ("filter", "layer", "symmetric", "symmetric_layer"):
        assert torch.allclose(pictures(even, rule), pictures(undone, rule), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "options"),
    [("mlp", {"input_px": 28, "grey": True}), ("mlp", {}), ("torchvision/resnet18", {})],
)
@pytest.mark.parametrize("kind", ["pixels", "unit", "standardised"])
def test_changes_are_stated_of_pixels(name, options, kind):
    """A layer of the changed weights, fed the pixels prepared by hand."""
    net = deconv.build(name, 3, seed=0, **options)
    filters = layer_filters(net, net.layers[0])
    change = make_change(kind, net, filters, MEAN)
    x = randn(2, 3, net.input_px, net.input_px, seed=4) * 50
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    p = x + MEAN[:, None, None]
    prepared = {"pixels": x, "unit": p / 255}.get(
        kind, (p / 255 - mean[:, None, None]) / std[:, None, None]
    )
    weights, bias = changed(filters, change)
    same = same_response(net, filters, change, x)
    assert same["difference"].max() < 1e-4 * max(1, same["largest"].max())
    if filters.weights.shape[1] == 1:  # shares differ a little between the colours
        return
    point = filters.layer + (":z" if name == "mlp" else "")
    z = net.record(x, [point]).activations[point].double()
    if name == "mlp":
        found = prepared.double().flatten(1) @ weights.flatten(1).T + bias
        assert (found - z).abs().max() < 1e-4
    else:
        found = nn.functional.conv2d(prepared.double(), weights, bias, stride=2)
        assert (found - z[:, :, 2:-1, 2:-1][:, :, : found.shape[2], : found.shape[3]]).abs()[
            :, :, :-2, :-2
        ].max() > 0  # the places differ by the padding
        inner = nn.functional.conv2d(prepared.double()[:, :, 1:, 1:], weights, bias, stride=2)
        assert (inner - z[:, :, 2 : 2 + inner.shape[2], 2 : 2 + inner.shape[3]]).abs().max() < 1e-4


# The mlp


def test_what_an_mlp_does_not_have():
    for options, message in (
        ({"remove": (3,)}, "mlp has no remove"),
        ({"norm": "local"}, "mlp has no norm"),
        ({"init": "gain"}, "mlp has paper and he"),
        ({"fc_width": 0}, "sizes must be positive"),
    ):
        with pytest.raises(DeconvError, match=message):
            deconv.build("mlp", 3, **options)
    with pytest.raises(DeconvError, match="zfnet_mini has no grey: leave out grey"):
        deconv.build("zfnet_mini", 3, grey=True)
    one, two = (deconv.build("mlp", 3, seed=1, input_px=6).fc1.weight for _ in range(2))
    assert torch.equal(one, two)


def test_the_way_down_of_an_mlp_is_its_gradient():
    """Below fc1 all is linear, so that the deconvnet of fc1 is the gradient of z."""
    net = deconv.build("mlp", 3, input_px=6, fc_width=4, grey=True, seed=0)
    image = (randn(1, 3, 6, 6, seed=5) * 50).requires_grad_()
    z = net.record(image, ["fc1:z"]).activations["fc1:z"]
    unit = int(z[0].argmax())
    (gradient,) = torch.autograd.grad(z[0, unit], image)
    record = net.record(image.detach(), ["fc1"])
    units = torch.tensor([[0, unit, 0, 0]])
    for engine in ("mirror", "vjp"):
        found = deconv.project(net, record, "fc1", units, seed="one", engine=engine)[0]
        assert torch.allclose(found, gradient[0], atol=1e-7)
