"""A run that goes on with data that were moved, which is the same run, or changed, which is not."""

import re
import shutil

import pytest
import torch
from command_line import command
from mostly_slow import mostly_slow
from PIL import Image

import deconv

SETTINGS = (
    "size=smoke",
    "data=imagefolder",
    "data.workers=0",
    "device=cpu",
    "model.fc_width=16",
    "model.input_px=64",
    "pictures=none",
    "train.batch_size=4",
    "train.epochs=1",
    "train.lr_drops=[]",
    "train.schedule=fixed",
)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A folder with photos/ and a run of one epoch on them, run/."""
    there = tmp_path_factory.mktemp("made")
    for number in range(16):
        split, name = ("train", "val")[number % 2], ("cat", "dog")[number // 2 % 2]
        path = there / "photos" / split / name / f"{number}.bmp"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (80, 80), (15 * number, 90, 200 - 9 * number)).save(path)
    command("train", *SETTINGS, "data.root=photos", "hydra.run.dir=run", cwd=there)
    return there


@pytest.fixture
def here(made, tmp_path):
    return shutil.copytree(made, tmp_path / "here", symlinks=True)


def paint(path):
    """Another picture of the same name and size, in bytes, too."""
    size = path.stat().st_size
    Image.new("RGB", (80, 80), (1, 2, 3)).save(path)
    assert path.stat().st_size == size


def swap(photos):
    for split in ("train", "val"):
        folder = photos / split
        (folder / "cat").rename(folder / "x")
        (folder / "dog").rename(folder / "cat")
        (folder / "x").rename(folder / "dog")


def rename(photos):
    for split in ("train", "val"):
        (photos / split / "dog").rename(photos / split / "wolf")


def add_class(photos):
    for split in ("train", "val"):
        shutil.copytree(photos / split / "cat", photos / split / "emu")


CHANGES = {
    "a validation image": (
        lambda photos: paint(photos / "val/cat/1.bmp"),
        r"the run: the validation images \([0-9a-f-]{33}, in the run [0-9a-f-]{33}\)\. Restore it",
    ),
    "a training image": (
        lambda photos: paint(photos / "train/dog/14.bmp"),
        r"the run: the training images \([^)]*\)\. Restore it",
    ),
    "no validation image": (
        lambda photos: (photos / "val/cat/1.bmp").unlink(),
        r"the run: the validation images \([^)]*\)\. Restore it",
    ),
    "one more training image": (
        lambda photos: shutil.copy(photos / "train/cat/0.bmp", photos / "train/cat/1.bmp"),
        r"the run: the training images \([^)]*\)\. Restore it",
    ),
    "classes exchanged": (swap, r"the training images \([^)]*\); the validation images"),
    "a class renamed": (rename, r"label 1 is wolf, in the run dog\. Restore it, say where it is"),
    "a class more": (
        add_class,
        r"label 2 is emu, in the run none\. Restore it, or train anew without resume",
    ),
}


@pytest.mark.fault("classes")
@pytest.mark.parametrize("change", mostly_slow(CHANGES))
def test_changed_data_are_refused_unless_that_is_meant(here, change):
    act, message = CHANGES[change]
    act(here / "photos")
    before = (here / "run" / "metrics.csv").read_bytes()
    resume = ("resume=run", "train.epochs=2")
    _, error = command("train", *resume, cwd=here, fails=True)
    assert "error: the data set is not that of the run: " in error
    assert re.search(message, error), error
    assert (here / "run" / "metrics.csv").read_bytes() == before
    more = ("changed_data=true",)
    if change == "a class more":
        command("train", *resume, *more, cwd=here, fails=True)
        return
    said, _ = command("train", *resume, *more, cwd=here)
    assert "note: the data set is not that of the run: " in "".join(said)
    assert deconv.load_snapshot(here / "run" / "last.pt").epoch == 2
    said, _ = command("train", "resume=run", "train.epochs=3", cwd=here)
    assert "note: " not in "".join(said), "what was allowed is what the run now has"
    paint(next((here / "photos/val").glob("*/5.bmp")))
    command("train", "resume=run", "train.epochs=4", cwd=here, fails=True)


@pytest.mark.fault("classes")
def test_a_run_and_its_data_can_be_moved(here, made):
    """With one plain override, and all that is computed stays the same."""
    stayed = here.parent / "stayed"
    shutil.copytree(made, stayed, symlinks=True)
    command("train", "resume=run", "train.epochs=2", cwd=stayed)
    (here / "photos").rename(here.parent / "elsewhere")
    (here / "run").rename(here.parent / "moved")
    _, error = command("train", "resume=moved", "train.epochs=2", cwd=here.parent, fails=True)
    assert "the data folder photos of imagefolder is missing" in error
    new = ("data.root=elsewhere", "train.epochs=2")
    command("train", "resume=moved", *new, cwd=here.parent)
    one, other = (
        deconv.load_snapshot(folder / "last.pt")
        for folder in (stayed / "run", here.parent / "moved")
    )
    assert all(torch.equal(w, other.weights[name]) for name, w in one.weights.items())
    assert other.config["settings"]["data"]["root"] == "elsewhere"
    _, error = command(
        "train", "resume=moved", "data.val_fraction=0.5", cwd=here.parent, fails=True
    )
    assert "data.val_fraction: 0.2 in the run, 0.5 asked for" in error
