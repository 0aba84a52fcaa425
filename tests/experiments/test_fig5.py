"""Figure 5: what the command computes and keeps, how it draws, and what it refuses."""

import csv
import dataclasses
import json
from pathlib import Path
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
from command_line import assert_refused, command, subject
from golden import assert_golden
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex
from matplotlib.lines import Line2D
from PIL import Image

import deconv
from deconv import figures
from deconv.errors import DeconvError
from deconv.scenes import CLASSES, Scenes, render
from deconv.studies.invariance.warping import IDENTITY, warp
from experiments.fig5_invariance import (
    check,
    one_of_each,
    shown_and_others,
    symmetric_images,
)
from experiments.kit.findings import read_findings

POPULATION = 6


@pytest.fixture(scope="module")
def snapshot(smoke_run):
    return deconv.load_snapshot(smoke_run / "last.pt")


@pytest.fixture(scope="module")
def run(smoke_run, tmp_path_factory):
    """The folder of one figure at size=smoke, with few amounts."""
    lines, _ = command(
        "fig5_invariance",
        "size=smoke",
        f"snapshot={smoke_run / 'last.pt'}",
        f"population={POPULATION}",
        "translation=[-60,60,20]",
        "scale=[1,1.8,0.2]",
        "rotation=[0,350,45]",
        "layers=[conv1,fc7]",
        cwd=tmp_path_factory.mktemp("fig5"),
    )
    return Path(lines[-1])


@pytest.fixture(scope="module")
def facts(run):
    return json.loads((run / "provenance.json").read_text())


def rows_of(path):
    return list(csv.DictReader(path.open()))


# The command


def test_a_run_leaves_all_its_files(run, facts):
    assert {path.name for path in run.iterdir()} == {
        "figure.png",
        "caption.txt",
        "arrays.npz",
        "table.csv",
        "scores.csv",
        "classes.csv",
        "findings.json",
        "config.yaml",
        "provenance.json",
        "fig5_invariance.log",
    }
    assert_golden(run)
    assert facts["measured_images"] == 5 + POPULATION and facts["rectified"] == [True, True]
    assert facts["names"] == [CLASSES[render(2, i, 128).label] for i in range(5)]
    arrays = np.load(run / "arrays.npz")
    assert arrays["translation/amounts"].tolist() == [-30, -20, -10, 0, 10, 20, 30]
    assert arrays["rotation/amounts"].tolist() == list(range(0, 350, 45))
    np.testing.assert_allclose(arrays["scale/amounts"], [1, 1.2, 1.4, 1.6, 1.8])


def test_curves_are_what_the_network_answers_to_moved_scenes(run, snapshot):
    """For translation pixels are moved by slices; elsewhere by `warp`, which has its own oracle."""
    arrays, net = np.load(run / "arrays.npz"), snapshot.network()
    mean = snapshot.mean

    def answers(pixels, label):
        given = (pixels - mean)[None, :, 8:120, 8:120]
        record = net.record(given, ["conv1", "fc7"])
        return record.activations, float(record.logits[0].softmax(0)[label])

    for i in (0, 3, 8):
        scene = render(2, i, 128)
        assert arrays["labels"][i] == scene.label
        image = torch.from_numpy(scene.image).permute(2, 0, 1).float()
        clean, odds = answers(image, scene.label)
        assert arrays["scale/clean"][i] == pytest.approx(odds, rel=1e-4)
        for kind, t in (("translation", 1), ("translation", 5), ("scale", 2), ("rotation", 3)):
            amount = arrays[f"{kind}/amounts"][t]
            if kind == "translation":
                down = int(amount)
                moved = mean.clone()
                moved[:, max(down, 0) : 128 + min(down, 0)] = image[
                    :, max(-down, 0) : 128 - max(down, 0)
                ]
            else:
                moved = warp(image, kind, float(amount), mean)
            values, odds = answers(moved, scene.label)
            assert arrays[f"{kind}/probability"][i, t] == pytest.approx(odds, rel=1e-3)
            for which, layer in (("layer1", "conv1"), ("layer7", "fc7")):
                gap = np.subtract(values[layer].numpy(), clean[layer].numpy()).astype(float)
                wanted = np.sqrt((gap**2).sum())
                assert arrays[f"{kind}/{which}/distance"][i, t] == pytest.approx(wanted, rel=1e-3)
        norm = np.sqrt((clean["fc7"].numpy().astype(float) ** 2).sum())
        assert arrays["scale/layer7/norm"][i] == pytest.approx(norm, rel=1e-4)


