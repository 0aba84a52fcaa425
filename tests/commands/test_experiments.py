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
        ("fig2_top_activations", ["size=smoke", "snapshot=/dev/zero"], "no snapshot at"),
        ("train", ["data=imagefolder", "data.root=nowhere"], "nowhere of imagefolder is missing"),
        ("train", ["size=smoke", "train.precision=fp8"], "unknown precision 'fp8'"),
        ("train", ["size=smoke", "device=gpu"], "device=gpu cannot be used"),
        ("train", ["size=smoke", "train.batch_size=0"], "batch_size must be positive"),
        ("train", ["size=smoke", "data.train_images=0"], "at least one scene"),
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
