"""Photographs: every source through torchvision's classes, on small trees in their exact layout."""

import contextlib
import errno
import inspect
import os
import pickle
import shutil
import signal
import struct
import subprocess
import tarfile
import time

import numpy as np
import pytest
import torch
from command_line import program
from image_files import photographs
from PIL import Image

from deconv.atomic_files import unique
from deconv.data import SOURCES, SPLITS, Cached, mean_image
from deconv.data.sources import TO_GET
from deconv.errors import DataMissing, DeconvError
from deconv.images import read_rgb, to_rgb
from experiments.kit.forked import Forked


def paint(path, colour, size=(40, 30)):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path)


def colour_of(image):
    return [round(v) for v in image.flatten(1).float().mean(1).tolist()]


@pytest.fixture
def folder(tmp_path):
    """root/train and root/val with two classes; the red channel of an image is its number."""
    for split, first in (("train", 0), ("val", 100)):
        for c, name in enumerate(("cat", "dog")):
            for i in range(3):
                paint(tmp_path / split / name / f"{i}.png", (first + 10 * c + i, 0, 0))
    return tmp_path


def test_imagefolder_reads_train_and_val(folder):
    train, val = (photographs("imagefolder", folder, s, 32, **FOLDER) for s in ("train", "val"))
    assert train.classes == ["cat", "dog"] and train.targets == [0, 0, 0, 1, 1, 1]
    assert [colour_of(val[i][0])[0] for i in range(6)] == [100, 101, 102, 110, 111, 112]
    image, label = train[4]
    assert image.shape == (3, 32, 32) and image.dtype == torch.uint8 and label == 1
    assert train.fingerprint() != val.fingerprint()


FOLDER = {"val_fraction": 0.25, "seed": 0}


def test_a_folder_without_splits_is_split_by_seed_within_each_class(tmp_path):
    for c in range(3):
        for i in range(8):
            paint(tmp_path / f"class{c}" / f"{i}.png", (10 * c + i, 0, 0))
    train, val = (photographs("imagefolder", tmp_path, s, 32, **FOLDER) for s in ("train", "val"))
    assert [val.targets.count(c) for c in range(3)] == [2, 2, 2]
    assert not set(train.paths) & set(val.paths) and len(train) + len(val) == 24
    again = photographs("imagefolder", tmp_path, "val", 32, **FOLDER)
    assert again.paths == val.paths
    other = photographs("imagefolder", tmp_path, "val", 32, val_fraction=0.25, seed=1)
    assert other.paths != val.paths


def test_a_class_of_one_image_stays_in_training(tmp_path):
    paint(tmp_path / "lone" / "0.png", "red")
    for i in range(4):
        paint(tmp_path / "many" / f"{i}.png", "blue")
    train = photographs("imagefolder", tmp_path, "train", 32, **FOLDER)
    assert train.targets == [0, 1, 1, 1]


def test_caltech101_is_split_as_the_paper_says(tmp_path):
    root = tmp_path / "caltech101" / "101_ObjectCategories"
    for name, count in (("BACKGROUND_Google", 5), ("ant", 5), ("bass", 9)):
        for i in range(1, count + 1):
            paint(root / name / f"image_{i:04d}.jpg", (200, 10 * i, 0))
    options = {"train_per_class": 3, "test_per_class": 4, "seed": 1}
    train, val = (photographs("caltech101", tmp_path, s, 32, **options) for s in ("train", "val"))
    assert train.classes == ["ant", "bass"], "the background is no class"
    assert train.targets == [0] * 3 + [1] * 3 and val.targets == [0] * 2 + [1] * 4
    assert not set(train.paths) & set(val.paths)
    for data in (train, val):
        for i, path in enumerate(data.paths):
            assert abs(colour_of(data[i][0])[1] - 10 * int(path[-8:-4])) <= 2, "path names image"
    with pytest.raises(
        DeconvError, match=r"5 training images .* none to test on in 1 of 2 classes \(ant has 5\)"
    ):
        photographs("caltech101", tmp_path, "train", 32, train_per_class=5)


