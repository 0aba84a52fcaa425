"""The four answers as commands: what they save, that it is right, redrawing, what is refused."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import assert_refused, command, subject
from golden import assert_golden
from matplotlib.backends.backend_agg import FigureCanvasAgg

import deconv
from deconv import figures
from deconv.data import CentreCrops
from deconv.errors import DeconvError
from deconv.records import Peaks
from deconv.scenes import Scenes
from experiments.kit.single_unit import live, tenths
from experiments.kit.unit_pages import beyond, walks_words
from experiments.kit.unit_settings import check

FILES = (
    "figure.png",
    "caption.txt",
    "arrays.npz",
    "table.csv",
    "provenance.json",
    "config.yaml",
)


@pytest.fixture(scope="module")
def run(smoke_run, tmp_path_factory):
    """one_unit on the smoke network, with a map left open."""
    lines, _ = command(
        "one_unit",
        "size=smoke",
        f"snapshot={smoke_run / 'last.pt'}",
        "layer=conv3",
        "k=4",
        cwd=tmp_path_factory.mktemp("one_unit"),
    )
    return Path(lines[-1])


@pytest.fixture(scope="module")
def seen(run, smoke_run):
    """(arrays, facts, network, crops) of that run."""
    arrays = dict(np.load(run / "arrays.npz"))
    facts = json.loads((run / "provenance.json").read_text())
    snapshot = deconv.load_snapshot(smoke_run / "last.pt")
    net = snapshot.network()
    data = Scenes(36, 2, snapshot.mean.shape[-1])
    return arrays, facts, net, CentreCrops(data, snapshot.mean, net.input_px)


def test_the_map_is_the_one_with_the_largest_peak_and_its_crops_are_fig2s(seen):
    """By loops over all images: strongest position of each, sorted; then cut by hand."""
    arrays, facts, net, crops = seen
    found = []
    for i in range(len(crops)):
        a = net.record(crops[i][0][None], ["conv3"]).activations["conv3"][0]
        found.append(a.detach())
    peaks = torch.stack(found).flatten(2).amax(2)
    number = int(peaks.amax(0).argmax())
    assert facts["unit"]["map"] == number and "largest peak" in facts["choices"]["map"]
    order = peaks[:, number].argsort(descending=True, stable=True)[:4]
    assert arrays["crops/image"].tolist() == order.tolist()
    np.testing.assert_allclose(arrays["crops/value"], peaks[order, number], rtol=1e-5)
    side = net.input_px
    for rank, i in enumerate(order.tolist()):
        a = found[i][number]
        y, x = divmod(int(a.argmax()), a.shape[1])
        top, left, bottom, right = deconv.receptive_field(net, "conv3", y, x, (side, side))
        assert arrays["crops/box"][rank].tolist() == [top, left, bottom, right]
        picture = crops.picture(i)
        inside = arrays["crops/inside"][rank]
        pixels = [picture[:, r, c] for r in range(top, bottom) for c in range(left, right)]
        shown = arrays["crops/patch"][rank][:, inside].T
        assert np.array_equal(shown, torch.stack(pixels).numpy())


def test_the_images_excite_the_unit_as_the_table_says(seen, run):
    arrays, facts, net, crops = seen
    unit, number = facts["ascent"]["unit"], facts["unit"]["map"]
    top, left, bottom, right = unit["box"]
    images = torch.from_numpy(arrays["ascent/images"])
    whole = torch.zeros(len(images), 3, net.input_px, net.input_px)
    whole[:, :, top:bottom, left:right] = images
    a = net.record(whole, ["conv3"]).activations["conv3"][:, number, unit["y"], unit["x"]]
    np.testing.assert_allclose(arrays["ascent/activation"], a.detach(), rtol=1e-4, atol=1e-3)
    assert images.flatten(1).norm(dim=1).tolist() == pytest.approx(
        [facts["ascent"]["norm"]] * len(images), rel=1e-4
    )
    norms = [
        float((crops[i][0][:, top:bottom, left:right] ** 2).sum().sqrt())
        for i in range(min(200, len(crops)))
    ]
    assert facts["ascent"]["norm"] == pytest.approx(np.mean(norms), rel=1e-3)
    rows = list(csv.DictReader((run / "table.csv").open()))
    kinds = [row["answer"] for row in rows]
    assert kinds == ["crop"] * 4 + ["start"] * 2 + ["direction"] * 4
    assert [float(r["activation"]) for r in rows if r["answer"] == "start"] == pytest.approx(
        arrays["ascent/activation"].tolist()
    )
    mean = deconv.load_snapshot(facts["training"]["snapshot"]).mean
    edge = (mean.shape[-1] - net.input_px) // 2
    mean = mean[:, edge + top : edge + bottom, edge + left : edge + right]
    shown = (images[0] + mean).clamp(0, 255).round().byte().numpy()
    assert np.array_equal(arrays["ascent/picture"][0], shown)


def test_the_walks_are_the_networks_own(seen):
    arrays, facts, net, _ = seen
    unit, number = facts["ascent"]["unit"], facts["unit"]["map"]
    top, left, bottom, right = unit["box"]
    x, angles = arrays["walks/optimum"], np.radians(arrays["walks/angles_deg"])
    for row in (0, 3):
        v = arrays["walks/vectors"][row]
        assert np.linalg.norm(v) == pytest.approx(1, rel=1e-4)
        assert abs((v * x).sum()) / np.linalg.norm(x) < 1e-3
        for i in (0, 17, 30):
            image = x * np.cos(angles[i]) + np.linalg.norm(x) * v * np.sin(angles[i])
            whole = torch.zeros(1, 3, net.input_px, net.input_px)
            whole[0, :, top:bottom, left:right] = torch.from_numpy(image)
            a = net.record(whole, ["conv3"]).activations["conv3"][0, number, unit["y"], unit["x"]]
            assert arrays["walks/curves"][row, i] == pytest.approx(float(a), rel=1e-3, abs=1e-2)
    second = arrays["walks/second_derivative"]
    assert (np.diff(second) <= 0).all() and not facts["walks"]["flat"]
    assert facts["walks"]["fall_deg"] == tenths(arrays["walks/fall_deg"])


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_each_alone_and_again_from_its_files(smoke_run, run, tmp_path):
    folders = {}
    for stem in ("image_crops", "max_activation", "hessian_invariance"):
        overrides = [f"snapshot={smoke_run / 'last.pt'}", "layer=conv1", "map=2"]
        lines, _ = command(stem, "size=smoke", *overrides, cwd=tmp_path)
        folders[stem] = Path(lines[-1])
        assert {path.name for path in folders[stem].iterdir()} == {*FILES, f"{stem}.log"}
        assert_golden(folders[stem])
    flat = json.loads((folders["hessian_invariance"] / "provenance.json").read_text())
    assert flat["walks"]["flat"], "conv1:z is linear"
    assert "none is more invariant" in walks_words(flat)
    (*_, again), _ = command("one_unit", "size=smoke", f"redraw={run}", cwd=tmp_path)
    for name in FILES:
        assert (Path(again) / name).read_bytes() == (run / name).read_bytes(), name


def test_any_network(tmp_path):
    (*_, folder), _ = command(
        "one_unit",
        "size=smoke",
        "model=torchvision/resnet18",
        "model.weights=random",
        "model.input_px=64",
        "layer=layer1.0.relu:2",
        "map=3",
        "k=2",
        "directions=1",
        cwd=tmp_path,
    )
    facts = json.loads((Path(folder) / "provenance.json").read_text())
    assert facts["ascent"]["climbed"] == "layer1.0.add" and (Path(folder) / "figure.png").is_file()


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["layer=conv7"], "Did you mean 'conv"),
        (["map=999"], "no map 999"),
        (["k=0"], "k=0 cannot be used: choose 1 or more, at most 25"),
        (["starts=26"], "starts=26 cannot be used: choose 1 or more, at most 25"),
        (["norm=0"], "norm=0 cannot be used: choose more than 0"),
        (["steps=0"], "steps=0 cannot be used: choose 1"),
        (["first_angle_deg=0.0"], "first_angle_deg=0 cannot be used: choose more than 0"),
        (["blur_px=-1"], "blur_px=-1"),
        (["layer=conv1", "jitter_px=5"], "do not fit the 5 px"),
        (["smoothing=softplsu"], "Did you mean 'softplus'"),
        (["smoothing_width=0.0"], "smoothing_width=0 cannot be used: choose more than 0"),
        (["refine_steps=-1"], "refine_steps=-1"),
        (["directions=7"], "directions=7 cannot be used: choose 1 or more, at most 6"),
        (["largest_angle_deg=91.0"], "largest_angle_deg=91"),
        (["collisions=summ"], "Did you mean 'sum'"),
    ],
)
def test_settings_that_do_not_fit_are_named_at_once(overrides, words):
    with pytest.raises(DeconvError, match=words):
        check(*subject("one_unit", "size=smoke", *overrides, data=Scenes(4, 0, 64)))


def test_what_a_second_derivative_does_not_tell_is_said():
    """By hand: of a positive one, of angles out of order, of random directions that fall later."""
    it = {"largest_second_derivative": -1.0, "fall_deg": [35.0, 9.0], "random_fall_deg": [36, None]}
    assert "sooner along the most invariant" in beyond(it) and "maximum" not in beyond(it)
    assert beyond(it | {"random_fall_deg": [34.0, None]}) == ""
    assert beyond(it | {"fall_deg": [None, 9.0]}) == ""
    turned = beyond(it | {"fall_deg": [50.0, None, 9.0, 10.0]})
    assert "do not follow its order" in turned and "sooner" not in turned
    risen = beyond(it | {"largest_second_derivative": 2.0, "fall_deg": [None, 9.0]})
    assert "not quite a maximum" in risen and "sooner" not in risen


def test_dead_maps_are_told_and_live_peaks_kept():
    value = torch.tensor([[3.0, 2.0, 0.0], [0.0, 0.0, 0.0], [4.0, 1.0, 0.5]])
    peaks = Peaks(value, *(torch.zeros(3, 3, dtype=torch.long) for _ in range(3)))

    def chosen(*overrides):
        number, kept = live(*subject("one_unit", *overrides, data=Scenes(4, 0, 74)), peaks, 9)
        return number, kept.value.shape

    assert chosen() == (2, (3, 3))
    assert chosen("map=0") == (0, (3, 2))
    with pytest.raises(DeconvError, match="map 1 of conv5 is never above 0 over the 4 images"):
        chosen("map=1")
    value.zero_()
    with pytest.raises(DeconvError, match="no map of conv5 is ever above 0"):
        chosen()


def test_a_bad_command_leaves_nothing(smoke_run, tmp_path):
    snapshot = f"snapshot={smoke_run / 'last.pt'}"
    assert_refused("one_unit", ["size=smoke", snapshot, "map=999"], "no map 999", tmp_path)


# Drawing


def answers(k, starts, count, rng, flat=False):
    """Made-up answers, as the figures take them."""
    side = 21
    tiles = (3, side, side)
    crops = figures.UnitCrops(
        rng.integers(0, 255, (k, *tiles)).astype(np.uint8),
        rng.normal(size=(k, *tiles)),
        np.ones((k, side, side), bool),
        np.linspace(9, 1, k),
        np.full((k, 4), (2, 3, 23, 24)),
        np.arange(k),
        rng.integers(0, 255, (k, 3, 40, 40)).astype(np.uint8),
    )
    optima = figures.UnitOptima(
        rng.integers(0, 255, (starts, *tiles)).astype(np.uint8),
        np.linspace(9, 8, starts),
        rng.normal(size=(starts, 30)),
        np.eye(starts),
    )
    walks = figures.UnitWalks(
        rng.integers(0, 255, (2 * count, 7, *tiles)).astype(np.uint8),
        np.linspace(-60, 60, 7),
        np.linspace(-60, 60, 61),
        rng.normal(size=(2 * count, 61)),
        rng.normal(size=(8, 61)),
        np.linspace(1, -1, 2 * count),
        np.r_[np.nan, np.full(2 * count - 1, 7.0)],
        count,
        flat,
    )
    return crops, optima, walks


@pytest.mark.parametrize(
    ("k", "starts", "count", "flat"), [(9, 9, 2, False), (1, 1, 1, True), (25, 12, 4, False)]
)
def test_nothing_on_the_pages_overlaps_or_is_cut_off(k, starts, count, flat):
    crops, optima, walks = answers(k, starts, count, np.random.default_rng(k), flat)
    words = ("Layer 5, map 110", "unit (6, 6) sees 139×139 px", "A caption of words. " * 30)
    for page in (
        figures.image_crops(crops, *words),
        figures.max_activation(optima, *words),
        figures.hessian_invariance(walks, *words),
        figures.one_unit(crops, optima, walks, *words),
    ):
        renderer = FigureCanvasAgg(page).get_renderer()
        edges = page.bbox
        drawn = [axes.get_tightbbox(renderer) for axes in page.axes]
        printed = [one.get_window_extent(renderer) for one in page.texts]
        for box in drawn + printed:
            assert box.x0 >= 0 and box.x1 <= edges.x1 and box.y0 >= 0 and box.y1 <= edges.y1
        for i, box in enumerate(drawn + printed):
            for other in (drawn + printed)[:i]:
                across = min(box.x1, other.x1) - max(box.x0, other.x0)
                down = min(box.y1, other.y1) - max(box.y0, other.y0)
                assert min(across, down) < 2, "more than a hair in common"


def test_curves_and_frames_are_those_given():
    crops, optima, walks = answers(9, 9, 2, np.random.default_rng(0))
    page = figures.one_unit(crops, optima, walks, "t", "n", "c")
    axes = next(one for one in page.axes if one.get_label() == "walks")
    lines = [line.get_ydata() for line in axes.lines]
    np.testing.assert_array_equal(lines[:8], walks.random)
    np.testing.assert_array_equal(lines[8:], walks.curves)
    words = {one.get_text() for one in axes.get_legend().get_texts()}
    assert words == {"random directions", "most invariant", "least invariant"}
    words = " ".join(one.get_text() for one in page.texts)
    assert "most invariant: no fall by a fifth within 60°" in words
    assert "least invariant: falls by a fifth within 7°" in words
    page = figures.max_activation(optima, "t", "n", "c")
    axes = next(one for one in page.axes if one.get_label() == "paths")
    assert len(axes.lines) == 9
    page = figures.image_crops(crops, "t", "n", "c")
    boxed = [one for one in page.axes if one.get_label() == "image"]
    assert len(boxed) == 9 and boxed[0].patches[0].get_xy() == (2.5, 1.5)
    assert boxed[0].patches[0].get_width() == 21 and boxed[0].patches[0].get_height() == 21
