"""Figure 7: what the command computes and keeps, how it draws, and what it refuses."""

import csv
import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import assert_refused, command, subject
from golden import assert_golden
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_rgb
from PIL import Image

import deconv
from deconv import figures
from deconv.data import CentreCrops
from deconv.errors import DeconvError
from deconv.figures.occlusion import COLOURS, OTHER, legend, scale_of, shorten, told
from deconv.records import Peaks
from deconv.scenes import CLASSES, Scenes, render
from deconv.studies.occlusion.map_pictures import without_image
from deconv.studies.occlusion.scored_images import regions
from deconv.studies.occlusion.scores import Comparison
from experiments.fig7_occlusion import FIELDS, _row, check, covered, to_score
from experiments.kit.findings import read_findings
from experiments.verdicts.occlusion import FEWEST, describe_scores, findings

SIZE, STRIDE, COUNT, OTHERS = 25, 16, 2, 24


@pytest.fixture(scope="module")
def snapshot(smoke_run):
    return deconv.load_snapshot(smoke_run / "last.pt")


@pytest.fixture(scope="module")
def run(smoke_run, tmp_path_factory):
    """The folder of one figure at size=smoke."""
    lines, _ = command(
        "fig7_occlusion",
        "size=smoke",
        f"snapshot={smoke_run / 'last.pt'}",
        f"stride_px={STRIDE}",
        f"count={COUNT}",
        f"k={OTHERS}",
        "fill=20.0",
        "score_stride_px=12",
        cwd=tmp_path_factory.mktemp("fig7"),
    )
    return Path(lines[-1])


@pytest.fixture(scope="module")
def facts(run):
    return json.loads((run / "provenance.json").read_text())


# The command


def test_a_run_leaves_all_its_files(run, facts):
    assert {path.name for path in run.iterdir()} == {
        "figure.png",
        "caption.txt",
        "arrays.npz",
        "table.csv",
        "findings.json",
        "config.yaml",
        "provenance.json",
        "fig7_occlusion.log",
    }
    assert_golden(run)
    chosen = facts["choices"]
    assert (chosen["size_px"], chosen["stride_px"], chosen["squares"]) == (SIZE, STRIDE, "overhang")
    assert chosen["collisions"] == "sum" and facts["scored"]["images"] == 3
    rows = list(csv.DictReader((run / "table.csv").open()))
    assert [row["role"] for row in rows] == ["shown"] * COUNT + ["scored"] * 3
    for row, fact in zip(rows, facts["rows"], strict=False):
        assert float(row["largest_drop"]) == pytest.approx(fact["largest_drop"])
        assert row["class"] == fact["name"] == CLASSES[fact["true"]]
        assert row["label_at_largest_drop"] == CLASSES[fact["label_there"]]


def test_maps_are_what_the_network_answers_to_covered_images(run, facts, snapshot):
    arrays, net = np.load(run / "arrays.npz"), snapshot.network()
    edge = (snapshot.mean.shape[-1] - net.input_px) // 2
    cut = slice(edge, edge + net.input_px)
    for i, fact in enumerate(facts["rows"]):
        scene = render(2, fact["image"], snapshot.mean.shape[-1])
        seen = torch.from_numpy(scene.image).permute(2, 0, 1)[:, cut, cut]
        image = seen.float() - snapshot.mean[:, cut, cut]
        clean = net.record(image[None], ["conv5"])
        assert fact["map"] == int(clean.activations["conv5"][0].sum((1, 2)).argmax())
        assert fact["true"] == scene.label
        assert fact["probability"] == pytest.approx(float(clean.logits.softmax(1)[0, scene.label]))
        pixels = torch.arange(net.input_px)
        for at in ((0, 0), (3, 4), (6, 2)):
            y, x = arrays[f"{i}/positions"][at]
            rows, columns = ((pixels >= n) & (pixels < n + SIZE) for n in (y, x))
            grey = torch.where(rows[:, None] & columns, 20.0, image)
            record = net.record(grey[None], ["conv5"])
            odds, activation = record.logits.softmax(1)[0], record.activations["conv5"][0]
            got = {n: arrays[f"{i}/{n}"][at] for n in ("probability", "activation", "label")}
            assert got["probability"] == pytest.approx(float(odds[scene.label]), rel=1e-4)
            assert got["activation"] == pytest.approx(
                float(activation[fact["map"]].sum()), rel=1e-4
            )
            assert odds[got["label"]] >= odds.max() - 1e-6
        drawn, shown = arrays[f"{i}/picture"], np.ones((112, 112), bool)
        y, x = arrays[f"{i}/positions"].reshape(-1, 2)[arrays[f"{i}/probability"].argmin()]
        assert fact["square"] == [y, x, y + SIZE, x + SIZE]
        shown[max(y, 0) : y + SIZE, max(x, 0) : x + SIZE] = False
        assert np.array_equal(drawn[:, shown], seen.numpy()[:, shown])
        grey = (snapshot.mean[:, cut, cut].numpy() + 20).round().clip(0, 255)
        assert np.array_equal(drawn[:, ~shown], grey[:, ~shown])