@pytest.fixture
def caltech256(tmp_path):
    """Classes 1, 2 and 257 as torchvision numbers them; green names the image, red the class."""
    names = ["001.ak47", "002.american-flag", *(f"{i:03d}.x" for i in range(3, 257)), "257.clutter"]
    for label, name in enumerate(names):
        folder = tmp_path / "caltech256" / "256_ObjectCategories" / name
        folder.mkdir(parents=True)
        image = b"" if 1 < label < 256 else None
        for i in range(1, 8 if label == 1 else 6):
            path = folder / f"{label + 1:03d}_{i:04d}.jpg"
            if image is None:
                paint(path, (label % 256 * 40, 10 * i, 0))
            else:
                path.write_bytes(image)
    (tmp_path / "caltech256" / "256_ObjectCategories" / "001.ak47" / "RENAME2").write_text("")
    return tmp_path


def test_caltech256_is_split_per_class_without_the_clutter(caltech256):
    options = {"train_per_class": 3, "seed": 1}
    train, val = (photographs("caltech256", caltech256, s, 32, **options) for s in SPLITS)
    assert len(train.classes) == 256 and train.classes[:2] == ["001.ak47", "002.american-flag"]
    assert train.classes == val.classes and train.targets.count(1) == 3
    assert val.targets[:6] == [0, 0, 1, 1, 1, 1], "all that are not trained on"
    assert not set(train.paths) & set(val.paths)
    assert len(train) + len(val) == 256 * 5 + 2
    for data in (train, val):
        for i, path in enumerate(data.paths[:4]):
            label, number = path.split("/")[-1][:-4].split("_")
            assert int(label) == data.targets[i] + 1
            assert abs(colour_of(data[i][0])[0] - 40 * data.targets[i]) <= 2
            assert abs(colour_of(data[i][0])[1] - 10 * int(number)) <= 2, "path names image"
    few = photographs("caltech256", caltech256, "val", 32, test_per_class=1, **options)
    assert few.targets == list(range(256))
    with pytest.raises(DeconvError, match=r"5 training images .* \(001\.ak47 has"):
        photographs("caltech256", caltech256, "train", 32, train_per_class=5)


def test_caltech256_takes_the_clutter_as_a_class_and_draws_the_others_alike(caltech256):
    options = {"train_per_class": 3, "seed": 1}
    for split in SPLITS:
        without = photographs("caltech256", caltech256, split, 32, **options)
        data = photographs("caltech256", caltech256, split, 32, clutter=True, **options)
        assert data.classes == [*without.classes, "257.clutter"] and data.targets[-1] == 256
        assert data.paths[: len(without)] == without.paths and len(data) > len(without)
        assert data[len(data) - 1][1] == 256 and colour_of(data[len(data) - 1][0])[0] <= 2


def test_the_caltech_sets_are_split_by_the_same_rule(tmp_path):
    """Nine images of two classes in both layouts: the same numbers are drawn."""
    for c, (name, count) in enumerate((("a", 9), ("b", 7))):
        for i in range(1, count + 1):
            paint(tmp_path / f"caltech101/101_ObjectCategories/{name}/image_{i:04d}.jpg", "red")
            whole = f"{c + 1:03d}.{name}/{c + 1:03d}_{i:04d}.jpg"
            paint(tmp_path / "caltech256/256_ObjectCategories" / whole, "red")
    paint(tmp_path / "caltech101/101_ObjectCategories/BACKGROUND_Google/image_0001.jpg", "red")
    for split in SPLITS:
        options = {"train_per_class": 3, "test_per_class": 4, "seed": 2}
        one, two = (photographs(f"caltech{n}", tmp_path, split, 32, **options) for n in (101, 256))
        assert one.targets == two.targets
        assert [p[-8:] for p in one.paths] == [p[-8:] for p in two.paths]