def test_pictures_are_what_the_network_sees(run):
    arrays = np.load(run / "arrays.npz")
    scene = render(2, 4, 128).image
    tiles = arrays["translation/tiles"]
    assert tiles.shape[:2] == (5, 5) and arrays["translation/examples"].tolist()[2] == 0
    assert np.array_equal(tiles[4, 2].transpose(1, 2, 0), scene[8:120, 8:120])
    assert np.array_equal(tiles[4, 3].transpose(1, 2, 0)[15:], scene[8 : 120 - 15, 8:120])
    turned = arrays["rotation/tiles"][4, 2].transpose(1, 2, 0)
    assert np.array_equal(turned, np.rot90(scene)[8:120, 8:120])


def test_tables_say_what_the_arrays_hold(run):
    arrays, rows = np.load(run / "arrays.npz"), rows_of(run / "table.csv")
    count = 5 + POPULATION
    assert len(rows) == count * (7 + 5 + 8)
    assert sum(row["shown"] == "True" for row in rows) == 5 * 20
    for row in rows:
        kind, i = row["kind"], int(row["image"])
        t = int(np.abs(arrays[f"{kind}/amounts"] - float(row["amount"])).argmin())
        distance, norm = (arrays[f"{kind}/layer7/{n}"] for n in ("distance", "norm"))
        assert float(row["layer7_distance"]) == pytest.approx(distance[i, t], abs=1e-5)
        assert float(row["layer7_relative"]) == pytest.approx(distance[i, t] / norm[i], abs=1e-5)
        share = arrays[f"{kind}/probability"][i, t] / arrays[f"{kind}/clean"][i]
        assert float(row["kept"]) == pytest.approx(share, abs=1e-5)
        assert row["class"] == CLASSES[arrays["labels"][i]]
    scores = {(row["kind"], row["measure"]): row for row in rows_of(run / "scores.csv")}
    kept = [
        float(row["kept"]) for row in rows if row["kind"] == "rotation" and row["amount"] != "0.0"
    ]
    mean = float(scores["rotation", "kept"]["value"])
    assert mean == pytest.approx(np.mean(kept), rel=1e-4)
    classes = rows_of(run / "classes.csv")
    assert sum(int(row["images"]) for row in classes) == count
    weighted = sum(int(row["images"]) * float(row["kept"]) for row in classes) / count
    assert weighted == pytest.approx(mean, rel=1e-4)
    assert {row["class"] for row in classes if row["symmetric"] == "True"} <= {
        "flower",
        "clock",
        "windmill",
    }


def test_findings_are_judged_by_their_rules(run):
    found = {finding.claim: finding for finding in read_findings(run)}
    assert set(found) == {
        "fig5/layer1_sharp",
        "fig5/quasi_linear",
        "fig5/not_rotation",
        "control/fig5/right_angles",
        "control/fig5/rotation_symmetric",
    }
    scores = {(row["kind"], row["measure"]): row for row in rows_of(run / "scores.csv")}
    kept = scores["rotation", "kept"]
    assert found["fig5/not_rotation"].value == pytest.approx(float(kept["value"]), abs=1e-5)
    assert found["fig5/not_rotation"].holds == (float(kept["high"]) < 0.5)
    fits = [float(scores[k, "layer7/line"]["value"]) for k in ("translation", "scale")]
    assert found["fig5/quasi_linear"].value == pytest.approx(min(fits), abs=1e-5)
    assert not any(finding.comparable for finding in found.values())


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_it_is_drawn_again_from_its_files_alone(run, tmp_path):
    (*_, folder), _ = command("fig5_invariance", "size=smoke", f"redraw={run}", cwd=tmp_path)
    for path in Path(folder).iterdir():
        assert (run / path.name).read_bytes() == path.read_bytes(), path.name


# What is refused


def test_an_image_without_a_class_leaves_nothing(smoke_run, tmp_path):
    Image.new("RGB", (60, 50)).save(tmp_path / "dog.png")
    named = ["size=smoke", f"snapshot={smoke_run / 'last.pt'}", f"images=[{tmp_path / 'dog.png'}]"]
    message = "the class of dog.png is needed and not known"
    assert_refused("fig5_invariance", named, message, tmp_path)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("layers=[conv1,fc77]", "Did you mean 'fc7'"),
        ("layers=[conv1]", "layers takes two"),
        ("split=vall", "Did you mean 'val'"),
        ("population=-1", "must not be negative"),
        ("fill=black", "fill"),
        ("translation=[-60,60]", "takes .from,to,step."),
        ("translation=[60,-60,2]", "needs from <= to"),
        ("translation=[-60,60,0]", "a step above 0"),
        ("scale=[0,1.8,0.1]", "a factor above 0"),
        ("scale=[1,1.8,0.8]", "fewer than two amounts"),
        ("rotation=[0,350,0.001]", "at most 1000"),
        ("rotation=[0,ten,1]", "rotation"),
        ("examples.scale=[]", "examples.scale takes a list"),
        ("examples.scale=[-1]", "a factor above 0"),
        ("images=[1,2,3,4,5,6,7,8]", "has colours for 7"),
    ],
)
def test_settings_that_do_not_fit_are_named(snapshot, override, words):
    with pytest.raises(DeconvError, match=words):
        check(*subject("fig5_invariance", "size=smoke", override, snapshot=snapshot))


