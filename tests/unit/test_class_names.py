"""Two classes of one name, as ImageNet has, stay two classes."""

import numpy as np
import pytest
import torch
from image_files import photographs, plain, put
from omegaconf import OmegaConf

import deconv
from deconv.data import train_and_test
from deconv.data.class_names import class_number, unique_names
from deconv.errors import DeconvError
from deconv.figures import shorten
from deconv.training.snapshots import Snapshot, load_snapshot, save_snapshot
from experiments.kit.chosen_images import draw_right_ones, named_images
from experiments.kit.inputs import weights_snapshot

NAMES = ["tench", "crane", "hen", "crane", "maillot", "maillot"]
SHOWN = ["tench", "crane (1)", "hen", "crane (3)", "maillot (4)", "maillot (5)"]


def test_the_same_names_get_the_number_of_the_class():
    assert unique_names(NAMES) == SHOWN
    assert unique_names(SHOWN) == SHOWN and unique_names(("b", "a")) == ["b", "a"]
    awkward = ["a", "a", "a (0)", "a (1) (1)"]
    assert len(set(unique_names(awkward))) == 4


def test_a_number_stays_where_a_name_is_shortened():
    long = "a very long name of a class"
    assert shorten(long) == "a very long name o…" and shorten("crane (1)") == "crane (1)"
    assert shorten(f"{long} (134)") == "a very long… (134)" and shorten("short") == "short"


def test_a_class_of_a_thousand_is_answered_with_the_nearest_alone():
    breeds = [*(f"breed {i}" for i in range(1000)), "dalmatian"]
    assert class_number("1000", breeds) == 1000 and class_number("breed 7", breeds) == 7
    for name, near, most in (("dalmation", "'dalmatian'?", 100), ("zzz", "breed 999", 140)):
        with pytest.raises(DeconvError) as error:
            class_number(name, breeds)
        assert near in str(error.value) and len(str(error.value)) < most
    with pytest.raises(DeconvError, match="unknown class 1001: they are numbered 0 to 1000"):
        class_number("1001", breeds)


def test_a_class_is_named_or_numbered_and_a_name_of_two_is_refused_with_both():
    assert class_number("crane (3)", SHOWN) == 3
    assert class_number(3, SHOWN) == 3 and class_number(3, ["3", "a", "b", "c"]) == 0
    for number in (6, -1, True):
        with pytest.raises(DeconvError, match=f"unknown class {number}"):
            class_number(number, SHOWN)
    with pytest.raises(DeconvError, match=r"Did you mean 'crane \(3\)' or 'crane \(1\)'"):
        class_number("crane", SHOWN)


@pytest.fixture
def data(tmp_path, monkeypatch):
    """ImageNet in miniature with the classes NAMES; the red of an image is its class."""
    wnids = [f"n0{i}" for i in range(6)]
    for i, wnid in enumerate(wnids):
        put(tmp_path / "val" / wnid / "x.JPEG", plain((40 * i, 0, 0), (64, 64)))
    meta = dict(zip(wnids, [(name, "other") for name in NAMES], strict=True))
    torch.save((meta, wnids), tmp_path / "meta.bin")
    monkeypatch.setattr("torchvision.datasets.ImageNet.parse_archives", lambda self: None)
    return photographs("imagenet", tmp_path, "val", 64)


def test_imagenet_s_classes_are_told_apart(data):
    assert data.classes == SHOWN and data.targets == list(range(6))


class Answers:
    """A network that answers the class a red image has, or class 0 for one in `wrong`."""

    input_px = 32
    device = torch.device("cpu")

    def __init__(self, wrong=()):
        self.wrong = wrong

    def parameters(self):
        yield torch.zeros(1)

    def record(self, images):
        label = round(float(images[:, 0].mean()) / 40)
        label = 0 if label in self.wrong else label
        return type("R", (), {"logits": torch.nn.functional.one_hot(torch.tensor([label]), 6)})


def test_images_are_chosen_by_the_number_of_their_class(data):
    """Of "crane" and "maillot" the later classes were taken for the earlier ones."""
    snapshot = Snapshot({}, {}, torch.zeros(3, 64, 64), list(data.classes))
    chosen = named_images([3, 5], [], snapshot, Answers.input_px, data)
    assert [image.label for image in chosen] == [3, 5]
    assert [image.name for image in chosen] == ["crane (3)", "maillot (5)"]
    drawn = draw_right_ones(snapshot, Answers(wrong={1, 4}), data, 4, seed=0)
    assert set(drawn) == {0, 2, 3, 5}


def test_an_older_snapshot_s_classes_are_those_of_the_data(tmp_path, data):
    net = deconv.build("mlp", 6, input_px=8, fc_width=4)
    old = Snapshot(net.recipe, net.state_dict(), torch.zeros(3, 8, 8), NAMES)
    object.__setattr__(old, "classes", NAMES)  # as they were written
    assert load_snapshot(save_snapshot(tmp_path / "a.pt", old)).classes == data.classes


def test_a_split_counts_classes_of_one_name_apart():
    targets = np.repeat(np.arange(3), [2, 9, 9])
    with pytest.raises(DeconvError, match=r"in 1 of 3 classes \(crane has 2\)"):
        train_and_test(targets, ["crane", "hen", "crane"], 4, None, 0)


def test_the_names_in_a_file_are_told_apart(tmp_path):
    (tmp_path / "names.txt").write_text("\n".join(NAMES), encoding="utf-8")
    model = {
        "name": "torchvision/squeezenet1_0",
        "num_classes": 6,
        "weights": "random",
        "mean": None,
        "std": None,
        "input_px": 64,
    }
    model["class_names"] = str(tmp_path / "names.txt")
    cfg = OmegaConf.create({"model": model, "seed": 0, "data": {"side_px": 64}})
    assert weights_snapshot(cfg).classes == SHOWN