def test_the_split_of_caltech101_stays_as_it_was(tmp_path):
    """Numbers drawn by the first version: results that were kept depend on them."""
    for name, count in (("BACKGROUND_Google", 1), ("ant", 9), ("bass", 12)):
        for i in range(1, count + 1):
            paint(tmp_path / f"caltech101/101_ObjectCategories/{name}/image_{i:04d}.jpg", "red")
    options = {"train_per_class": 4, "test_per_class": 3, "seed": 7}
    drawn = [
        [int(path[-8:-4]) for path in photographs("caltech101", tmp_path, s, 32, **options).paths]
        for s in SPLITS
    ]
    assert drawn == [[1, 2, 8, 9, 7, 8, 11, 12], [3, 4, 7, 1, 9, 10]]


def test_cifar10_is_read_from_its_batches(tmp_path, monkeypatch):
    from torchvision.datasets import CIFAR10

    base = tmp_path / "cifar-10-batches-py"
    base.mkdir()
    rng = np.random.default_rng(0)
    for name in [f"data_batch_{i}" for i in range(1, 6)] + ["test_batch"]:
        entry = {"data": rng.integers(0, 256, (4, 3072)).astype(np.uint8), "labels": [0, 1, 2, 9]}
        (base / name).write_bytes(pickle.dumps(entry))
    names = ["airplane", "automobile", *"cdefghi", "truck"]
    (base / "batches.meta").write_bytes(pickle.dumps({"label_names": names}))
    monkeypatch.setattr(CIFAR10, "_check_integrity", lambda self: True)  # no real checksums here
    monkeypatch.setattr("torchvision.datasets.cifar.check_integrity", lambda *a: True)
    train, val = (photographs("cifar10", tmp_path, s, 32) for s in ("train", "val"))
    assert (len(train), len(val), train.classes) == (20, 4, names)
    stored = pickle.loads((base / "test_batch").read_bytes())["data"][2].reshape(3, 32, 32)
    assert torch.equal(val[2][0], torch.from_numpy(stored)) and val[2][1] == 2


def test_fashion_mnist_is_read_from_its_idx_files(tmp_path):
    base = tmp_path / "FashionMNIST" / "raw"
    base.mkdir(parents=True)
    rng = np.random.default_rng(0)
    stored = {}
    for name, count in (("train", 6), ("t10k", 3)):
        stored[name] = rng.integers(0, 256, (count, 28, 28)).astype(np.uint8)
        sizes = struct.pack(">4i", 0x803, count, 28, 28)
        (base / f"{name}-images-idx3-ubyte").write_bytes(sizes + stored[name].tobytes())
        labels = struct.pack(">2i", 0x801, count) + bytes(range(count))
        (base / f"{name}-labels-idx1-ubyte").write_bytes(labels)
    train, val = (photographs("fashion_mnist", tmp_path, s, 28) for s in SPLITS)
    assert (len(train), len(val), val.classes[2]) == (6, 3, "Pullover")
    for data, name in ((train, "train"), (val, "t10k")):
        pixels, label = data[2]
        assert torch.equal(pixels, torch.from_numpy(stored[name][2]).expand(3, 28, 28))
        assert label == 2 and type(data.targets[2]) is int
    with pytest.raises(DataMissing, match=r"Fashion-MNIST is not at .*download=true"):
        photographs("fashion_mnist", base, "val", 28)


def test_imagenette_is_read_from_its_folders(tmp_path):
    from torchvision.datasets import Imagenette

    for split in ("train", "val"):
        for wnid in Imagenette._WNID_TO_CLASS:
            paint(tmp_path / "imagenette2-160" / split / wnid / "x.JPEG", "green")
    val = photographs("imagenette", tmp_path, "val", 32, size="160px")
    assert len(val) == 10 and "tench" in val.classes and val.targets == list(range(10))


