"""The networks: shapes, parameters, order of operations, first weights, records, refusals."""

import copy
import math
from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
import torchvision
from oracles import SMALL_SIZE, loop_max_pool, randn, small_net
from torch import nn

import deconv
from deconv.errors import DeconvError
from deconv.models import MODELS
from deconv.models.chain import ChainNet


def meta(name, **arguments):
    """A network with shapes and without numbers."""
    with torch.device("meta"):
        return deconv.build(name, **arguments)


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
    assert names[:8] == "conv1 relu1 pool1 norm1 conv2 relu2 pool2 norm2".split()
    assert "norm5" not in names
    names = [name for name, _ in meta("alexnet").named_children()]
    assert names[:8] == "conv1 relu1 norm1 pool1 conv2 relu2 norm2 pool2".split()


# ------------------------------------------------------------------ first weights


def test_the_first_weights_are_normal_with_deviation_0_01_and_biases_0():
    net = deconv.build("zfnet", num_classes=2, fc_width=32, seed=0)
    for name, parameter in net.named_parameters():
        if name.endswith("bias"):
            assert parameter.count_nonzero() == 0, name
            continue
        values, error = parameter.double().flatten(), parameter.numel() ** -0.5
        assert abs(values.mean()) < 5 * 0.01 * error, name
        assert abs(values.std() / 0.01 - 1) < 5 * error, name
        within = (values.abs() < 0.01).double().mean()
        assert abs(within - math.erf(0.5**0.5)) < 5 * error, name


def test_he_weights_have_variance_2_over_fan_in():
    net = deconv.build("alexnet", num_classes=2, fc_width=32, init="he", seed=0)
    fan_in = {"conv1": 3 * 121, "conv2": 48 * 25, "conv4": 192 * 9, "fc6": 9216}
    for layer, count in fan_in.items():
        weight = net.get_submodule(layer).weight
        assert abs(weight.std() * (count / 2) ** 0.5 - 1) < 5 * weight.numel() ** -0.5, layer
    assert net.conv2.bias.count_nonzero() == 0


def test_gain_weights_are_the_papers_for_zfnet():
    paper, gain = (
        deconv.build("zfnet", 1000, fc_width=4096, remove=(6, 7), init=init, seed=0)
        for init in ("paper", "gain")
    )
    for layer in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        first, second = (net.get_submodule(layer).weight for net in (paper, gain))
        assert torch.allclose(first, second, rtol=1e-6, atol=0), layer


def test_gain_weights_make_a_narrow_layer_as_strong_as_zfnets():
    net = deconv.build("zfnet_mini", 2, init="gain", seed=0)
    fan_in = {  # ZFNet's, own
        "conv1": (3 * 49, 3 * 25),
        "conv2": (96 * 25, 48 * 9),
        "conv3": (256 * 9, 96 * 9),
        "conv5": (384 * 9, 128 * 9),
        "fc6": (9216, 96 * 36),
        "fc7": (4096, 512),
    }
    for layer, (wide, narrow) in fan_in.items():
        weight = net.get_submodule(layer).weight
        expected = 0.01 * (wide / narrow) ** 0.5
        assert abs(weight.std() / expected - 1) < 5 * weight.numel() ** -0.5, layer
    assert net.fc7.bias.count_nonzero() == 0


def weights_of(**arguments):
    net = deconv.build(arguments.pop("name", "zfnet_mini"), 3, **arguments)
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def test_the_seed_alone_decides_the_weights():
    torch.manual_seed(1)
    first = weights_of(seed=5)
    torch.manual_seed(2)
    assert torch.equal(weights_of(seed=5), first)
    assert not torch.equal(weights_of(seed=6), first)


def test_without_a_seed_torchs_generator_decides():
    torch.manual_seed(1)
    first = weights_of()
    torch.manual_seed(1)
    assert torch.equal(weights_of(), first)
    assert not torch.equal(weights_of(), first)


def test_networks_come_in_evaluation_mode():
    assert not any(module.training for module in meta("zfnet").modules())
    assert not any(module.training for module in meta("torchvision/alexnet").modules())


