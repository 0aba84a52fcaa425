"""Figure 1: what the command saves, how it is drawn, and what it refuses."""

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
from deconv.data import prepare
from deconv.errors import DeconvError
from deconv.figures.signed_maps import signed_map
from deconv.pixels import display_scale
from deconv.scenes import Scenes
from experiments.fig1_deconvnet import check, choose_unit, describe_stage
from experiments.kit.findings import read_findings

FILES = (
    "figure.png",
    "caption.txt",
    "arrays.npz",
    "table.csv",
    "findings.json",
    "provenance.json",
    "config.yaml",
)


@pytest.fixture(scope="module")
def figure(smoke_run, tmp_path_factory):
    """The folder of the command on scene 7 with the smoke network."""
    overrides = ["size=smoke", f"snapshot={smoke_run / 'last.pt'}", "images=[7]", "maps=3"]
    lines, _ = command("fig1_deconvnet", *overrides, cwd=tmp_path_factory.mktemp("fig1"))
    return Path(lines[-1])


@pytest.fixture(scope="module")
def passed(smoke_run):
    """(net, the input, a plain pass: stage -> values) of the same scene."""
    snapshot = deconv.load_snapshot(smoke_run / "last.pt")
    net = snapshot.network()
    data = Scenes(36, 2, snapshot.mean.shape[-1])
    image = prepare(data[7][0], snapshot.mean, net.input_px)[None]
    values, x = {"image": image[0]}, image
    with torch.no_grad():
        for name, stage in net.stages_to("conv3"):
            x = stage(x)
            values[name] = x[0]
    return net, image, values


def test_all_files_are_there_and_tell_the_choices(figure):
    assert {path.name for path in figure.iterdir()} == {*FILES, "fig1_deconvnet.log"}
    facts = json.loads((figure / "provenance.json").read_text())
    assert facts["layer"] == "conv3" and facts["image"]["index"] == 7
    assert facts["choices"]["collisions"] == "sum" and "first in scan" in facts["choices"]["ties"]
    assert_golden(figure)


def test_each_box_of_the_way_up_is_a_plain_pass(figure, passed):
    arrays, (_, _, values) = np.load(figure / "arrays.npz"), passed
    points = {
        "conv1": "relu1",
        "conv1:z": "conv1",
        "conv2": "relu2",
        "conv2:z": "conv2",
        "conv3": "relu3",
        "conv3:z": "conv3",
    }
    names = {key.split("/")[0] for key in arrays if key.endswith("/up")} - {"detail"}
    assert len(names) == 11
    for point in names:
        wanted = values[points.get(point, point)].numpy()[arrays[f"{point}/maps"]]
        scale = np.abs(wanted).max() or 1.0
        np.testing.assert_allclose(arrays[f"{point}/up"] / scale, wanted / scale, atol=1e-5)


def test_the_way_down_ends_in_the_units_projection(figure, passed):
    arrays, (net, image, values) = np.load(figure / "arrays.npz"), passed
    facts = json.loads((figure / "provenance.json").read_text())
    unit = [facts["unit"][name] for name in ("map", "y", "x")]
    assert values["relu3"][tuple(unit)] == values["relu3"].max()
    assert facts["activation"] == pytest.approx(float(values["relu3"].max()), rel=1e-5)
    record = net.record(image, ["conv3"])
    rows = torch.tensor([[0, *unit]])
    pixels = deconv.project(net, record, "conv3", rows, engine="vjp")[0].numpy()
    scale = np.abs(pixels).max()
    np.testing.assert_allclose(arrays["image/down"] / scale, pixels / scale, atol=1e-5)
    top = arrays["conv3/down"]
    assert arrays["conv3/maps"][0] == unit[0] and np.count_nonzero(top) == 1
    for layer in ("conv1", "conv2"):
        below, above = arrays[f"{layer}/down"], arrays[f"pool{layer[-1]}/down"]
        won = arrays[f"{layer}/winners"]
        assert not below[~won].any() and below.any()
        np.testing.assert_allclose(below.sum((1, 2)), above.sum((1, 2)), rtol=1e-3, atol=1e-4)
        np.testing.assert_array_equal(arrays[f"{layer}:z/down"], np.maximum(below, 0))
        same = arrays[f"norm{layer[-1]}/down"]
        np.testing.assert_array_equal(same, above)