def test_images_that_do_not_fit_are_named_before_a_training(snapshot, tmp_path):
    Image.new("RGB", (60, 50)).save(tmp_path / "dog.png")
    dog, data = f"images=[{tmp_path / 'dog.png'}]", Scenes(36, 2, 128)

    def checked(*overrides, given):
        check(*subject("fig5_invariance", "size=smoke", *overrides, snapshot=given, data=data))

    for given in (snapshot, None):
        checked(given=given)
        checked(dog, "labels=[owl]", given=given)
        for overrides, words in (
            ([dog], r"the class of dog\.png is needed"),
            ([dog, "labels=[dog]"], "unknown class 'dog'"),
            (["images=[36]"], "there is no image 36"),
            (["images=[none.png]", "labels=[owl]"], r"cannot read the image none\.png"),
            (["images=[1,2]", "labels=[owl]"], "1 entries for 2 images"),
            (["images=5"], "images"),
        ):
            with pytest.raises(DeconvError, match=words):
                checked(*overrides, given=given)


def test_data_of_other_classes_are_refused_where_they_are_needed(snapshot, tmp_path):
    foreign = dataclasses.replace(snapshot, classes=["otter", *snapshot.classes[1:]])

    def checked(*overrides, given=foreign):
        cfg, it = subject("fig5_invariance", "size=smoke", *overrides, snapshot=given)
        check(cfg, it)
        return cfg, it

    Image.new("RGB", (60, 50)).save(tmp_path / "a.png")
    files = [f"images=[{tmp_path / 'a.png'}]", "labels=[otter]"]
    more = [*files, "population=3"]
    for overrides in ([], more, ["images=[1]", "labels=[otter]", "population=0"]):
        with pytest.raises(DeconvError, match="classes that are not the network's"):
            checked(*overrides)
    # Files alone need no data set, which need not even be there.
    nowhere = ["data=imagefolder", f"data.root={tmp_path / 'nowhere'}"]
    cfg, it = checked(*files, *nowhere)
    shown, others = shown_and_others(cfg, it)
    assert ([image.name for image in shown], others) == (["a.png"], [])
    assert "data" not in it.facts()
    with pytest.raises(DeconvError, match=r"unknown class 'flowers'\. Did you mean 'flower'"):
        checked("symmetric=[flowers]", given=snapshot)


# Settings


def test_ranges_shrink_with_the_input_in_whole_pixels():
    cfg, _ = subject("fig5_invariance")
    assert cfg.amounts("translation", 224).tolist() == list(range(-60, 61, 2))
    assert cfg.amounts("translation", 112).tolist() == list(range(-30, 31))
    assert cfg.amounts("translation", 64).tolist() == list(range(-17, 18))
    assert cfg.shown_amounts("translation", 112).tolist() == [-30, -15, 0, 15, 30]
    assert subject("fig5_invariance", "reference_px=0")[0].amounts("translation", 64)[0] == -60
    for size in (64, 224):
        assert cfg.amounts("rotation", size).tolist() == list(range(0, 351, 10))
        scale = cfg.amounts("scale", size)
        assert (scale[0], scale[-1], len(scale)) == (1, pytest.approx(1.8), 41)


def test_symmetric_classes_are_those_named():
    names = ["owl", "clock", "tree", "flower"]

    def found(*overrides):
        return symmetric_images(subject("fig5_invariance", *overrides)[0], names, CLASSES)

    assert found("data=imagenet") is None, "on photographs nobody said so"
    assert found("data=scenes").tolist() == [False, True, False, True]
    assert found("symmetric=[owl]").tolist() == [True, False, False, False]
    assert found(f"symmetric=[{CLASSES.index('tree')}]").tolist() == [False, False, True, False]


def test_further_images_are_others_and_follow_the_shown_ones(snapshot):
    """Which images the network gets right does not matter here: all are, in the order asked."""
    data = Scenes(36, 2, 128)

    def chosen(*overrides):
        cfg, it = subject("fig5_invariance", *overrides, snapshot=snapshot, data=data)
        it.right_ones = lambda count, least: list(range(20))[:count]
        return [[image.index for image in some] for some in shown_and_others(cfg, it)]

    assert chosen("population=3") == [[0, 1, 2, 3, 4], [5, 6, 7]]
    assert chosen("population=0") == [[0, 1, 2, 3, 4], []]
    assert chosen("population=40") == [[0, 1, 2, 3, 4], list(range(5, 20))]
    assert chosen("images=[1,30]", "population=3") == [[1, 30], [0, 2, 3]]
    assert chosen("images=[1,30]", "population=0") == [[1, 30], []]