# ------------------------------------------------------------------ records


IMAGES = randn(2, 3, *SMALL_SIZE, seed=3)


@pytest.fixture
def net():
    return small_net(norm=True)


def test_a_record_has_the_values_of_every_stage(net):
    record = net.record(IMAGES, net.points)
    x, layer, expected = IMAGES, "", {}
    for name, stage in net.named_children():
        assert record.shapes[name] == tuple(x.shape[1:])
        if isinstance(stage, nn.MaxPool2d):
            arguments = (stage.kernel_size, stage.stride, stage.padding, stage.dilation)
            switches = loop_max_pool(x, *arguments, stage.ceil_mode)[1]
            assert torch.equal(record.switches[name], switches)
        x = stage(x)
        if isinstance(stage, nn.Conv2d | nn.Linear):
            layer = name
            expected[f"{name}:z"] = x
        expected[layer if isinstance(stage, nn.ReLU) else name] = x
    expected["fc5"] = expected.pop("fc5:z")
    assert set(record.activations) == set(net.points)
    for point in net.points:
        assert torch.equal(record.activations[point], expected[point]), point
    assert torch.equal(record.images, IMAGES)


def test_points_are_in_the_order_of_the_chain(net):
    assert net.points == tuple(
        "conv1:z conv1 pool1 norm1 conv2:z conv2 norm2 pool2 conv3:z conv3 pool3 grid "
        "fc4:z fc4 fc5".split()
    )
    assert net.layers == ("conv1", "conv2", "conv3", "fc4", "fc5")


def test_feature_maps_are_rectified_pre_activations(net):
    record = net.record(IMAGES, net.points)
    for layer in ("conv1", "conv2", "conv3", "fc4"):
        z = record.activations[f"{layer}:z"]
        assert (z < 0).any()
        assert torch.equal(record.activations[layer], torch.where(z > 0, z, 0.0))


def test_a_record_keeps_what_was_asked_for(net):
    assert set(net.record(IMAGES, ["conv2", "pool1"]).activations) == {"conv2", "pool1"}
    assert set(net.record(IMAGES, "conv2").activations) == {"conv2"}
    assert net.record(IMAGES).activations == {}


def test_a_convolution_without_relu_can_be_read_under_both_names():
    stages = OrderedDict(conv1=nn.Conv2d(3, 2, 3), conv2=nn.Conv2d(2, 2, 3))
    record = ChainNet("linear", stages, {}, 9).record(
        randn(1, 3, 9, 9).float(), ["conv1", "conv1:z", "conv2"]
    )
    assert torch.equal(record.activations["conv1"], record.activations["conv1:z"])


def test_a_module_that_stands_twice_in_the_chain_runs_twice():
    relu = nn.ReLU()
    stages = OrderedDict(conv1=nn.Conv2d(3, 2, 3), relu1=relu, conv2=nn.Conv2d(2, 2, 3), relu2=relu)
    net = ChainNet("shared", stages, {}, 9)
    images = randn(1, 3, 9, 9).float()
    record = net.record(images, ["conv2"])
    assert torch.equal(record.logits, net(images))
    assert torch.equal(record.activations["conv2"], net(images))


def test_recorded_logits_are_those_of_forward(net):
    assert torch.equal(net.record(IMAGES, ["conv1"]).logits, net(IMAGES))
    assert torch.equal(net.record(IMAGES).logits, net(IMAGES))


def test_without_logits_nothing_above_the_layers_runs(net, monkeypatch):
    def refuse(x):
        raise AssertionError("a stage above the highest layer ran")

    monkeypatch.setattr(net.norm2, "forward", refuse)
    record = net.record(IMAGES, ["conv2", "conv1"], logits=False)
    assert record.logits is None
    assert set(record.switches) == {"pool1"}
    with pytest.raises(AssertionError, match="a stage above"):
        net.record(IMAGES, ["conv2", "conv1"])


def test_without_logits_images_need_to_fit_the_lower_stages_alone(net):
    taller = randn(1, 3, 41, 30)
    net = deconv.build("zfnet", 2, fc_width=4, seed=0).double()
    assert net.record(taller, ["conv1"], logits=False).activations["conv1"].shape == (1, 96, 19, 13)
    with pytest.raises(DeconvError, match="got 3×41×30, which does not fit its pool2"):
        net.record(taller, ["conv1"])


