"""Figure 2, evaluation and renormalisation from the command line."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_refused, command
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


def test_renormalisation_is_counted_for_each_rate_and_scale(run):
    lines, _ = command(
        "renormalisation", "size=smoke", "updates=4", "rates=[0.01,0.5]", "scales=[4.0]",
        "train.max_rms=0.024", cwd=run[0],
    )  # fmt: skip
    rows = list(csv.DictReader((Path(lines[-1]) / "table.csv").open()))
    assert [(row["rate"], row["layer"]) for row in rows] == [
        (rate, f"conv{n}") for rate in ("0.01", "0.5") for n in range(1, 6)
    ]
    for row in rows:
        acted = float(row["largest_rms"]) > 0.024
        assert (int(row["filters_scaled"]) > 0) == acted == (row["first_update"] != "")
    assert any(int(row["filters_scaled"]) for row in rows)
    _, error = command("renormalisation", "size=smoke", "rates=[0]", cwd=run[0], fails=True)
    assert "rates takes a list of positive numbers" in error


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
    ("overrides", "message"),
    [
        (["size=smoke", "data.val_images=8"], "has 8 images"),
        (["size=smoke", "page=[]"], "page takes rows of layers"),
        (["size=smoke", "page=[conv1]"], "page takes rows of layers"),
        (["size=smoke", "grid.conv1=[0,0]"], "grid of conv1 takes"),
        (["size=smoke", "page=[[conv6]]"], "Did you mean 'conv"),
        (["size=smoke", "collisions=summ"], "Did you mean 'sum'"),
        (["redraw=."], "holds no arrays.npz, table.csv"),
    ],
)
def test_bad_input_of_figure_2_is_named_and_leaves_nothing(tmp_path, overrides, message):
    assert_refused("fig2_top_activations", overrides, message, tmp_path)


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