@pytest.mark.parametrize("corner", [(-3, -2), (2, 3), (7, 8), (-3, 8), (9, -1)])
def test_the_square_is_drawn_as_far_as_it_lies_in_the_picture(corner):
    """At every border, in a mean image with a margin around the picture; by loops over pixels."""
    draw = torch.Generator().manual_seed(0)
    picture = torch.randint(256, (3, 10, 10), generator=draw, dtype=torch.uint8)
    mean = 300 * torch.rand(3, 14, 14, generator=draw) - 20
    expected = picture.clone()
    for channel in range(3):
        for y in range(corner[0], corner[0] + 5):
            for x in range(corner[1], corner[1] + 5):
                if 0 <= y < 10 and 0 <= x < 10:
                    value = round(float(mean[channel, y + 2, x + 2]) + 7)
                    expected[channel, y, x] = min(max(value, 0), 255)
    image = picture - mean[:, 2:12, 2:12]
    assert torch.equal(covered(image, *corner, 5, 7.0, mean), expected)


def test_the_pictures_are_projections_of_the_strongest_units(run, facts, snapshot):
    arrays, net = np.load(run / "arrays.npz"), snapshot.network()
    crops = CentreCrops(Scenes(36, 2, snapshot.mean.shape[-1]), snapshot.mean, net.input_px)
    batch = torch.stack([crops[i][0] for i in range(36)])
    with torch.no_grad():
        record = net.record(batch, ["conv5"])
    among = 0
    for i, fact in enumerate(facts["rows"]):
        maps = record.activations["conv5"][:, fact["map"]]
        order = maps.amax((1, 2)).argsort(descending=True)[: int((maps.amax((1, 2)) > 0).sum())]
        order = order.tolist()
        among += fact["image"] in order[:OTHERS]
        order.remove(fact["image"])
        assert fact["others"] == order[:OTHERS]
        for place, of in enumerate([fact["image"], *order[:3]]):
            y, x = divmod(int(maps[of].argmax()), maps.shape[-1])
            units = torch.tensor([[of, fact["map"], y, x]])
            pixels = deconv.project(net, record, "conv5", units)[0]
            box = deconv.receptive_field(net, "conv5", y, x, (112, 112))
            wanted = pixels[:, box[0] : box[2], box[1] : box[3]].reshape(3, -1).numpy()
            shown = arrays[f"{i}/projection"][place][:, arrays[f"{i}/inside"][place]]
            np.testing.assert_allclose(shown, wanted, rtol=1e-3, atol=1e-5 * np.abs(wanted).max())
    assert among, "an image that leads its own map has to be left out"