def test_winners_are_the_largest_of_their_windows(figure, passed):
    arrays, (_, _, values) = np.load(figure / "arrays.npz"), passed
    won, up = arrays["conv2/winners"], values["relu2"].numpy()[arrays["conv2/maps"]]
    kinds = {"largest": 0}
    for c in range(len(up)):
        wanted = np.zeros_like(won[c])
        for top in range(0, up.shape[1] - 2, 2):
            for left in range(0, up.shape[2] - 2, 2):
                window = up[c, top : top + 3, left : left + 3]
                y, x = np.unravel_index(window.argmax(), window.shape)
                wanted[top + y, left + x] = True
                kinds["largest"] += window.max() > 0
        assert np.array_equal(won[c], wanted)
    assert kinds["largest"] > 0


def test_the_table_and_the_finding_are_counted_from_the_values(figure, passed):
    _, _, values = passed
    rows = list(csv.DictReader((figure / "table.csv").open()))
    assert [row["way"] for row in rows] == ["up"] * 11 + ["down"] * 11
    assert [row["point"] for row in rows[:11]] == [row["point"] for row in rows[:10:-1]]
    for point, stage in (("pool1", "pool1"), ("conv2:z", "conv2"), ("image", "image")):
        row = next(row for row in rows if row["point"] == point)
        energy = values[stage].double().square()
        assert float(row["energy"]) == pytest.approx(float(energy.sum()), rel=1e-4)
        positive = float((values[stage] > 0).double().mean())
        assert float(row["positive"]) == pytest.approx(positive, abs=1e-5)
        maps = [int(n) for n in row["shown_maps"].split()]
        share = float(energy[maps].sum() / energy.sum())
        assert float(row["shown_energy"]) == pytest.approx(share, abs=1e-3)
    (finding,) = read_findings(figure)
    assert finding.claim == "fig1/reconstruction" and finding.holds and finding.value < 1e-3


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_it_is_drawn_again_from_its_files_alone(figure, tmp_path):
    lines, _ = command("fig1_deconvnet", "size=smoke", f"redraw={figure}", cwd=tmp_path)
    for name in FILES:
        assert (Path(lines[-1]) / name).read_bytes() == (figure / name).read_bytes(), name


# What is refused


def test_a_layer_without_maps_is_refused_by_the_command(smoke_run, tmp_path):
    assert_refused(
        "fig1_deconvnet",
        ["size=smoke", f"snapshot={smoke_run / 'last.pt'}", "layer=fc6"],
        "fc6 lies above flatten of zfnet_mini",
        tmp_path,
    )


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("layer=conv33", "Did you mean 'conv3'"),
        ("layer=fc8", "lies above flatten"),
        ("unit=[128]", r"128 maps of 13×13; got \[128\]"),
        ("unit=[1,2]", r"unit takes \[map\] or \[map,y,x\]"),
        ("unit=[1,13,0]", "13×13"),
        ("unit=[1,0,-1]", "13×13"),
        ("unit=[a]", "unit"),
        ("maps=0", "maps=0 cannot be shown: choose 1 to 7"),
        ("maps=8", "maps=8 cannot be shown"),
        ("span=4", "span=4 cannot be shown: choose 1 to 3"),
        ("images=[1,2]", "one path or number"),
        ("images=3", "images"),
        ("images=[36]", "there is no image 36: the data set has 36 images"),
        ("images=[none.png]", "cannot read the image none"),
        ("split=vall", "Did you mean 'val'"),
        ("collisions=summ", "Did you mean 'sum'"),
    ],
)
def test_settings_that_do_not_fit_are_named(override, words):
    with pytest.raises(DeconvError, match=words):
        check(*subject("fig1_deconvnet", "size=smoke", override))
    check(*subject("fig1_deconvnet", "size=smoke", "unit=[127,12,12]"))


def test_units_are_chosen_or_refused():
    values = torch.tensor([[[0.0, 2.0]], [[3.0, 0.0]]])

    def chosen(*overrides):
        return choose_unit(subject("fig1_deconvnet", *overrides)[0], values)

    assert chosen() == (1, 0, 0)
    assert chosen("unit=[0]") == chosen("unit=[0,0,1]") == (0, 0, 1)
    with pytest.raises(DeconvError, match=r"\[0, 0, 0\] of conv3 is 0 .* unit=\[0\]"):
        chosen("unit=[0,0,0]")


# Drawing


def test_colours_are_white_at_zero_and_tell_the_sign():
    values = np.array([[0.0, 1.0, -1.0], [0.5, -0.5, 5.0]])
    shown = signed_map(values, 1.0).astype(int)
    assert (shown[0, 0] == 255).all()
    assert (shown[0, 1] == (112, 36, 0)).all() and (shown[0, 2] == (0, 48, 92)).all()
    assert (shown[1, 2] == shown[0, 1]).all(), "beyond the scale colours end"
    assert (shown[..., 0] > shown[..., 2])[values > 0].all()
    assert (shown[..., 0] < shown[..., 2])[values < 0].all()
    ramp = signed_map(np.linspace(0, 1, 50)[None], 1.0)[0].astype(int).sum(axis=1)
    assert (np.diff(ramp) < 0).all()
    assert display_scale(np.array([0, 0, -4.0]), 100) == 4 and display_scale(np.zeros(3)) == 1


