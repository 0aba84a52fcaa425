"""Folders as people have them: half unpacked, a level too deep, other split names, odd classes."""

import os

import pytest
from command_line import assert_refused, command
from image_files import plain, put, script

from deconv.data import SPLITS, photographs
from deconv.data.known_counts import KNOWN_COUNTS
from deconv.errors import DataMissing, DeconvError
from experiments.kit import compose
from experiments.kit.settings import DATA

JPEG = plain("red", (64, 64))
TRAIN = ["size=smoke", "data=imagefolder", "data.workers=0", "data.root=photos"]


def fill(root, *images):
    """Put images, named by their paths; "val/cat*3" stands for three in a folder."""
    for name in images:
        folder, _, count = name.partition("*")
        for i in range(int(count or 1)):
            put(root / folder / f"{i}.jpg", JPEG)


# ------------------------------------------------------------------ classes


CLASSES = {
    "empty": (["train/cat*2", "train/emu/none*0", "val/cat"], "without an image in photos/train"),
    "missing": (["train/cat", "train/emu", "val/cat"], "validation images lack the classes emu"),
    "extra": (["train/cat", "val/cat", "val/emu"], "training images lack the classes emu"),
    "one image": (["cat*4", "emu"], "no validation image of the classes emu: each needs one"),
    "one class": (["train/cat", "val/cat"], "there is 1 class, cat"),
}


@pytest.mark.fault("classes")
@pytest.mark.parametrize("kind", CLASSES)
@pytest.mark.parametrize("cache", [False, True])
def test_a_class_that_cannot_be_learned_is_named_before_anything_is_read(tmp_path, kind, cache):
    images, words = CLASSES[kind]
    fill(tmp_path / "photos", *images)
    if kind == "empty":
        (tmp_path / "photos/train/emu").mkdir(parents=True)
    assert_refused("train", [*TRAIN, f"data.cache={cache}"], words, tmp_path)


# ------------------------------------------------------------------ one level too many, splits


@pytest.mark.fault("classes")
def test_one_level_too_many_names_the_folder_to_give(tmp_path):
    fill(tmp_path / "photos/unpacked/inner", "train/cat", "train/dog", "val/cat", "val/dog")
    named = r"photos has 1 class, 'unpacked', .*: name \S+/photos/unpacked/inner, which holds train"
    with pytest.raises(DeconvError, match=named):
        photographs("imagefolder", tmp_path / "photos", "train", 32)
    found = photographs("imagefolder", tmp_path / "photos/unpacked/inner", "train", 32)
    assert found.classes == ["cat", "dog"]
    fill(tmp_path / "sets", *(f"{s}_set/{s}_set/{c}" for s in ("test", "training") for c in "ab"))
    with pytest.raises(DeconvError, match=r"test_set has 1 class, 'test_set'.*move its folders"):
        photographs("imagefolder", tmp_path / "sets", "val", 32)


@pytest.mark.fault("classes")
@pytest.mark.parametrize(
    ("train", "val", "others"),
    [
        ("training_set", "test_set", ()),
        ("Train-Data", "validation images", ("test",)),
        ("train", "test", ()),
        ("trainset", "valset", ("testset",)),
        ("training", "dev", ("test",)),
    ],
)
def test_more_names_of_splits_are_found(tmp_path, train, val, others):
    for number, name in enumerate((train, val, *others), start=1):
        fill(tmp_path, f"{name}/cat*{number}", f"{name}/dog*{number}")
    sizes = [len(photographs("imagefolder", tmp_path, split, 32)) for split in SPLITS]
    assert sizes == [2, 4], "test is no validation where there is another"


@pytest.mark.fault("classes")
def test_names_that_only_look_like_splits_are_no_classes(tmp_path):
    fill(tmp_path / "seg", "seg_train/cat*2", "seg_test/cat*2", "seg_pred-test*2")
    with pytest.raises(
        DeconvError, match=r"seg_pred-test, seg_test, seg_train .* look like splits"
    ):
        photographs("imagefolder", tmp_path / "seg", "train", 32)
    fill(tmp_path / "voc", "bus*2", "car*2", "train*2")
    assert photographs("imagefolder", tmp_path / "voc", "train", 32).classes[2] == "train"


# ------------------------------------------------------------------ half-unpacked, known data sets


LAYOUTS = {
    "caltech101": "caltech101/101_ObjectCategories/{}",
    "caltech256": "caltech256/256_ObjectCategories/001.{}",
    "imagenette": "imagenette2/{split}/{}",
    "tiny_imagenet": "{split}/{}",
}


@pytest.mark.fault("classes")
@pytest.mark.parametrize("name", LAYOUTS)
def test_half_a_known_data_set_is_refused_with_both_counts_unless_asked_for(tmp_path, name):
    for split in SPLITS:
        for label in ("ant", "bat"):
            fill(tmp_path, f"{LAYOUTS[name].format(label, split=split)}*3")
    options = {"train_per_class": 2} if name.startswith("caltech") else {}
    part = "train" if "train" in KNOWN_COUNTS[name] else "all"
    images, classes = KNOWN_COUNTS[name][part]
    words = rf"holds 6 images of 2 classes, .*{images:,} of {classes:,}: .* set partial=true"
    with pytest.raises(DeconvError, match=words):
        photographs(name, tmp_path, "train", 32, **options)
    for split in SPLITS:
        assert len(photographs(name, tmp_path, split, 32, partial=True, **options))
    assert DATA[name].partial is False and not compose("train", [f"data={name}"]).data.partial