def test_scores_are_those_of_a_count_by_hand(run, snapshot):
    arrays = np.load(run / "arrays.npz")
    rows = [row for row in csv.DictReader((run / "table.csv").open()) if row["role"] == "scored"]
    corners, found = arrays["score/corners"], regions(arrays)
    assert corners.min() == 0 and corners.max() + SIZE <= 112
    compared = 0
    for i, row in enumerate(rows):
        scene = render(2, int(row["image"]), snapshot.mean.shape[-1])
        wanted = {name: np.zeros(corners.shape[:2], bool) for name in ("object", "parts", "centre")}
        fall = arrays["score/clean"][i, 0] - arrays["score/probability"][i]
        for at in np.ndindex(corners.shape[:2]):
            y, x = corners[at] + 8  # the crop of 112 px begins 8 px inside the stored 128 px
            square = pixels_of((y, x, y + SIZE, x + SIZE))
            wanted["object"][at] = (square & pixels_of(scene.box)).sum() >= SIZE**2 / 2
            wanted["centre"][at] = pixels_of(scene.box)[y + SIZE // 2, x + SIZE // 2]
            for part in scene.parts:
                seen = pixels_of(part.box)
                if seen.any() and (seen & square).sum() >= seen.sum() / 2:
                    wanted["parts"][at] = True
        for name, region in wanted.items():
            assert np.array_equal(found[name][i], region), name
        for region, score in (
            ("object", "probability_drop_on_object"),
            ("parts", "probability_drop_on_parts"),
        ):
            inside, outside = fall[wanted[region]], fall[~wanted[region]]
            if len(inside) and len(outside):
                compared += 1
                assert float(row[score]) == round(float(inside.mean() - outside.mean()), 4)
            else:
                assert row[score] == ""
        assert float(row["largest_drop_on_object"]) == wanted["centre"].flat[fall.argmax()]
    assert compared >= 4


def pixels_of(box):
    """The pixels of a box on the stored 128 px that lie in the crop of 112 px."""
    out = np.zeros((128, 128), bool)
    out[box[0] : box[2], box[1] : box[3]] = True
    out[:8], out[120:], out[:, :8], out[:, 120:] = False, False, False, False
    return out


def test_findings_say_what_was_scored(run, facts):
    found = {finding.claim: finding for finding in read_findings(run)}
    assert {"fig7/probability", "fig7/activation"} <= set(found)
    assert "control/fig7/probability_drop_on_object" in found
    for finding in found.values():
        assert finding.holds is None, "three images judge nothing"
        assert not finding.comparable
    score = facts["scored"]["activation_drop_on_projection"]
    assert found["fig7/activation"].value == pytest.approx(score["own"])


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_it_is_drawn_again_from_its_files_alone(run, tmp_path):
    (*_, folder), _ = command("fig7_occlusion", "size=smoke", f"redraw={run}", cwd=tmp_path)
    for path in Path(folder).iterdir():
        assert (run / path.name).read_bytes() == path.read_bytes(), path.name


# The rule of the findings


def comparison(images=20, own=(0.1, 0.3), beyond=(0.05, 0.2)):
    return Comparison(images, 0.2, own, 0.05, 0.15, beyond, 0.001)


@pytest.mark.parametrize(
    ("result", "holds"),
    [
        (comparison(), True),
        (comparison(FEWEST), True),
        (comparison(FEWEST - 1), None),
        (comparison(own=(-0.01, 0.3)), False),
        (comparison(beyond=(-0.01, 0.3)), False),
    ],
)
def test_a_claim_holds_by_both_intervals(result, holds):
    names = ("probability_drop_on_object", "activation_drop_on_projection")
    found = findings(dict.fromkeys(names, result), known_boxes=True)
    assert [finding.holds for finding in found] == [holds] * 3
    half = (result.own_interval[1] - result.own_interval[0]) / 2
    assert [finding.half for finding in found] == [half] * 3
    assert [finding.claim for finding in found] == [
        "fig7/probability",
        "fig7/activation",
        "control/fig7/probability_drop_on_object",
    ], "what is painted is no ground truth"


def test_photographs_are_judged_by_what_is_painted_alone():
    found = findings({"activation_drop_on_projection": comparison()}, known_boxes=False)
    assert [(f.claim, f.holds) for f in found] == [
        ("fig7/probability", None),
        ("fig7/activation", True),
    ]
    assert found[0].value is None
    nothing = findings({}, known_boxes=False)
    assert [f.holds for f in nothing] == [None, None]


def test_the_caption_tells_scores_of_enough_images():
    found = dataclasses.asdict(comparison(FEWEST))
    scored = {"images": 24, "known_boxes": True, "probability_drop_on_object": found}
    assert describe_scores(scored).startswith(
        f" Over {FEWEST} scenes the probability falls by 0.20"
    )
    assert "against 0.05 with the boxes of other scenes." in describe_scores(scored)
    scored["probability_drop_on_object"] = found | {"shuffled": -0.004}
    assert "against 0.00 with the boxes" in describe_scores(scored)
    scored["probability_drop_on_object"] = found | {"images": FEWEST - 1}
    assert describe_scores(scored) == ""


# What is chosen


def test_an_image_is_not_its_own_example():
    image = torch.tensor([[4, 2, 7], [2, 9, 4], [1, 3, 5]])
    value = torch.tensor([[3.0, 2, 1]] * 3)
    peaks = Peaks(value, image, image * 10, image * 100)
    left = without_image(peaks, 4, 2)
    assert left.image.tolist() == [[2, 7], [2, 9], [1, 3]]
    assert left.value.tolist() == [[2, 1], [3, 2], [3, 2]]
    assert torch.equal(left.y, left.image * 10) and torch.equal(left.x, left.image * 100)
    assert without_image(peaks, None, 2).image.tolist() == [[4, 2], [2, 9], [1, 3]]


def test_without_only_right_any_images_are_taken(snapshot):
    data = Scenes(36, 2, 128)
    cfg, it = subject("fig7_occlusion", "size=smoke", snapshot=snapshot, data=data)
    shown = it.images(3, only_right=cfg.only_right)
    assert len({image.index for image in shown}) == 3
    scored = [image.index for image in to_score(cfg, it)]
    assert scored == [image.index for image in shown], "one order of the seed"
    assert not to_score(*subject("fig7_occlusion", "score_images=0", snapshot=snapshot, data=data))
    with pytest.raises(DeconvError, match="rightly, 36 are wanted"):
        it.images(36)


# What is refused


def test_bad_input_leaves_nothing(smoke_run, tmp_path):
    named = ["size=smoke", f"snapshot={smoke_run / 'last.pt'}"]
    message = "a square of 113 px does not fit an image of 112×112 px: take a smaller size_px"
    assert_refused("fig7_occlusion", [*named, "size_px=113"], message, tmp_path)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("layer=conv55", "Did you mean 'conv5'"),
        ("size_px=113", "a square of 113 px does not fit"),
        ("size_px=0", "a square of 0 px"),
        ("stride_px=0", "stride_px must be at least 1"),
        ("score_stride_px=-1", "stride_px must be at least 1"),
        ("squares=over", "Did you mean 'overhang'"),
        ("strongest=mean", "Valid: sum, max"),
        ("collisions=summ", "Did you mean 'sum'"),
        ("k=0", "k=0 cannot be shown"),
        ("k=25", "k=25 cannot be shown"),
        ("score_images=-1", "score_images must be 0 or more"),
    ],
)
def test_settings_that_do_not_fit_are_named(override, words, snapshot):
    data = Scenes(36, 2, 128)
    check(*subject("fig7_occlusion", snapshot=snapshot, data=data))
    with pytest.raises(DeconvError, match=words):
        check(*subject("fig7_occlusion", override, snapshot=snapshot, data=data))


