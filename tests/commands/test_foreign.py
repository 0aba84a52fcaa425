"""Networks of others by name: their points, their preprocessing, and what is refused."""

import sys

import pytest
import torch
from command_line import assert_refused
from mostly_slow import mostly_slow

import deconv
from deconv.errors import DeconvError
from deconv.networks import ChainNet, WrappedNet, is_foreign
from experiments.kit.command import compose, settings_of
from experiments.kit.inputs import given
from experiments.kit.settings import Chain, Foreign

FACTORY = """
from torch import nn

def small(num_classes=3):
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
                         nn.Linear(4, num_classes))

def wrong():
    return 3
"""


@pytest.fixture
def file(tmp_path):
    (tmp_path / "mine.py").write_text(FACTORY)
    return f"file:{tmp_path / 'mine.py'}"


@pytest.mark.parametrize("name", mostly_slow(["zfnet", "alexnet"]))
@pytest.mark.usefixtures("narrow")
def test_pytorchcv_s_chains_bear_this_library_s_names(name):
    package = pytest.importorskip("pytorchcv.model_provider")
    torch.manual_seed(0)
    original = package.get_model(name).eval()
    torch.manual_seed(0)
    net = deconv.build(f"pytorchcv/{name}")
    std = torch.tensor(net.recipe["std"]).view(3, 1, 1)
    images = torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(1)) * 60
    with torch.no_grad():
        expected = original(images / std)
    record = net.record(images, ["conv1", "conv5", "pool5", "fc7", "fc8"])
    torch.testing.assert_close(record.logits, expected, rtol=1e-4, atol=1e-5)
    assert isinstance(net, ChainNet) and net.classes == 1000
    assert net.layers == ("conv1", "conv2", "conv3", "conv4", "conv5", "fc6", "fc7", "fc8")
    fractions = [[n / 255 for n in net.recipe[key]] for key in ("mean", "std")]
    graph = deconv.wrap(original, "original", 224, fractions)
    point = "features.stage3.unit3.activ"
    below = graph.record(images, [point], logits=False)
    torch.testing.assert_close(record.activations["conv5"], below.activations[point])
    units = (below.activations[point] > 0).nonzero()[:2]
    found = deconv.project(net, record, "conv5", units)
    same = deconv.project(graph, below, point, units, engine="vjp")
    torch.testing.assert_close(found, same, rtol=1e-3, atol=1e-5 * float(same.abs().max()))
    assert found.any() and net.field("conv5", 6, 6, (224, 224)) == (
        graph.field(point, 6, 6, (224, 224))
    )
    again = deconv.build(**net.recipe)
    again.load_state_dict(net.state_dict())
    assert torch.equal(again.record(images).logits, record.logits)


def test_pytorchcv_s_branches_stay_a_graph():
    pytest.importorskip("pytorchcv.model_provider")
    net = deconv.build("pytorchcv/resnet10", 3)
    assert isinstance(net, WrappedNet) and net.classes == 3


def test_timm_states_its_preprocessing():
    pytest.importorskip("timm")
    net = deconv.build("timm/resnet18", 4)
    assert net.preprocessing.input_px == 224 and net.preprocessing.stored_px == 236
    assert net.preprocessing.mean[0].item() == pytest.approx(0.485 * 255)
    assert net.classes == 4 and "layer1.0.conv1" in net.points


def test_a_function_in_a_file_makes_a_network(file):
    told = {"mean": [100, 110, 120], "std": [1, 2, 3], "input_px": 20}
    net = deconv.build(f"{file}:small", 7, **told)
    assert net.classes == 7 and net.layers == ("0", "4")
    again = deconv.build(**net.recipe)
    assert again.recipe == net.recipe and again.divide_by.flatten().tolist() == [1, 2, 3]
    plain = deconv.build(f"{file}:small", **told | {"std": [1, 1, 1]})
    assert plain.divide_by is None and plain.classes == 3, "divided by 1; the function's default"


