"""Snapshots: whole or not at all, nothing executable, and only into the network they fit."""

import dataclasses
import os
import pickle

import pytest
import torch
import torchvision

import deconv
from deconv.training.snapshots import load_weights, weights_hash
from experiments.kit.command import compose
from experiments.kit.inputs import given


@pytest.fixture
def snapshot():
    net = deconv.build("zfnet_mini", 4, fc_width=8, init="he", seed=3)
    return deconv.Snapshot(
        recipe=net.recipe,
        weights=net.state_dict(),
        mean=torch.rand(3, 128, 128),
        classes=list("abcd"),
        epoch=2,
        metrics={"val_top1_error": 12.5},
    )


def test_a_snapshot_comes_back_as_it_was_and_rebuilds_its_network(tmp_path, snapshot):
    path = deconv.save_snapshot(tmp_path / "deep" / "last.pt", snapshot)
    back = deconv.load_snapshot(path)
    for name, weight in snapshot.weights.items():
        assert torch.equal(back.weights[name], weight)
    assert torch.equal(back.mean, snapshot.mean)
    assert (back.classes, back.epoch, back.metrics) == (list("abcd"), 2, {"val_top1_error": 12.5})
    images = torch.randn(2, 3, 112, 112)
    net = snapshot.network()
    with torch.no_grad():
        assert torch.equal(back.network()(images), net(images))
    assert not back.network().training


@pytest.mark.parametrize("name", ["zfnet", "alexnet", "torchvision/alexnet"])
def test_every_kind_of_network_is_rebuilt_from_its_recipe(name):
    changes = {"remove": (3, 4), "fc_width": 16} if "/" not in name else {}
    net = deconv.build(name, 3, **changes)
    again = dict(net.recipe)
    other = deconv.build(again.pop("name"), **again)
    load_weights(other, net.state_dict())
    assert weights_hash(other) == weights_hash(net)


@pytest.mark.parametrize("step", ["fsync", "replace"])
def test_a_failed_write_leaves_the_old_file_and_no_litter(tmp_path, snapshot, monkeypatch, step):
    path = deconv.save_snapshot(tmp_path / "last.pt", snapshot)
    before = path.read_bytes()

    def full(*_):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, step, full)
    with pytest.raises(OSError, match="No space"):
        deconv.save_snapshot(path, dataclasses.replace(snapshot, epoch=3))
    assert path.read_bytes() == before
    assert sorted(os.listdir(tmp_path)) == ["last.pt", "last.pt.sha256"]


class Trap:
    """Pickled code that would leave a file behind if it ran."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (self.path, "w"))


@pytest.mark.fault("malicious file")
def test_code_in_a_file_is_refused_and_never_run(tmp_path):
    trace = tmp_path / "ran"
    path = tmp_path / "evil.pt"
    torch.save({"recipe": Trap(str(trace)), "weights": {}, "mean": torch.zeros(1)}, path)
    with pytest.raises(deconv.DeconvError, match=r"evil\.pt"):
        deconv.load_snapshot(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Trap(str(trace)))).close()
    assert trace.exists(), "the trap itself works"


TRAP = """
from pathlib import Path
from torch import nn

Path({trace!r}).touch()

