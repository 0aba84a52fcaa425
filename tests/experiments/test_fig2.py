"""Figure 2: what the command draws and traces, of any network, and what it refuses."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import SMALLEST, assert_refused, command, subject
from golden import assert_golden
from mostly_slow import mostly_slow

import deconv
from deconv.errors import DeconvError
from deconv.networks import WrappedNet
from deconv.pixels import energy_window
from deconv.scenes import Scenes
from deconv.training.snapshots import weights_hash
from experiments.fig2_top_activations import check, compute
from experiments.kit.command import compose
from experiments.kit.inputs import given


@pytest.fixture(scope="module")
def figure(smoke_run, tmp_path_factory):
    """The folder of one figure at size=smoke."""
    lines, _ = command(
        "fig2_top_activations",
        "size=smoke",
        f"snapshot={smoke_run / 'last.pt'}",
        "trace=true",
        cwd=tmp_path_factory.mktemp("fig2"),
    )
    return Path(lines[-1])


def test_it_is_drawn_from_what_it_says(figure, smoke_run):
    names = {path.name for path in figure.iterdir()}
    assert names == {
        "figure.png",
        "caption.txt",
        "arrays.npz",
        "table.csv",
        "config.yaml",
        "provenance.json",
        "trace.txt",
        "fig2_top_activations.log",
    }
    facts = json.loads((figure / "provenance.json").read_text())
    trained = deconv.load_snapshot(smoke_run / "last.pt").network()
    assert facts["weights_sha256"] == weights_hash(trained)
    assert facts["choices"]["collisions"] == "sum" and 0 < facts["collision_rate"]["pool1"] < 1
    rows = list(csv.DictReader((figure / "table.csv").open()))
    arrays = np.load(figure / "arrays.npz")
    for layer, count in {"conv1": 6, "conv3": 12, "conv5": 8}.items():
        mine = [row for row in rows if row["layer"] == layer]
        assert len(mine) == 9 * count
        assert arrays[f"{layer}/projection"].shape[:2] == (count, 9)
        assert np.abs(arrays[f"{layer}/projection"]).max(axis=(2, 3, 4)).min() > 0, "none blank"
        values = arrays[f"{layer}/value"]
        assert (np.diff(values, axis=1) <= 0).all() and (values > 0).all()
    assert_golden(figure)


def test_each_shown_map_is_traced_at_its_strongest_unit(figure):
    text = (figure / "trace.txt").read_text()
    rows = [row for row in csv.DictReader((figure / "table.csv").open()) if row["rank"] == "1"]
    found = re.findall(r"image (\d+) of the data set: (\w+), unit [^0-9]*\(0, (\d+), ", text)
    assert found == [(row["image"], row["layer"], row["map"]) for row in rows]
    assert text.count("pool1      unpool") == len(rows) - 6, "all but conv1's"
    assert text.count("conv1      filter") == len(rows)


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_it_is_drawn_again_without_computing(figure, tmp_path):
    (*_, again), _ = command("fig2_top_activations", "size=smoke", f"redraw={figure}", cwd=tmp_path)
    for name in ("figure.png", "arrays.npz", "provenance.json", "config.yaml"):
        assert (Path(again) / name).read_bytes() == (figure / name).read_bytes()


def truncated(path):
    path.write_bytes(path.read_bytes()[:-40])


def emptied(path):
    path.write_bytes(b"")


def foreign(path):
    path.write_bytes(b"\xff\xfe no such file")


def a_row_less(path):
    path.write_bytes(path.read_bytes()[: path.read_bytes().rindex(b"\r\n", 0, -2) + 2])


HARMS = [
    *((name, harm) for name in ("arrays.npz", "provenance.json") for harm in (truncated, emptied)),
    *((name, foreign) for name in ("arrays.npz", "provenance.json", "table.csv")),
    *((name, Path.unlink) for name in ("arrays.npz", "provenance.json", "table.csv")),
    ("table.csv", a_row_less),
]


@pytest.mark.fault("damaged snapshot")
@pytest.mark.parametrize(("name", "harm"), mostly_slow(HARMS, first=3))
def test_a_damaged_folder_is_not_drawn_from_and_its_file_named(figure, tmp_path, name, harm):
    harmed = shutil.copytree(figure, tmp_path / "harmed")
    harm(harmed / name)
    words = {Path.unlink: f"{harmed} holds no {name}"}.get(harm, f"{harmed}/{name} is ")
    assert_refused("fig2_top_activations", [f"redraw={harmed}"], words, tmp_path)


@pytest.mark.parametrize("change", [lambda facts: facts | {"panels": 3}, lambda facts: {}, list])
def test_the_files_of_another_version_are_told_from_those_it_can_draw(figure, tmp_path, change):
    other = shutil.copytree(figure, tmp_path / "other")
    facts = json.loads((other / "provenance.json").read_text())
    (other / "provenance.json").write_text(json.dumps(change(facts)))
    assert_refused(
        "fig2_top_activations", [f"redraw={other}"], "compute the figure again", tmp_path
    )


def test_other_rules_stand_beside_the_deconvnets(smoke_run, tmp_path):
    """Of the same peaks; what the library paints under each rule, one at a time."""
    chosen = ["size=smoke", "k=4", "page=[[pool2,conv5]]", "grid={pool2:[1,2],conv5:[1,2]}"]
    chosen += ["rule=[deconvnet,guided,gradient]", f"snapshot={smoke_run / 'last.pt'}"]
    (*_, folder), _ = command("fig2_top_activations", *chosen, cwd=tmp_path)
    arrays = np.load(Path(folder) / "arrays.npz")
    snapshot = deconv.load_snapshot(smoke_run / "last.pt")
    cfg, it = subject("fig2_top_activations", *chosen[:-1], snapshot=snapshot)
    for layer in cfg.layers:
        y, x, image = (arrays[f"{layer}/{name}"][1, 2] for name in ("y", "x", "image"))
        record = it.net.record(it.crops[int(image)][0][None], [layer])
        unit = torch.tensor([[0, arrays[f"{layer}/maps"][1], y, x]])
        top, left, bottom, right = arrays[f"{layer}/box"][1, 2]
        y, x = arrays[f"{layer}/offset"][1, 2]
        painted = []
        for rule, name in zip(cfg.rule, ("projection", "guided", "gradient"), strict=True):
            pixels = deconv.project(it.net, record, layer, unit, rule=rule)[0]
            pixels = pixels[:, top:bottom, left:right].numpy()
            painted.append(arrays[f"{layer}/{name}"])
            shown = painted[-1][1, 2][:, top - y : bottom - y, left - x : right - x]
            assert np.abs(shown - pixels).max() < 1e-3 * np.abs(pixels).max()
        one, other = painted[0][1, 2], painted[1][1, 2]
        assert np.abs(one - other).max() > 0.01 * np.abs(one).max()
        for i, window in enumerate(arrays[f"{layer}/window"]):
            assert tuple(window) == energy_window(np.concatenate([each[i] for each in painted]))
    assert_golden(Path(folder), "fig2_rules")


def test_without_a_snapshot_it_trains_one(tmp_path):
    asked = (*SMALLEST, "page=[[conv1]]", "grid.conv1=[1,1]")
    (*_, folder), _ = command("fig2_top_activations", *asked, cwd=tmp_path)
    assert (Path(folder) / "last.pt").exists() and (Path(folder) / "figure.png").exists()


def test_a_network_of_others_shows_five_of_its_convolutions_if_none_is_named(caplog):
    """Spread over its blocks, the last before the logits."""
    caplog.set_level("INFO", "experiments")
    names = ["model=torchvision/squeezenet1_0", "model.weights=random", "model.input_px=64"]
    cfg, it = subject("fig2_top_activations", "size=smoke", *names)
    assert it.take_own_layers([])
    check(cfg, it)
    assert cfg.layers == [f"features.{i}" for i in (1, 4, 7, 9, 12)]
    assert cfg.page == [cfg.layers[:2], cfg.layers[2:4], cfg.layers[4:]]
    assert ",".join(cfg.layers) in caplog.text


def test_a_residual_network(tmp_path):
    """The README's command, on the built-in scenes; layers by container, by name and by number."""
    chosen = [
        "model=torchvision/resnet18",
        "model.weights=random",
        "model.input_px=64",
        "size=smoke",
        "page=[[layer1,layer2.0.conv1],[9]]",
        "grid.other=[1,2]",
    ]
    lines, errors = command("fig2_top_activations", *chosen, "trace=true", cwd=tmp_path)
    folder = tmp_path / lines[-1]
    assert "NoRuleWarning" not in errors and (folder / "figure.png").is_file()
    rows = list(csv.DictReader((folder / "table.csv").open()))
    assert [row["layer"] for row in rows[::18]] == ["layer1", "layer2.0.conv1", "9"]
    net = given(compose("fig2_top_activations", chosen)).network()
    assert net.input_px == 64 and isinstance(net, WrappedNet)
    for row in rows[::7]:
        box = [int(row[side]) for side in ("top", "left", "bottom", "right")]
        at = int(row["y"]), int(row["x"])
        assert box == list(deconv.receptive_field(net, row["layer"], *at, (64, 64)))
    arrays = np.load(folder / "arrays.npz")
    for layer in ("layer1", "layer2.0.conv1", "9"):
        painted, inside = arrays[f"{layer}/projection"], arrays[f"{layer}/inside"]
        assert (np.abs(painted).max((2, 3, 4)) > 0).all()
        assert not painted[np.broadcast_to(~inside[:, :, None], painted.shape)].any()
    text = (folder / "trace.txt").read_text()
    assert text.count("layer1, unit (image, map, y, x)") == 2 and text.count("arrive") == 6
    assert re.search(r"^maxpool +unpool ", text, re.M)
    assert re.search(r"^layer1\.0\.relu:2 +rectify ", text, re.M)
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["choices"]["engine"] == "vjp"


