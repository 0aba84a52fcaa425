"""Figure 4: what it mines, how it draws, how it judges, and what it refuses."""

import csv
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import command, subject
from drawn import faults
from golden import assert_golden
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image
from test_evolution import blank, turnover_by_hand

import deconv
from deconv import figures
from deconv.data import CentreCrops
from deconv.errors import DeconvError
from deconv.figures.animation import GREY
from deconv.figures.feature_evolution import MARK, TILE_GAP, TILE_PX, last_changes, strip_pixels
from deconv.records import Peaks
from deconv.scenes import Scenes
from deconv.training.course import epoch_ends, same_training
from experiments.fig4_feature_evolution import caption, check, choose_epochs, judge
from experiments.kit.findings import read_findings

LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Trained and drawn at size=smoke: the folder, which also holds the snapshots."""
    cwd = tmp_path_factory.mktemp("fig4")
    # A rate at which two epochs of four steps move the strongest images.
    overrides = ["size=smoke", "maps_each=3", "epochs=[0,1,2]", "train.lr=0.2", "pictures=none"]
    lines, _ = command("fig4_feature_evolution", *overrides, cwd=cwd)
    return Path(lines[-1])


# The command


def test_the_caption_names_what_the_deconvnet_has_no_rule_for(run):
    facts = json.loads((run / "provenance.json").read_text())
    words = "has no rule for GELU: its own derivative"
    assert words in caption(facts | {"no_rule": ["GELU"]}, [])
    assert words not in caption(facts, [])


def test_a_run_leaves_all_its_files(run):
    names = {path.name for path in run.iterdir()}
    assert names >= {
        "figure.png",
        "caption.txt",
        "animation.gif",
        "arrays.npz",
        "table.csv",
        "turnover.csv",
        "findings.json",
        "config.yaml",
        "provenance.json",
        "fig4_feature_evolution.log",
    }
    (finding,) = read_findings(run)
    assert finding.claim == "fig4/lower_first" and finding.holds is None, "three snapshots are few"
    facts = json.loads((run / "provenance.json").read_text())
    assert [step["epoch"] for step in facts["snapshots"]] == [0, 1, 2]
    hashes = [step["weights_sha256"] for step in facts["snapshots"]]
    assert len(set(hashes)) == 3 and hashes[-1] == facts["weights_sha256"]
    assert facts["data"]["as_trained_on"] and facts["data"]["images"] == 60
    assert facts["choices"]["collisions"] == "sum" and facts["threshold"] == 0.5
    assert_golden(run)


def test_the_strongest_units_are_those_of_a_search_by_hand(run):
    arrays = np.load(run / "arrays.npz")
    for step, epoch in enumerate((0, 1, 2)):
        snapshot = deconv.load_snapshot(run / f"epoch_{epoch:03d}.pt")
        net = snapshot.network()
        crops = CentreCrops(Scenes(60, 1, snapshot.mean.shape[-1]), snapshot.mean, net.input_px)
        found = {layer: [] for layer in LAYERS}
        for i in range(len(crops)):
            for layer, values in net.record(crops[i][0][None], LAYERS).activations.items():
                found[layer].append(values[0].flatten(1))
        for layer, values in found.items():
            best, at = torch.stack(values).max(dim=2)  # images × maps
            two = best.topk(2, dim=0)
            kept = {n: arrays[f"{layer}/peaks/{n}"][step, :, 0] for n in ("value", "image")}
            np.testing.assert_allclose(kept["value"], two.values[0], rtol=1e-4, atol=1e-4)
            clear = two.values[0] - two.values[1] > 1e-3 * two.values[0].abs().clamp(min=1)
            assert clear.float().mean() > 0.7
            assert (torch.from_numpy(kept["image"]) == two.indices[0])[clear].all()
            wide = net.record(crops[0][0][None], [layer]).activations[layer].shape[-1]
            for row, number in enumerate(arrays[f"{layer}/maps"]):
                image, y, x = (int(arrays[f"{layer}/{n}"][row, step]) for n in ("image", "y", "x"))
                assert image < 0 or image == kept["image"][number]
                if image >= 0 and clear[number]:
                    assert y * wide + x == at[image, number]


def test_the_tables_say_what_the_arrays_hold(run):
    arrays = np.load(run / "arrays.npz")
    rows = list(csv.DictReader((run / "table.csv").open()))
    shares = list(csv.DictReader((run / "turnover.csv").open()))
    assert {row["epoch"] for row in rows} == {row["epoch"] for row in shares} == {"0", "1", "2"}
    changes = 0
    for layer in LAYERS:
        peaks = [
            Peaks(*(torch.from_numpy(arrays[f"{layer}/peaks/{n}"][t]) for n in vars(blank(1, 1))))
            for t in range(3)
        ]
        wanted = turnover_by_hand(peaks)
        mine = [row for row in shares if row["layer"] == layer]
        assert mine[0]["turnover"] == ""
        for row, value in zip(mine[1:], wanted[1:], strict=True):
            assert float(row["turnover"]) == pytest.approx(value, abs=1e-4)
        own = [row for row in rows if row["layer"] == layer]
        assert len(own) == 3 * len(peaks[0].value)
        shown = sorted({int(row["map"]) for row in own if row["shown"] == "True"})
        assert shown == arrays[f"{layer}/maps"].tolist() and len(shown) == 3
        for t, row in enumerate(mine):
            now = [r for r in own if r["epoch"] == row["epoch"]]
            assert sum(r["jumped"] == "True" for r in now) == int(row["jumped"])
            assert sum(float(r["value"]) > 0 for r in now) == int(row["live"])
            before = [r for r in own if t and r["epoch"] == mine[t - 1]["epoch"]]
            for a, b in zip(before, now, strict=bool(t)):
                assert (b["jumped"] == "True") == (a["image"] != b["image"] and b["image"] != "-1")
            changes += int(row["jumped"])
    assert changes > 0, "a test of jumps needs some"


def test_each_picture_is_the_projection_of_its_unit(run):
    arrays = np.load(run / "arrays.npz")
    snapshot = deconv.load_snapshot(run / "epoch_001.pt")
    net = snapshot.network()
    crops = CentreCrops(Scenes(60, 1, snapshot.mean.shape[-1]), snapshot.mean, net.input_px)
    number = int(arrays["conv3/maps"][2])
    image, y, x = (int(arrays[f"conv3/{name}"][2, 1]) for name in ("image", "y", "x"))
    record = net.record(crops[image][0][None], ["conv3"])
    pixels = deconv.project(net, record, "conv3", torch.tensor([[0, number, y, x]]))[0]
    box = deconv.receptive_field(net, "conv3", y, x, (net.input_px, net.input_px))
    assert arrays["conv3/box"][2, 1].tolist() == list(box)
    seen = arrays["conv3/inside"][2, 1]
    cut = pixels[:, box[0] : box[2], box[1] : box[3]].reshape(3, -1).numpy()
    shown = arrays["conv3/projection"][2, 1][:, seen]
    np.testing.assert_allclose(shown, cut, rtol=1e-3, atol=1e-5 * np.abs(cut).max())
    patch = crops.picture(image)[:, box[0] : box[2], box[1] : box[3]].reshape(3, -1).numpy()
    assert np.array_equal(arrays["conv3/patch"][2, 1][:, seen], patch)


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_it_is_drawn_again_from_its_files_alone(run, tmp_path):
    (*_, folder), _ = command("fig4_feature_evolution", "size=smoke", f"redraw={run}", cwd=tmp_path)
    for name in (
        "figure.png",
        "caption.txt",
        "animation.gif",
        "arrays.npz",
        "table.csv",
        "turnover.csv",
        "findings.json",
        "provenance.json",
        "config.yaml",
    ):
        assert (Path(folder) / name).read_bytes() == (run / name).read_bytes(), name


def test_bad_input_is_named_and_leaves_nothing(run, tmp_path):
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    for name in ("epoch_000.pt", "epoch_001.pt"):
        shutil.copy(run / name, damaged)
    broken = damaged / "epoch_001.pt"
    broken.write_bytes(broken.read_bytes()[:5000])
    for overrides, words in (
        ([f"run={run}", "epochs=[1,7]"], ["epoch 7", "has those of epochs 0, 1, 2"]),
        ([f"run={damaged}", "epochs=[0,1]"], ["cannot read", "damaged/epoch_001.pt"]),
        ([f"redraw={damaged}"], ["holds no arrays.npz, table.csv, turnover.csv"]),
    ):
        _, error = command(
            "fig4_feature_evolution", "size=smoke", *overrides, cwd=tmp_path, fails=True
        )
        assert all(word in error for word in words) and error.startswith("error: ")
        assert "Traceback" not in error
        assert not [path for path in (tmp_path / "outputs").rglob("*") if path.is_file()]


# Which snapshots


def test_epochs_are_the_papers_and_the_last():
    def chosen(there, asked=()):
        return choose_epochs(asked, there, "x has")

    assert chosen(range(71)) == [1, 2, 5, 10, 20, 30, 40, 64]
    assert chosen([0, 1, 2, 5, 10, 20, 30, 40, 50]) == [1, 2, 5, 10, 20, 30, 40, 50]
    assert chosen([0, 1, 2, 5, 10, 20, 23, 24]) == [1, 2, 5, 10, 20, 24]
    assert chosen([0, 3, 4, 100, 101], [100, 0, 3]) == [0, 3, 100]
    for there, asked, words in (
        ([0, 1], [], "needs two or more, got epochs \\[1\\]; x has those of epochs 0, 1"),
        ([0, 1], [1, 1], "two or more"),
        ([2, 1], [1, 3, 4], "epoch 3, 4: x has those of epochs 1, 2"),
    ):
        with pytest.raises(DeconvError, match=words):
            chosen(there, asked)


def test_only_ends_of_epochs_of_one_training_are_read(run, tmp_path):
    with pytest.raises(DeconvError, match=r"no run folder .*none"):
        epoch_ends(tmp_path / "none")
    with pytest.raises(DeconvError, match=r"holds no epoch_NNN.pt"):
        epoch_ends(tmp_path)
    for name in ("epoch_000.pt", "epoch_001.pt"):
        shutil.copy(run / name, tmp_path)
    (tmp_path / "epoch_001_step_000003.pt").touch()
    ends = epoch_ends(tmp_path)
    assert {epoch: path.name for epoch, path in ends.items()} == {
        0: "epoch_000.pt",
        1: "epoch_001.pt",
    }
    last = same_training(ends)
    assert last.epoch == 1 and not last.weights and last.optimizer is None
    snapshot = deconv.load_snapshot(run / "epoch_002.pt")
    del snapshot.recipe["norm"]  # as written before `build` learned the argument
    deconv.save_snapshot(tmp_path / "epoch_002.pt", snapshot)
    assert same_training(epoch_ends(tmp_path)).epoch == 2
    snapshot.recipe["norm"] = "local"
    deconv.save_snapshot(tmp_path / "epoch_002.pt", snapshot)
    with pytest.raises(DeconvError, match=r"epoch_002.pt is of another training"):
        same_training(epoch_ends(tmp_path))
    del snapshot.recipe["norm"]
    snapshot.mean[0, 0, 0] += 1
    deconv.save_snapshot(tmp_path / "epoch_002.pt", snapshot)
    with pytest.raises(DeconvError, match=r"epoch_002.pt is of another training"):
        same_training(epoch_ends(tmp_path))
    shutil.copy(run / "epoch_002.pt", tmp_path / "epoch_003.pt")
    with pytest.raises(DeconvError, match=r"epoch_003.pt holds the end of epoch 2"):
        same_training({3: tmp_path / "epoch_003.pt"})


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("layers=[conv1,conv77]", "Did you mean 'conv"),
        ("maps_each=97", "conv2 has 96 maps: maps_each=97"),
        ("maps_each=0", "maps_each=0 cannot be shown"),
        ("threshold=0.0", "threshold is a share"),
        ("collisions=summ", "Did you mean 'sum'"),
        ("epochs=[1,5]", "epoch 5: this training will keep those of epochs 0, 1, 2"),
        ("size=paper", "size=paper needs a training"),
    ],
)
def test_settings_that_do_not_fit_are_named(override, words):
    chosen = ["size=smoke", "layers=[conv2]", "maps_each=5"]
    check(*subject("fig4_feature_evolution", *chosen))
    with pytest.raises(DeconvError, match=words):
        check(*subject("fig4_feature_evolution", *chosen, override))


# Drawing


def strip(title, maps, steps, settled=1):
    rng = np.random.default_rng(len(title) + maps)
    shape = (maps, steps)
    inside = np.ones((*shape, 9, 9), bool)
    inside[0, 0] = False
    jumped = np.zeros(shape, bool)
    jumped[0, 1] = True
    return figures.Filmstrip(
        title,
        "receptive field 9×9 px, stride 4",
        np.arange(maps) * 50,
        rng.normal(size=(*shape, 3, 9, 9)),
        np.full((*shape, 3, 9, 9), 7, np.uint8),
        inside,
        jumped,
        np.r_[math.nan, np.linspace(1, 0.2, steps - 1)],
        settled,
    )


def test_tiles_stand_in_rows_of_maps_and_changes_are_marked():
    shown = strip_pixels(strip("Layer 1", 2, 3))
    step = TILE_PX + TILE_GAP
    assert shown.shape == (2 * step + TILE_GAP, 3 * step + TILE_GAP, 3)
    marked = np.argwhere((shown == MARK).all(axis=2))
    assert marked[:, 0].min() > TILE_GAP and marked[:, 0].max() < step
    assert step < marked[:, 1].min() and marked[:, 1].max() < step + TILE_GAP
    empty = shown[TILE_GAP : TILE_GAP + TILE_PX, TILE_GAP : TILE_GAP + TILE_PX]
    assert (empty == figures.VOID).all(), "a dead map"
    drawn = shown[step + TILE_GAP : 2 * step, TILE_GAP : TILE_GAP + TILE_PX]
    assert drawn.std() > 10


@pytest.mark.parametrize(
    ("layers", "maps", "steps"), [(1, 1, 2), (2, 3, 12), (3, 2, 3), (5, 6, 8), (4, 4, 5)]
)
def test_nothing_on_the_page_overlaps_or_is_cut_off(layers, maps, steps):
    strips = [strip(f"Layer {i + 1}", maps, steps, None if i else 1) for i in range(layers)]
    epochs = list(range(0, 10 * steps, 10))
    page = figures.feature_evolution(strips, epochs, 0.5, "A caption of several words. " * 15)
    renderer = FigureCanvasAgg(page).get_renderer()
    edges, boxes = page.bbox, [axes.get_tightbbox(renderer) for axes in page.axes]
    words = [text.get_window_extent(renderer) for text in page.texts]
    for i, box in enumerate(boxes + words):
        assert box.x0 >= 0 and box.x1 <= edges.x1 and box.y0 >= 0 and box.y1 <= edges.y1, i
    for i, box in enumerate(boxes):
        for other in [*boxes[:i], *words]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            down = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(across, down) < 2, "more than a hair in common"
    curves = next(axes for axes in page.axes if axes.get_label() == "turnover")
    drawn = [line for line in curves.lines if line.get_label().startswith("Layer")]
    assert len(drawn) == layers
    np.testing.assert_allclose(drawn[0].get_ydata(), 100 * strips[0].turnover)
    bars = next(axes for axes in page.axes if axes.get_label() == "settled").patches
    assert [(bar.get_x(), bar.get_width()) for bar in bars] == [(1, steps - 2)]


def test_a_bar_stands_where_the_strongest_image_changed_for_the_last_time():
    jumped = np.array(
        [
            [0, 1, 1, 0, 0],  # the second change is the last
            [0, 0, 0, 0, 0],  # never
            [0, 1, 0, 0, 1],  # still at the last snapshot
            [0, 0, 0, 1, 0],
        ],
        bool,
    )
    assert last_changes(jumped) == [(0, 2), (3, 3)]


WIDE = [(5, 8, 2), (5, 9, 2), (5, 3, 4), (1, 8, 2), (1, 3, 4), (2, 2, 5)]


@pytest.mark.parametrize(("layers", "snapshots", "across"), WIDE)
def test_layers_stand_side_by_side_so_that_the_page_is_full(layers, snapshots, across):
    strips = [strip(f"Layer {i + 1}", 2, snapshots) for i in range(layers)]
    page = figures.feature_evolution(strips, range(snapshots), 0.5, "words")
    tiles = [axes.get_position() for axes in page.axes if not axes.get_label()]
    assert len({round(box.y1, 3) for box in tiles}) == -(-layers // across)
    curves = next(axes for axes in page.axes if axes.get_label() == "turnover").get_position()
    assert faults(page) == [] and curves.x1 > 0.8, "the curves take the rest"
    assert max(box.width for box in tiles) * page.get_figwidth() / snapshots > 0.3


def test_a_page_without_layers_is_refused():
    with pytest.raises(DeconvError, match="at least one layer"):
        figures.feature_evolution([], [1], 0.5, "")


def test_the_animation_has_a_frame_a_snapshot(run, tmp_path):
    with Image.open(run / "animation.gif") as animation:
        assert animation.n_frames == 3 and animation.info["loop"] == 0
    strips = [strip("Layer 1", 2, 4), strip("Layer 2", 2, 4)]
    frames = figures.evolution_frames(strips, [1, 2, 5, 10])
    assert len(frames) == 4 and len({frame.shape for frame in frames}) == 1
    marked = [(frame == MARK).all(axis=2).sum() for frame in frames]
    assert marked[1] > marked[0] + 100, "where the strongest image is another one"
    for name in ("a.gif", "b.gif"):
        figures.save_animation(frames, tmp_path / name)
    assert (tmp_path / "a.gif").read_bytes() == (tmp_path / "b.gif").read_bytes()
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.n_frames == 4 and animation.size == frames[0].shape[1::-1]
        for index, frame in enumerate(frames):
            animation.seek(index)
            shown = np.asarray(animation.convert("RGB"))
            for colour in ((255, 255, 255), figures.VOID, GREY):
                flat = (frame == colour).all(axis=2)
                if flat.mean() > 0.05:
                    assert (shown == frame).all(axis=2)[flat].mean() > 0.9


# The claim


def rows_of(settled, epochs=(1, 5, 10, 40), text=False):
    """Rows of turnover.csv of layers that settle at these epochs, None for never."""
    rows = [
        {"layer": f"conv{number}", "epoch": epoch, "settled": when is not None and epoch >= when}
        for number, when in enumerate(settled, 1)
        for epoch in epochs
    ]
    return [{key: str(value) for key, value in row.items()} for row in rows] if text else rows


@pytest.mark.parametrize(
    ("settled", "value", "holds"),
    [
        ((1, 5, 5, 10), 9, True),
        ((5, 10, None, None), None, True),
        ((5, 5, 5), 0, False),
        ((10, 5), -5, False),
        ((1, 10, 5, 10), 9, False),  # a middle layer before one below it
        ((5, None, 10), 5, False),
        ((None, None, 10), None, False),
        ((None, None), None, None),
        ((5,), 0, None),
    ],
)
def test_lower_layers_settle_first_or_not(settled, value, holds):
    for text in (False, True):
        finding = judge(rows_of(settled, text=text), 0.5)
        assert (finding.value, finding.holds) == (value, holds)
    assert finding.facts["threshold"] == 0.5


def test_three_snapshots_do_not_judge():
    assert judge(rows_of((1, 5), (1, 5, 10)), 0.5).holds is None