# Drawing


COLUMNS = [
    ("Layer 1", "a note", "distance"),
    ("Layer 7", "a note", "distance"),
    ("True class", "softmax probability", "probability"),
]


def page_of(images=5, examples=5, band=True):
    rng = np.random.default_rng(0)
    rows = []
    for title, unit, at in (
        ("Vertical translation", " px", np.arange(-60, 61)),
        ("Scale", "×", np.linspace(1, 1.8, 41)),
        ("Rotation", "°", np.arange(0, 351, 10)),
    ):
        curves = [rng.random((images, len(at))) * scale for scale in (20000, 80, 1)]
        bands = [np.percentile(c, [25, 50, 75], axis=0) for c in curves] if band else None
        rows.append(
            figures.TransformRow(
                title,
                unit,
                at,
                at[np.linspace(0, len(at) - 1, examples).astype(int)],
                rng.integers(0, 256, (images, examples, 3, 30, 30)).astype(np.uint8),
                curves,
                bands,
            )
        )
    names = [f"class number {i}" for i in range(images)]
    return rows, figures.invariance(rows, names, COLUMNS, "A caption of several words. " * 30)


def panel(page, name):
    return next(axes for axes in page.axes if axes.get_label() == name)


def test_each_curve_has_its_images_colour_in_every_panel():
    rows, page = page_of()
    for letter, row in zip("abc", rows, strict=True):
        for column in range(3):
            axes = panel(page, f"{letter}{column + 2}")
            shown = {to_hex(line.get_color()): line for line in axes.lines}
            for i, curve in enumerate(row.curves[column]):
                drawn = shown[figures.IMAGE_COLOURS[i].lower()]
                assert np.array_equal(drawn.get_ydata(), curve)
                assert np.array_equal(drawn.get_xdata(), row.amounts)
        assert panel(page, f"{letter}4").get_ylim() == (0, 1)
    lines = [artist for artist in page.artists if isinstance(artist, Line2D)]
    words = {artist.get_text(): artist for artist in page.texts}
    for i in range(5):
        x, y = words[f"class number {i}"].get_position()
        line = min(
            lines, key=lambda line: np.hypot(x - line.get_xdata()[1], y - line.get_ydata()[1])
        )
        assert to_hex(line.get_color()) == figures.IMAGE_COLOURS[i].lower()
    assert len(set(figures.IMAGE_COLOURS)) == len(figures.IMAGE_COLOURS)


@pytest.mark.parametrize(
    ("images", "examples", "band"), [(5, 5, True), (1, 3, False), (7, 6, True)]
)
def test_nothing_on_the_page_overlaps_or_is_cut_off(images, examples, band):
    _, page = page_of(images, examples, band)
    renderer = FigureCanvasAgg(page).get_renderer()
    page.draw(renderer)
    edges = page.bbox
    boxes = [axes.get_tightbbox(renderer) for axes in page.axes]
    boxes += [words.get_window_extent(renderer) for words in page.texts]
    boxes += [legend.get_window_extent(renderer) for legend in page.legends]
    for i, box in enumerate(boxes):
        assert box.x0 >= 0 and box.x1 <= edges.x1 and box.y0 >= 0 and box.y1 <= edges.y1, i
        for other in boxes[:i]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            down = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(across, down) < 2, (i, "more than a hair in common")


def test_more_images_than_colours_are_refused():
    with pytest.raises(DeconvError, match="1 to 7 images, got 8"):
        page_of(images=8)
    assert set(IDENTITY) == {"translation", "scale", "rotation"}


def test_one_image_of_each_class_comes_first():
    assert one_of_each([7, 3, 9, 4, 8], [1, 1, 2, 1, 0]) == [7, 9, 8, 3, 4]
    assert one_of_each([5, 6], [0, 0]) == [5, 6]


def test_shown_images_are_of_different_classes_where_few_are_classified_rightly():
    """The first right ones are of one class alone; the caption says what is so."""
    targets = [0, 0, 0, 1, 2, 3, 4, 4]
    right = mock.Mock(return_value=list(range(8)))
    net = SimpleNamespace(input_px=8)
    images = SimpleNamespace(targets=targets)
    it = SimpleNamespace(right_ones=right, data=images, net=net, snapshot=None)
    cfg = SimpleNamespace(images=[], further=2, size_name="laptop")
    drawn = "experiments.fig5_invariance.named_images"
    with mock.patch(drawn, side_effect=lambda numbers, *_: numbers):
        shown, others = shown_and_others(cfg, it)
    assert shown == [0, 3, 4, 5, 6] and others == [1, 2]
    assert right.call_args.args[0] >= 20, "more than are shown are looked at"
