"""Every experiment at size=smoke, from the command line, and what it does with bad input."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from command_line import command
from PIL import Image

import deconv
from deconv.training.snapshots import weights_hash


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """One smoke training: (its working directory, its output folder, its standard output)."""
    cwd = tmp_path_factory.mktemp("smoke")
    lines, _ = command("train", "size=smoke", "seed=3", cwd=cwd)
    return cwd, Path(lines[-1]), lines


@pytest.fixture(scope="module")
def figure(run):
    """Figure 2 of that network: its folder."""
    cwd, trained, _ = run
    snapshot = f"snapshot={trained / 'last.pt'}"
    lines, _ = command("fig2_top_activations", "size=smoke", snapshot, cwd=cwd)
    return Path(lines[-1])


def test_training_leaves_its_folder_complete_and_names_it_last(run):
    cwd, folder, lines = run
    assert folder.parent == cwd / "outputs" / "train"
    names = {path.name for path in folder.iterdir()}
    snapshots = {"epoch_000.pt", "epoch_001.pt", "epoch_002.pt"}
    plain = {"epoch_001.safetensors", "epoch_002.safetensors"}
    assert names >= snapshots | plain | {f"{name}.sha256" for name in snapshots | plain}
    assert names >= {"config.yaml", "metrics.csv", "provenance.json", "last.pt"}
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    assert any(line.startswith("epoch 2/2: loss") for line in lines)
    snapshot = deconv.load_snapshot(folder / "last.pt")
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["weights_sha256"] == weights_hash(snapshot.network())
    assert isinstance(snapshot.classes, list) and len(snapshot.classes) >= 10


def test_evaluation_agrees_with_the_last_metrics_of_the_training(run):
    cwd, folder, _ = run
    last = list(csv.DictReader((folder / "metrics.csv").open()))[-1]
    for crops, prefix in (("ten", "ten_crop"), ("centre", "val")):
        lines, _ = command(
            "evaluate", "size=smoke", "precision=fp32", f"crops={crops}",
            f"snapshot={folder / 'last.pt'}", cwd=cwd,
        )  # fmt: skip
        (row,) = csv.DictReader((Path(lines[-1]) / "table.csv").open())
        assert float(row["top1"]) == pytest.approx(100 - float(last[f"{prefix}_top1_error"]))
        assert float(row["loss"]) == pytest.approx(float(last[f"{prefix}_loss"]), rel=1e-5)
    _, error = command("evaluate", "size=smoke", cwd=cwd, fails=True)
    assert "snapshot=" in error and "Traceback" not in error


def test_figure_2_is_drawn_from_what_it_says(figure, run):
    names = {path.name for path in figure.iterdir()}
    assert names == {
        "figure.png", "figure.pdf", "arrays.npz", "table.csv", "config.yaml", "provenance.json"
    }  # fmt: skip
    facts = json.loads((figure / "provenance.json").read_text())
    trained = deconv.load_snapshot(run[1] / "last.pt").network()
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
    with Image.open(figure / "figure.png") as picture:
        assert picture.width == 2400


def test_figure_2_can_be_drawn_again_without_computing(figure, run):
    lines, _ = command("fig2_top_activations", f"redraw={figure}", cwd=run[0])
    again = Path(lines[-1])
    for name in ("figure.png", "arrays.npz", "provenance.json", "config.yaml"):
        assert (again / name).read_bytes() == (figure / name).read_bytes()


def test_figure_2_without_a_snapshot_trains_one(tmp_path):
    grid = "grid={conv1:[1,1],conv2:[1,1],conv3:[1,1],conv4:[1,1],conv5:[1,1]}"
    lines, _ = command("fig2_top_activations", "size=smoke", grid, cwd=tmp_path)
    assert (Path(lines[-1]) / "last.pt").exists() and (Path(lines[-1]) / "figure.png").exists()


@pytest.mark.parametrize(
    ("stem", "overrides", "message"),
    [
        ("train", ["model=zfnt"], "unknown model 'zfnt'. Did you mean 'zfnet'"),
        ("train", ["data=caltech11"], "Did you mean 'caltech101'"),
        ("train", ["size=smok"], "Did you mean 'smoke'"),
        ("train", ["trian.lr=1"], "unknown setting 'trian.lr'. Did you mean 'train.lr'"),
        ("train", ["model.fc_with=3"], "Did you mean 'model.fc_width'"),
        ("train", ["lr"], "write key=value"),
        ("train", ["train.lr=abc"], "train.lr takes a number such as 0.01, got 'abc'"),
        ("train", ["train.epochs=2.5"], "train.epochs takes a whole number, got 2.5"),
        ("train", ["train.snapshot_epochs=3"], "takes a list such as [1,2], got 3"),
        ("train", ["model.fc_width=wide"], "model.fc_width takes a whole number, got 'wide'"),
        ("train", ["data=imagefolder", "data.root=~/nothing"], "write $HOME instead of ~"),
        ("train", ["-m", "trian.lr=1"], "Did you mean 'train.lr'"),
        ("train", ["size=smoke", "model.num_classes=2"], "2 outputs for 17 classes"),
        ("train", ["size=smoke", "cache_dir=/dev/null", "data.cache=true"], "/dev/null"),
        ("fig2_top_activations", ["size=smoke", "data.val_images=8"], "has 8 images"),
        ("fig2_top_activations", ["size=smoke", "page=[]"], "page takes rows of layers"),
        ("fig2_top_activations", ["size=smoke", "page=[conv1]"], "page takes rows of layers"),
        ("fig2_top_activations", ["size=smoke", "grid.conv1=[0,0]"], "grid of conv1 takes"),
        ("fig2_top_activations", ["size=smoke", "snapshot=/dev/zero"], "no snapshot at"),
        ("train", ["data=imagefolder", "data.root=nowhere"], "nowhere of imagefolder is missing"),
        ("train", ["size=smoke", "train.precision=fp8"], "unknown precision 'fp8'"),
        ("train", ["size=smoke", "device=gpu"], "device=gpu cannot be used"),
        ("train", ["size=smoke", "train.batch_size=0"], "batch_size must be positive"),
        ("train", ["size=smoke", "data.train_images=0"], "at least one scene"),
        ("fig2_top_activations", ["size=smoke", "page=[[conv6]]"], "Did you mean 'conv"),
        ("fig2_top_activations", ["size=smoke", "collisions=summ"], "Did you mean 'sum'"),
        ("fig2_top_activations", ["size=paper"], "needs a trained network"),
        ("fig2_top_activations", ["snapshot=none.pt"], "no snapshot at none.pt"),
        ("fig2_top_activations", ["redraw=."], "holds no arrays.npz, table.csv"),
    ],
)
def test_bad_input_is_named_and_leaves_nothing(tmp_path, stem, overrides, message):
    lines, error = command(stem, *overrides, cwd=tmp_path, fails=True)
    assert message in error and error.startswith("error: ") and "Traceback" not in error
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]
    assert not lines or "outputs" not in lines[-1]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_truncated_photograph_is_named_without_a_traceback(tmp_path, workers):
    for name in ("cat", "dog"):
        for i in range(8):
            path = tmp_path / "photos" / name / f"{i}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            noise = np.random.default_rng(i).integers(0, 256, (70, 80, 3)).astype(np.uint8)
            Image.fromarray(noise).save(path)
    bad = tmp_path / "photos" / "dog" / "5.png"
    bad.write_bytes(bad.read_bytes()[:3000])
    overrides = ["data=imagefolder", "data.root=photos", f"data.workers={workers}"]
    overrides += ["size=smoke", "model.input_px=64"]
    _, error = command("train", *overrides, cwd=tmp_path, fails=True)
    assert error.startswith("error: cannot read the image") and "dog/5.png" in error
    assert "Traceback" not in error and not list((tmp_path / "outputs").rglob("*.*"))


def test_an_unknown_layer_of_the_page_gets_the_nearest(run):
    cwd, trained, _ = run
    overrides = ["size=smoke", f"snapshot={trained / 'last.pt'}", "page=[[conv55]]"]
    _, error = command("fig2_top_activations", *overrides, cwd=cwd, fails=True)
    assert "unknown layer of zfnet_mini 'conv55'. Did you mean 'conv5'" in error


def test_more_maps_than_are_live_are_refused(run):
    cwd, trained, _ = run
    overrides = ["size=smoke", f"snapshot={trained / 'last.pt'}", "grid.conv1=[10,10]"]
    _, error = command("fig2_top_activations", *overrides, cwd=cwd, fails=True)
    assert "the figure wants 100" in error and "grid.conv1" in error