@pytest.mark.fault("classes")
def test_all_of_a_known_data_set_is_taken(tmp_path, monkeypatch):
    fill(tmp_path, *(f"caltech101/101_ObjectCategories/{c}*3" for c in ("ant", "bat")))
    monkeypatch.setitem(KNOWN_COUNTS["caltech101"], "all", (6, 2))
    train = photographs("caltech101", tmp_path, "train", 32, train_per_class=2)
    fill(tmp_path, "caltech101/101_ObjectCategories/BACKGROUND_Google*5")
    again = photographs("caltech101", tmp_path, "train", 32, train_per_class=2)
    assert train.paths == again.paths, "with and without the background"


@pytest.mark.fault("classes")
def test_half_a_known_data_set_is_not_prepared_unless_asked_for(tmp_path, monkeypatch, capsys):
    fill(tmp_path, *(f"101_ObjectCategories/{c}*3" for c in ("ant", "BACKGROUND_Google")))
    for path in tmp_path.rglob("*.jpg"):
        path.rename(path.with_name(f"image_000{int(path.stem) + 1}.jpg"))
    arguments = (tmp_path, tmp_path / "to", "--workers", 0)
    assert script(monkeypatch, "prepare_caltech101.py", *arguments) == 2
    words = "holds 3 images of 1 classes, but caltech101 (all) has 8,677 of 101: unpack it again"
    error = capsys.readouterr().err
    assert words in error and "add --partial" in error and not (tmp_path / "to").exists()
    assert script(monkeypatch, "prepare_caltech101.py", *arguments, "--partial") == 0


@pytest.mark.fault("classes")
def test_clutter_that_is_not_there_is_missed(tmp_path):
    fill(tmp_path, "caltech256/256_ObjectCategories/001.ak47*3")
    with pytest.raises(DeconvError, match=r"no folder 257\.clutter"):
        photographs("caltech256", tmp_path, "val", 32, clutter=True, partial=True)


@pytest.mark.fault("classes")
@pytest.mark.parametrize("given", ["caltech101", "caltech101/101_ObjectCategories", ".."])
def test_a_root_a_level_too_deep_or_high_is_told_the_right_one(tmp_path, given):
    fill(tmp_path / "data", "caltech101/101_ObjectCategories/ant")
    with pytest.raises(DataMissing, match=rf"It is at .*: set root={tmp_path / 'data'}\."):
        photographs("caltech101", tmp_path / "data" / given, "train", 32)


@pytest.mark.fault("classes")
def test_the_unprepared_tiny_imagenet_is_told_from_the_copy(tmp_path):
    fill(tmp_path, "train/n01/images", "val/images")
    put(tmp_path / "val" / "val_annotations.txt", b"0.jpg\tn01")
    with pytest.raises(DataMissing, match=r"no prepared copy .*scripts/prepare_tiny_imagenet\.py"):
        photographs("tiny_imagenet", tmp_path, "val", 32)


# ------------------------------------------------------------------ links and names


@pytest.mark.fault("image corpus")
def test_a_loop_of_links_is_named_and_no_image_is_counted_twice(tmp_path):
    fill(tmp_path / "photos", "cat/inner*3", "dog*2")
    (tmp_path / "photos/dog/more").symlink_to(tmp_path / "photos/cat/inner")
    sizes = [len(photographs("imagefolder", tmp_path / "photos", split, 32)) for split in SPLITS]
    assert sum(sizes) == 3 + 2 + 3, "a link to elsewhere is followed"
    for place, to in (("cat/inner/up", "cat"), ("cat/root", "."), ("emu", ".")):
        link = tmp_path / "photos" / place
        link.symlink_to(tmp_path / "photos" / to)
        with pytest.raises(DeconvError, match=rf"{link.name} is a link to a folder that it is in"):
            photographs("imagefolder", tmp_path / "photos", "train", 32)
        link.unlink()
    (tmp_path / "photos/cat/to_dog").symlink_to(tmp_path / "photos/dog")
    (tmp_path / "photos/dog/to_cat").symlink_to(tmp_path / "photos/cat")
    with pytest.raises(DeconvError, match="is a link to a folder that it is in"):
        photographs("imagefolder", tmp_path / "photos", "train", 32)


@pytest.mark.fault("image corpus")
@pytest.mark.parametrize("name", [b"photos/caf\xe9/0.jpg", b"photos/cat/caf\xe9.jpg"])
def test_a_name_that_is_no_text_is_refused_by_the_command(tmp_path, name):
    fill(tmp_path / "photos", "cat*3", "dog*3")
    put(tmp_path / os.fsdecode(name), JPEG)
    _, error = command("train", *TRAIN, cwd=tmp_path, fails=True)
    assert error.startswith("error: the name b'caf\\xe9") and "utf-8: rename it" in error
    assert "Traceback" not in error