def net():
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten())
"""


@pytest.mark.fault("malicious file")
def test_a_recipe_that_names_code_runs_it_only_for_who_names_it_too(tmp_path, snapshot):
    trace = tmp_path / "ran"
    (tmp_path / "evil.py").write_text(TRAP.format(trace=str(trace)))
    name = f"file:{tmp_path / 'evil.py'}:net"
    weights = {"module.0.weight": torch.ones(2, 3, 3, 3), "module.0.bias": torch.zeros(2)}
    recipe = {"name": name, "num_classes": 2, "input_px": 8, "mean": [1, 2, 3], "std": [1, 1, 1]}
    evil = dataclasses.replace(snapshot, recipe=recipe, weights=weights, classes=["a", "b"])
    path = deconv.save_snapshot(tmp_path / "evil.pt", evil)
    for code in (None, "file:other.py:net"):
        read = deconv.load_snapshot(path, code)
        for one in (read, dataclasses.replace(read, config={})):
            with pytest.raises(deconv.DeconvError) as error:
                one.network()
            assert name in str(error.value) and f"load_snapshot(path, {name!r})" in str(error.value)
    with pytest.raises(deconv.DeconvError, match=r"would run .* model\.name='file:"):
        given(compose("fig2_top_activations", [f"snapshot={path}"]))
    assert not trace.exists()
    assert set(torch.load(path, weights_only=True)) == FIELDS
    cfg = compose("fig2_top_activations", [f"snapshot={path}", f"model={name}"])
    for net in (deconv.load_snapshot(path, name).network(), given(cfg).network(), evil.network()):
        assert torch.equal(net.state_dict()["module.0.weight"], weights["module.0.weight"])
    assert trace.exists(), "the trap itself works"


FIELDS = {
    "recipe",
    "weights",
    "mean",
    "classes",
    "epoch",
    "step",
    "optimizer",
    "config",
    "metrics",
    "history",
    "progress",
    "format",
}
"""What a file holds."""


@pytest.mark.parametrize("options", [{}, {"mean": [1, 2, 3], "std": [1, 1, 1]}])
def test_a_recipe_that_names_weights_downloads_none(snapshot, monkeypatch, options):
    net = deconv.build("torchvision/alexnet", 3, seed=0, **options)
    recipe = net.recipe | {"weights": "DEFAULT"}
    monkeypatch.setattr(torch.hub, "download_url_to_file", lambda *_, **__: pytest.fail("asked"))
    for module in (torch.hub, torchvision.models._api):
        monkeypatch.setattr(module, "load_state_dict_from_url", lambda *_, **__: pytest.fail("!"))
    again = dataclasses.replace(snapshot, recipe=recipe, weights=net.state_dict()).network()
    assert weights_hash(again) == weights_hash(net)


def test_missing_truncated_and_foreign_files_are_named(tmp_path, snapshot):
    for name in ("epoch_005.pt", "epoch_001.pt"):
        (tmp_path / name).touch()
    with pytest.raises(
        deconv.DeconvError, match=r"epoch_009\.pt; there are epoch_001\.pt, epoch_00"
    ):
        deconv.load_snapshot(tmp_path / "epoch_009.pt")
    with pytest.raises(deconv.DeconvError, match=r"no snapshot at .*nowhere\.pt"):
        deconv.load_snapshot(tmp_path / "nowhere.pt")
    path = deconv.save_snapshot(tmp_path / "last.pt", snapshot)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(deconv.DeconvError, match=r"cannot read the snapshot .*last\.pt"):
        deconv.load_snapshot(path)
    torch.save({"state_dict": {}}, tmp_path / "foreign.pt")
    with pytest.raises(deconv.DeconvError, match=r"foreign\.pt is not a snapshot"):
        deconv.load_snapshot(tmp_path / "foreign.pt")


def test_a_snapshot_that_does_not_fit_says_where_and_changes_nothing(snapshot):
    net = deconv.build("zfnet_mini", 5, fc_width=8, seed=1)
    before = weights_hash(net)
    with pytest.raises(deconv.DeconvError, match=r"fc8\.weight is \(4, 8\), .* needs \(5, 8\)"):
        load_weights(net, snapshot.weights)
    with pytest.raises(deconv.DeconvError, match=r"conv1\.bias is missing"):
        load_weights(net, {k: v for k, v in net.state_dict().items() if k != "conv1.bias"})
    with pytest.raises(deconv.DeconvError, match=r"extra is not in zfnet_mini"):
        load_weights(net, net.state_dict() | {"extra": torch.zeros(1)})
    assert weights_hash(net) == before


def test_another_format_is_refused_by_number(tmp_path, snapshot):
    path = deconv.save_snapshot(tmp_path / "old.pt", dataclasses.replace(snapshot, format=0))
    with pytest.raises(deconv.DeconvError, match="format 0"):
        deconv.load_snapshot(path)


def test_the_hash_of_weights_sees_one_changed_bit(snapshot):
    net = snapshot.network()
    before = weights_hash(net)
    with torch.no_grad():
        net.conv3.bias[0] = 1e-30
    assert weights_hash(net) != before
