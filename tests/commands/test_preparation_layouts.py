"""From small fakes of the data sets as they are distributed to what the sources read of a copy."""

import hashlib
import io
import json
import tarfile
import zipfile

import numpy as np
import pytest
import scipy.io
import torch
from image_files import encoded, files, opened, photographs, plain, put, red, script, tar_of
from torchvision.datasets.imagenet import ARCHIVE_META

from deconv.data.preparation import (
    caltech101,
    caltech256,
    command,
    imagenet,
    resized_copy,
    tiny_imagenet,
    verify,
)
from deconv.data.preparation.archives import unpacked
from deconv.errors import DeconvError

# Tiny ImageNet


@pytest.fixture
def tiny(tmp_path):
    """Three classes; the red of an image is its class and number. Validation images: 2, 0, 1."""
    root, wnids = tmp_path / "tiny-imagenet-200", ["n01", "n02", "n03"]
    for c, wnid in enumerate(wnids):
        for i in range(2):
            image = plain((50 * c + 10 * i, 0, 0), (64, 64))
            put(root / "train" / wnid / "images" / f"{wnid}_{i}.JPEG", image)
        put(root / "train" / wnid / f"{wnid}_boxes.txt", b"")
    for i, c in enumerate((2, 0, 1)):
        put(root / "val" / "images" / f"val_{i}.JPEG", plain((200 + 10 * c, 0, 0), (64, 64)))
    lines = [
        "val_0.JPEG\tn03\t0\t0\t62\t62",
        "val_1.JPEG\tn01\t0\t0\t9\t9",
        "val_2.JPEG\tn02\t1\t1\t2\t2",
    ]
    (root / "val" / "val_annotations.txt").write_text("\n".join(lines) + "\n")
    put(root / "test" / "images" / "test_0.JPEG", plain("red"))
    (root / "words.txt").write_text("n01\ttench\n")
    return root


def test_tiny_imagenet_s_script_sorts_the_validation_images(tiny, tmp_path, monkeypatch, capfd):
    target = tmp_path / "new" / "copy"
    assert (
        script(monkeypatch, "prepare_tiny_imagenet.py", tiny, target, "--workers", 0, "--partial")
        == 0
    )
    out, err = capfd.readouterr()
    assert out.splitlines()[-1] == str(target) and "9 images of tiny_imagenet" in out
    assert err.splitlines()[-1] == "prepared 9 of 9 files", "plain lines: this is no terminal"
    assert verify(target) == [] and (target / "words.txt").read_text() == "n01\ttench\n"
    train, val = (photographs("imagefolder", target, s, 64) for s in ("train", "val"))
    assert train.classes == val.classes == ["n01", "n02", "n03"]
    assert train.targets == [0, 0, 1, 1, 2, 2]
    assert [red(train[i][0]) for i in range(6)] == pytest.approx([0, 10, 50, 60, 100, 110], abs=1)
    assert [red(val[i][0]) for i in range(3)] == pytest.approx([200, 210, 220], abs=1)
    original = tiny / "val" / "images" / "val_0.JPEG"
    assert (target / "val" / "n03" / "val_0.JPEG").read_bytes() == original.read_bytes()


def test_the_zip_gives_the_same_and_leaves_nothing_beside_the_copy(tiny, tmp_path, capsys):
    archive = tmp_path / "tiny.zip"
    with zipfile.ZipFile(archive, "w") as file:
        for name in files(tiny):
            file.write(tiny / name, f"tiny-imagenet-200/{name}")
    for source, target in ((tiny.parent, "a/one"), (archive, "b/two")):
        arguments = [str(source), str(tmp_path / target), "--workers", "0", "--partial"]
        assert command.main(tiny_imagenet, "", arguments) == 0
    one, two = tmp_path / "a" / "one", tmp_path / "b" / "two"
    assert [p.name for p in two.parent.iterdir()] == ["two"]
    assert (one / "manifest.sha256").read_bytes() == (two / "manifest.sha256").read_bytes()
    with unpacked(archive, tmp_path / "b") as folder:
        assert folder.parent == tmp_path / "b", "where there is room for the copy there is for this"
    archive.write_bytes(archive.read_bytes()[:500])
    assert (
        command.main(tiny_imagenet, "", [str(archive), str(tmp_path / "c" / "three"), "--partial"])
        == 2
    )
    assert "cannot unpack" in capsys.readouterr().err and not list((tmp_path / "c").iterdir())


