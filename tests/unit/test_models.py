"""The networks: shapes, parameters, order of operations, refusals."""

import math

import pytest
import torch
import torch.nn.functional as F
from oracles import meta, randn
from torch import nn

import deconv
from deconv.errors import DeconvError
from deconv.networks import MODELS


def sides(net, input_px):
    """Point -> side of its square map; fully connected points are left out."""
    images = torch.empty(1, 3, input_px, input_px, device="meta")
    found = net.record(images, net.points).activations
    assert all(a.dim() == 2 or a.shape[2] == a.shape[3] for a in found.values())
    return {point: a.shape[2] for point, a in found.items() if a.dim() == 4}


# ------------------------------------------------------------------ shapes and parameters


def test_zfnet_has_the_sizes_of_figure_3():
    found = sides(meta("zfnet"), 224)
    expected = {"conv1": 110, "pool1": 55, "norm1": 55, "conv2": 26, "pool2": 13, "norm2": 13}
    expected |= {"conv3": 13, "conv4": 13, "conv5": 13, "pool5": 6}
    assert {point: side for point, side in found.items() if ":" not in point} == expected


def test_alexnet_has_the_sizes_of_its_paper():
    found = sides(meta("alexnet"), 224)
    expected = {"conv1": 55, "norm1": 55, "pool1": 27, "conv2": 27, "norm2": 27, "pool2": 13}
    expected |= {"conv3": 13, "conv4": 13, "conv5": 13, "pool5": 6}
    assert {point: side for point, side in found.items() if ":" not in point} == expected


def test_zfnet_mini_has_the_sizes_it_declares():
    found = sides(meta("zfnet_mini"), 112)
    layers = ("conv1", "pool1", "conv2", "pool2", "conv3", "conv4", "conv5", "pool5")
    assert [found[layer] for layer in layers] == [55, 27, 27, 13, 13, 13, 13, 6]


@pytest.mark.parametrize(
    ("name", "conv1", "expected"),
    [
        ("zfnet", (11, 4, 2), {"conv1": 55, "pool1": 27, "conv2": 27, "pool2": 13, "pool5": 6}),
        ("zfnet_mini", (8, 4, 1), {"conv1": 27, "pool1": 13, "conv2": 13, "pool5": 6}),
    ],
)
def test_a_coarse_first_layer_leaves_the_upper_maps_as_large(name, conv1, expected):
    plain, net = meta(name), meta(name, first_layer="coarse")
    assert (net.conv1.kernel_size[0], net.conv1.stride[0], net.conv1.padding[0]) == conv1
    assert net.conv1.out_channels == plain.conv1.out_channels
    found, before = sides(net, net.input_px), sides(plain, plain.input_px)
    assert {p: found[p] for p in found if p in expected} == expected
    assert ("pool2" in found) == ("pool2" in expected)
    assert all(found[layer] == before[layer] == 13 for layer in ("norm2", "conv3", "conv5"))
    assert net.fc6.weight.shape == plain.fc6.weight.shape
    again = dict(net.recipe)
    assert again["first_layer"] == "coarse" and str(meta(again.pop("name"), **again)) == str(net)
    changed = meta(name, first_layer="coarse", remove=(3,), maps_345=(9, 9, 9))
    assert changed.conv1.stride == net.conv1.stride and not hasattr(changed, "conv3")
    with pytest.raises(DeconvError, match="unknown layer to remove 2"):
        meta(name, first_layer="coarse", remove=(2,))


@pytest.mark.parametrize("input_px", [64, 96, 112, 128])
def test_zfnet_mini_takes_images_of_several_sizes(input_px):
    net = deconv.build("zfnet_mini", num_classes=3, fc_width=8, seed=0)
    assert net(randn(1, 3, input_px, input_px).float()).shape == (1, 3)
    built_for = deconv.build("zfnet_mini", 3, fc_width=8, input_px=input_px, seed=0)
    assert built_for.input_px == input_px
    assert built_for.fc6.weight.shape == net.fc6.weight.shape


