"""Feature maps: what the command keeps, draws again and refuses."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import assert_refused, command, subject
from golden import assert_golden
from PIL import Image

import deconv
from deconv import figures
from deconv.errors import DeconvError
from experiments.feature_maps import check, draw, scales_of
from experiments.kit import Saved


def test_scales_and_shared_boxes():
    maps = np.array([[[1.0, -4.0]], [[0.0, 0.0]], [[2.0, 0.5]]])
    assert scales_of(maps, 3, "map").tolist() == [4, 1, 2]
    assert scales_of(maps, 3, "layer").tolist() == [4, 4, 4]
    assert scales_of(None, 2, "map").tolist() == [1, 1]
    boxes = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [0, 0, 2, 2]])
    assert figures.shared_boxes(boxes) == [((0, 0, 2, 2), [1, 3]), ((1, 1, 3, 3), [2])]


@pytest.fixture(scope="module")
def made(smoke_run, tmp_path_factory):
    """The command on that network: (its folder, snapshot)."""
    lines, _ = command(
        "feature_maps",
        "size=smoke",
        f"snapshot={smoke_run / 'last.pt'}",
        "images=[3,8]",
        "layers=[2,conv5,fc8]",
        "maps_each=4",
        cwd=tmp_path_factory.mktemp("maps"),
    )
    return Path(lines[-1]), deconv.load_snapshot(smoke_run / "last.pt")


def test_the_command_keeps_what_the_network_answers(made):
    folder, snapshot = made
    net = snapshot.network()
    arrays = np.load(folder / "arrays.npz")
    units = list(csv.DictReader((folder / "units.csv").open()))
    assert len(units) == 2 * (4 + 4 + 8)  # fc8 has only z
    scenes = deconv.scenes.Scenes(36, 2, snapshot.mean.shape[-1])
    for i, number in enumerate((3, 8)):
        inputs = deconv.data.prepare(scenes[number][0], snapshot.mean, net.input_px)
        seen = net.record(inputs[None], ["conv2", "conv2:z", "conv5"]).activations
        for layer in ("conv2", "conv5"):
            maps = arrays[f"{i}/{layer}/maps"]
            wanted = seen[layer][0, maps].numpy()
            np.testing.assert_allclose(arrays[f"{i}/{layer}/a"], wanted, rtol=1e-4, atol=1e-4)
            mine = [u for u in units if u["layer"] == layer and u["shown"] == str(i + 1)]
            for row, values in zip(mine, wanted, strict=True):
                y, x = np.unravel_index(values.argmax(), values.shape)
                assert (int(row["y"]), int(row["x"])) == (y, x)
                box = deconv.receptive_field(net, layer, y, x, (net.input_px,) * 2)
                assert tuple(int(row[k]) for k in ("top", "left", "bottom", "right")) == box
        z = seen["conv2:z"][0, arrays[f"{i}/conv2/maps"]].numpy()
        np.testing.assert_allclose(arrays[f"{i}/conv2/z"], z, rtol=1e-4, atol=1e-3)
    assert "0/fc8/a" not in arrays and arrays["0/fc8/z"].shape[1:] == (1, 1)
    rows = list(csv.DictReader((folder / "table.csv").open()))
    assert [r["layer"] for r in rows] == [*(f"conv{n}" for n in range(1, 6)), "fc6", "fc7", "fc8"]
    assert [r["activated"] for r in rows] == ["True"] * 7 + ["False"]
    spaced = np.linspace(0, len(scenes) - 1, 12).astype(int).tolist()
    record = [deconv.data.prepare(scenes[i][0], snapshot.mean, net.input_px) for i in spaced]
    values = net.record(torch.stack(record), ["conv3"]).activations["conv3"].numpy()
    share = np.mean([(values[:, c] > 0).mean() for c in range(values.shape[1])])
    assert float(rows[2]["share_above_0"]) == pytest.approx(share, abs=1e-4)
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["data"]["images_measured"] == 12 and facts["depth"]["layers"] == 7


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_redrawing_gives_the_same_files(made, tmp_path):
    folder, _ = made
    lines, _ = command("feature_maps", "size=smoke", f"redraw={folder}", cwd=tmp_path)
    names = {path.name for path in Path(lines[-1]).iterdir()}
    assert names >= {"figure.png", "arrays.npz", "table.csv", "units.csv"}
    assert_golden(folder)
    for name in names:
        assert (Path(lines[-1]) / name).read_bytes() == (folder / name).read_bytes(), name


def test_the_command_takes_a_foreign_network(tmp_path):
    lines, _ = command(
        "feature_maps",
        "model=torchvision/resnet18",
        "model.weights=random",
        "data=scenes_smoke",
        "model.input_px=64",
        "layers=[2,20,layer4.1.relu:2]",
        "maps_each=3",
        "scale=layer",
        "choose=first",
        "images_measured=3",
        cwd=tmp_path,
    )
    facts = json.loads((Path(lines[-1]) / "provenance.json").read_text())
    assert [layer["layer"] for layer in facts["layers"]][-1] == "layer4.1.relu:2"
    told = facts["choices"]["preprocessing"]
    assert "minus the mean colour (123.7, 116.3, 103.5)" in told
    assert told.endswith("divided by (58.4, 57.1, 57.4), red, green and blue")
    assert (Path(lines[-1]) / "figure.png").stat().st_size > 10_000


def test_one_photograph_needs_no_data_set(tmp_path):
    """Without sparsity, which would be measured over one; a layer of `a` alone has more maps."""
    pixels = np.random.default_rng(0).integers(0, 256, (90, 70, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "photo.png")
    lines, _ = command(
        "feature_maps",
        "model=torchvision/squeezenet1_1",
        "model.weights=random",
        "model.input_px=64",
        "data=imagefolder",
        "data.root=nowhere",
        f"images=[{tmp_path / 'photo.png'}]",
        "layers=[features.0,features.3]",
        "maps_each=2",
        "images_measured=0",
        cwd=tmp_path,
    )
    arrays, facts = np.load(Path(lines[-1]) / "arrays.npz"), Saved(Path(lines[-1])).facts
    assert [layer["title"] for layer in facts["layers"]] == ["conv1", "fire2"]
    assert len(arrays["0/features.0/maps"]) == 2 and len(arrays["0/features.3/maps"]) == 4
    assert "0/features.3/z" not in arrays and (arrays["0/features.3/a"] >= 0).all()
    assert not facts["measured"]
    labels = [axes.get_label() for axes in draw(Saved(Path(lines[-1]))).axes]
    assert labels == ["image"] + 4 * ["map"] + ["image"] + 4 * ["map"]


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["scale=maps"], "unknown scale 'maps'"),
        (["choose=last"], "unknown choice of maps 'last'"),
        (["maps_each=0"], "0 maps of a layer on a page"),
        (["images_measured=-1"], "images_measured=-1"),
        (["layers=[conv1,1]"], "layers names conv1 twice"),
        (["layers=[9]"], "no number 9"),
        (["layers=[conv9]"], "unknown layer"),
        (["images=[99]"], "there is no image 99"),
        (["images=[none.png]"], "cannot read the image none.png"),
        (["count=7"], "7 images on one page"),
        (["count=0"], "0 images on one page"),
    ],
)
def test_what_cannot_be_shown_is_refused(overrides, words):
    data = deconv.scenes.Scenes(36, 2, 147)
    check(*subject("feature_maps", "size=smoke", data=data))
    with pytest.raises(DeconvError, match=words):
        check(*subject("feature_maps", "size=smoke", *overrides, data=data))


def test_a_refusal_leaves_nothing(smoke_run, tmp_path):
    snapshot = f"snapshot={smoke_run / 'last.pt'}"
    assert_refused(
        "feature_maps", ["size=smoke", snapshot, "layers=[44]"], "no number 44", tmp_path
    )
