"""`python -m experiments.atlas`: any network and data set in, a folder of pages out."""

import json

import numpy as np
import pytest
import torch
from atlas_of_colours import assert_closed, bytes_of
from command_line import assert_refused, command, subject
from image_files import encoded, put
from torch.utils.data import DataLoader

from deconv.fields import receptive_field
from deconv.mining.top_activations import top_activations
from deconv.scenes import Scenes
from deconv.studies.occlusion.covered_unit import covered_unit
from deconv.training.snapshots import load_snapshot, weights_hash
from experiments.kit import kept_peaks
from experiments.kit.facts import describe_network

ASKED = ["size=smoke", "epochs=[1,2]", "layers=[1]", "cover=2", "others=[guided]"]


@pytest.fixture(scope="module")
def made(smoke_run, tmp_path_factory):
    """(folder of the command, folder of the run) of an atlas of a run's last two snapshots."""
    where = tmp_path_factory.mktemp("atlas")
    (*_, folder), _ = command("atlas", *ASKED, f"run={smoke_run}", cwd=where)
    return where / folder, smoke_run


def test_it_holds_every_map_of_the_layers(made):
    folder, run = made
    assert_closed(folder / "atlas")
    net = load_snapshot(run / "last.pt").network()
    pages = {p.name for p in (folder / "atlas/layers/01-conv1").glob("[0-9]*.html")}
    assert pages == {f"{m}.html" for m in range(net.module_of("conv1").out_channels)}
    data = json.loads((folder / "atlas/layers/01-conv1/0.json").read_text())
    assert data["facts"]["weights"] == weights_hash(net)
    assert [one["label"] for one in data["snapshots"]] == ["epoch 1", "epoch 2"]


def test_its_peaks_and_boxes_are_those_of_mining(made):
    folder, run = made
    snapshot = load_snapshot(run / "last.pt")
    net = snapshot.network()
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["weights_sha256"] == weights_hash(net)
    _, it = subject("atlas", "size=smoke", snapshot=snapshot)
    peaks = top_activations(net, DataLoader(it.crops, batch_size=32), ["conv1"], k=9)["conv1"]
    size = (net.input_px, net.input_px)
    for m in (0, 5):
        rows = json.loads((folder / f"atlas/layers/01-conv1/{m}.json").read_text())
        rows = rows["snapshots"][-1]["peaks"]
        live = int((peaks.value[m] > 0).sum())
        assert [row["image"] for row in rows] == peaks.image[m, :live].tolist()
        for row, y, x in zip(rows, peaks.y[m].tolist(), peaks.x[m].tolist(), strict=False):
            assert row["box"] == list(receptive_field(net, "conv1", y, x, size))


def test_its_size_and_times_are_kept_as_data(made):
    folder, _ = made
    sizes = json.loads((folder / "atlas.json").read_text())
    files = [p for p in (folder / "atlas").rglob("*") if p.is_file()]
    assert sizes["files"] == len(files) and sizes["bytes"] == sum(p.stat().st_size for p in files)
    assert sizes["units"] == 2 * sum(sizes["maps"].values()) and sizes["snapshots"] == 2
    assert sizes["pictures_s_per_1000_units"] == pytest.approx(
        1000 * sizes["pictures_s"] / sizes["units"], abs=0.01
    )


def test_going_on_with_what_was_stopped_gives_the_same_bytes(made, tmp_path, monkeypatch):
    folder, run = made
    calls, whole = [], kept_peaks.top_activations

    def stopped(*args, **options):
        calls.append(args)
        if len(calls) == 3:
            raise KeyboardInterrupt
        return whole(*args, **options)

    monkeypatch.setattr(kept_peaks, "PART", 32)  # 36 images: two parts
    monkeypatch.setattr(kept_peaks, "top_activations", stopped)
    here = f"hydra.run.dir={tmp_path / 'stopped'}"
    command("atlas", *ASKED, f"run={run}", here, cwd=tmp_path, fails=True)
    assert not (tmp_path / "stopped/atlas").exists() and len(calls) == 3
    command("atlas", f"resume={tmp_path / 'stopped'}", cwd=tmp_path)
    assert len(calls) == 5, "parts that were kept are not mined again"
    assert bytes_of(tmp_path / "stopped/atlas") == bytes_of(folder / "atlas")
    lines, _ = command("atlas", f"resume={tmp_path / 'stopped'}", cwd=tmp_path)
    assert any("whole already" in line for line in lines) and len(calls) == 5
    words = "cannot change when it goes on"
    assert_refused("atlas", [f"resume={tmp_path / 'stopped'}", "strongest=12"], words, tmp_path)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        (["layers=[conv9]"], "conv9"),
        (["others=[deconvnet]"], "unknown rule"),
        (["collisions=min"], "collision policy"),
        (["strongest=5"], "strongest takes 9"),
        (["cover=1"], "cover takes 2"),
        (["tile_px=100"], "multiple of 64"),
        (["epochs=[7]"], "no snapshot at the end of epoch 7"),
        (["snapshot=zfnet_mini"], "name one of them"),
    ],
)
def test_what_cannot_be_done_is_said_first(smoke_run, tmp_path, asked, words):
    assert_refused("atlas", ["size=smoke", f"run={smoke_run}", *asked], words, tmp_path)


