"""Table 1 with Figure 8: what it measures, prints, finds and draws, and what it refuses."""

import itertools
import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import assert_refused, command, subject
from golden import assert_golden
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

import deconv
from deconv import figures
from deconv.data import prepare
from deconv.errors import DeconvError
from deconv.studies.correspondence.delta_table import MASKED, MIXED, ROWS
from deconv.studies.correspondence.faces import PARTS, file_faces, scene_faces
from experiments.kit import Saved
from experiments.kit.findings import read_findings
from experiments.table1_correspondence import check, read_numbers
from experiments.verdicts.correspondence import paper_numbers

STEM = "table1_correspondence"
SMALL = ["size=smoke", "faces=6", "draws=4", "random=2", "resamples=100", "shuffles=100"]


@pytest.fixture(scope="module")
def run(smoke_run, tmp_path_factory):
    """The table at size=smoke of six faces: (its folder, its standard output)."""
    lines, _ = command(
        STEM, *SMALL, f"snapshot={smoke_run / 'last.pt'}", cwd=tmp_path_factory.mktemp("table1")
    )
    return Path(lines[-1]), lines


@pytest.fixture(scope="module")
def at(run):
    """The rows of the table by (network, layer, zeros, mask)."""
    rows = read_numbers(Saved(run[0]).rows())
    return {tuple(r[k] for k in ("network", "layer", "zeros", "mask")): r for r in rows}


def test_a_run_leaves_all_its_files(run):
    folder, _ = run
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "figure.png",
        "caption.txt",
        "arrays.npz",
        "table.csv",
        "findings.json",
        "config.yaml",
        "provenance.json",
        f"{STEM}.log",
    }
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["data"]["images"] == 6 and facts["classes"] == {"dog face": 6}
    assert {"delta", "spread", "sign", "masks", "random", "fill", "sides"} <= set(facts["choices"])
    assert 0 <= facts["right"] <= 1 and 0 <= facts["borrowed_overlap"] < 1
    assert_golden(folder)


def test_delta_is_that_of_loops_over_hidden_faces(run, at, smoke_run):
    arrays = np.load(run[0] / "arrays.npz")
    snapshot = deconv.load_snapshot(smoke_run / "last.pt")
    net = snapshot.network()
    side = snapshot.mean.shape[-1]
    smallest = int(np.ceil(0.08 * net.input_px))
    faces = scene_faces("dog face", 6, 2, side, net.input_px, smallest)
    assert [face.name for face in faces] == arrays["faces"].tolist()
    names, group = arrays["masks"].tolist(), arrays["group"].tolist()
    assert len(set(group)) == 5
    signs = {}
    for i, k in itertools.product(range(6), range(len(names))):
        image = prepare(faces[i].square, snapshot.mean, net.input_px)
        covered = image.clone()
        top, left, bottom, right = arrays["boxes"][i, k]
        covered[:, top:bottom, left:right] = 0
        both = net.record(torch.stack([image, covered]), ["conv5", "fc7"]).activations
        for layer, (whole, part) in both.items():
            change = (whole - part).flatten()
            change[change.abs() <= 1e-5 * whole.abs().max()] = 0
            signs[layer, i, k] = change.sign().numpy()
    checked = 0
    for layer, mask in itertools.product(("conv5", "fc7"), (*PARTS, "random", MIXED)):
        columns = [k for k, n in enumerate(names) if n == mask or n.startswith(f"{mask} ")]
        pairs = [(k, k) for k in columns]
        if mask == MIXED:
            pairs = list(itertools.permutations([names.index(part) for part in PARTS], 2))
        for members, column in ((range(6), "all"), (group, "first")):
            counted, moved = [], []
            for (k, m), (i, j) in itertools.product(pairs, itertools.permutations(members, 2)):
                a, b = signs[layer, i, k], signs[layer, j, m]
                counted.append(np.mean(a != b))
                moved.append(np.sum(a != b) / max(1, np.sum((a != 0) | (b != 0))))
            for zeros, values in (("counted", counted), ("left out", moved)):
                value = at["trained", layer, zeros, mask][column]
                assert value == pytest.approx(np.mean(values), abs=2e-3), (layer, mask, zeros)
                checked += 1
    assert checked == 40


def test_the_table_and_its_intervals_are_in_order(run, at):
    _, lines = run
    assert len(at) == 2 * 2 * 2 * len(MASKED)
    for row in at.values():
        if row["zeros"] == "counted":
            assert row["all_low"] <= row["all_high"] <= 1
        assert ("p" in row) == (row["mask"] in PARTS)
    for part in PARTS:
        row = at["trained", "conv5", "counted", part]
        below = at["trained", "conv5", "counted", "random"]["all"] - row["all"]
        assert row["below_random"] == pytest.approx(below)
    nets = [at[network, "conv5", "counted", "nose"] for network in ("trained", "untrained")]
    assert nets[0]["all"] != nets[1]["all"]
    text = "\n".join(lines)
    row = at["trained", "conv5", "counted", "right_eye"]
    cells = f"{row['first']:.3f} ± {row['first_sd_pairs']:.3f}"
    assert re.search(rf"right eye +{cells} +\d\.\d\d\d ± \d\.\d\d\d", text)
    assert "Layer 5" in text and "Layer 7" in text