def test_images_that_do_not_fit_are_named(snapshot, tmp_path):
    data = Scenes(36, 2, 128)
    Image.new("RGB", (60, 50)).save(tmp_path / "dog.png")
    dog = f"images=[{tmp_path / 'dog.png'}]"
    foreign = dataclasses.replace(snapshot, classes=["otter", *snapshot.classes[1:]])

    def checked(*overrides, given):
        check(*subject("fig7_occlusion", "size=smoke", *overrides, snapshot=given, data=data))

    for given in (snapshot, None):
        checked(dog, "labels=[dog face]", given=given)
        for overrides, words in (
            ([dog], r"the class of dog\.png is needed and not known: name it with labels"),
            ([dog, "labels=[dog]"], "unknown class 'dog'"),
            (["images=[36]"], "there is no image 36"),
            (["images=[none.png]", "labels=[owl]"], r"cannot read the image none\.png"),
            (["images=[1,2]", "labels=[owl]"], "1 entries for 2 images"),
            (["count=0"], "at least one image"),
            (["count=37"], "has 36 images; the figure with count=37 and k=3 needs 37"),
        ):
            with pytest.raises(DeconvError, match=words):
                checked(*overrides, given=given)
    with pytest.raises(DeconvError, match="17 classes are not those of scenes: name images"):
        checked("images=[1]", given=foreign)
    checked("images=[1]", "labels=[otter]", given=foreign)
    assert to_score(*subject("fig7_occlusion", snapshot=foreign, data=data)) == []


# Drawing