MODULE = """
from torch import nn


def tiny():
    return nn.Sequential(
        nn.Conv2d(3, 4, 5, stride=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 5, 3), nn.GELU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 17),
    )
"""


def test_a_network_and_photographs_of_ones_own(tmp_path):
    (tmp_path / "own.py").write_text(MODULE)
    for i in range(12):
        label = ("<b>cat</b>", "dog")[i % 2]
        put(tmp_path / "photos" / "val" / label / f"{i} &.jpg", encoded(i, (48, 40)))
    asked = ["size=smoke", "model=file:own.py:tiny", "model.input_px=32", "model.num_classes=17"]
    asked += ["model.mean=[128,128,128]", "model.std=[64,64,64]", "sources=false"]
    asked += ["data=imagefolder", "data.root=photos", "data.workers=0"]
    asked += ["model.titles={4: upper/last}"]
    (*_, folder), _ = command("atlas", *asked, cwd=tmp_path)
    atlas = tmp_path / folder / "atlas"
    assert_closed(atlas)
    assert {p.name for p in (atlas / "layers").iterdir()} == {"01-1", "02-upper_last"}
    page = (atlas / "layers/02-upper_last/index.html").read_text()
    assert "<h1>upper/last</h1>" in page and "<span>4, " in page
    facts = json.loads((tmp_path / folder / "provenance.json").read_text())
    assert facts["no_rule"] == ["GELU"]
    assert "has no rule for GELU: its own" in describe_network(facts)
    names = {
        row["name"]
        for row in json.loads((atlas / "layers/01-1/0.json").read_text())["snapshots"][0]["peaks"]
    }
    assert names <= {f"{i} &.jpg" for i in range(12)}, "no folder of this machine"
    assert "&lt;b&gt;cat" in (atlas / "classes/index.html").read_text()


def test_a_square_takes_from_a_unit_what_it_takes_in_the_whole_image():
    """The oracle runs whole images, with the squares by their own arithmetic."""
    snapshot = load_snapshot("zfnet_mini")
    net = snapshot.network()
    image = net.preprocess(Scenes(1, 3, 128)[0][0])
    values = net.record(image[None], ["conv2"]).activations["conv2"][0].detach()
    number, y, x = (int(i) for i in np.unravel_index(int(values.argmax()), values.shape))
    unit, value = torch.tensor([[0, number, y, x]]), float(values[number, y, x])
    lost = covered_unit(net, "conv2", unit, lambda i: image, cells=4)
    top, left, bottom, right = receptive_field(net, "conv2", y, x, tuple(image.shape[1:]))
    for row in range(4):
        for column in range(4):
            covered = image.clone()
            centre = [
                low + (i + 0.5) * (high - low) / 4
                for low, high, i in ((top, bottom, row), (left, right, column))
            ]
            half = [(bottom - top) / 4, (right - left) / 4]
            (y0, y1), (x0, x1) = (
                (round(c - h), round(c + h)) for c, h in zip(centre, half, strict=True)
            )
            covered[:, max(y0, top) : min(y1, bottom), max(x0, left) : min(x1, right)] = 0
            now = net.record(covered[None], ["conv2"]).activations["conv2"][0, number, y, x]
            wanted = min(1.0, max(0.0, 1 - float(now) / value))
            assert float(lost[0, row, column]) == pytest.approx(wanted, abs=1e-4)
    assert lost.max() > 0.3, "something is lost"
