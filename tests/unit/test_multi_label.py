"""Images with several labels: VOC's layout and marks, the parts of the scenes, and their use."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from image_files import photographs
from PIL import Image

from deconv.data import Cached, MultiLabel
from deconv.data.average_precision import ABSENT, IGNORED, PRESENT
from deconv.data.sources import VOC_CLASSES
from deconv.errors import DeconvError
from deconv.scenes import PARTS, Part, Scene, Scenes, scene_parts
from deconv.scenes.part_marks import part_marks

COLOURS = {"dog": (200, 60, 60), "car": (60, 200, 60), "sofa": (60, 60, 200)}

Objects = Sequence[tuple[str, bool]]
"""Name and difficult, of each object in an image."""


def annotation(objects: Objects) -> str:
    things = "".join(
        f"<object><name>{name}</name><difficult>{int(hard)}</difficult>"
        "<bndbox><xmin>1</xmin><ymin>1</ymin><xmax>9</xmax><ymax>9</ymax></bndbox>"
        "<part><name>head</name></part></object>"
        for name, hard in objects
    )
    return f"<annotation><filename>x.jpg</filename>{things}</annotation>"


def write_voc(root, split, images: dict[str, Objects], size=(50, 40)):
    """Images of VOC's layout whose colour is the mean of the colours of what they show."""
    base = root / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (base / folder).mkdir(parents=True, exist_ok=True)
    for name, objects in images.items():
        shown = [COLOURS.get(label, (120, 120, 120)) for label, _ in objects] or [(120, 120, 120)]
        colour = tuple(int(v) for v in np.mean(shown, axis=0))
        Image.new("RGB", size, colour).save(base / "JPEGImages" / f"{name}.jpg")
        (base / "Annotations" / f"{name}.xml").write_text(annotation(objects))
    (base / "ImageSets" / "Main" / f"{split}.txt").write_text("\n".join(images) + "\n")


@pytest.fixture
def voc(tmp_path):
    write_voc(
        tmp_path,
        "train",
        {
            "2008_000002": [("dog", False), ("sofa", True), ("dog", True)],
            "2008_000007": [("car", True)],
            "2009_000011": [("car", True), ("car", False), ("person", False)],
            "2011_000003": [],
        },
    )
    write_voc(tmp_path, "val", {"2010_000001": [("sofa", False)]})
    return tmp_path


def test_vocs_marks_follow_its_rule_for_difficult_objects(voc):
    train = photographs("voc2012", voc, "train", 32)
    assert train.classes == list(VOC_CLASSES) and len(set(VOC_CLASSES)) == 20
    shown = [
        {VOC_CLASSES[c]: int(mark) for c, mark in enumerate(row) if mark != ABSENT}
        for row in train.targets
    ]
    assert shown == [
        {"dog": PRESENT, "sofa": IGNORED},
        {"car": IGNORED},
        {"car": PRESENT, "person": PRESENT},
        {},
    ]
    image, marks = train[0]
    assert image.shape == (3, 32, 32) and image.dtype == torch.uint8
    assert torch.equal(marks, train.targets[0]) and marks.dtype == torch.int8
    assert image[0].float().mean() > image[1].float().mean() + 20, "the dog's image"
    val = photographs("voc2012", voc, "val", 32)
    assert len(val) == 1 and val.fingerprint() != train.fingerprint()


def test_the_fingerprint_knows_the_marks(voc):
    before = photographs("voc2012", voc, "train", 32)
    path = voc / "VOCdevkit/VOC2012/Annotations/2008_000007.xml"
    path.write_text(annotation([("car", False)]))
    after = photographs("voc2012", voc, "train", 32)
    assert before.fingerprint() != after.fingerprint()
    assert before.cache_key() == after.cache_key(), "the squares are the same"


def test_cached_squares_keep_their_marks(voc, tmp_path):
    data = photographs("voc2012", voc, "train", 32)
    cached = Cached(data, tmp_path / "cache", progress=False)
    for i in range(len(data)):
        assert torch.equal(cached[i][0], data[i][0]) and torch.equal(cached[i][1], data[i][1])
    batch = next(iter(torch.utils.data.DataLoader(cached, batch_size=4)))
    assert batch[1].shape == (4, 20) and torch.equal(batch[1], data.targets)


def test_voc_that_cannot_be_read_is_named(voc, tmp_path_factory):
    with pytest.raises(DeconvError, match=r"PASCAL VOC 2012 is not at .*download=true"):
        photographs("voc2012", voc / "VOCdevkit", "train", 32)
    path = voc / "VOCdevkit/VOC2012/Annotations/2008_000007.xml"
    path.write_text(annotation([("unicorn", False)]))
    with pytest.raises(DeconvError, match=r"2008_000007\.xml names unicorn"):
        photographs("voc2012", voc, "train", 32)
    path.write_text("<annotation>")
    with pytest.raises(DeconvError, match=r"cannot read the annotation .*2008_000007\.xml"):
        photographs("voc2012", voc, "train", 32)
    path.unlink()
    with pytest.raises(DeconvError, match=r"2008_000007\.xml"):
        photographs("voc2012", voc, "train", 32)
    path.write_text(annotation([]))
    image = voc / "VOCdevkit/VOC2012/JPEGImages/2008_000007.jpg"
    image.write_bytes(image.read_bytes()[:200])
    with pytest.raises(DeconvError, match=r"2008_000007\.jpg"):
        photographs("voc2012", voc, "train", 32)[1]


def scene(*parts):
    return Scene(np.zeros((128, 128, 3), np.uint8), 0, (0, 0, 128, 128), parts)


def test_parts_are_present_ignored_or_absent():
    """At 128 px the centre crop is 8…120 and the least length 7.68 px."""
    marks = dict(
        zip(
            PARTS,
            part_marks(
                scene(
                    Part("wheel", (50, 50, 60, 55)),
                    Part("eye", (50, 50, 57, 57)),
                    Part("nose", (10, 10, 14, 14)),
                    Part("nose", (10, 10, 11, 30)),
                    Part("wing", (0, 40, 7, 90)),
                    Part("tail", (0, 60, 16, 64)),
                    Part("leg", (0, 60, 15, 64)),
                )
            ),
            strict=True,
        )
    )
    assert marks.pop("wheel") == marks.pop("nose") == marks.pop("tail") == PRESENT
    assert marks.pop("eye") == marks.pop("wing") == marks.pop("leg") == IGNORED
    assert set(marks.values()) == {ABSENT}
    with pytest.raises(DeconvError, match="unicorn's horn"):
        part_marks(scene(Part("unicorn's horn", (0, 0, 9, 9))))


def test_scene_marks_are_drawn_once_and_kept(tmp_path, monkeypatch):
    scenes = Scenes(34, 5, 64)
    data = scene_parts(scenes, scenes, tmp_path)
    wheels = data.targets[:, PARTS.index("wheel")].tolist()
    for i in range(34):
        names = {part.name for part in scenes.scene(i).parts}
        assert (wheels[i] != ABSENT) == ("wheel" in names)
    assert torch.equal(data[3][0], scenes[3][0])
    monkeypatch.setattr(Scenes, "scene", None)
    again = scene_parts(scenes, scenes, tmp_path)
    assert torch.equal(again.targets, data.targets) and again.fingerprint() == data.fingerprint()


def test_marks_that_do_not_fit_are_refused():
    scenes = Scenes(3, 5, 64)
    with pytest.raises(DeconvError, match="3 images and 2 classes have no marks"):
        MultiLabel(scenes, torch.zeros(3, 3), ["a", "b"])
