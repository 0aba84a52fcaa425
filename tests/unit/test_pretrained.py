"""The trained network in the package: small, good, and what it says of itself."""

import dataclasses
import json

import pytest
import torch

import deconv
from deconv.errors import DeconvError
from deconv.scenes import Scenes
from deconv.training.snapshots import SHIPPED, save_compact, save_snapshot
from experiments.kit.command import compose
from experiments.kit.inputs import given


def test_the_network_in_the_package_is_small_and_knows_the_scenes():
    path = SHIPPED / "zfnet_mini.safetensors"
    assert path.stat().st_size <= 5_000_000
    snapshot = deconv.load_snapshot("zfnet_mini")
    net = snapshot.network()
    scenes = Scenes(170, 2, net.preprocessing.stored_px)  # as validated, ten of each class
    assert list(net.class_names) == snapshot.classes == list(scenes.classes)
    images = torch.stack([net.preprocess(image) for image, _ in scenes])
    with torch.no_grad():
        found = net(images).argmax(1)
    labels = torch.tensor([label for _, label in scenes])
    assert (found == labels).double().mean() > 0.85, "it was trained to 89 % of 1,200"


def test_the_network_in_the_package_says_where_it_is_from():
    snapshot = deconv.load_snapshot("zfnet_mini")
    start = snapshot.config["starts"][0]
    assert start["command"].startswith("python -m experiments.train") and len(start["commit"]) == 40
    assert start["versions"]["torch"] and snapshot.epoch == len(snapshot.history) == 24
    errors = [snapshot.metrics[f"{kind}_top1_error"] for kind in ("exact", "rounded")]
    assert abs(errors[0] - errors[1]) <= 0.2 and errors[1] < 12
    settings = {key: value for key, value in snapshot.config.items() if key != "starts"}
    assert "/" not in json.dumps(settings), "no path of the machine that it was trained on"


def test_a_file_wins_over_the_name_and_an_unknown_name_lists_those_there_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DeconvError, match=r"no snapshot at zfnet; .*in the package: zfnet_mini$"):
        deconv.load_snapshot("zfnet")
    net = deconv.build("zfnet_mini", 2, fc_width=8, seed=0)
    mine = deconv.Snapshot(net.recipe, net.state_dict(), torch.zeros(3, 128, 128), ["a", "b"])
    save_snapshot("zfnet_mini", mine)
    assert deconv.load_snapshot("zfnet_mini").classes == ["a", "b"]


def test_a_compact_snapshot_is_rounded_and_otherwise_the_same(tmp_path):
    net = deconv.build("zfnet_mini", 2, fc_width=8, seed=0, norm="none")
    mean = 255 * torch.rand(3, 128, 128)
    snapshot = deconv.Snapshot(
        net.recipe,
        net.state_dict(),
        mean,
        ["a", "b"],
        3,
        90,
        {"state": {}},
        {"data": "mine"},
        {"loss": 0.5},
        [{"loss": 0.5}],
    )
    back = deconv.load_snapshot(save_compact(tmp_path / "small.safetensors", snapshot))
    for name, value in snapshot.weights.items():
        assert back.weights[name].dtype == torch.float32
        assert torch.equal(back.weights[name], value.half().float())
    assert (back.mean - mean).abs().max() <= 0.5 and back.mean.dtype == torch.float32
    kept = dataclasses.asdict(back)
    for name in ("recipe", "classes", "epoch", "step", "config", "metrics", "history", "format"):
        assert json.dumps(kept[name]) == json.dumps(getattr(snapshot, name)), name
    assert back.optimizer is None


def test_commands_take_the_network_in_the_package():
    snapshot = given(compose("fig2_top_activations", ["size=smoke", "snapshot=zfnet_mini"]))
    assert snapshot.epoch == 24 and snapshot.network().input_px == 112