def test_findings_are_judged_by_their_rules(run, at):
    found = {finding.claim: finding for finding in read_findings(run[0])}
    for mask, number in itertools.product(ROWS, "57"):
        finding = found[f"table1/{mask}/layer{number}"]
        layer = {"5": "conv5", "7": "fc7"}[number]
        assert finding.value == pytest.approx(at["trained", layer, "counted", mask]["draws"])
        assert not finding.comparable and isinstance(finding.holds, bool)
    for part in PARTS:
        row = at["trained", "conv5", "counted", part]
        if row["below_random_high"] < 0:
            assert not found[f"table1/{part}/layer5"].holds
        if not found[f"table1/{part}/layer5"].holds:
            assert not found[f"table1/{part}/layer7"].holds, "nothing to vanish"
        for zeros in ("counted", "left out"):
            exchange = found[f"control/table1/exchange/layer5/{part}/zeros {zeros}"]
            p = at["trained", "conv5", zeros, part]["p"]
            assert exchange.value == p and exchange.holds == (p < 0.05)
    same = found["control/table1/same_part/layer7"]
    of = {mask: at["trained", "fc7", "counted", mask]["all"] for mask in (*PARTS, MIXED)}
    assert same.holds == (same.high < 0) and same.low < same.value < same.high
    assert same.value == pytest.approx(np.mean([of[p] for p in PARTS]) - of[MIXED], abs=2e-2)


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_it_is_drawn_again_from_its_files_alone(run, tmp_path):
    folder, _ = run
    (*_, again), _ = command(STEM, "size=smoke", f"redraw={folder}", cwd=tmp_path)
    for path in Path(again).iterdir():
        assert path.read_bytes() == (folder / path.name).read_bytes(), path.name


def test_ones_own_images_and_other_layers(smoke_run, tmp_path):
    snapshot = deconv.load_snapshot(smoke_run / "last.pt")
    net, entries = snapshot.network(), {}
    side = 2 * snapshot.mean.shape[-1]
    edge = side - 2 * net.input_px
    for face in scene_faces("dog face", 3, 2, side, 2 * net.input_px, 10):
        name = f"{face.name.replace(' ', '_')}.png"
        Image.fromarray(face.square.permute(1, 2, 0).numpy()).save(tmp_path / name)
        entries[name] = {
            part: [edge // 2 + edge_px for edge_px in box] for part, box in face.parts.items()
        }
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps(entries))
    lines, _ = command(
        STEM,
        *SMALL,
        "group=3",
        "layers=[pool5]",
        "mask=box",
        "untrained=false",
        "fill=20.0",
        f"boxes={path}",
        "data=caltech101",
        f"snapshot={smoke_run / 'last.pt'}",
        cwd=tmp_path,
    )
    rows = read_numbers(Saved(Path(lines[-1])).rows())
    assert {(row["network"], row["layer"]) for row in rows} == {("trained", "pool5")}
    facts = json.loads((Path(lines[-1]) / "provenance.json").read_text())
    assert facts["data"]["name"] == "faces (boxes.json)" and facts["classes"] == {"": 3}
    assert facts["right"] is None
    for row in rows:
        assert row["draws"] == pytest.approx(row["all"]), "every draw is all three"


def test_depths_of_another_network_stand_for_layers_5_and_7(tmp_path):
    lines, _ = command(
        STEM,
        *SMALL,
        "model=torchvision/squeezenet1_0",
        "model.weights=random",
        "model.input_px=64",
        cwd=tmp_path,
    )
    found = {finding.claim: finding.facts for finding in read_findings(Path(lines[-1]))}
    read = {(f["layer"], f["read_at"]) for key, f in found.items() if key.startswith("table1/nose")}
    assert read == {("features.9", "fire7"), ("features.12", "fire9")}
    assert found["table1/nose/layer5"]["read_at"] == "fire7"
    for case in ("features.7", "layer5", "layer7"):
        assert f"control/table1/exchange/{case}/nose/zeros left out" in found
    text = "\n".join(lines)
    assert "fire5" in text and "fire7, for layer 5" in text and "fire9, for layer 7" in text


def test_which_layers_stand_for_the_papers():
    own = ["conv1", "conv5", "pool5", "fc7"]
    assert paper_numbers(["pool5", "fc7"], own) == {"pool5": "5", "fc7": "7"}
    assert paper_numbers(["a", "logits"], own) == {}
    assert paper_numbers(["a", "b5", "c", "d"], ["conv5"]) == {"b5": "5", "d": "7"}
    assert paper_numbers(["a", "b"], []) == {"a": "5", "b": "7"}
    assert paper_numbers(["a"], []) == {"a": "5"}


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["layers=[conv5,conv77]"], "Did you mean 'conv"),
        (["layers=[conv5,conv5]"], "layers names conv5 twice"),
        (["mask=sane"], "Did you mean 'same'"),
        (["group=1"], "group must be at least 2, got 1"),
        (["random=0"], "random must be at least 1"),
        (["resamples=5"], "resamples must be at least 100"),
        (["smallest=8.0"], "smallest is a share"),
        (["images_root=x"], "images_root is the folder of the images that boxes"),
        (["faces=4"], "faces=4 are too few for groups of 5"),
        (["data=cifar10"], "not known for cifar10: name a JSON file of boxes"),
    ],
)
def test_settings_that_do_not_fit_are_named(overrides, words):
    check(*subject(STEM, "size=smoke"))
    with pytest.raises(DeconvError, match=words):
        check(*subject(STEM, "size=smoke", *overrides))