# What is refused


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("page=[]", "page takes rows of layers"),
        ("page=[conv1]", "page takes rows of layers"),
        ("page=[[conv1],[]]", "page takes rows of layers"),
        ("page=[[conv55]]", "unknown layer of zfnet_mini 'conv55'. Did you mean 'conv5'"),
        ("grid.conv1=[0,0]", "grid of conv1 takes"),
        ("grid.conv1=[2]", "grid of conv1 takes"),
        ("collisions=summ", "Did you mean 'sum'"),
        ("rule=guidet", "Did you mean 'guided'"),
        ("rule=[guided,guided]", "rule takes one or several different ones"),
        ("rule=[]", "rule takes one or several different ones"),
    ],
)
def test_settings_that_do_not_fit_are_named(override, words):
    data = Scenes(36, 2, 128)
    check(*subject("fig2_top_activations", "size=smoke", data=data))
    with pytest.raises(DeconvError, match=words):
        check(*subject("fig2_top_activations", "size=smoke", override, data=data))


def test_more_maps_than_are_live_are_refused(smoke_run):
    snapshot = deconv.load_snapshot(smoke_run / "last.pt")
    overrides = ["size=smoke", "page=[[conv1]]", "grid.conv1=[10,10]"]
    with pytest.raises(DeconvError, match=r"the figure wants 100: .*grid\.conv1"):
        compute(*subject("fig2_top_activations", *overrides, snapshot=snapshot))