@pytest.mark.parametrize("training", [True, False])
def test_a_record_leaves_nothing_behind(net, training):
    net.train(training)
    before = [copy.deepcopy(vars(module)) for module in net.modules()]
    weights = {key: value.clone() for key, value in net.state_dict().items()}
    net.record(IMAGES, net.points)
    for old, module in zip(before, net.modules(), strict=True):
        assert vars(module).keys() == old.keys()
        assert module.training is training
        for key in old:
            if key not in ("_modules", "_parameters"):
                assert vars(module)[key] == old[key], key
        for key, hooks in vars(module).items():
            assert not (key.endswith("_hooks") and hooks), key
    assert net.state_dict().keys() == weights.keys()
    assert all(torch.equal(net.state_dict()[key], value) for key, value in weights.items())
    assert all(p.grad is None and p.requires_grad for p in net.parameters())


def test_a_record_does_not_change_the_images(net):
    images = IMAGES.clone()
    net.record(images, net.points)
    assert torch.equal(images, IMAGES)


def test_dropout_is_for_training_and_never_for_records():
    net = deconv.build("zfnet_mini", 3, input_px=64, dropout=0.5, init="he", seed=0)
    images = randn(2, 3, 64, 64).float()
    in_evaluation = net(images)
    net.train()
    assert not torch.equal(net(images), in_evaluation)
    record = net.record(images, ["fc6", "fc7"])
    assert torch.equal(record.logits, in_evaluation)
    net.eval()
    assert torch.equal(record.activations["fc7"], net.record(images, "fc7").activations["fc7"])


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


# ------------------------------------------------------------------ torchvision


def test_torchvision_alexnet_gives_torchvisions_logits():
    torch.manual_seed(3)
    net = deconv.build("torchvision/alexnet", num_classes=5)
    torch.manual_seed(3)
    original = torchvision.models.alexnet(num_classes=5).eval()
    images = randn(2, 3, 224, 224).float()
    with torch.no_grad():
        assert torch.equal(net(images), original(images))


def test_torchvision_vgg_gives_torchvisions_logits():
    with torch.device("meta"):
        original = torchvision.models.vgg11(num_classes=5).eval()
    original = original.to_empty(device="cpu")
    for number, parameter in enumerate(original.parameters()):
        tile = randn(1009, seed=number).float() * (2 / max(1, parameter[0].numel())) ** 0.5
        repeats = -(-parameter.numel() // len(tile))
        parameter.data = tile.repeat(repeats)[: parameter.numel()].view(parameter.shape)
    net = meta("torchvision/vgg11", num_classes=5)
    net.load_state_dict(
        dict(zip(net.state_dict(), original.state_dict().values(), strict=True)), assign=True
    )
    images = randn(1, 3, 64, 64).float()
    with torch.no_grad():
        expected = original(images)
        assert torch.equal(net(images), expected)
        # Nothing works in place: z is still there after its ReLU.
        assert (net.record(images, ["conv1:z", "conv1"]).activations["conv1:z"] < 0).any()
    assert expected.std() > 0


@pytest.mark.parametrize("name", ["alexnet", "vgg11", "vgg13", "vgg16", "vgg19"])
def test_torchvision_networks_keep_their_modules_in_order(name):
    net = meta(f"torchvision/{name}", num_classes=7)
    with torch.device("meta"):
        original = torchvision.models.get_model(name, num_classes=7)
    expected = [*original.features, original.avgpool, nn.Flatten(1), *original.classifier]
    found = list(net.children())
    assert [str(m).replace(", inplace=True", "").replace("inplace=True", "") for m in expected] == [
        str(m) for m in found
    ]
    numbers = [int(n.lstrip("convf")) for n, m in net.named_children() if hasattr(m, "weight")]
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_pool_bears_the_number_of_the_convolution_before_it():
    net = meta("torchvision/vgg16")
    names = [name for name, _ in net.named_children()]
    pools = [name for name in names if name.startswith("pool")]
    assert pools == ["pool2", "pool4", "pool7", "pool10", "pool13"]
    assert net.layers[-4:] == ("conv13", "fc14", "fc15", "fc16")
    for pool in pools:
        assert names.index(pool) == names.index(f"relu{pool[4:]}") + 1


# ------------------------------------------------------------------ refusals


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("zfnett", {}, r"unknown model 'zfnett'\. Did you mean 'zfnet'.*torchvision/vgg16"),
        ("vgg16", {}, r"unknown model 'vgg16'\. Did you mean 'torchvision/vgg16'"),
        ("torchvision/vgg15", {}, r"unknown model.*'torchvision/vgg16'"),
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
        ("zfnet", {"init": "hi"}, "unknown init 'hi'.*paper, gain, he"),
        ("zfnet", {"weights": "IMAGENET1K_V1"}, "no ready weights for zfnet.*load_snapshot"),
        ("torchvision/alexnet", {"fc_width": 9}, "comes as it is: leave out fc_width"),
        ("torchvision/alexnet", {"remove": (7,), "input_px": 64}, "leave out input_px, remove"),
        ("torchvision/alexnet", {"dropout": 0.0}, "leave out dropout"),
        ("torchvision/alexnet", {"init": "hi"}, "init"),
        ("torchvision/alexnet", {"weights": "IMAGENET1K_V9"}, "IMAGENET1K_V9.*IMAGENET1K_V1"),
    ],
)
def test_arguments_that_no_network_has_are_refused(name, arguments, message):
    with pytest.raises(DeconvError, match=message):
        meta(name, **arguments)


