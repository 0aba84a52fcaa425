"""Contrast normalisations compared: what is trained, measured, judged, drawn and refused."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import assert_refused, command, subject
from golden import assert_golden
from matplotlib.backends.backend_agg import FigureCanvasAgg
from omegaconf import OmegaConf

import deconv
from deconv import figures
from deconv.data import CentreCrops
from deconv.errors import DeconvError
from deconv.fields import unclipped_field
from deconv.scenes import Scenes
from deconv.training.snapshots import save_snapshot
from experiments.contrast_normalisation import ROLES, check, findings, numbers
from experiments.kit.findings import read_findings

STEM = "contrast_normalisation"

# Networks


def test_twins_differ_in_their_normalisation_alone():
    _, it = subject(STEM, "size=laptop", "epochs=7")
    plain = {role: OmegaConf.to_container(one.config) for role, one in it.roles.items()}
    assert [plain[role]["model"].pop("norm") for role in ROLES] == list(ROLES)
    assert plain["response"] == plain["local"] == plain["none"]
    assert plain["none"]["train"]["epochs"] == plain["none"]["train"]["eval_every"] == 7
    assert it.config.model.norm is None, "left as it was"
    built = [deconv.build("zfnet_mini", 3, norm=role, seed=0) for role in ROLES]
    first, *others = [dict(net.named_parameters()) for net in built]
    assert all(torch.equal(first[n], net[n]) for net in others for n in first), "first weights"


def snapshot(**recipe):
    changes = {"input_px": 64, "fc_width": 4, "seed": 0} | recipe
    net = deconv.build("zfnet_mini", 3, **changes)
    return deconv.Snapshot(net.recipe, net.state_dict(), torch.zeros(3, 74, 74), list("abc"))


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"local": {"norm": "none"}}, "local= has to be trained with model.norm=local, not none"),
        ({"none": {}}, "none= has to be trained with model.norm=none, not response"),
        (
            {"response": {}, "local": {"norm": "local", "fc_width": 8}},
            "local= and response= differ in more than model.norm: fc_width 8 and 4",
        ),
        (
            {"local": {"norm": "local"}, "none": {"norm": "none", "first_layer": "coarse"}},
            "none= and local= differ in more than model.norm: first_layer coarse and None",
        ),
    ],
)
def test_networks_that_do_not_belong_together_are_refused(given, words, tmp_path):
    def look(snapshots):
        paths = {
            role: save_snapshot(tmp_path / f"{role}.pt", one) for role, one in snapshots.items()
        }
        cfg, it = subject(STEM, "size=smoke", *(f"{role}={path}" for role, path in paths.items()))
        check(cfg, it)
        return it

    it = look({"response": snapshot(), "local": snapshot(norm="local")})
    assert it.roles["none"].config.model.fc_width == 4, "a twin of what is given"
    with pytest.raises(DeconvError) as error:
        look({role: snapshot(**recipe) for role, recipe in given.items()})
    assert words in str(error.value)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["size=paper", "local=a.pt"], "response=, none= missing"),
        (["split=vall"], "unknown split 'vall'. Did you mean 'val'"),
        (["collisions=summ"], "Did you mean 'sum'"),
        (["faint=1.0"], "faint is a share"),
        (["epochs=0"], "epochs must be at least 1"),
    ],
)
def test_settings_that_do_not_fit_are_named(overrides, words):
    check(*subject(STEM, "size=laptop"))
    with pytest.raises(DeconvError) as error:
        check(*subject(STEM, *overrides))
    assert words in str(error.value)


# The command


@pytest.fixture(scope="module")
def run(smoke_run, tmp_path_factory):
    """The page at size=smoke with `response` given, its twins trained."""
    (*_, folder), _ = command(
        STEM,
        "size=smoke",
        f"response={smoke_run / 'last.pt'}",
        "seed=3",
        cwd=tmp_path_factory.mktemp("contrast"),
    )
    return Path(folder)


def test_a_run_leaves_all_its_files_and_the_networks_it_trained(run):
    names = {path.name for path in run.iterdir()}
    assert names == {
        "figure.png",
        "caption.txt",
        "arrays.npz",
        "table.csv",
        "findings.json",
        "config.yaml",
        "provenance.json",
        "contrast_normalisation.log",
        "local",
        "none",
    }
    facts = json.loads((run / "provenance.json").read_text())
    recipes = {role: dict(facts["networks"][role]["model"]) for role in ROLES}
    assert [recipes[role].pop("norm") for role in ROLES] == [None, "local", "none"]
    assert recipes["response"] == recipes["local"] == recipes["none"]
    assert facts["unequal"] == {"local": [], "none": []}
    assert {f.claim.rpartition("/")[2] for f in read_findings(run)} == {"response", "local"}
    assert_golden(run)


def test_what_is_measured_is_what_the_networks_have(run, smoke_run):
    facts = json.loads((run / "provenance.json").read_text())
    rows = list(csv.DictReader((run / "table.csv").open()))
    arrays = np.load(run / "arrays.npz")
    for role, path in (("response", smoke_run), ("local", run / "local"), ("none", run / "none")):
        snapshot = deconv.load_snapshot(path / "last.pt")
        net = snapshot.network()
        crops = CentreCrops(Scenes(36, 2, snapshot.mean.shape[-1]), snapshot.mean, net.input_px)
        batch = torch.stack([crops[i][0] for i in range(36)])
        labels = torch.tensor([crops[i][1] for i in range(36)])
        points = [p for p in ("conv1", "pool1", "norm1", "conv2", "norm2") if p in net.points]
        record = net.record(batch, points)
        right = 100 * (record.logits.argmax(1) == labels).double().mean().item()
        assert facts["networks"][role]["accuracy"] == pytest.approx(right, abs=1e-6)
        by_layer = {row["layer"]: row for row in rows if row["network"] == role}
        for point, layer, column in (
            ("conv1", "conv1", ""),
            ("pool1", "conv1", "before_"),
            ("norm1", "conv1", "behind_"),
            ("conv2", "conv2", ""),
            ("norm2", "conv2", "behind_"),
        ):
            row = by_layer[layer]
            if point not in net.points:
                assert role == "none" and row[f"{column}redundancy"] == ""
                continue
            maps = record.activations[point].double().transpose(0, 1).flatten(1)
            share = (maps > 0).double().mean().item()
            assert float(row[f"{column}above_0"]) == pytest.approx(share, abs=2e-5)
            live = maps[maps.var(1) > 0]
            apart = np.abs(np.corrcoef(live.numpy()))[~np.eye(len(live), dtype=bool)]
            assert float(row[f"{column}redundancy"]) == pytest.approx(apart.mean(), abs=2e-5)
            if layer == point:
                assert int(row["dead"]) == int((maps.amax(1) <= 0).sum())
        assert np.array_equal(arrays[f"{role}/filters"], net.conv1.weight.detach().numpy())
        assert arrays[f"{role}/projection"].shape == (96, 3, 17, 17)
        best = record.activations["conv2"].amax((0, 2, 3))
        clipped = 0
        for number, (image, y, x) in enumerate(
            zip(*(arrays[f"{role}/{name}"] for name in ("image", "y", "x")), strict=True)
        ):
            assert (image < 0) == (best[number] <= 0)
            top, left, bottom, right = unclipped_field(
                net, "conv2", int(y), int(x), (net.input_px,) * 2
            )
            out = min(top, left) < 0 or max(bottom, right) > net.input_px
            clipped += bool(image >= 0 and out)
        assert int(by_layer["conv2"]["at_border"]) == clipped > 0


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_it_is_drawn_again_from_its_files_alone(run, tmp_path):
    (*_, folder), _ = command(STEM, "size=smoke", f"redraw={run}", cwd=tmp_path)
    for path in run.iterdir():
        if path.is_file() and path.suffix != ".log":
            assert (Path(folder) / path.name).read_bytes() == path.read_bytes(), path.name


def test_bad_input_leaves_nothing(run, tmp_path):
    words = "none= has to be trained with model.norm=none, not local"
    given = f"none={run / 'local' / 'last.pt'}"
    assert_refused(STEM, ["size=smoke", given], words, tmp_path)


# Findings and the page


def rows_of(**falls):
    """table.csv's rows; falls: role -> how much redundancy falls in layers 1 and 2."""
    return [
        {
            "network": role,
            "layer": f"conv{i}",
            "before_redundancy": 0.4,
            "behind_redundancy": None if fall is None else 0.4 - fall,
        }
        for role, pair in falls.items()
        for i, fall in enumerate(pair, 1)
    ]