def test_tiny_imagenet_s_gaps_are_named(tiny):
    extra = put(tiny / "val" / "images" / "val_9.JPEG", plain("red"))
    with pytest.raises(DeconvError, match=r"names no class for val_9\.JPEG"):
        tiny_imagenet(tiny)
    extra.unlink()
    (tiny / "val" / "images" / "val_1.JPEG").unlink()
    with pytest.raises(DeconvError, match=r"lacks val_1\.JPEG"):
        tiny_imagenet(tiny)
    (tiny / "val" / "val_annotations.txt").unlink()
    with pytest.raises(DeconvError, match="is not Tiny ImageNet"):
        tiny_imagenet(tiny)


def test_the_64_px_variant_is_composed_and_fed(tiny, tmp_path):
    from experiments.kit import inputs as common
    from experiments.kit.command import compose

    copy = resized_copy(tiny_imagenet(tiny), tmp_path / "copy")
    overrides = ["model=zfnet_mini", "model.input_px=56", "data=tiny_imagenet", f"data.root={copy}"]
    overrides += ["data.partial=true"]
    for given in ([], ["data.side_px=64"]):
        cfg = compose("train", [*overrides, *given, f"cache_dir={tmp_path / 'cache'}"])
        assert common.side_px(cfg, cfg.model.input_px) == 64
        data = common.squares(cfg, "train", 64)
        image, _ = data[0]
        assert image.shape == (3, 64, 64) and len(data.classes) == 3
    net = common.build_network(cfg, 3).eval()
    with torch.no_grad():
        assert net(image[None, :, 4:60, 4:60].float() - 128).shape == (1, 3)


# ImageNet

WNIDS = {1: "n01440764", 2: "n01443537", 3: "n01484850"}


@pytest.fixture
def devkit(tmp_path, monkeypatch):
    """The folder of archives, with a devkit: three classes and one inner node, five images."""
    root = tmp_path / "archives"
    root.mkdir()
    fields = [
        "ILSVRC2012_ID",
        "WNID",
        "words",
        "gloss",
        "num_children",
        "children",
        "wordnet_height",
        "num_train_images",
    ]
    rows = [(i, w, f"name {i}, other {i}", "a gloss", 0, 0, 0, 2) for i, w in WNIDS.items()]
    rows.append((4, "n00000004", "fish", "a gloss", 2, [1, 2], 1, 0))
    synsets = np.array([tuple(row) for row in rows], dtype=[(f, object) for f in fields])
    meta = io.BytesIO()
    scipy.io.savemat(meta, {"synsets": synsets[:, None]})
    base = "ILSVRC2012_devkit_t12/data"
    truth = b"3\n1\n2\n2\n1\n"
    members = [
        (f"{base}/meta.mat", meta.getvalue()),
        (f"{base}/ILSVRC2012_validation_ground_truth.txt", truth),
    ]
    path = tar_of(root / "ILSVRC2012_devkit_t12.tar.gz", members, "w:gz")
    md5 = hashlib.md5(path.read_bytes()).hexdigest()
    monkeypatch.setitem(ARCHIVE_META, "devkit", (path.name, md5))
    return root


def val_images():
    """The red of a validation image is 20 times its number."""
    return [
        (f"ILSVRC2012_val_{i:08d}.JPEG", plain((20 * i, 0, 0), (300, 400))) for i in (4, 1, 5, 3, 2)
    ]


def train_images():
    """Two images a class, of noise; red ones of the size of two tar blocks and odd ones."""
    return {
        w: [(f"{w}_{i}.JPEG", encoded(10 * c + i, (30 + i, 20))) for i in (7, 3)]
        for c, w in WNIDS.items()
    }


