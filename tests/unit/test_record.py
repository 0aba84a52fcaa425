"""Records: values, switches and logits, what they leave behind, the images they refuse."""

import copy
from collections import OrderedDict

import pytest
import torch
from oracles import SMALL_SIZE, loop_max_pool, meta, randn, small_net
from torch import nn

import deconv
from deconv.errors import DeconvError
from deconv.networks.chain import ChainNet

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
    points = "conv1:z conv1 pool1 norm1 conv2:z conv2 norm2 pool2 conv3:z conv3 pool3 grid"
    assert net.points == (*points.split(), "fc4:z", "fc4", "fc5")
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


# ------------------------------------------------------------------ refusals


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


def test_an_in_place_relu_does_not_overwrite_the_pre_activation():
    stages = OrderedDict(conv1=nn.Conv2d(3, 2, 3), relu1=nn.ReLU(inplace=True))
    record = ChainNet("in place", stages, {}, 9).record(
        randn(1, 3, 9, 9).float(), ["conv1:z", "conv1"]
    )
    assert record.activations["conv1:z"].min() < 0
    assert torch.equal(record.activations["conv1"], record.activations["conv1:z"].relu())


def test_gradients_are_followed_only_where_images_ask_for_them():
    net = ChainNet("plain", OrderedDict(conv1=nn.Conv2d(3, 2, 3), relu1=nn.ReLU()), {}, 9)
    images = randn(1, 3, 9, 9).float()
    assert not net.record(images, ["conv1"]).activations["conv1"].requires_grad
    assert net.record(images.requires_grad_(), ["conv1"]).activations["conv1"].requires_grad


@pytest.mark.parametrize(
    "change", [{"padding_mode": "circular", "padding": 1}, {"padding": "same"}]
)
def test_convolutions_without_zero_padding_are_refused(change):
    with pytest.raises(DeconvError, match=r"conv1 of odd: .* padded with zeros"):
        ChainNet("odd", OrderedDict(conv1=nn.Conv2d(3, 2, 3, **change)), {}, 9)


def test_images_of_another_precision_are_refused():
    net = ChainNet("single", OrderedDict(conv1=nn.Conv2d(3, 2, 3), relu1=nn.ReLU()), {}, 9)
    for run in (net, net.record):
        with pytest.raises(DeconvError, match=r"torch\.float32 weights and got torch\.float64"):
            run(randn(1, 3, 9, 9).double())


def test_a_window_that_is_not_known_has_no_receptive_field():
    stages = OrderedDict(conv1=nn.Conv2d(3, 2, 3), mean=nn.LPPool2d(2, 2), conv2=nn.Conv2d(2, 2, 1))
    net = ChainNet("averaging", stages, {}, 9)
    with pytest.raises(DeconvError, match="no rule for LPPool2d"):
        net.windows("conv2")
