"""Text files of people's own, from whatever editor: class names, boxes, annotations."""

import json

import pytest
from image_files import plain, put
from omegaconf import OmegaConf

from deconv.data.preparation import tiny_imagenet
from deconv.data.text_files import read_lines
from deconv.errors import DeconvError
from deconv.studies.correspondence.faces import file_faces
from experiments.kit.inputs import weights_snapshot

NAMES = ["café", "Äpfel und Birnen", "tench"]
CODINGS = ["utf-8", "utf-8-sig", "latin-1", "utf-16", "utf-16-le", "utf-16-be", "cp1252"]


def bytes_of(text, coding):
    marks = {"utf-16-le": b"\xff\xfe", "utf-16-be": b"\xfe\xff"}
    return marks.get(coding, b"") + text.encode(coding)


@pytest.mark.parametrize("coding", CODINGS)
@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("tail", ["", "END", "ENDEND", "END  END\t"])
def test_class_names_are_read_from_any_editor_s_file(tmp_path, coding, end, tail):
    path = put(tmp_path / "names.txt", bytes_of(end.join(NAMES) + tail.replace("END", end), coding))
    assert read_lines(path, "list") == NAMES
    model = {
        "name": "torchvision/squeezenet1_0",
        "num_classes": 3,
        "weights": "random",
        "mean": None,
        "std": None,
        "input_px": 64,
        "class_names": str(path),
    }
    cfg = OmegaConf.create({"model": model, "seed": 0, "data": {"side_px": 64}})
    if tail == "END":
        assert weights_snapshot(cfg).classes == NAMES


@pytest.mark.parametrize("text", ["猫\n犬\n", "naïve\u2028x\n猫", "חתול"])
def test_lines_end_at_line_ends_alone(tmp_path, text):
    path = put(tmp_path / "names.txt", text.encode())
    assert read_lines(path, "list") == text.strip().split("\n")


def test_a_file_that_is_not_there_is_named(tmp_path):
    for path in (tmp_path / "none.txt", tmp_path):
        with pytest.raises(DeconvError, match=f"cannot read the list .*{path.name}"):
            read_lines(path, "list")


@pytest.mark.parametrize("coding", CODINGS)
def test_files_of_boxes_and_annotations_are_read_alike(tmp_path, coding):
    box = [10, 10, 20, 20]
    boxes = {
        "left_eye": box,
        "right_eye": [10, 40, 20, 50],
        "nose": [25, 25, 35, 35],
        "class": "café",
    }
    put(tmp_path / "faces" / "é.jpg", plain("red", (64, 64)))
    content = json.dumps({"é.jpg": boxes}, ensure_ascii=False)
    path = put(tmp_path / "faces" / "boxes.json", bytes_of(content, coding))
    assert file_faces(path, 64, 64)[0].kind == "café"
    root = tmp_path / "tiny-imagenet-200"
    put(root / "train" / "n01" / "images" / "n01_0.JPEG", plain("red"))
    put(root / "val" / "images" / "é.JPEG", plain("red"))
    put(root / "val" / "val_annotations.txt", bytes_of("é.JPEG\tn01\t0\r\n\r\n", coding))
    assert [o.target for o in tiny_imagenet(root).images][-1] == "val/n01/é.JPEG"