def test_a_class_without_images_is_named(tmp_path):
    Image.new("RGB", (128, 128)).save(tmp_path / "a.png")
    boxes = {"left_eye": [40, 40, 50, 50], "right_eye": [40, 70, 50, 80], "nose": [60, 55, 70, 65]}
    path = tmp_path / "boxes.json"
    path.write_text(json.dumps({"a.png": boxes | {"class": "dog"}}))
    assert [face.kind for face in file_faces(path, 128, 112, kinds=["dog"])] == ["dog"]
    with pytest.raises(DeconvError, match="has no image of class 'cat'"):
        file_faces(path, 128, 112, kinds=["cat"])


def test_bad_input_leaves_nothing(tmp_path):
    path = tmp_path / "boxes.json"
    path.write_text('{"a.png": ')
    assert_refused(STEM, ["size=smoke", f"boxes={path}"], "boxes.json is not JSON", tmp_path)


# Drawing


def page(faces, randoms, layers, borrowed=True):
    rng = np.random.default_rng(0)
    titles = ["whole", "right eye", "left eye", "nose", *(f"random {r}" for r in range(randoms))]
    pictures = rng.integers(0, 256, (faces, len(titles), 3, 20, 20)).astype(np.uint8)
    boxes = np.tile([0, 5, 9, 20], (faces, len(titles) - 1, 1))
    rows = [
        figures.DeltaRow(
            name,
            (0.1 * (i + 1), 0.05, 0.6),
            (0.2, 0.3),
            (0.3, 0.2, 0.4) if borrowed else None,
            None if i else (0.067, 0.007),
            0.0005 if i else 0.25,
        )
        for i, name in enumerate(titles[1:4])
    ]
    panels = [figures.DeltaPanel(f"Layer {n}", "conv5, 99 values", rows) for n in range(layers)]
    tiles = figures.MaskedFaces(titles, pictures, boxes)
    return figures.correspondence(tiles, panels, panels, "A caption of several words. " * 20)


@pytest.mark.parametrize(("faces", "randoms", "layers"), [(5, 2, 2), (2, 1, 1), (7, 2, 3)])
def test_nothing_on_the_page_overlaps_or_is_cut_off(faces, randoms, layers):
    shown = page(faces, randoms, layers)
    renderer = FigureCanvasAgg(shown).get_renderer()
    boxes = [axes.get_tightbbox(renderer) for axes in shown.axes]
    words = [text.get_window_extent(renderer) for text in shown.texts]
    edges = shown.bbox
    for box in boxes + words:
        assert box.x0 >= 0 and box.x1 <= edges.x1 and box.y0 >= 0 and box.y1 <= edges.y1
    for i, box in enumerate(boxes):
        for other in [*boxes[:i], *words]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            down = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(across, down) < 2, "more than a hair in common"


def test_marks_stand_at_their_values_and_only_where_there_are_some():
    shown = page(2, 1, 1)
    axes = next(axes for axes in shown.axes if axes.get_label() == "Layer 0")
    at = {}
    for line in axes.lines:
        at.setdefault(line.get_label(), []).append(np.atleast_1d(line.get_xdata()).tolist())
    assert [x for (x,) in at["all"]] == pytest.approx([0.1, 0.2, 0.3])
    assert at["first interval"] == [pytest.approx([-0.1, 0.5])] * 3
    assert at["paper"] == [[0.067]] and len(at["borrowed"]) == 3
    labels = [label.get_text() for label in axes.get_yticklabels()]
    assert labels == ["right eye\np = 0.250", "left eye\np < 0.001", "nose\np < 0.001"]
    assert axes.get_ylim()[0] > axes.get_ylim()[1], "the paper's order from above"
    words = {text.get_text() for text in page(2, 1, 1, borrowed=False).texts}
    assert not any("another face" in word for word in words if "caption" not in word)
    with pytest.raises(DeconvError, match="at least one face and one layer"):
        page(2, 1, 0)


def test_the_frame_stands_around_what_is_hidden():
    from deconv.figures.correspondence import TILE_PX, framed

    pixels = np.full((3, 28, 28), 200, np.uint8)
    scale = TILE_PX // 28
    shown = framed(pixels, np.array([4, 5, 10, 20]))
    red = (shown != 200).any(axis=2)
    assert not red[4 * scale : 10 * scale, 5 * scale : 20 * scale].any()
    assert red[4 * scale - 1, 5 * scale : 20 * scale].all() and red[10 * scale, 5 * scale]
    assert not red[: 4 * scale - 2].any() and (framed(pixels, None) == 200).all()