def test_a_seed_makes_torchvisions_random_weights_reproducible():
    first = weights_of(name="torchvision/alexnet", seed=5)
    assert torch.equal(weights_of(name="torchvision/alexnet", seed=5), first)


@pytest.mark.parametrize(
    ("images", "message"),
    [
        ("cat.jpg", "zfnet takes a float tensor N×3×H×W, not str"),
        (None, "not NoneType"),
        (randn(1, 3, 224, 224).numpy(), "not ndarray"),
        (torch.zeros(1, 3, 224, 224, dtype=torch.uint8), "float images.*torch.uint8"),
        (torch.zeros(3, 224, 224), "got 3×224×224; add a batch axis"),
        (torch.zeros(1, 1, 3, 224, 224), "got 1×1×3×224×224"),
        (torch.zeros(1, 1, 224, 224), "takes 3 channels .RGB., got 1 in 1×1×224×224"),
        (torch.zeros(1, 4, 224, 224), "got 4 in"),
        (torch.zeros(1, 224, 224, 3), "got 224 in"),
        (torch.zeros(0, 3, 224, 224), "empty batch"),
        (torch.zeros(1, 3, 200, 200), r"takes 3×224×224 images, got 3×200×200.*its fc6"),
        (torch.zeros(1, 3, 224, 180), "got 3×224×180.*its fc6"),
        (torch.zeros(1, 3, 8, 224), "got 3×8×224.*does not fit its conv2"),
        (torch.zeros(1, 3, 0, 0), "got 3×0×0.*does not fit its conv1"),
    ],
)
@pytest.mark.parametrize("call", ["forward", "record"])
def test_images_that_do_not_fit_are_refused(images, message, call):
    with pytest.raises(DeconvError, match=message):
        getattr(meta("zfnet", num_classes=2), call)(images)


@pytest.mark.parametrize("layers", [["conv6"], ["conv1", "conv6"], "conv6"])
def test_an_unknown_layer_is_named_with_the_nearest_ones(net, layers):
    with pytest.raises(DeconvError, match=r"unknown layer of small 'conv6'\. Did you.*'conv3'"):
        net.record(IMAGES, layers)


def test_the_logits_have_no_pre_activation(net):
    with pytest.raises(DeconvError, match="unknown layer of small 'fc5:z'"):
        net.record(IMAGES, "fc5:z")


def test_all_names_can_be_built():
    for name in MODELS:
        assert meta(name, num_classes=2).name == name