def test_imagenet_is_unpacked_and_read_from_its_archives(tmp_path):
    """The devkit and validation archives in miniature, through torchvision.datasets.ImageNet."""
    import scipy.io as sio

    kit = tmp_path / "kit" / "ILSVRC2012_devkit_t12" / "data"
    kit.mkdir(parents=True)
    fields = ["ILSVRC2012_ID", "WNID", "words", "gloss", "num_children"]
    rows = [(1, "n01", "tench, fish", "", 0), (2, "n02", "hen", "", 0)]
    synsets = np.array(rows, dtype=[(f, object) for f in fields])
    sio.savemat(kit / "meta.mat", {"synsets": synsets})
    (kit / "ILSVRC2012_validation_ground_truth.txt").write_text("2\n1\n")
    for i, colour in ((1, "blue"), (2, "red")):
        paint(tmp_path / "val" / f"ILSVRC2012_val_{i:08d}.JPEG", colour)
    torch.save(({"n01": ("tench", "fish"), "n02": ("hen",)}, ["n02", "n01"]), tmp_path / "meta.bin")
    for wnid, name in (("n02", "ILSVRC2012_val_00000001"), ("n01", "ILSVRC2012_val_00000002")):
        (tmp_path / "val" / wnid).mkdir()
        (tmp_path / "val" / f"{name}.JPEG").rename(tmp_path / "val" / wnid / f"{name}.JPEG")
    for place in (tmp_path / "val", tmp_path / "val" / "n01"):
        litter(place)
    with tarfile.open(tmp_path / "ILSVRC2012_devkit_t12.tar.gz", "w:gz") as archive:
        archive.add(kit.parent, "ILSVRC2012_devkit_t12")
    val = photographs("imagenet", tmp_path, "val", 32)
    assert val.classes == ["tench", "hen"] and val.targets == [0, 1]
    assert colour_of(val[0][0])[0] > 200 and colour_of(val[1][0])[2] > 200


@pytest.mark.parametrize("name", SOURCES)
def test_a_missing_or_empty_folder_is_named_with_what_to_do(tmp_path, name):
    how = {
        "imagenet": "account at image-net.org",
        "imagefolder": "<folder>/<class>",
        "tiny_imagenet": "scripts/prepare_tiny_imagenet.py",
    }.get(name, "download=true")
    to_get = rf"set root=<folder>.*To get it: .*{how}"
    with pytest.raises(DataMissing, match=rf"nowhere.* is missing.*{to_get}"):
        photographs(name, tmp_path / "nowhere", "val", 32)
    with pytest.raises(DataMissing, match=rf"is empty.*{to_get}"):
        photographs(name, tmp_path, "val", 32)
    (tmp_path / "unrelated.txt").write_text("")
    kind = DeconvError if name == "imagefolder" else DataMissing
    with pytest.raises(kind, match=str(tmp_path)) as error:
        photographs(name, tmp_path, "val", 32, **(FOLDER if name == "imagefolder" else {}))
    assert how in str(error.value) or name == "imagefolder", "the folder is there, its data not"
    if "download" in how:
        assert "download" in inspect.signature(SOURCES[name]).parameters, "what is offered is taken"


def test_how_to_get_it_is_known_of_every_source():
    assert set(TO_GET) == set(SOURCES)


def test_unknown_names_get_the_nearest(tmp_path):
    with pytest.raises(DeconvError, match="Did you mean 'caltech101'"):
        photographs("caltech11", tmp_path, "val", 32)
    with pytest.raises(DeconvError, match="unknown split 'test'"):
        photographs("imagefolder", tmp_path, "test", 32)


