"""Projections against known boxes: the command, its files, its findings, what it refuses."""

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
from deconv.scenes import Scenes
from deconv.studies.localisation import GROUPS, summarise
from experiments.kit.findings import read_findings
from experiments.truth_projections import check, findings

SMALL = ["size=smoke", "layers=[conv1,conv4]", "maps_each=4", "k=3", "examples=2"]


@pytest.fixture(scope="module")
def folder(smoke_run, tmp_path_factory):
    cwd = tmp_path_factory.mktemp("truth")
    lines, _ = command("truth_projections", *SMALL, f"snapshot={smoke_run / 'last.pt'}", cwd=cwd)
    return Path(lines[-1])


def test_the_files_are_complete_and_agree(folder):
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "figure.png",
        "caption.txt",
        "arrays.npz",
        "table.csv",
        "summary.csv",
        "findings.json",
        "provenance.json",
        "config.yaml",
        "truth_projections.log",
    }
    rows = list(csv.DictReader((folder / "table.csv").open()))
    assert len(rows) == 2 * 2 * 4
    summary = {(r["layer"], r["what"]): r for r in csv.DictReader((folder / "summary.csv").open())}
    mine = [r for r in rows if (r["network"], r["layer"]) == ("trained", "conv4")]
    wanted = np.mean([float(r["object_own"]) for r in mine])
    row = summary["conv4", "object"]
    assert float(row["trained"]) == pytest.approx(wanted, abs=1e-4)
    assert float(row["trained_low"]) <= wanted <= float(row["trained_high"])
    found = {one.claim: one for one in read_findings(folder)}
    assert set(found) == {f"control/truth_projections/{w}_energy" for w in ("object", "part")}
    assert found["control/truth_projections/object_energy"].value == pytest.approx(wanted, abs=1e-4)
    for what in ("object", "part"):
        row = summary["conv4", what]
        lows = [float(row[f"above_{group}_low"]) for group in GROUPS[1:]]
        assert found[f"control/truth_projections/{what}_energy"].holds is (min(lows) > 0.05)
    assert_golden(folder)


def test_parts_are_chosen_on_even_images_and_scored_on_odd_ones(folder, smoke_run):
    """Written again by hand for one layer, unit by unit."""
    snapshot = deconv.load_snapshot(smoke_run / "last.pt")
    net = snapshot.network()
    side = snapshot.mean.shape[-1]
    scenes = Scenes(36, 2, side)
    crops = CentreCrops(scenes, snapshot.mean, net.input_px)
    arrays = np.load(folder / "arrays.npz")
    edge = (side - net.input_px) // 2
    record = net.record(torch.stack([crops[i][0] for i in range(36)]), ["conv4"])
    values = record.activations["conv4"]

    def boxes_of(image):
        scene, found = scenes.scene(image), {}
        for part in scene.parts:
            mask = found.setdefault(part.name, np.zeros((side, side), bool))
            mask[part.box[0] : part.box[2], part.box[1] : part.box[3]] = True
        cut = slice(edge, edge + net.input_px)
        return {name: mask[cut, cut] for name, mask in found.items() if mask[cut, cut].any()}

    def shares(image, number):
        y, x = divmod(int(values[image, number].argmax()), values.shape[-1])
        unit = torch.tensor([[image, number, y, x]])
        energy = (deconv.project(net, record, "conv4", unit)[0].double() ** 2).sum(0).numpy()
        top, left, bottom, right = deconv.receptive_field(
            net, "conv4", y, x, (net.input_px, net.input_px)
        )
        return {
            name: (energy[mask].sum() / energy.sum(), mask[top:bottom, left:right].mean())
            for name, mask in boxes_of(image).items()
        }

    for row, number in enumerate(arrays["trained/conv4/maps"].tolist()):
        strongest = values[:, number].flatten(1).max(dim=1).values
        halves = []
        for first in (0, 1):
            images = sorted(range(first, 36, 2), key=lambda i: (-float(strongest[i]), i))[:3]
            halves.append([shares(i, number) for i in images])
        totals = {}
        for one in halves[0]:
            for name, (energy, area) in one.items():
                totals[name] = totals.get(name, 0) + energy - area
        part = max(sorted(totals), key=lambda name: totals[name])
        assert arrays["trained/conv4/parts"][row] == part
        wanted = np.mean([one.get(part, (0, 0)) for one in halves[1]], axis=0)
        for key, value in zip(("own", "chance"), wanted, strict=True):
            assert arrays[f"trained/conv4/part/{key}"][row] == pytest.approx(value, abs=1e-3)


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_it_is_drawn_again_from_its_files_alone(folder, tmp_path):
    (*_, again), _ = command("truth_projections", "size=smoke", f"redraw={folder}", cwd=tmp_path)
    names = {path.name for path in folder.iterdir()} - {"truth_projections.log"}
    for name in names:
        assert (Path(again) / name).read_bytes() == (folder / name).read_bytes(), name


