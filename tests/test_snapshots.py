"""Snapshots: whole or not at all, nothing executable, and only into the network they fit."""

import dataclasses
import os
import pickle

import pytest
import torch

import deconv
from deconv.snapshots import load_weights, weights_hash


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


def test_code_in_a_file_is_refused_and_never_run(tmp_path):
    trace = tmp_path / "ran"
    path = tmp_path / "evil.pt"
    torch.save({"recipe": Trap(str(trace)), "weights": {}, "mean": torch.zeros(1)}, path)
    with pytest.raises(deconv.DeconvError, match=r"evil\.pt"):
        deconv.load_snapshot(path)
    assert not trace.exists()
    pickle.loads(pickle.dumps(Trap(str(trace)))).close()
    assert trace.exists(), "the trap itself works"


def test_missing_truncated_and_foreign_files_are_named(tmp_path, snapshot):
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