def page(levels, maps, detail=True, side=13, span=3):
    rng = np.random.default_rng(levels)
    rows = []
    for i in range(levels):
        box = (3, 3, 4, 4) if i < 2 else (2, 1, 9, 9)
        up, down = rng.normal(size=(2, maps, side, side))
        winners = rng.random((maps, side, side)) > 0.7 if i % 5 == 4 else None
        rows.append(
            figures.MapRow(
                f"conv{i}:z",
                "1024 maps, 110×110",
                np.arange(maps) + 1000,
                up,
                down,
                box,
                winners,
                "max-pooling, 3×3, stride 2",
                "the same filters transposed, no bias",
                i % 5 == 3,
                i % 5 == 1,
            )
        )
    image = figures.ImageRow(
        "image",
        "3 × 224×224 px",
        np.full((3, 64, 64), 9, np.uint8),
        rng.normal(size=(3, 64, 64)),
        (0, 5, 20, 60),
    )
    n = 2 * span + 1
    windows = None
    if detail:
        at = np.stack(np.meshgrid(*[np.arange(span) * 2] * 2, indexing="ij"), axis=2)
        windows = figures.PoolWindows(
            rng.normal(size=(n, n)) * 1000,
            rng.normal(size=(span, span)) * 1000,
            at,
            rng.normal(size=(span, span)) / 1000,
            rng.normal(size=(n, n)) / 1000,
            np.concatenate([at, at + 3], axis=2),
            "Pooling and unpooling in numbers",
        )
    return figures.deconvnet_schematic(rows, image, windows, "One unit", "A caption. " * 60)


@pytest.mark.parametrize(
    ("levels", "maps", "detail", "span"),
    [(2, 1, False, 1), (6, 4, True, 2), (10, 4, True, 3), (14, 7, True, 1), (10, 5, True, 3)],
)
def test_words_and_tiles_stay_on_the_page_and_apart(levels, maps, detail, span):
    drawn = page(levels, maps, detail, span=span)
    renderer = FigureCanvasAgg(drawn).get_renderer()
    (sheet,) = drawn.axes
    words = [t.get_window_extent(renderer) for t in [*sheet.texts, *drawn.texts] if t.get_text()]
    tiles = [image.get_window_extent(renderer) for image in sheet.images]
    assert len(tiles) == levels * 2 * (maps + 1) + 4
    for i, box in enumerate(words + tiles):
        assert box.x0 >= 0 and box.x1 <= drawn.bbox.x1, i
        assert box.y0 >= 0 and box.y1 <= drawn.bbox.y1, i
    for i, box in enumerate(tiles):
        for other in [*tiles[:i], *words]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            down = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(across, down) < 2, (i, box, other)


def test_a_shared_switch_shows_the_colours_of_all_its_windows():
    at = np.zeros((1, 2, 2), int)
    at[..., 1] = 2
    detail = figures.PoolWindows(
        np.array([[1.0, 0, 7, 0, 3]] * 3),
        np.array([[7.0, 7]]),
        at,
        np.array([[2.0, -0.5]]),
        np.array([[0, 0, 1.5, 0, 0]] * 3),
        np.array([[[0, 0, 3, 3], [0, 2, 3, 5]]]),
        "",
    )
    colours = figures.pool_detail._colours(detail, pooled=False)
    assert list(colours) == [(0, 2)] and len(set(colours[0, 2])) == 2
    assert [len(c) for c in figures.pool_detail._colours(detail, pooled=True).values()] == [1, 1]
    number = figures.pool_detail._number
    assert [number(v) for v in (0.0, -1.5, 153.2, 99.96)] == ["0", "-1.5", "153", "100"]
    power = figures.pool_detail._power
    assert [power(np.array([v])) for v in (0.0, 3.0, 999.0, 1234.0, 0.02)] == [0, 0, 0, 2, -3]


def test_operations_in_words():
    net = deconv.build("zfnet", 2, seed=0)
    words = [describe_stage(net.conv2, "filter"), describe_stage(net.pool1, "unpool")]
    assert words[0][0] == "convolution, 5×5, stride 2" and "no bias" in words[0][1]
    assert words[1] == ("max-pooling, 3×3, stride 2", "unpooling by the switches")
    assert describe_stage(net.norm1, "skip")[1] == "contrast normalisation skipped"
    assert describe_stage(torch.nn.AdaptiveAvgPool2d(6), "spread")[0] == "average pooling to 6×6"
