"""The command adaptive_deconv: its files, its numbers again by hand, what it refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import assert_refused, command, subject
from golden import assert_golden

from deconv.errors import DeconvError
from deconv.scenes import Scenes
from deconv.studies.sparse_coding import encode
from experiments.adaptive_deconv import check, load
from experiments.kit.findings import read_findings


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    lines, _ = command("adaptive_deconv", "size=smoke", cwd=tmp_path_factory.mktemp("adaptive"))
    return Path(lines[-1])


def test_the_files_are_complete_and_their_numbers_come_again(folder):
    assert {path.name for path in folder.iterdir()} == {
        "figure.png",
        "caption.txt",
        "arrays.npz",
        "table.csv",
        "history.csv",
        "findings.json",
        "provenance.json",
        "config.yaml",
        "adaptive_deconv.log",
    }
    arrays = np.load(folder / "arrays.npz")
    rows = list(csv.DictReader((folder / "table.csv").open()))
    cfg, _ = subject("adaptive_deconv", "size=smoke")
    net = cfg.network()
    for i in range(3):
        net.filters[i].data.copy_(torch.from_numpy(arrays[f"{i + 1}/filters"]))
    images = load(cfg, Scenes(36, 2, 48), 6)
    np.testing.assert_allclose(arrays["images"], images[:4].numpy())
    found, switches = encode(net, images, 40)
    for i, row in enumerate(rows):
        rest = (net.down(i + 1, found[i].maps, switches) - images).square().sum(dim=(1, 2, 3))
        share = (rest / images.square().sum(dim=(1, 2, 3))).mean()
        assert float(row["relative_error"]) == pytest.approx(float(share), rel=1e-3)
        assert float(row["snr_db"]) == pytest.approx(-10 * np.log10(float(share)), abs=0.01)
        assert float(row["cost_end"]) < float(row["cost_start"])
        rebuilt = arrays[f"{i + 1}/rebuilt"]
        assert rebuilt.shape == (4, 1, 32, 32)
    assert [int(row["field_px"]) for row in rows] == [5, 10, 20]
    assert len(list(csv.DictReader((folder / "history.csv").open()))) == 3 * 2
    gains = {one.claim: one for one in read_findings(folder)}
    gain = arrays["random/3"].mean() - arrays["learned/3"].mean()
    assert gains["control/adaptive_deconv/gain/random"].value == pytest.approx(float(gain))
    facts = json.loads((folder / "provenance.json").read_text())
    assert "unverified" in facts["choices"] and facts["model"]["name"] == "adaptive_deconv"
    assert_golden(folder)


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_redrawing_gives_the_same_files(folder, tmp_path):
    (*_, again), _ = command("adaptive_deconv", "size=smoke", f"redraw={folder}", cwd=tmp_path)
    for name in ("figure.png", "arrays.npz"):
        assert (Path(again) / name).read_bytes() == (folder / name).read_bytes()


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("crop_px=30", "too small for layer 2"),
        ("crop_px=8", "too small for layer 3"),
        ("train_on=0", "train_on=0 must be at least 1"),
        ("shown=7", "shown=7 images of measured=6"),
        ("solver=lars", "unknown solver 'lars'"),
        ("window_px=4", "window_px=4 is odd"),
        ("maps=[4,6]", "maps has 2"),
        ("pool_maps=4", "maps=6"),
        ("lambdas=[1,1,-1]", "lambdas=-1"),
    ],
)
def test_bad_settings_are_refused(override, message):
    with pytest.raises(DeconvError) as error:
        check(*subject("adaptive_deconv", "size=smoke", override))
    assert message in str(error.value)


def test_too_few_images_leave_nothing_behind(tmp_path):
    assert_refused(
        "adaptive_deconv", ["size=smoke", "train_on=61"], "has 60 images, train_on=61", tmp_path
    )