def test_an_empty_class_and_a_missing_split_are_named(folder):
    (folder / "val" / "emu").mkdir()
    with pytest.raises(DeconvError, match=r"without an image .*emu"):
        photographs("imagefolder", folder, "val", 32, **FOLDER)
    for path in sorted((folder / "val").rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (folder / "val").rmdir()
    with pytest.raises(DeconvError, match="has no folder 'val'"):
        photographs("imagefolder", folder, "val", 32, **FOLDER)


@pytest.mark.parametrize("source", ["imagefolder", "caltech101"])
def test_a_truncated_image_is_named(tmp_path, source):
    bad = tmp_path / "caltech101" / "101_ObjectCategories" / "ant" / "image_0002.jpg"
    root = tmp_path
    (tmp_path / "caltech101" / "101_ObjectCategories" / "BACKGROUND_Google").mkdir(parents=True)
    for i in range(1, 5):
        noise = np.random.default_rng(i).integers(0, 256, (60, 60, 3)).astype(np.uint8)
        bad.parent.mkdir(exist_ok=True)
        Image.fromarray(noise).save(bad.parent / f"image_{i:04d}.jpg")
    bad.write_bytes(bad.read_bytes()[:500])
    options = {"train_per_class": 3}
    if source == "imagefolder":
        root, options = bad.parent.parent, {"val_fraction": 0.0, "seed": 0}
        (root / "BACKGROUND_Google").rmdir()
    data = [photographs(source, root, split, 32, **options) for split in ("train", "val")]
    with pytest.raises(DeconvError, match=r"image_0002\.jpg"):
        list(map(mean_image, data))


HIDDEN = [
    ".DS_Store",
    "Thumbs.db",
    ".ipynb_checkpoints/c.png",
    "__MACOSX/d.png",
    "@eaDir/0.png/e.png",
    "._0.png",
    "._image_0001.jpg",
    "#recycle/f.png",
    "desktop.ini",
    ".hidden/sub/g.png",
]
"""What desktops, archives, notebooks and network drives leave in folders."""


def litter(folder):
    for name in HIDDEN:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"no image")


def test_hidden_files_and_folders_are_no_classes_and_no_images(folder):
    expected = {s: photographs("imagefolder", folder, s, 32).paths for s in SPLITS}
    for place in (folder, *folder.glob("*"), *folder.glob("*/*")):
        litter(place)
    for split in SPLITS:
        data = photographs("imagefolder", folder, split, 32)
        assert data.classes == ["cat", "dog"] and data.paths == expected[split]
        assert len([data[i] for i in range(6)]) == 6
    (folder / "val" / "emu").mkdir()
    litter(folder / "val" / "emu")
    with pytest.raises(DeconvError, match=r"without an image .*emu"):
        photographs("imagefolder", folder, "val", 32)


def test_a_folder_of_hidden_files_alone_is_empty(tmp_path):
    litter(tmp_path / "photos")
    with pytest.raises(DataMissing, match="is empty"):
        photographs("imagefolder", tmp_path / "photos", "val", 32)


def test_a_hidden_folder_above_the_data_hides_nothing(tmp_path):
    paint(tmp_path / ".cache" / "val" / "a" / "sub" / "0.png", "red")
    assert len(photographs("imagefolder", tmp_path / ".cache", "val", 32)) == 1


def test_hidden_files_are_left_out_of_the_data_sets_of_folders(tmp_path, caltech256):
    from torchvision.datasets import Imagenette

    root = tmp_path / "caltech101" / "101_ObjectCategories"
    for name in ("BACKGROUND_Google", "ant"):
        for i in range(1, 5):
            paint(root / name / f"image_{i:04d}.jpg", "red")
    for wnid in Imagenette._WNID_TO_CLASS:
        paint(tmp_path / "imagenette2" / "val" / wnid / "x.JPEG", "green")
    places = (
        root,
        caltech256 / "caltech256" / "256_ObjectCategories",
        tmp_path / "imagenette2/val",
    )
    for place in places:
        for folder in (place, *place.glob("*")):
            litter(folder)
    one = photographs("caltech101", tmp_path, "train", 32, train_per_class=3)
    assert one.classes == ["ant"] and len(one) == 3 and one[2][1] == 0
    two = photographs("caltech256", caltech256, "train", 32, train_per_class=3)
    assert len(two.classes) == 256 and len(two) == 768 and two[2][1] == 0
    three = photographs("imagenette", tmp_path, "val", 32)
    assert three.targets == list(range(10)) and three[9][1] == 9


