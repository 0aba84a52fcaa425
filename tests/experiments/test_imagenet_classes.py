"""Networks and folders of ImageNet's classes find each other by words, whatever their order."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import assert_refused, command, subject
from image_files import encoded, put

import deconv
from deconv.data import photographs
from deconv.data.class_names import WNIDS, imagenet_words, in_words
from deconv.data.free_photographs import FREE, free_photograph
from deconv.data.relabelled import Relabelled
from deconv.errors import DeconvError
from deconv.images import read_rgb
from experiments.kit.chosen_images import class_of_folder
from experiments.kit.findings import read_findings
from experiments.kit.steps import DOES_NOT_APPLY, DONE, NO_DATA, STATE

FIVE = {"n01440764": 0, "n02123045": 281, "n02979186": 482, "n03888257": 701, "n07920052": 967}
"""The number of a class, as torchvision's own list of names has it."""
NET = """
import torch
from torch import nn


def tiny():
    torch.manual_seed(0)
    layers = [nn.Conv2d(3, 8, 7, stride=2), nn.ReLU(), nn.MaxPool2d(3, 2)]
    for _ in range(3):
        layers += [nn.Conv2d(8, 8, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 1000))
"""


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder with photographs of five of the classes, two each, and a network of a thousand."""
    place = tmp_path_factory.mktemp("five")
    for number, wnid in enumerate(reversed(FIVE)):
        for i in range(2):
            put(place / "photos" / "val" / wnid / f"{i}.jpg", encoded(10 * number + i, (80, 72)))
    (place / "net.py").write_text(NET)
    return place


def asked(place, *overrides):
    model = f"model=file:{place / 'net.py'}:tiny"
    sizes = ["model.mean=[120,115,100]", "model.std=[50,50,50]", "model.input_px=64"]
    return [model, *sizes, "data=imagefolder", f"data.root={place / 'photos'}", *overrides]


def rows(folder, table="table"):
    return list(csv.DictReader((Path(folder) / f"{table}.csv").open()))


# Names


def test_words_are_those_of_the_networks_in_their_order():
    from torchvision.datasets import Imagenette
    from torchvision.models import ResNet50_Weights

    words = imagenet_words()
    assert list(words) == sorted(words) == WNIDS.read_text().split()
    assert len(set(words.values())) == 1000
    categories = ResNet50_Weights.DEFAULT.meta["categories"]
    assert sum(a == b for a, b in zip(words.values(), categories, strict=True)) >= 996
    # Ten of the pairs as another part of torchvision states them.
    for wnid, (name, *_) in Imagenette._WNID_TO_CLASS.items():
        assert words[wnid].replace(" ", "") == name.replace(" ", "")


def test_only_folders_of_imagenet_are_put_in_words():
    assert in_words(["n02123045", "n07920052"]) == ["tabby", "espresso"]
    for names in (["n02123045", "cats"], ["n02123045", "n99999999"], ["n01"], ["nails"], []):
        assert in_words(names) == names


def test_a_folder_is_read_in_words_and_files_in_it_have_their_class(place):
    data = photographs("imagefolder", place / "photos", "val", 64)
    assert data.classes == ["tench", "tabby", "cassette player", "parachute", "espresso"]
    root = str(place / "photos")
    path = str(place / "photos" / "val" / "n02123045" / "0.jpg")
    assert class_of_folder(path, root, data.classes) == "tabby"
    assert class_of_folder(path, root, ["n", "hen"]) is None


def test_labels_become_numbers_of_the_network_s_classes(place):
    data = photographs("imagefolder", place / "photos", "val", 64)
    found = Relabelled(data, list(imagenet_words().values()))
    assert found.targets == [number for number in FIVE.values() for _ in range(2)]
    assert [label for _, label in found] == found.targets and len(found.classes) == 1000
    assert torch.equal(found[3][0], data[3][0]) and found.paths == data.paths
    assert found.fingerprint() == data.fingerprint()


# Commands


def test_accuracy_is_that_of_the_thousand_classes(place, tmp_path):
    lines, _ = command("evaluate", *asked(place, "crops=centre", "precision=fp32"), cwd=tmp_path)
    (row,) = rows(lines[-1])
    _, it = subject("evaluate", *asked(place))
    del it.given  # what the settings name
    losses = []
    for i in range(len(it.data)):
        logits = it.net.record(it.crops[i][0][None]).logits[0]
        losses.append(-float(logits.log_softmax(0)[FIVE[Path(it.data.paths[i]).parent.name]]))
    assert float(row["loss"]) == pytest.approx(np.mean(losses), rel=1e-5) and row["images"] == "10"
    assert it.snapshot.classes[281] == "tabby"


def test_a_folder_of_other_classes_is_refused(place, tmp_path):
    put(tmp_path / "val" / "my cat" / "0.jpg", encoded(0))
    other = [one for one in asked(place) if not one.startswith("data.root")]
    words = "1 classes, which are not the 1000"
    assert_refused("evaluate", [*other, f"data.root={tmp_path}"], words, tmp_path)


def test_figure_7_takes_its_own_last_block_and_knows_the_classes(place, tmp_path):
    few = ["k=2", "count=1", "only_right=false", "score_images=2", "stride_px=24"]
    lines, _ = command("fig7_occlusion", *asked(place, *few), cwd=tmp_path)
    facts = json.loads((Path(lines[-1]) / "provenance.json").read_text())
    assert facts["choices"]["layer"] == "14" and any("layer=14" in line for line in lines)
    (shown,) = [row for row in rows(lines[-1]) if row["role"] == "shown"]
    assert shown["class"] in ("tench", "tabby", "cassette player", "parachute", "espresso")
    assert facts["rows"][0]["true"] in FIVE.values() and facts["scored"]["images"] == 2
    assert "layer: '14'" in (Path(lines[-1]) / "config.yaml").read_text()


def test_figure_5_of_a_photograph_that_a_package_ships_needs_no_data(place, tmp_path):
    few = ["translation=[-60,60,30]", "scale=[1,1.8,0.4]", "rotation=[0,350,90]"]
    named = ["images=[skimage:cat,skimage:coffee]", "labels=[tabby,espresso]"]
    model = [one for one in asked(place) if not one.startswith("data")]
    nowhere = ["data=imagefolder", f"data.root={tmp_path / 'nowhere'}", "model.trained_on=imagenet"]
    lines, _ = command("fig5_invariance", *model, *nowhere, *named, *few, cwd=tmp_path)
    facts = json.loads((Path(lines[-1]) / "provenance.json").read_text())
    assert facts["layers"] == ["1", "16"] and facts["measured_images"] == 2
    first = rows(lines[-1])[0]
    assert (first["image"], first["class"]) == ("skimage:cat", "tabby")


def test_figure_6_shows_parts_c_and_e_of_a_network_that_has_no_twins(place, tmp_path):
    lines, _ = command("fig6_first_layers", *asked(place, "controls=2"), cwd=tmp_path)
    folder = Path(lines[-1])
    arrays, found = np.load(folder / "arrays.npz"), read_findings(folder)
    assert {row["network"] for row in rows(folder)} == {"ours"}
    assert [row["name"] for row in rows(folder)] == ["1", "6"], "a 1×1 convolution is passed by"
    assert len(found) == 3 and all(one.holds is None and one.facts["why_not"] for one in found)
    _, it = subject("evaluate", *asked(place))
    del it.given
    net = it.given.network()
    assert np.array_equal(arrays["ours/filters"], net.module[0].weight.detach().numpy())
    crops = torch.stack([it.crops[i][0] for i in range(len(it.data))])
    record = net.record(crops, ["6"])
    best = record.activations["6"].amax(dim=(0, 2, 3))
    np.testing.assert_allclose(arrays["ours/conv2/strongest"], best, rtol=1e-5)
    number = int(best.argmax())
    image, y, x = (int(arrays[f"ours/{name}"][number]) for name in ("image", "y", "x"))
    pixels = deconv.project(net, record, "6", torch.tensor([[image, number, y, x]]))[0]
    seen = arrays["ours/inside"][number]
    shown = np.square(arrays["ours/projection"][number][:, seen]).sum()
    assert shown == pytest.approx(float(pixels.square().sum()), rel=1e-4)


@pytest.mark.parametrize(
    "only", ["fig1,fig4,filters", pytest.param("", marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_reproduce_runs_what_applies_and_says_what_does_not(place, tmp_path, only):
    spec = {}
    exec(NET, spec)
    torch.save(spec["tiny"]().state_dict(), place / "tiny.pth")
    some = [f"only=[{only}]"] if only else []
    named = asked(place, "size=smoke", f"model.weights={place / 'tiny.pth'}", *some)
    lines, _ = command("reproduce", *named, f"hydra.run.dir={tmp_path / 'all'}", cwd=tmp_path)
    ended = json.loads((tmp_path / "all" / STATE).read_text())["outcomes"]
    by_status = {one["status"] for one in ended.values()}
    assert by_status <= {DONE, DOES_NOT_APPLY, NO_DATA}, lines
    assert ended["filters"]["status"] == DONE and "train" not in ended
    assert "is none" in ended["fig1_deconvnet"]["error"]
    assert "run=" in ended["fig4_feature_evolution"]["error"]
    assert any(line.startswith(f"{DOES_NOT_APPLY}: fig1_deconvnet") for line in lines)


def test_layers_that_are_asked_for_stay(place):
    cfg, it = subject("fig5_invariance", *asked(place, "layers=[4,14]"))
    del it.given
    assert not it.take_own_layers(["layers=[4,14]"]) and list(cfg.layers) == ["4", "14"]
    cfg, it = subject("fig2_top_activations", "model=torchvision/resnet18", "page=[[conv1]]")
    assert not it.take_own_layers(["page=[[conv1]]"]) and cfg.layers == ["conv1"]
    own, it = subject("fig5_invariance", "size=smoke")
    assert not it.take_own_layers([]) and list(own.layers) == ["conv1", "fc7"]


# Photographs


def test_free_photographs_are_those_that_the_packages_hand_out():
    import skimage.data
    from sklearn.datasets import load_sample_image

    for name in FREE:
        package, _, word = name.partition(":")
        wanted = (
            getattr(skimage.data, word)()
            if package == "skimage"
            else load_sample_image(f"{word}.jpg")
        )
        seen = np.asarray(read_rgb(free_photograph(name)))
        assert np.array_equal(seen, wanted if wanted.ndim == 3 else wanted[..., None].repeat(3, 2))
    assert free_photograph("my:cat.jpg") == "my:cat.jpg"
    with pytest.raises(DeconvError, match="Did you mean 'skimage:coffee'"):
        free_photograph("skimage:cofee")