@pytest.mark.parametrize(("name", "expected"), [("zfnet", 62_357_608), ("alexnet", 60_965_224)])
def test_parameters_at_1000_classes(name, expected):
    assert sum(p.numel() for p in meta(name).parameters()) == expected


KERNELS = {"zfnet": {1: 7, 2: 5, 3: 3, 4: 3, 5: 3}, "alexnet": {1: 11, 2: 5, 3: 3, 4: 3, 5: 3}}


GROUPS = {"zfnet": {}, "alexnet": {2: 2, 4: 2, 5: 2}}


WIDE, NARROW = [96, 256, 512, 1024, 512], [4096, 4096]


PLAIN = [96, 256, 384, 384, 256]


TABLE_3 = [
    # change, maps of the convolutional layers by number, widths of the fully connected ones
    ({}, dict(zip(range(1, 6), PLAIN, strict=True)), {6: 4096, 7: 4096}),
    ({"remove": (3, 4)}, {1: 96, 2: 256, 5: 256}, {6: 4096, 7: 4096}),
    ({"remove": (7,)}, dict(zip(range(1, 6), PLAIN, strict=True)), {6: 4096}),
    ({"remove": (6, 7)}, dict(zip(range(1, 6), PLAIN, strict=True)), {}),
    ({"remove": (3, 4, 6, 7)}, {1: 96, 2: 256, 5: 256}, {}),
    ({"fc_width": 2048}, dict(zip(range(1, 6), PLAIN, strict=True)), {6: 2048, 7: 2048}),
    ({"fc_width": 8192}, dict(zip(range(1, 6), PLAIN, strict=True)), {6: 8192, 7: 8192}),
    (
        {"maps_345": (512, 1024, 512)},
        dict(zip(range(1, 6), WIDE, strict=True)),
        {6: 4096, 7: 4096},
    ),
    (
        {"maps_345": (512, 1024, 512), "fc_width": 8192},
        dict(zip(range(1, 6), WIDE, strict=True)),
        {6: 8192, 7: 8192},
    ),
]