DATACLASS = """
from __future__ import annotations

from dataclasses import dataclass
from torch import nn

@dataclass
class Settings:
    maps: int = 4

def small():
    settings = Settings()
    return nn.Sequential(nn.Conv2d(3, settings.maps, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


def test_a_file_may_hold_what_a_module_may(tmp_path):
    (tmp_path / "torch.py").write_text(DATACLASS)
    before = set(sys.modules)
    name = f"file:{tmp_path / 'torch.py'}:small"
    assert deconv.build(name, mean=[1, 2, 3], std=[1, 1, 1], input_px=8).classes == 4
    assert sys.modules["torch"] is torch, "a file's name hides no package"
    (tmp_path / "torch.py").write_text(DATACLASS.replace("maps: int = 4", "maps: int = 5"))
    assert deconv.build(name, mean=[1, 2, 3], std=[1, 1, 1], input_px=8).classes == 5
    assert len(set(sys.modules) - before) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import blocks_of_mine\n", "needs the package blocks_of_mine: install it, or put the"),
        ("def small(:\n", "cannot be run: SyntaxError"),
        ("1 / 0\n", "cannot be run: ZeroDivisionError: division by zero"),
        ("def small(maps):\n    return 3\n", "small() of {path} fails: TypeError"),
        ("def small():\n    return {}['maps']\n", "small() of {path} fails: KeyError: 'maps'"),
    ],
)
def test_a_file_that_fails_is_named_with_its_own_error(tmp_path, text, message):
    path = tmp_path / "mine.py"
    path.write_text(text)
    before = set(sys.modules)
    with pytest.raises(DeconvError) as error:
        deconv.build(f"file:{path}:small", mean=[1, 2, 3], std=[1, 1, 1])
    assert message.replace("{path}", str(path)) in str(error.value)
    assert set(sys.modules) == before or "small()" in message


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("torchvision/resnet81", {}, "Did you mean 'resnet18'"),
        ("torchvision/resnet18", {"mean": [0.4, 0.4, 0.4]}, "looks like 0…1"),
        ("torchvision/resnet18", {"std": [1, 0, 1]}, "three positive numbers"),
        ("file:nothing.py:f", {"mean": [1, 2, 3]}, "or there is no such file"),
        ("{file}:small", {}, "is not stated, no mean and no std: give"),
        ("{file}:small", {"mean": [1, 2, 3]}, "no std: give mean and std"),
        ("{file}:small", {"std": [1, 2, 3]}, "no mean: give mean and std"),
        ("{file}:smal", {"mean": [1, 2, 3]}, "Did you mean 'small'"),
        ("{file}:wrong", {"mean": [1, 2, 3]}, "made a int, not a module"),
    ],
)
def test_what_is_not_there_is_named(file, name, options, message):
    with pytest.raises(DeconvError) as error:
        deconv.build(name.replace("{file}", file), 3, **options)
    assert message in str(error.value)


def test_a_name_on_the_command_line_is_a_choice_of_the_group():
    """Hydra knows it from the command line alone, whatever is quoted or swept over."""
    for asked in ("model=torchvision/alexnet", "model='torchvision/alexnet'"):
        cfg = compose("fig7_occlusion", [asked, "model.weights=random"])
        assert cfg.model.name == "torchvision/alexnet" and is_foreign(cfg.model.name)
    assert isinstance(settings_of(cfg).model, Foreign)
    assert compose("train", ["model=file:mine.py:net"]).model.name == "file:mine.py:net"
    assert isinstance(settings_of(compose("train", ["model=zfnet"])).model, Chain)
    with pytest.raises(DeconvError, match=r"model that is chosen has no setting 'model\.fc_width'"):
        compose("train", ["model=timm/resnet18", "model.fc_width=3"])
    snapshot = given(cfg)
    net = snapshot.network()
    assert isinstance(net, ChainNet) and len(snapshot.classes) == 1000
    assert snapshot.mean.shape == (3, 256, 256)
    assert torch.equal(net.state_dict()["conv1.weight"], snapshot.weights["conv1.weight"])


def test_a_snapshot_and_another_network_are_refused(tmp_path):
    overrides = ["size=smoke", "snapshot=zfnet_mini", "model=torchvision/resnet18"]
    message = "which holds zfnet_mini, are two networks: name one of them"
    assert_refused("fig7_occlusion", overrides, message, tmp_path)