@pytest.mark.parametrize(
    ("train", "val"),
    [
        ("Train", "Val"),
        ("TRAIN", "VAL"),
        ("training", "valid"),
        ("Training", "Validation"),
        ("train", "VALID"),
    ],
)
def test_splits_are_found_under_the_names_that_people_give_them(folder, train, val):
    expected = {s: [d[0].sum() for d in photographs("imagefolder", folder, s, 32)] for s in SPLITS}
    (folder / "train").rename(folder / "t")
    (folder / "val").rename(folder / "v")
    (folder / "t").rename(folder / train)
    (folder / "v").rename(folder / val)
    for split in SPLITS:
        data = photographs("imagefolder", folder, split, 32)
        assert data.classes == ["cat", "dog"] and [d[0].sum() for d in data] == expected[split]


def test_two_folders_that_could_be_one_split_are_named(folder):
    shutil.copytree(folder / "val", folder / "Validation")
    with pytest.raises(DeconvError, match=r"'Validation' and 'val'.*either could be 'val'.*rename"):
        photographs("imagefolder", folder, "train", 32)


def test_grey_palette_alpha_and_16_bit_files_become_rgb(tmp_path):
    Image.new("L", (4, 4), 77).save(tmp_path / "grey.png")
    assert read_rgb(tmp_path / "grey.png").getpixel((0, 0)) == (77, 77, 77)
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "clear.png")
    assert read_rgb(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)
    deep = Image.fromarray(np.full((4, 4), 65535 // 2, np.uint16))
    deep.save(tmp_path / "deep.png")
    assert read_rgb(tmp_path / "deep.png").getpixel((0, 0)) == (127, 127, 127)
    palette = Image.new("RGB", (4, 4), (1, 200, 3)).convert("P", palette=Image.Palette.ADAPTIVE)
    assert to_rgb(palette).getpixel((0, 0)) == (1, 200, 3)
    with pytest.raises(DeconvError, match=r"none\.png"):
        read_rgb(tmp_path / "none.png")


class Counting:
    """Squares that count how often they are made."""

    classes = ("a",)

    def __init__(self, fail_at=None):
        self.targets, self.made, self.fail_at = [0] * 5, 0, fail_at

    def __len__(self):
        return 5

    def __getitem__(self, index):
        if index == self.fail_at:
            raise DeconvError("image 3 is broken")
        if index > 4:
            raise IndexError
        self.made += 1
        return torch.full((3, 8, 8), 40 * index, dtype=torch.uint8), 0

    def fingerprint(self):
        return "abc"

    def cache_key(self):
        return "abc-1"


def test_the_cache_is_made_once_and_holds_the_same_squares(tmp_path):
    data = Counting()
    first = Cached(data, tmp_path, progress=False)
    made = data.made
    second = Cached(data, tmp_path, progress=False)
    assert data.made == made, "read, not made again"
    for cached in (first, second):
        assert all(torch.equal(cached[i][0], data[i][0]) for i in range(5))
    assert first.fingerprint() == "abc" and [p.name for p in tmp_path.iterdir()] == ["abc-1.npy"]


def test_a_spawned_worker_maps_the_cache_instead_of_copying_it(tmp_path):
    cached = Cached(Counting(), tmp_path, progress=False)
    message = pickle.dumps(cached)
    assert len(message) < 2000
    assert all(torch.equal(pickle.loads(message)[i][0], cached[i][0]) for i in range(5))


def test_an_edited_file_gets_a_cache_of_its_own(tmp_path):
    paint(tmp_path / "val" / "a" / "0.png", "red")
    data = photographs("imagefolder", tmp_path, "val", 32)
    before, fingerprint = data.cache_key(), data.fingerprint()
    paint(tmp_path / "val" / "a" / "0.png", "tan")
    assert before != photographs("imagefolder", tmp_path, "val", 32).cache_key()
    assert before.startswith(fingerprint)


def test_a_cache_that_fails_half_way_leaves_nothing(tmp_path):
    with pytest.raises(DeconvError, match="image 3"):
        Cached(Counting(fail_at=3), tmp_path, progress=False)
    assert list(tmp_path.iterdir()) == []


FULL_DISK = """
import sys
from small_disk import small_disk
from test_sources import Counting
from deconv.data import Cached
from deconv.errors import DeconvError
small_disk(sys.argv[1])
class Many(Counting):
    __len__ = lambda self: 20000
try:
    Cached(Many(), sys.argv[1], progress=False)
except DeconvError as error:
    sys.exit(str(error))
"""


@pytest.mark.fault("full disk")
def test_a_disk_without_room_for_the_cache_is_a_message_and_no_bus_error(tmp_path):
    mount = ["unshare", "-rm", "mount", "-t", "tmpfs", "tmpfs", str(tmp_path)]
    if shutil.which("unshare") is None or subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("a disk of one's own is not to be had here")
    disk = tmp_path / "disk"
    disk.mkdir()
    _, said = program(FULL_DISK, disk, cwd=tmp_path, status=1)
    assert "Traceback" not in said, said
    assert "abc-1.npy: No space left on device. It takes 3.8 MB" in said
    assert "put the cache on another disk" in said


def test_where_room_cannot_be_set_aside_the_cache_is_written_all_the_same(tmp_path, monkeypatch):
    def not_here(*_):
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(os, "posix_fallocate", not_here, raising=False)
    data = Counting()
    cached = Cached(data, tmp_path, progress=False)
    assert all(torch.equal(cached[i][0], data[i][0]) for i in range(5))


# Shared by processes that may be killed.

FILL = """
import os, sys, time
from pathlib import Path
from test_sources import Counting
from deconv.data import Cached
folder, stop, name = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
os.getpid = lambda: 7  # as in containers, each of which counts from 1
class Waiting(Counting):
    __len__ = lambda self: 130
    def __getitem__(self, index):
        if index == stop:
            Path(f"{name}.there").touch()
            while not Path(f"{name}.go").exists():
                time.sleep(0.01)
        return torch.full((3, 8, 8), 1 + index, dtype=torch.uint8), 0
import torch
data = Waiting()
data.targets = [0] * 130
cached = Cached(data, folder, progress=False)
assert all(int(cached[i][0][0, 0, 0]) == 1 + i for i in range(130))
"""
"""Fills a cache, but waits before one of its images."""


@contextlib.contextmanager
def filling(folder, stop, name):
    """A process that fills the cache in a folder and waits before image `stop`."""
    said = folder.parent / f"{name}.txt"
    arguments = ["-c", FILL, str(folder), str(stop), name]
    one = Forked(arguments, said, said, folder.parent)
    try:
        while not (folder.parent / f"{name}.there").exists():
            assert one.poll() is None, said.read_text()
            time.sleep(0.01)
        yield one
        if one.poll() is None:
            (folder.parent / f"{name}.go").touch()
            assert one.wait(60) == 0, said.read_text()
    finally:
        one.send_signal(signal.SIGKILL)
        one.wait()


@pytest.mark.fault("shared cache")
@pytest.mark.parametrize("killed", [True, False])
def test_two_processes_of_one_number_fill_one_cache(tmp_path, killed):
    """The second has begun when the first one ends; it goes on, or is killed."""
    folder = tmp_path / "cache"
    with filling(folder, 1, "second") as second:
        with filling(folder, 70, "first"):
            pass
        whole = (folder / "abc-1.npy").read_bytes()
        if killed:
            second.send_signal(signal.SIGKILL)
            assert second.wait() == -signal.SIGKILL
            assert len(list(folder.iterdir())) == 2
    assert (folder / "abc-1.npy").read_bytes() == whole
    squares = np.load(folder / "abc-1.npy")
    assert squares[:, 0, 0, 0].tolist() == list(range(1, 131))


@pytest.mark.fault("killed pass")
def test_a_cache_that_was_killed_half_way_is_filled_by_the_next_run(tmp_path):
    folder, whole = tmp_path / "cache", tmp_path / "whole"
    for there, name in ((whole, "whole"), (folder, "first")):
        with filling(there, 100, name) as one:
            if name == "first":
                one.send_signal(signal.SIGKILL)
                one.wait()
    assert [p.suffix for p in folder.iterdir()] == [".tmp"]
    with filling(folder, 0, "again"):
        pass
    assert [p.name for p in folder.iterdir()] == ["abc-1.npy"], "nothing stale remains"
    assert (folder / "abc-1.npy").read_bytes() == (whole / "abc-1.npy").read_bytes()


@pytest.mark.fault("shared cache")
def test_only_what_no_living_process_writes_is_deleted(tmp_path):
    """Not what is locked, what may be locked in a moment, nor what another machine writes now."""
    here, other = f".abc-1.npy.{unique()}.tmp", f".abc-1.npy.elsewhere-{'0' * 16}.tmp"
    empty, old = f".abc-1.npy.{unique()}.tmp", f".abc-1.npy.elsewhere-{'1' * 16}.tmp"
    for name in (here, other, old, ".abc-2.npy.111.tmp"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / empty).touch()
    os.utime(tmp_path / old, (1, 1))
    with filling(tmp_path / "cache", 100, "living"):
        (written,) = (tmp_path / "cache").iterdir()
        (tmp_path / written.name).hardlink_to(written)
        Cached(Counting(), tmp_path, progress=False)
    kept = {written.name, other, empty, ".abc-2.npy.111.tmp", "abc-1.npy"}
    assert {path.name for path in tmp_path.iterdir() if ".npy" in path.name} == kept


@pytest.mark.fault("shared cache")
@pytest.mark.parametrize("harm", ["cut", "emptied", "of other images", "without checksums"])
def test_a_cache_that_is_not_whole_is_reported_and_written_again(tmp_path, harm):
    cached = Cached(Counting(), tmp_path, progress=False)
    message = pickle.dumps(cached)
    content = cached.path.read_bytes()
    if harm == "of other images":
        np.save(cached.path, np.zeros((4, 3, 8, 8), np.uint8))
    else:
        end = {"cut": 200, "emptied": 0, "without checksums": -20}[harm]
        cached.path.write_bytes(content[:end])
    with pytest.raises(DeconvError, match=r"abc-1\.npy is damaged"):
        pickle.loads(message)
    with pytest.warns(UserWarning, match=r"abc-1\.npy is damaged .*; writing it again"):
        Cached(Counting(), tmp_path, progress=False)
    assert cached.path.read_bytes() == content


@pytest.mark.fault("shared cache")
def test_a_damaged_square_of_a_cache_is_refused_wherever_it_is(tmp_path, record_property):
    """One bit of the squares or of their checksums, each in turn in another place."""
    cached = Cached(Counting(), tmp_path, progress=False)
    content = cached.path.read_bytes()
    begin = cached.images.offset
    places = [*range(begin, len(content), 97), begin, begin + 5 * 192 - 1, len(content) - 1]
    for place in places:
        cached.path.write_bytes(
            content[:place] + bytes([content[place] ^ 1 << place % 8]) + content[place + 1 :]
        )
        opened = Cached(Counting(), tmp_path, progress=False)
        in_squares = place < begin + 5 * 192
        number = (place - begin) // 192 if in_squares else (place - begin - 5 * 192) // 4
        for index in range(5):
            if index == number:
                with pytest.raises(DeconvError, match=rf"square {number} .*: delete it, and it is"):
                    opened[index]
            else:
                assert opened[index][0][0, 0, 0] == 40 * index
    record_property("tries", len(places))