def train_tar(root, end_mark=True):
    """The archive of archives; without `end_mark` the inner ones lack their last empty blocks."""
    inner = []
    for wnid, images in train_images().items():
        tar_of(root / "inner.tar", images)
        data = (root / "inner.tar").read_bytes()
        blocks = 1 + max(i for i in range(len(data) // 512) if any(data[512 * i : 512 * (i + 1)]))
        inner.append((f"{wnid}.tar", data if end_mark else data[: 512 * blocks]))
    (root / "inner.tar").unlink()
    return tar_of(root / "ILSVRC2012_img_train.tar", inner)


@pytest.mark.parametrize("end_mark", [True, False])
def test_imagenet_is_copied_straight_from_its_archives(devkit, tmp_path, capsys, end_mark):
    tar_of(devkit / "ILSVRC2012_img_val.tar", val_images())
    train_tar(devkit, end_mark)
    before, target = files(devkit), tmp_path / "copy"
    arguments = [str(devkit), str(target), "--workers", "0", "--shorter-px", "128", "--partial"]
    assert command.main(imagenet, "", arguments, archive=False) == 0
    assert "left out" not in capsys.readouterr().out
    assert command.main(imagenet, "", [str(target), "--verify"], archive=False) == 0
    assert files(devkit) == before, "nothing is unpacked beside the archives"
    assert verify(target) == [] and capsys.readouterr().out.splitlines()[-1] == str(target)
    val = photographs("imagenet", target, "val", 128)
    assert val.classes == ["tench", "goldfish", "great white shark"], "as all networks call them"
    numbers = [round(red(val[i][0]) / 20) for i in range(5)]
    assert list(zip(numbers, val.targets, strict=True)) == [(2, 0), (5, 0), (3, 1), (4, 1), (1, 2)]
    assert opened((target / "val/n01484850/ILSVRC2012_val_00000001.JPEG").read_bytes()).size == (
        128,
        171,
    )
    train = photographs("imagenet", target, "train", 128)
    assert train.targets == [0, 0, 1, 1, 2, 2]
    for wnid, images in train_images().items():
        for name, data in images:
            assert (target / "train" / wnid / name).read_bytes() == data, "small: byte for byte"


def test_the_validation_set_alone_and_the_training_set_later(devkit, tmp_path):
    tar_of(devkit / "ILSVRC2012_img_val.tar", val_images())
    copy = resized_copy(imagenet(devkit), tmp_path / "copy")
    (devkit / "ILSVRC2012_img_val.tar").unlink()
    train_tar(devkit)
    resized_copy(imagenet(devkit), copy)
    folders = json.loads((copy / "manifest.json").read_text())["folders"]
    assert folders == {"train": {"images": 6, "classes": 3}, "val": {"images": 5, "classes": 3}}
    assert verify(copy) == []


def test_unpacked_imagenet_gives_the_same_copy_as_the_archives(devkit, tmp_path):
    """Flat validation images as the archive unpacks, and sorted ones as torchvision leaves them."""
    tar_of(devkit / "ILSVRC2012_img_val.tar", val_images())
    train_tar(devkit)
    wanted = resized_copy(imagenet(devkit), tmp_path / "copy")
    truth = dict(zip(range(1, 6), (3, 1, 2, 2, 1), strict=True))
    for name in ("flat", "sorted"):
        root = tmp_path / name
        for wnid, images in train_images().items():
            for image, data in images:
                put(root / "train" / wnid / image, data)
        for image, data in val_images():
            label = WNIDS[truth[int(image[-13:-5])]] if name == "sorted" else "."
            put(root / "val" / label / image, data)
        put(root / "meta.bin", (wanted / "meta.bin").read_bytes())
        copy = resized_copy(imagenet(root), tmp_path / f"{name}-copy")
        assert (copy / "manifest.sha256").read_bytes() == (wanted / "manifest.sha256").read_bytes()
    put(tmp_path / "sorted" / "val" / "ILSVRC2012_val_00000001.JPEG", plain("red"))
    with pytest.raises(DeconvError, match="interrupted"):
        imagenet(tmp_path / "sorted")


def test_a_missing_validation_image_shifts_no_label(devkit):
    images = [(name, data) for name, data in val_images() if "00002" not in name]
    tar_of(devkit / "ILSVRC2012_img_val.tar", [*images, ("note.txt", b"")])
    plan = imagenet(devkit)
    assert {o.target.split("/")[2][-6:-5]: o.target.split("/")[1] for o in plan.images} == {
        "1": WNIDS[3],
        "3": WNIDS[2],
        "4": WNIDS[2],
        "5": WNIDS[1],
    }
    assert "val: 4 of the devkit's 5 images" in plan.notes and plan.left_out[0].name == "note.txt"


def test_imagenet_s_gaps_are_named(devkit, tmp_path):
    with pytest.raises(DeconvError, match=r"holds no ImageNet 2012.*image-net\.org"):
        imagenet(devkit)
    with pytest.raises(DeconvError, match="is no folder"):
        imagenet(devkit / "nowhere")
    path = tar_of(
        devkit / "ILSVRC2012_img_val.tar", [("ILSVRC2012_val_00000006.JPEG", plain("red"))]
    )
    with pytest.raises(DeconvError, match=r"00000006\.JPEG is not named"):
        imagenet(devkit)
    tar_of(path, val_images())
    path.write_bytes(path.read_bytes()[:4000])
    with pytest.raises(DeconvError, match=r"cannot read the tar archive .*img_val\.tar"):
        imagenet(devkit)
    tar_of(path, val_images())
    put(devkit / "train" / "n99" / "x.JPEG", plain("red"))
    with pytest.raises(DeconvError, match="does not know: n99"):
        imagenet(devkit)
    kit = devkit / "ILSVRC2012_devkit_t12.tar.gz"
    kit.write_bytes(kit.read_bytes()[:100])
    with pytest.raises(DeconvError, match=r"cannot read meta\.bin or ILSVRC2012_devkit"):
        imagenet(devkit)
    kit.unlink()
    broken = put(devkit / "meta.bin", b"no pickle")
    with pytest.raises(DeconvError, match=r"cannot read meta\.bin"):
        imagenet(devkit)
    broken.unlink()
    with pytest.raises(DeconvError, match="are not sorted into classes"):
        imagenet(devkit)
    path.unlink()
    assert "as an imagefolder only" in imagenet(devkit).notes[0]
    (devkit / "train" / "n99" / "x.JPEG").unlink()
    with pytest.raises(DeconvError, match="n99 holds no image"):
        imagenet(devkit)


def test_an_archive_that_shrinks_after_it_was_listed_names_the_image(devkit, tmp_path):
    path = tar_of(devkit / "ILSVRC2012_img_val.tar", val_images())
    plan = imagenet(devkit)
    with tarfile.open(path) as archive:
        for original in plan.images:
            name = original.target.split("/")[2]
            assert original.read() == archive.extractfile(name).read()
    path.write_bytes(path.read_bytes()[: plan.images[-1].offset + 10])
    with pytest.raises(
        DeconvError, match=r"val\.tar \(ILSVRC2012_val_00000002\.JPEG\): the archive ends"
    ):
        resized_copy(plan, tmp_path / "copy")


# Caltech


def caltech101_files(background=True):
    """The red of an image of class c is 60·c + 10·number."""
    made = {
        f"101_ObjectCategories/{name}/image_{i:04d}.jpg": plain((60 * c + 10 * i, 0, 0), (300, 280))
        for c, name in enumerate(("ant", "bass"))
        for i in range(1, 5)
    }
    if background:
        made["101_ObjectCategories/BACKGROUND_Google/image_0001.jpg"] = plain("white")
        made["101_ObjectCategories/BACKGROUND_Google/tmp"] = plain("white")
    return made


@pytest.mark.parametrize("form", ["folder", "parent", "tar.gz", "zip"])
def test_caltech101_is_prepared_from_what_is_distributed(tmp_path, form, capsys):
    content, source = caltech101_files(), tmp_path / "from"
    for name, data in content.items():
        put(source / name, data)
    if form == "folder":
        source = source / "101_ObjectCategories"
    elif form != "parent":
        source = tar_of(tmp_path / "101_ObjectCategories.tar.gz", content.items(), "w:gz")
    if form == "zip":
        inner, source = source, tmp_path / "caltech-101.zip"
        with zipfile.ZipFile(source, "w") as file:
            file.write(inner, f"caltech-101/{inner.name}")
            file.writestr(f"__MACOSX/caltech-101/._{inner.name}", "not an archive")
    target = tmp_path / "out" / "copy"
    assert (
        command.main(caltech101, "", [str(source), str(target), "--workers", "0", "--partial"]) == 0
    )
    assert "BACKGROUND_Google/tmp" in capsys.readouterr().out
    assert verify(target) == [] and [p.name for p in target.parent.iterdir()] == ["copy"]
    check_caltech101(target)


def check_caltech101(target):
    for split, count in (("train", 3), ("val", 1)):
        data = photographs("caltech101", target, split, 256, train_per_class=3)
        assert data.classes == ["ant", "bass"] and data.targets == [0] * count + [1] * count
        for i, (path, label) in enumerate(zip(data.paths, data.targets, strict=True)):
            assert red(data[i][0]) == pytest.approx(60 * label + 10 * int(path[-8:-4]), abs=2)


def test_caltech101_without_background_images_is_still_what_torchvision_wants(tmp_path):
    for name, data in caltech101_files(background=False).items():
        put(tmp_path / "from" / name, data)
    plan = caltech101(tmp_path / "from")
    assert "BACKGROUND_Google" in plan.notes[0]
    target = resized_copy(plan, tmp_path / "copy")
    assert verify(target) == []
    check_caltech101(target)


def test_a_gap_in_caltech_s_numbers_is_named(tmp_path):
    for name, data in caltech101_files().items():
        put(tmp_path / name, data)
    (tmp_path / "101_ObjectCategories" / "bass" / "image_0002.jpg").unlink()
    with pytest.raises(DeconvError, match=r"bass holds 3 images but not image_0002\.jpg"):
        caltech101(tmp_path)
    with pytest.raises(DeconvError, match="holds no folder 256_ObjectCategories"):
        caltech256(tmp_path)


def test_caltech256_is_prepared_without_its_strays(tmp_path, capsys):
    base, content = "256_ObjectCategories", {}
    for label, name in ((1, "001.ak47"), (2, "002.dog"), (3, "003.clutter")):
        for i in range(1, 4):
            content[f"{base}/{name}/{label:03d}_{i:04d}.jpg"] = plain(
                (50 * label + 10 * i, 0, 0), (300, 280)
            )
    for stray in ("001.ak47/._001_0001.jpg", "002.dog/greg/002_0009.jpg", "003.clutter/RENAME2"):
        content[f"{base}/{stray}"] = plain("red")
    content[f"{base}/003.clutter/old.jpg/003_0009.jpg"] = plain("red")
    source = tar_of(tmp_path / f"{base}.tar", content.items())
    target = tmp_path / "out" / "copy"
    assert (
        command.main(caltech256, "", [str(source), str(target), "--workers", "0", "--partial"]) == 0
    )
    strays = "001.ak47/._001_0001.jpg, 002.dog/greg, 003.clutter/RENAME2, 003.clutter/old.jpg"
    assert f"left out, being no images: {strays}\n" in capsys.readouterr().out
    assert verify(target) == [] and len(files(target)) == 9 + 2
    for split, count in (("train", 2), ("val", 1)):
        data = photographs("caltech256", target, split, 256, train_per_class=2)
        assert data.targets == [c for c in range(3) for _ in range(count)]
        for i, (path, label) in enumerate(zip(data.paths, data.targets, strict=True)):
            assert red(data[i][0]) == pytest.approx(50 * label + 50 + 10 * int(path[-8:-4]), abs=2)
    (tmp_path / base / "001.ak47").mkdir(parents=True)
    (tmp_path / base / "003.clutter").mkdir()
    put(tmp_path / base / "001.ak47" / "001_0001.jpg", plain("red"))
    with pytest.raises(DeconvError, match="has no class 002"):
        caltech256(tmp_path)