def test_data_without_boxes_is_refused_before_anything(smoke_run, tmp_path):
    snapshot = f"snapshot={smoke_run / 'last.pt'}"
    overrides = ["size=smoke", "data=imagefolder", snapshot]
    assert_refused("truth_projections", overrides, "data=scenes", tmp_path)


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("data=caltech101", "boxes of caltech101 are not known"),
        ("layers=[conv1,conv77]", "Did you mean 'conv"),
        ("layers=[]", "layers takes a list"),
        ("maps_each=0", "maps_each=0 must be at least 1"),
        ("k=0", "k=0 must be at least 1"),
        ("margin=1.0", "margin is a share"),
        ("split=vall", "Did you mean 'val'"),
        ("collisions=summ", "Did you mean 'sum'"),
        ("k=19", "has 36 images; scoring two halves with k=19 peaks a map needs 38 or more"),
    ],
)
def test_settings_that_do_not_fit_are_named(override, words):
    check(*subject("truth_projections", "size=smoke"))
    with pytest.raises(DeconvError, match=words):
        check(*subject("truth_projections", "size=smoke", override))


def shares_of(own, random, untrained, chance, maps=40):
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.02, maps)
    arrays = {}
    for what in ("object", "part"):
        arrays[f"trained/conv5/{what}/own"] = own + noise
        arrays[f"trained/conv5/{what}/random_map"] = random + noise
        arrays[f"trained/conv5/{what}/chance"] = chance + noise
        arrays[f"untrained/conv5/{what}/own"] = untrained + rng.normal(0, 0.02, maps)
    return arrays


@pytest.mark.parametrize(
    ("levels", "holds"),
    [
        ((0.6, 0.3, 0.3, 0.3), True),
        ((0.6, 0.56, 0.3, 0.3), False),
        ((0.6, 0.3, 0.56, 0.3), False),
        ((0.6, 0.3, 0.3, 0.56), False),
        ((0.6, 0.3, 0.3, 0.545), True),  # paired: the maps' own scatter cancels
        ((0.6, 0.3, 0.545, 0.3), False),  # not paired: it does not
        ((0.2, 0.3, 0.3, 0.3), False),
    ],
)
def test_a_finding_holds_only_above_all_three_baselines_by_the_margin(levels, holds):
    for one in findings(summarise(shares_of(*levels), ["conv5"], 0), "conv5", 0.05):
        assert one.holds is holds and one.value == pytest.approx(levels[0], abs=0.02)


def test_maps_without_a_part_are_left_out():
    arrays = shares_of(0.6, 0.3, 0.3, 0.3)
    for key in ("own", "random_map", "chance"):
        arrays[f"trained/conv5/part/{key}"][:39] = np.nan
    rows = {row["what"]: row for row in summarise(arrays, ["conv5"], 0)}
    assert rows["part"]["maps"] == 1 and rows["object"]["maps"] == 40
    for key in ("own", "random_map", "chance"):
        arrays[f"trained/conv5/part/{key}"][:] = np.nan
    found = findings(summarise(arrays, ["conv5"], 0), "conv5", 0.05)
    assert [one.claim.rpartition("/")[2] for one in found] == ["object_energy"]


@pytest.mark.parametrize(("layers", "maps", "ranks"), [(1, 1, 1), (5, 6, 3), (3, 4, 2)])
def test_nothing_on_the_page_overlaps_or_is_cut_off(layers, maps, ranks):
    rng = np.random.default_rng(0)
    values = {group: rng.random(9) for group in GROUPS}
    values["trained"][0] = np.nan
    means = {group: np.array([0.5, 0.4, 0.6]) for group in GROUPS}
    names = [f"Layer {i + 1}" for i in range(layers)]
    panels = [
        figures.SharePanel(title, names, [values] * layers, [means] * layers)
        for title in ("In the object's box", "In the preferred part")
    ]
    boxes = np.zeros((maps, ranks, 2, 4), int)
    boxes[:, :, 0] = (2, 3, 8, 9)
    shown = figures.BoxedExamples(
        "Layer 5",
        np.arange(maps),
        np.array(["left_headlight"] * maps),
        np.full(maps, 0.5),
        np.full(maps, 0.25),
        rng.integers(0, 255, (maps, ranks, 3, 16, 16), np.uint8),
        rng.normal(size=(maps, ranks, 3, 16, 16)),
        boxes[:, :, 0],
        boxes,
    )
    page = figures.localisation(panels, shown, "A caption of several words. " * 15)
    renderer = FigureCanvasAgg(page).get_renderer()
    places = [axes.get_tightbbox(renderer) for axes in page.axes]
    places += [words.get_window_extent(renderer) for words in page.texts]
    for i, box in enumerate(places):
        assert box.x0 >= 0 and box.x1 <= page.bbox.x1 and box.y0 >= 0 and box.y1 <= page.bbox.y1
        for other in places[:i]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            down = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(across, down) < 2, "more than a hair in common"
    pictures = [axes for axes in page.axes if axes.get_label() == "example"]
    assert len(pictures) == 2 * maps * ranks
    # The box of no area is not drawn; each other one twice, with its pale edge.
    assert all(len(axes.patches) == 4 for axes in pictures)
    assert pictures[0].patches[0].get_bbox().bounds == (2.5, 1.5, 6, 6)
    lines = {line.get_label(): line for line in page.axes[0].lines}
    assert lines["Layer 1/trained"].get_ydata().tolist() == [50, 50]


def test_a_page_without_panels_is_refused():
    with pytest.raises(DeconvError, match="at least one panel"):
        figures.localisation([], None, "")


def test_the_sidecar_names_the_choices(folder):
    facts = json.loads((folder / "provenance.json").read_text())
    assert facts["choices"]["margin"] == 0.05 and "even images" in facts["choices"]["peaks"]
    assert facts["data"]["images"] == 36 and facts["weights_sha256"]