@pytest.mark.parametrize(
    ("response", "local", "holds"),
    [
        ((0.1, 0.05), (0.2, 0.1), [True, True]),
        ((0.1, -0.05), (0.0, 0.1), [False, False]),
        ((None, 0.1), (0.1, 0.1), [None, True]),
    ],
)
def test_redundancy_has_to_fall_in_both_layers(response, local, holds):
    found = findings(rows_of(response=response, local=local, none=(None, None)))
    assert [finding.holds for finding in found] == holds
    for finding, falls in zip(found, (response, local), strict=True):
        if finding.holds is None:
            assert finding.value is None and "fewer than two" in finding.facts["why_not"]
        else:
            assert finding.value == pytest.approx(min(falls))


def test_the_numbers_on_the_page_are_those_of_the_table():
    row = {"dead": 3, "maps": 48, "above_0": 0.1234, "redundancy": 0.2346}
    row |= {"before_redundancy": 0.3456, "behind_redundancy": "", "behind_above_0": None}
    row["at_border"] = 5
    facts = {
        "rows": [row | {"network": r, "layer": f"conv{i}"} for r in ROLES for i in (1, 2)],
        "networks": {role: {"accuracy": 80.0} for role in ROLES},
        "data": {"images": 400},
    }
    lines = numbers(facts)
    assert lines[0].words[0] == ["20.0 ± 2.0"], "of 400 images; the error"
    words = [line.words[1][1] for line in lines[1:]]
    assert words == ["3 of 48", "5 of 48", "12.3", "–", "0.235", "0.346", "–"]


