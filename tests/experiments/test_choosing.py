"""What a figure's user chooses: maps, layers, tops, splits, images; and what redraw= takes."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from command_line import assert_refused, command, subject
from golden import assert_golden
from PIL import Image

import deconv
from deconv.errors import DeconvError
from deconv.scenes import CLASSES, Scenes
from experiments.fig2_top_activations import check
from experiments.kit.command import compose
from experiments.kit.layer_settings import by_layer

BRACED = "maps={layer1.0.relu\\:2: [5], conv5: [3,7]}"


def test_maps_of_a_layer_are_one_dictionary_for_hydra():
    asked = ["seed=1", "maps.layer1.0.relu:2=[5]", "'maps.conv5'=[3,7]".replace("'", "")]
    assert by_layer(asked) == ["seed=1", BRACED]
    assert by_layer(["maps.conv5=[1],[2]"]) == ["maps={conv5: [1]},{conv5: [2]}"], "a sweep"
    assert by_layer(["maps={conv1: [1]}", "+maps.conv5=[2]"]) == ["maps={conv1: [1], conv5: [2]}"]
    assert by_layer(["maps_each=3", "maps=4", "snapshot=a.maps"]) == [
        "maps_each=3",
        "maps=4",
        "snapshot=a.maps",
    ]
    cfg = compose("fig2_top_activations", ["maps.features.12=[3,7]", "maps.layer1.0.relu:2=[5]"])
    assert dict(cfg.maps) == {"features.12": [3, 7], "layer1.0.relu:2": [5]}


@pytest.fixture(scope="module")
def chosen(smoke_run, tmp_path_factory):
    """The folder of a Figure 2 whose maps, tops and split are chosen."""
    lines, _ = command(
        "fig2_top_activations",
        "size=smoke",
        f"snapshot={smoke_run / 'last.pt'}",
        "maps.conv2=[40,3,8]",
        "maps.conv1=[5]",
        "k=4",
        "split=all",
        "whole_fields=true",
        cwd=tmp_path_factory.mktemp("chosen"),
    )
    return Path(lines[-1])


def rows_of(folder):
    return list(csv.DictReader((folder / "table.csv").open()))


def facts_of(folder):
    return json.loads((folder / "provenance.json").read_text())


def test_the_figure_shows_what_was_chosen(chosen, smoke_run):
    """Without data= it is the data of the training: both splits of scenes_smoke, 60 + 36."""
    facts, arrays = facts_of(chosen), np.load(chosen / "arrays.npz")
    assert facts["data"]["images"] == 96 and facts["data"]["of_training"] is True
    assert facts["layout"] == [["conv2", "conv1"]]
    assert arrays["conv2/maps"].tolist() == [40, 3, 8] and arrays["conv1/maps"].tolist() == [5]
    assert arrays["conv2/projection"].shape[:2] == (3, 4)
    net = deconv.load_snapshot(smoke_run / "last.pt").network()
    data = [Scenes(60, 1, 128), Scenes(36, 2, 128)]
    rows = rows_of(chosen)
    for row in rows:
        i = int(row["image"])
        part, number = (0, i) if i < 60 else (1, i - 60)
        assert row["class"] == CLASSES[data[part].targets[number]] and row["file"] == ""
        box = [int(row[name]) for name in ("top", "left", "bottom", "right")]
        size = net.interior(row["layer"], 0)[0]
        assert (box[2] - box[0], box[3] - box[1]) == (size, size), "no field is cut"
    assert_golden(chosen, "fig2_chosen_maps")
    assert arrays["conv1/class"].tolist() == [[row["class"] for row in rows[-4:]]]


def test_redraw_takes_the_layout(chosen, tmp_path):
    asked = ["maps.conv2=[8,40]", "k=2", "grid.conv2=[1,2]"]
    (*_, again), _ = command(
        "fig2_top_activations", "size=smoke", f"redraw={chosen}", *asked, cwd=tmp_path
    )
    facts = facts_of(Path(again))
    assert facts["redrawn"] == {
        "maps": {"conv2": [8, 40]},
        "k": 2,
        "grid": {"conv2": [1, 2]},
    }
    assert (Path(again) / "figure.png").read_bytes() != (chosen / "figure.png").read_bytes()
    (*_, third), _ = command("fig2_top_activations", "size=smoke", f"redraw={again}", cwd=tmp_path)
    assert (Path(third) / "figure.png").read_bytes() == (Path(again) / "figure.png").read_bytes()


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("maps.conv2=[9]", "map 9 of conv2 was not saved: redraw= can show maps 40, 3, 8"),
        ("layers=[conv5]", "conv5 was not saved: redraw= can show conv2, conv1"),
        ("page=[[conv3]]", "conv3 was not saved"),
        ("k=5", "4 peaks of each map were saved: k=5 has to be computed"),
        ("grid.conv2=[1,1]", "figure"),
        ("split=train", "redraw= computes nothing, and a figure with another split="),
    ],
)
def test_redraw_refuses_what_has_to_be_computed(chosen, tmp_path, asked, words):
    if asked.startswith("grid"):  # fewer are shown
        command("fig2_top_activations", "size=smoke", f"redraw={chosen}", asked, cwd=tmp_path)
    else:
        assert_refused("fig2_top_activations", [f"redraw={chosen}", asked], words, tmp_path)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["maps=4"], "maps takes numbers for each layer, maps.conv5="),
        (["maps.conv1=[48]"], "maps.conv1: conv1 has maps 0 to 47, not 48"),
        (["maps.conv1=[]"], "maps.conv1 takes different numbers"),
        (["maps.conv1=[1,1]"], "maps.conv1 takes different numbers"),
        (["maps.conv9=[1]"], "unknown layer of zfnet_mini 'conv9'"),
        (["maps.conv1=[1]", "layers=[conv2]"], "maps names conv1, and the figure shows conv2"),
        (
            ["maps.conv1=[1,2]", "grid.conv1=[1,1]"],
            "names 2 maps, grid.conv1=.* has room for 1",
        ),
        (["page=[[conv1]]", "layers=[conv2]"], "page and layers both name"),
        (["choose=best"], "unknown choice of maps 'best'"),
        (["choose=class"], "name it by of_class="),
        (["of_class=owl"], "of_class=owl is for choose=class"),
        (["choose=class", "of_class=owll"], "Did you mean 'owl'"),
        (["choose=class", "of_class=17"], "unknown class 17: they are numbered 0 to 16"),
        (["k=0"], "k=0 cannot be shown"),
    ],
)
def test_choices_that_do_not_fit_are_named(overrides, words):
    data = Scenes(36, 2, 128)
    check(*subject("fig2_top_activations", "size=smoke", "maps.2=[3]", data=data))
    with pytest.raises(DeconvError, match=words):
        check(*subject("fig2_top_activations", "size=smoke", *overrides, data=data))


@pytest.mark.parametrize(
    ("stem", "asked", "words"),
    [
        ("fig7_occlusion", "others=2", "unknown setting 'others'. Did you mean 'k'?"),
        ("feature_maps", "order=first", "unknown setting 'order'. Did you mean 'choose'?"),
        ("fig2_top_activations", "class=owl", "Did you mean 'of_class'"),
        ("fig7_occlusion", "map=999", "map: conv5 has maps 0 to 95, not 999"),
        ("fig6_first_layers", "maps.conv3=[1]", "the figure shows conv1 and conv2"),
        ("filters", "maps.conv9=[1]", "unknown layer"),
    ],
)
def test_other_names_are_answered_with_the_right_ones(tmp_path, stem, asked, words):
    assert_refused(stem, ["size=smoke", asked], words, tmp_path)


# Images


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """A flat folder of two classes, four images each; names of files are shared."""
    root = tmp_path_factory.mktemp("photos")
    random = np.random.default_rng(0)
    for name in ("ant", "bee"):
        (root / name).mkdir()
        for i in range(4):
            pixels = random.integers(0, 255, (70, 80, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(root / name / f"{i}.png")
    return root


def test_images_by_file_name_and_classes_by_folder(photos, smoke_run):
    snapshot = deconv.load_snapshot(smoke_run / "last.pt")
    snapshot.classes[:2] = ["ant", "bee"]
    named = ["data=imagefolder", f"data.root={photos}", "split=all"]
    images = [f"{photos}/bee/1.png", "ant/3.png", 0]
    _, it = subject("feature_maps", *named, f"images=[{','.join(map(str, images))}]")
    it.given = snapshot
    by_path, by_name, by_number = it.images(3)
    data = it.data
    assert (by_path.label, by_path.index, by_name.label) == (1, None, 0)
    assert data.paths[by_name.index] == f"{photos}/ant/3.png" and by_name.file == "ant/3.png"
    assert by_number.index == 0 and by_number.name == data.classes[data.targets[0]]
    for wrong, words in (
        ("1.png", "2 images are called 1.png: .* ant/1.png, bee/1.png"),
        ("ant/7.png", "the nearest there: ant/3.png"),
    ):
        _, it = subject("feature_maps", *named, f"images=[{wrong}]")
        it.given = snapshot
        with pytest.raises(DeconvError, match=words):
            it.images(1)


def test_the_data_of_the_training_are_taken_or_missed(photos, tmp_path):
    """A network trained on a flat folder is looked at over its split."""
    small = ["size=smoke", "model.input_px=64", "model.fc_width=16", "data=imagefolder"]
    small += ["pictures=none", "train.epochs=1", "data.workers=0"]
    (*_, run), _ = command("train", *small, f"data.root={photos}", cwd=tmp_path)
    shown = [f"snapshot={tmp_path / run / 'last.pt'}", "maps.conv1=[1,2]", "k=2"]
    (*_, folder), _ = command("fig2_top_activations", *shown, cwd=tmp_path)
    facts = facts_of(tmp_path / folder)
    assert facts["data"]["images"] == 2 and facts["data"]["of_training"] is True
    assert facts["data"]["drawn"] == "a random 20 % of each class of a folder without splits"
    assert {row["file"] for row in rows_of(tmp_path / folder)} <= {
        f"{name}/{i}.png" for name in ("ant", "bee") for i in range(4)
    }
    for stem in ("atlas", "evaluate"):
        cfg, it = subject(stem, "size=smoke", shown[0])
        del it.given
        assert it.take_training_data([]) and cfg.data.root == str(photos), stem
    moved = tmp_path / "moved"
    photos.rename(moved)
    try:
        words = (
            f"trained on imagefolder, which is not in {photos} now: say where it is by data.root"
        )
        assert_refused("fig2_top_activations", shown, words, tmp_path)
        (*_, folder), _ = command(
            "fig2_top_activations", *shown, f"data.root={moved}", cwd=tmp_path
        )
        assert facts_of(tmp_path / folder)["data"]["of_training"] is True
        other = ["data=scenes_smoke"]
        (*_, folder), _ = command("fig2_top_activations", *shown, *other, cwd=tmp_path)
        assert facts_of(tmp_path / folder)["data"]["of_training"] is False
    finally:
        moved.rename(photos)


def test_maps_of_a_class_and_of_a_foreign_network(tmp_path):
    """The first map shown has the most of the class among its peaks, by counting in the table."""
    (*said, folder), _ = command(
        "fig2_top_activations",
        "model=torchvision/squeezenet1_0",
        "model.weights=random",
        "model.input_px=64",
        "model.num_classes=17",
        "size=smoke",
        "maps.features.3=[3,7]",
        "layers=[features.3,features.0]",
        "choose=class",
        "of_class=1",
        "k=3",
        "grid.features.0=[1,2]",
        cwd=tmp_path,
    )
    arrays = np.load(tmp_path / folder / "arrays.npz")
    assert arrays["features.3/maps"].tolist() == [3, 7]
    shares = (arrays["features.0/class"] == CLASSES[1]).mean(axis=1)
    assert shares[0] >= shares[1] > 0
    assert "outputs are taken to be the classes of the data" in " ".join(said)