def row(side=100, stride=10, cells=10, **fields):
    at = stride / 2 + stride * np.arange(cells)
    grid = np.stack(np.meshgrid(at, at, indexing="ij"), axis=2)
    rng = np.random.default_rng(0)
    given = {
        "title": "a dog",
        "note": "map 3; some words",
        "square": (10, 20, 40, 50),
        "picture": rng.integers(0, 255, (side, side, 3)).astype(np.uint8),
        "centres": grid,
        "stride_px": stride,
        "probability": np.zeros((cells, cells)),
        "activation": rng.random((cells, cells)) * 300,
        "label": np.zeros((cells, cells), int),
        "clean": (0.9, 250.0),
        "true": 0,
        "names": {n: f"class {n}" for n in range(20)},
        "projection": rng.normal(size=(4, 3, 30, 30)),
        "inside": np.ones((4, 30, 30), bool),
    }
    return figures.OcclusionRow(**(given | fields))


def panel(page, name):
    return next(axes for axes in page.axes if axes.get_label() == name)


@pytest.mark.parametrize("first", [0, -6])
def test_each_cell_is_drawn_at_the_centre_of_its_square(first):
    """In the pixels of the finished page, for maps that fill the image and that hang over."""
    base = row()
    probability, label = np.zeros((10, 10)), np.zeros((10, 10), int)
    probability[7, 2], label[7, 2] = 0.9, 4
    drawn = row(centres=base.centres + first, probability=probability, label=label)
    page = figures.occlusion([drawn], "layer 5", "words")
    page.set_dpi(300)
    canvas = FigureCanvasAgg(page)
    canvas.draw()
    shown = np.asarray(canvas.buffer_rgba())[::-1, :, :3].astype(int)  # rows upwards, as in axes
    for name, colour in (("d", (253, 231, 36)), ("e", [255 * c for c in to_rgb(COLOURS[1])])):
        axes = panel(page, name)
        box = axes.get_window_extent()
        near = np.abs(shown - np.round(colour)).max(axis=2) <= 2
        rows, columns = np.nonzero(near)
        inside = (columns > box.x0) & (columns < box.x1) & (rows > box.y0) & (rows < box.y1)
        middle = columns[inside].mean() + 0.5, rows[inside].mean() + 0.5
        x, y = axes.transData.inverted().transform(middle)
        assert (y, x) == pytest.approx(tuple(drawn.centres[7, 2]), abs=0.6)
        assert axes.get_xlim() == (0, 100) and axes.get_ylim() == (100, 0)
    image = panel(page, "a").images[0].get_extent()
    assert list(image) == [0, 100, 100, 0]


def test_the_legend_names_the_labels_that_occur():
    label = np.array([[3, 3, 3], [1, 1, 7], [3, 0, 0]])
    names = {n: f"class {n}" for n in range(20)}
    drawn = row(label=label, true=1, names=names)
    assert [(n, c) for n, c, _ in legend(drawn)] == list(zip((1, 3, 0, 7), COLOURS, strict=False))
    assert [share for *_, share in legend(drawn)] == pytest.approx([2 / 9, 4 / 9, 2 / 9, 1 / 9])
    absent = legend(row(label=label, true=9))
    assert [(n, c) for n, c, _ in absent] == list(zip((3, 0, 1, 7), COLOURS[1:], strict=False))


def test_labels_beyond_the_colours_are_gathered():
    label = np.repeat(np.arange(12), 12)[:144].reshape(12, 12)
    label[0, :6] = 11
    at = row(cells=12, label=label, true=5)
    found = legend(at)
    assert [n for n, *_ in found] == [5, 11, 1, 2, 3, 4, 6, 7, None]
    assert found[-1][1] == OTHER and sum(share for *_, share in found) == pytest.approx(1)
    page = figures.occlusion([at], "layer 5", "words")
    cells = panel(page, "e").images[0].get_array()
    for chosen, colour, _ in found[:-1]:
        assert np.allclose(cells[label == chosen], to_rgb(colour))
    assert np.allclose(cells[np.isin(label, [0, 8, 9, 10])], to_rgb(OTHER))
    words = [text.get_text() for text in page.texts]
    assert "others" in words and "class 8" not in words
    weights = {text.get_text(): text.get_weight() for text in page.texts}
    assert weights["class 5"] == "bold" and weights["class 1"] == "normal"