@pytest.mark.parametrize("maps", [4, 96, 256])
def test_nothing_on_the_page_overlaps_or_is_cut_off(maps):
    rng = np.random.default_rng(0)
    inside = np.ones((maps, 17, 17), bool)
    inside[1] = False
    columns = [
        figures.FirstLayers(
            name,
            2,
            rng.normal(size=(maps, 3, 5, 5)),
            np.ones(maps),
            rng.normal(size=(maps, 3, 17, 17)),
            inside,
            {},
            "96 of 11×11 px stride 4, one scale",
        )
        for name in ("response", "local", "without")
    ]
    rows = [
        figures.NumberRow("Accuracy (top-1 %)", [["60.1 ± 1.4"]] * 3, "words below a name"),
        figures.NumberRow("Dead maps", [["222 of 256", "111 of 256"]] * 3),
    ]
    page = figures.contrast_normalisation(columns, rows, "Words of a caption. " * 30)
    renderer = FigureCanvasAgg(page).get_renderer()
    edges = page.bbox
    boxes = [axes.get_tightbbox(renderer) for axes in page.axes]
    boxes += [text.get_window_extent(renderer) for text in page.texts]
    for i, box in enumerate(boxes):
        assert box.x0 >= 0 and box.x1 <= edges.x1 and box.y0 >= 0 and box.y1 <= edges.y1, i
        for other in boxes[:i]:
            across = min(box.x1, other.x1) - max(box.x0, other.x0)
            down = min(box.y1, other.y1) - max(box.y0, other.y0)
            assert min(across, down) < 2, "more than a hair in common"
    words = [text.get_text() for text in page.texts]
    assert words.count("60.1 ± 1.4") == 3 and words.count("222 of 256") == 3