@pytest.mark.parametrize("name", ["zfnet", "alexnet"])
@pytest.mark.parametrize(("change", "maps", "widths"), TABLE_3, ids=[str(r[0]) for r in TABLE_3])
def test_the_rows_of_table_3(name, change, maps, widths):
    net = meta(name, **change)
    expected, below = {}, 3
    for number, count in maps.items():
        kernel = KERNELS[name][number]
        shape = (count, below // GROUPS[name].get(number, 1), kernel, kernel)
        expected[f"conv{number}.weight"], expected[f"conv{number}.bias"] = shape, (count,)
        below = count
    below *= 6 * 6
    for number, width in [*widths.items(), (8, 1000)]:
        expected[f"fc{number}.weight"], expected[f"fc{number}.bias"] = (width, below), (width,)
        below = width
    assert {key: tuple(v.shape) for key, v in net.state_dict().items()} == expected
    assert sum(p.numel() for p in net.parameters()) == sum(map(math.prod, expected.values()))
    assert net(torch.empty(2, 3, 224, 224, device="meta")).shape == (2, 1000)


def test_the_recipe_builds_the_network_again():
    arguments = {"num_classes": 4, "remove": [7], "maps_345": [8, 9, 10], "fc_width": 5}
    net = meta("zfnet", input_px=120, **arguments)
    recipe = dict(net.recipe)
    again = meta(recipe.pop("name"), **recipe)
    assert str(again) == str(net)
    assert (again.name, again.input_px) == ("zfnet", 120)


# ------------------------------------------------------------------ order of operations


def lrn(x):
    return F.local_response_norm(x, 5, alpha=5e-4, beta=0.75, k=2.0)


def zfnet_by_hand(w, x):
    """conv → relu → pool → norm, in torch.nn.functional. w: name -> (weight, bias)."""
    out = {}
    out["conv1"] = F.conv2d(x, *w["conv1"], stride=2, padding=1).relu()
    out["pool1"] = F.max_pool2d(out["conv1"], 3, 2, ceil_mode=True)
    out["norm1"] = lrn(out["pool1"])
    out["conv2"] = F.conv2d(out["norm1"], *w["conv2"], stride=2).relu()
    out["pool2"] = F.max_pool2d(out["conv2"], 3, 2, ceil_mode=True)
    out["norm2"] = lrn(out["pool2"])
    out["conv3"] = F.conv2d(out["norm2"], *w["conv3"], padding=1).relu()
    out["conv4"] = F.conv2d(out["conv3"], *w["conv4"], padding=1).relu()
    out["conv5:z"] = F.conv2d(out["conv4"], *w["conv5"], padding=1)
    out["conv5"] = out["conv5:z"].relu()
    out["pool5"] = F.max_pool2d(out["conv5"], 3, 2, ceil_mode=True)
    return fully_connected_by_hand(w, out)


def alexnet_by_hand(w, x):
    """conv → relu → norm → pool, with two groups in layers 2, 4 and 5."""
    out = {}
    out["conv1"] = F.conv2d(x, *w["conv1"], stride=4, padding=2).relu()
    out["norm1"] = lrn(out["conv1"])
    out["pool1"] = F.max_pool2d(out["norm1"], 3, 2)
    out["conv2"] = F.conv2d(out["pool1"], *w["conv2"], padding=2, groups=2).relu()
    out["norm2"] = lrn(out["conv2"])
    out["pool2"] = F.max_pool2d(out["norm2"], 3, 2)
    out["conv3"] = F.conv2d(out["pool2"], *w["conv3"], padding=1).relu()
    out["conv4"] = F.conv2d(out["conv3"], *w["conv4"], padding=1, groups=2).relu()
    out["conv5:z"] = F.conv2d(out["conv4"], *w["conv5"], padding=1, groups=2)
    out["conv5"] = out["conv5:z"].relu()
    out["pool5"] = F.max_pool2d(out["conv5"], 3, 2)
    return fully_connected_by_hand(w, out)


def fully_connected_by_hand(w, out):
    out["fc6"] = F.linear(out["pool5"].flatten(1), *w["fc6"]).relu()
    out["fc7:z"] = F.linear(out["fc6"], *w["fc7"])
    out["fc7"] = out["fc7:z"].relu()
    out["fc8"] = F.linear(out["fc7"], *w["fc8"])
    return out


@pytest.mark.parametrize(
    ("name", "by_hand"), [("zfnet", zfnet_by_hand), ("alexnet", alexnet_by_hand)]
)
def test_values_equal_a_forward_written_by_hand(name, by_hand):
    net = deconv.build(name, num_classes=3, fc_width=16, init="he", seed=1).double()
    for number, parameter in enumerate(net.parameters()):
        if parameter.dim() == 1:
            parameter.data.copy_(randn(*parameter.shape, seed=number))
    images = randn(1, 3, 224, 224) * 60
    weights = {layer: tuple(net.get_submodule(layer).parameters()) for layer in net.layers}
    with torch.no_grad():
        expected = by_hand(weights, images)
        record = net.record(images, list(expected))
    for point, values in expected.items():
        difference = (record.activations[point] - values).abs().max()
        assert difference <= 1e-10 * values.abs().max(), point
    assert (lrn(expected["pool1"]) - expected["pool1"]).abs().max() > 1  # it did something
    assert torch.equal(record.logits, record.activations["fc8"])


def test_the_stages_stand_in_the_order_of_the_paper():
    names = [name for name, _ in meta("zfnet").named_children()]
    assert names[:8] == ["conv1", "relu1", "pool1", "norm1", "conv2", "relu2", "pool2", "norm2"]
    assert "norm5" not in names
    names = [name for name, _ in meta("alexnet").named_children()]
    assert names[:8] == ["conv1", "relu1", "norm1", "pool1", "conv2", "relu2", "norm2", "pool2"]


@pytest.mark.parametrize(
    ("name", "change", "expected"),
    [
        ("zfnet", {}, {"drop6": 0.5, "drop7": 0.5}),
        ("alexnet", {}, {"drop6": 0.5, "drop7": 0.5}),
        ("zfnet_mini", {}, {"drop6": 0.0, "drop7": 0.0}),
        ("zfnet", {"dropout": 0.0}, {"drop6": 0.0, "drop7": 0.0}),
        ("zfnet_mini", {"dropout": 0.3}, {"drop6": 0.3, "drop7": 0.3}),
        ("zfnet", {"remove": (7,)}, {"drop6": 0.5}),
    ],
)
def test_dropout_follows_each_fully_connected_layer(name, change, expected):
    stages = dict(meta(name, **change).named_children())
    found = {key: stage.p for key, stage in stages.items() if isinstance(stage, nn.Dropout)}
    assert found == expected
    order = list(stages)
    for drop in expected:
        assert order[order.index(drop) - 2 : order.index(drop)] == [
            f"fc{drop[4]}",
            f"relu{drop[4]}",
        ]


def test_networks_come_in_evaluation_mode():
    assert not any(module.training for module in meta("zfnet").modules())
    assert not any(module.training for module in meta("torchvision/alexnet").modules())


# ------------------------------------------------------------------ names and arguments


def test_all_names_can_be_built():
    for name in MODELS:
        assert meta(name, num_classes=2).name == name


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("zfnett", {}, r"unknown model 'zfnett'\. Did you mean 'zfnet'.*torchvision/vgg16"),
        ("vgg16", {}, r"unknown model 'vgg16'\. Did you mean 'torchvision/vgg16'"),
        ("torchvision/vgg15", {}, r"unknown torchvision classifier 'vgg15'.*'vgg16'"),
        ("", {}, "unknown model ''"),
        ("zfnet", {"num_classes": 0}, "num_classes must be at least 1, got 0"),
        ("zfnet", {"num_classes": -3}, "got -3"),
        ("zfnet", {"remove": (1,)}, r"unknown layer to remove 1\..*Valid: 3, 4, 6, 7"),
        ("zfnet", {"remove": (3, 5)}, "unknown layer to remove 5"),
        ("alexnet", {"remove": (8,)}, "unknown layer to remove 8"),
        ("zfnet", {"maps_345": (512, 1024)}, r"maps_345 takes three numbers.*\(512, 1024\)"),
        ("zfnet", {"maps_345": (512, 0, 512)}, "sizes must be positive"),
        ("zfnet", {"fc_width": -1}, "sizes must be positive.*fc_width=-1"),
        ("zfnet", {"fc_width": 0}, "sizes must be positive.*fc_width=0"),
        ("zfnet", {"input_px": -224}, "sizes must be positive.*input_px=-224"),
        ("zfnet", {"input_px": 0}, "sizes must be positive.*input_px=0"),
        ("zfnet", {"input_px": 20}, "input_px=20 is too small"),
        ("zfnet", {"dropout": 1.0}, "dropout must be at least 0 and below 1, got 1.0"),
        ("zfnet", {"dropout": -0.1}, "dropout must be .* got -0.1"),
        (
            "zfnet",
            {"first_layer": "course"},
            "unknown first layer 'course'.*'coarse'",
        ),
        ("alexnet", {"first_layer": "coarse"}, "alexnet's first layer is coarse already"),
        ("torchvision/alexnet", {"first_layer": "coarse"}, "leave out first_layer"),
        ("zfnet", {"init": "hi"}, "unknown init 'hi'.*paper, gain, he"),
        ("torchvision/alexnet", {"fc_width": 9}, "torchvision/alexnet has no fc_width: leave out"),
        ("torchvision/alexnet", {"remove": (7,), "norm": "none"}, "leave out remove, norm"),
        ("torchvision/alexnet", {"dropout": 0.0}, "leave out dropout"),
        ("torchvision/alexnet", {"init": "hi"}, "init"),
        ("timm/resnet18", {"grey": True}, "timm/resnet18 has no grey: leave out grey"),
    ],
)
def test_arguments_that_no_network_has_are_refused(name, arguments, message):
    with pytest.raises(DeconvError, match=message):
        meta(name, **arguments)