def test_this_image_has_the_black_frame():
    base = row(projection=np.zeros((4, 3, 30, 30)))
    page = figures.occlusion([base], "layer 5", "words")
    (block,) = (axes.images[0].get_array() for axes in page.axes if not axes.get_label())
    rows, columns = np.nonzero((block == 0).all(axis=2))
    assert rows.min() == columns.min() == 0
    assert max(rows.max(), columns.max()) < len(block) * 0.55


def test_scales_hold_everything_and_mark_the_whole_image():
    drawn = row(activation=np.linspace(-20, 80, 100).reshape(10, 10), clean=(0.5, 95.0))
    page = figures.occlusion([drawn], "layer 5", "words")
    assert panel(page, "b").images[0].get_clim() == (-20, 95)
    assert panel(page, "d").images[0].get_clim() == (0, 0.5)
    bars = [axes for axes in page.axes if axes.get_label() == "bar"]
    assert [bar.lines[0].get_xdata()[0] for bar in bars] == [95.0, 0.5]
    nothing = figures.occlusion([row(clean=(0.0, 0.0))], "layer 5", "words")
    assert panel(nothing, "d").images[0].get_clim() == (0, 1), "a probability of 0 everywhere"


@pytest.mark.parametrize(("count", "tiles"), [(1, 2), (3, 4), (4, 9), (2, 25)])
def test_nothing_on_the_page_overlaps_or_is_cut_off(count, tiles):
    label = np.arange(100).reshape(10, 10) % 12
    names = dict.fromkeys(range(12), "a class with a very long name")
    rows = [
        row(
            title="a class with a very long name",
            label=label,
            names=names,
            note="map 203; probability 0.987 uncovered, at least 0.004 (then a very long name…); "
            "another label at 38% of 784 positions",
            projection=np.zeros((tiles, 3, 9, 9)),
            inside=np.ones((tiles, 9, 9), bool),
        )
        for _ in range(count)
    ]
    page = figures.occlusion(rows, "layer 5", "A caption of several words. " * 30)
    renderer = FigureCanvasAgg(page).get_renderer()
    edges = page.bbox
    boxes = [axes.get_tightbbox(renderer) for axes in page.axes]
    words = [text.get_window_extent(renderer) for text in page.texts]
    for i, box in enumerate(boxes + words):
        assert box.x0 >= 0 and box.x1 <= edges.x1 and box.y0 >= 0 and box.y1 <= edges.y1, i
        for other in (boxes + words)[:i]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            down = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(across, down) < 2, (i, "more than a hair in common")


def test_few_other_labels_are_counted_and_none_is_a_share():
    label = np.full((28, 28), 3)
    label[5, 5] = 4
    row = {"name": "owl", "map": 1, "true": 3, "label": 3, "label_there": 3, "probability": 1.0}
    row |= {"lowest_probability": 0.999, "label_changed": 1 / 784, "positions": 784}
    row |= {"names": {"3": "owl", "4": "cat"}, "square": [0, 0, 4, 4], "activation": 2.0}
    fields = {name: np.zeros((28, 28)) for name in FIELDS} | {"label": label}
    fields |= {"picture": np.zeros((3, 8, 8), np.uint8), "positions": np.zeros((28, 28, 2))}
    arrays = {f"0/{name}": values for name, values in fields.items()}
    note = _row(arrays, 0, row, {"size_px": 4, "stride_px": 1}).note
    assert note.endswith("another label at 1 of 784 positions") and "%" not in note


def test_numbers_of_scales():
    shown = told([0, 0.4953, 36.44, 363.6, 1024.3, -120.4])
    assert shown == ["0", "0.495", "36.4", "364", "1024", "-120"]
    assert told([0.99871, 0.99913]) == ["0.9987", "0.9991"], "as many digits as tell them apart"
    assert told([100.02, 100.3]) == ["100.0", "100.3"]


def test_scales_end_at_the_values():
    cells = np.array([[0.991, 0.995], [0.999, 0.998]])
    assert scale_of(cells, 0.9995) == (0.991, 0.9995), "the unoccluded image's is on the scale, too"
    low, high = scale_of(np.full((2, 2), 0.4), 0.4)
    assert low < 0.4 < high, "equal values have a scale"


def test_long_names_are_cut():
    assert shorten("owl") == "owl"
    assert shorten("a very long name of a class", 12) == "a very long…"
