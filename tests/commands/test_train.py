"""What a training leaves, and says."""

import csv
import json

import numpy as np
import pytest
from command_line import SMALLEST, command
from PIL import Image

import deconv
from deconv.training.snapshots import weights_hash


def test_training_leaves_its_folder_complete_and_names_it_last(tmp_path):
    lines, _ = command("train", *SMALLEST, "pictures=kept", "seed=3", cwd=tmp_path)
    [folder] = (tmp_path / "outputs" / "train").iterdir()
    assert lines[-1] == str(folder)
    names = {path.name for path in folder.iterdir()}
    snapshots = {"epoch_000.pt", "epoch_001.pt", "epoch_002.pt"}
    plain = {"epoch_001.safetensors", "epoch_002.safetensors"}
    checked = snapshots | plain
    small = {"config.yaml", "metrics.csv", "provenance.json", "last.pt", "train.log", ".lock"}
    assert names == checked | {f"{name}.sha256" for name in checked} | small | {"watch"}
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["epoch"] for row in rows] == ["1", "2"]
    said = [line for line in lines if line.startswith("epoch 2/2: loss")]
    assert len(said) == 1 and said[0] in (folder / "train.log").read_text()
    snapshot = deconv.load_snapshot(folder / "last.pt")
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["weights_sha256"] == weights_hash(snapshot.network())
    assert isinstance(snapshot.classes, list) and len(snapshot.classes) >= 10


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
    overrides += ["size=smoke", "model.input_px=64", "model.fc_width=16"]
    _, error = command("train", *overrides, cwd=tmp_path, fails=True)
    assert error.startswith("error: cannot read the image") and "dog/5.png" in error
    assert "Traceback" not in error and not list((tmp_path / "outputs").rglob("*.*"))
