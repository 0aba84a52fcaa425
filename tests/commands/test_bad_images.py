"""A training whose images cannot all be read: it ends and names one, or goes on without them."""

import csv
import re
from pathlib import Path
from unittest import mock

import numpy as np
import pytest
import torch
from command_line import assert_refused, command
from image_files import encoded, put
from mostly_slow import mostly_slow

import deconv
from deconv.data import mean_image, photographs
from deconv.errors import DeconvError, UnreadableImage
from deconv.training import Hooks, Recipe, fit
from deconv.training.updates import Updates

pytestmark = pytest.mark.fault("bad image in a worker")
BAD = ("cat/2.png", "dog/3.png")
TRAIN = ["size=smoke", "data=imagefolder", "data.root=photos", "pictures=none"]
TRAIN += ["model.input_px=64", "model.fc_width=16", "train.batch_size=5"]


def photos(root, bad=()):
    """root/train and root/val of two classes; `bad` are cut off."""
    for split, count in (("train", 6), ("val", 2)):
        for label, name in enumerate(("cat", "dog")):
            for i in range(count):
                data = encoded(10 * label + i, (70, 80), kind="PNG")
                cut = split == "train" and f"{name}/{i}.png" in bad
                put(root / split / name / f"{i}.png", data[:3000] if cut else data)
    return root


def trained(root, folder, workers, bad_images, mean=None, skipped=None):
    """What reached the network in two epochs: lists of (image's index, its pixels), one an update;
    and the last snapshot."""
    train = photographs("imagefolder", root, "train", 74, bad_images=bad_images)
    val = photographs("imagefolder", root, "val", 74)
    mean = mean_image(train) if mean is None else mean
    net = deconv.build("zfnet_mini", 2, input_px=64, fc_width=16, seed=0)
    recipe = Recipe(
        epochs=2, batch_size=5, lr=1e-3, schedule="fixed", workers=workers, snapshot_epochs=()
    )
    seen = []

    def forward(self, indices, images):
        seen.append(list(zip(indices.tolist(), images.clone(), strict=True)))
        return whole(self, indices, images)

    whole = Updates._forward
    hooks = Hooks(skipped=(skipped if skipped is not None else []).append)
    with mock.patch.object(Updates, "_forward", forward):
        return seen, fit(net, train, val, mean, recipe, folder, hooks=hooks)


@pytest.mark.parametrize("workers", mostly_slow([0, 2]))
def test_a_bad_image_in_mid_epoch_is_named(tmp_path, workers):
    photos(tmp_path / "photos", BAD)
    with pytest.raises(UnreadableImage, match=r"photos/train/(cat/2|dog/3)\.png: .*truncated"):
        trained(tmp_path / "photos", tmp_path / "run", workers, "error", torch.zeros(3, 74, 74))


@pytest.mark.parametrize("workers", mostly_slow([0, 2]))
def test_the_other_images_are_what_they_are_without_bad_ones(tmp_path, workers):
    mean, told = torch.full((3, 74, 74), 100.0), []
    photos(tmp_path / "good"), photos(tmp_path / "bad", BAD)
    wanted, _ = trained(tmp_path / "good", tmp_path / "one", workers, "skip", mean)
    found, last = trained(tmp_path / "bad", tmp_path / "two", workers, "skip", mean, told)
    bad = {2, 6 + 3}
    assert len(wanted) == len(found) == 6
    for one, two in zip(wanted, found, strict=True):
        kept = [(index, pixels) for index, pixels in one if index not in bad]
        assert [index for index, _ in kept] == [index for index, _ in two]
        assert all(torch.equal(a, b) for (_, a), (_, b) in zip(kept, two, strict=True))
    assert sorted(index for some in told for index in some) == sorted(bad), "each once"
    assert [row["skipped_images"] for row in last.history] == [2, 2]


def test_the_mean_and_the_step_are_those_of_the_images_that_remain(tmp_path):
    """One update from the same pixels, with two bad images among them and without."""
    last = ("cat/5.png", "dog/5.png")
    photos(tmp_path / "bad", last), photos(tmp_path / "less", last)
    for name in last:
        (tmp_path / "less" / "train" / name).unlink()
    bad, less = (
        photographs("imagefolder", tmp_path / name, "train", 74, bad_images="skip")
        for name in ("bad", "less")
    )
    assert torch.equal(mean_image(bad), mean_image(less))
    pixels, steps = torch.randn(12, 3, 64, 64).double(), []
    for data in (bad, less):
        net = deconv.build("zfnet_mini", 2, input_px=64, fc_width=16, dropout=0.0, seed=0).double()
        updates = Updates(net, data, mean_image(less), Recipe(epochs=1, batch_size=12, lr=1e-2))
        updates.start_epoch(1, progress := updates.new_progress())
        steps.append((updates, progress))
    labels = torch.tensor([*bad.targets[:4], -100, *bad.targets[4:10], -100])
    kept = labels != -100
    for (updates, progress), rows in zip(steps, (kept | True, kept), strict=True):
        updates.update(progress, 1e-2, pixels[rows], labels[rows])
        assert progress["seen"] == 10
    for one, two in zip(*(updates.net.parameters() for updates, _ in steps), strict=True):
        torch.testing.assert_close(one, two, rtol=1e-10, atol=1e-14)


def test_the_command_lists_what_it_skips_once_and_counts_it(tmp_path):
    photos(tmp_path / "photos", BAD)
    skip = [*TRAIN, "data.bad_images=skip", "data.workers=0"]
    lines, error = command("train", *skip, cwd=tmp_path)
    folder = Path(lines[-1])
    for name in BAD:
        said = f"skipped: cannot read the image photos/train/{name}: "
        assert sum(line.startswith(said) for line in lines) == 1
        assert (folder / "train.log").read_text().count(said) == 1
    epochs = [line for line in lines if re.match(r"epoch \d+/2: ", line)]
    assert len(epochs) == 2 and all("2 unreadable images skipped" in line for line in epochs)
    rows = list(csv.DictReader((folder / "metrics.csv").open()))
    assert [row["skipped_images"] for row in rows] == ["2", "2"] and "Traceback" not in error


def test_skipping_is_for_training_images_and_without_a_cache(tmp_path):
    photos(tmp_path / "photos", BAD)
    skip = [*TRAIN, "data.workers=0", "data.bad_images=skip"]
    assert_refused("train", [*skip, "data.cache=true"], "set data.cache=false", tmp_path)
    assert_refused("train", [*TRAIN, "data.bad_images=skp"], "Did you mean 'skip'", tmp_path)
    put(tmp_path / "photos" / "val" / "cat" / "0.png", b"")
    _, error = command("train", *skip, cwd=tmp_path, fails=True)
    assert "error: cannot read the image photos/val/cat/0.png" in error


def test_a_folder_that_is_gone_is_not_skipped_image_by_image(tmp_path):
    photos(tmp_path / "photos", [f"{name}/{i}.png" for name in ("cat", "dog") for i in range(6)])
    with pytest.raises(DeconvError, match="none of the training images can be read"):
        trained(tmp_path / "photos", tmp_path / "run", 0, "skip")
    zeros = torch.from_numpy(np.zeros((3, 74, 74), np.float32))
    with pytest.raises(DeconvError, match="none of the images of epoch 1, batch 0 can be read"):
        trained(tmp_path / "photos", tmp_path / "other", 0, "skip", zeros)
