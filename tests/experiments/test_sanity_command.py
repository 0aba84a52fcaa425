"""The sanity checks as a command: its files, numbers, sentences, findings, what it refuses."""

import csv
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import assert_refused, command, subject
from golden import assert_golden

import deconv
from deconv.data import CentreCrops
from deconv.errors import DeconvError
from deconv.scenes import Scenes
from deconv.studies import sanity
from deconv.studies.sanity.shares import GOES, PARTLY, STAYS, share_rows
from deconv.studies.sanity.similarity import NUMBERS, similarity
from experiments.kit.findings import read_findings
from experiments.sanity import check
from experiments.verdicts.sanity import QUESTIONS, findings, sentences

LAYERS = ["conv2", "conv4"]


@pytest.fixture(scope="module")
def folder(smoke_run, tmp_path_factory):
    cwd = tmp_path_factory.mktemp("sanity")
    overrides = ["size=smoke", "layers=[conv2,conv4]", f"snapshot={smoke_run / 'last.pt'}"]
    lines, _ = command("sanity", *overrides, cwd=cwd)
    return Path(lines[-1])


@pytest.fixture(scope="module")
def rows(folder):
    return list(csv.DictReader((folder / "table.csv").open()))


def test_the_files_are_complete_and_agree(folder, rows):
    names = {path.name for path in folder.iterdir()}
    assert names == {
        "figure.png",
        "caption.txt",
        "arrays.npz",
        "table.csv",
        "summary.md",
        "findings.json",
        "provenance.json",
        "config.yaml",
        "sanity.log",
    }
    arrays = np.load(folder / "arrays.npz")
    for row in rows:
        if row["check"] == sanity.SHARES:
            continue
        scores = arrays[f"{row['layer']}/{row['check']}/{row['variant']}/scores"]
        some = scores[:, NUMBERS.index(row["number"])]
        some = some[np.isfinite(some)]
        assert int(row["n"]) == len(some)
        if len(some):
            assert float(row["mean"]) == pytest.approx(some.mean())
            assert float(row["low"]) <= some.mean() + 1e-9 <= float(row["high"]) + 2e-9
    checks = {(row["layer"], row["check"], row["variant"]) for row in rows}
    below = {"conv2": {"conv1", "conv2"}, "conv4": {"conv1", "conv2", "conv3", "conv4"}}
    for layer, stops in below.items():
        assert {v for at, c, v in checks if (at, c) == (layer, "cascade")} == stops
    for layer in LAYERS:
        assert (arrays[f"{layer}/above/all layers above/scores"] == 1).all()
        assert arrays[f"{layer}/above/all layers above/equal"].all()
    assert_golden(folder)


def test_a_number_of_the_table_by_hand(folder, smoke_run):
    """Another image's switches, unit by unit, as the picture that the unit has on that image."""
    snapshot = deconv.load_snapshot(smoke_run / "last.pt")
    net, arrays = snapshot.network(), np.load(folder / "arrays.npz")
    data = Scenes(36, 2, snapshot.mean.shape[-1])
    crops = CentreCrops(data, snapshot.mean, net.input_px)
    pool = sanity.balanced(data.targets, 2, 0)
    units, lenders = arrays["conv4/units"], arrays["conv4/lenders"]
    for i, ((image, number, y, x), lender) in enumerate(zip(units, lenders, strict=True)):
        assert data.targets[pool[image]] != data.targets[pool[lender]]
        top, left, bottom, right = deconv.receptive_field(net, "conv4", y, x, (net.input_px,) * 2)
        unit = torch.tensor([[0, int(number), int(y), int(x)]])
        pictures = []
        for one in (image, lender):
            record = net.record(crops[pool[one]][0][None], ["conv4"], logits=False)
            painted = deconv.project(net, record, "conv4", unit, seed="one")[0]
            pictures.append(painted[:, top:bottom, left:right].numpy())
        found = arrays["conv4/switches/of another image/scores"][i]
        np.testing.assert_allclose(found, similarity(*pictures), atol=2e-3)


def test_the_summary_and_the_findings_say_what_the_table_says(folder, rows):
    page = (folder / "summary.md").read_text()
    row = next(
        r
        for r in rows
        if (r["layer"], r["check"], r["variant"], r["number"])
        == ("conv4", "unit", "same position", "signed")
    )
    assert f"({float(row['kept']):.2f} [{float(row['kept_low']):.2f}" in page
    assert "equal to the bit" in page and "## Layer 2" in page
    found = {one.claim: one for one in read_findings(folder)}
    assert found["control/sanity/own_unit"].value == pytest.approx(float(row["kept"]))
    assert found["control/sanity/layers_above"].holds is True
    assert {"rule", "collisions", "learned_weights", "switches_over_unit", "one_class"} <= {
        key.rpartition("/")[2] for key in found
    }


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_it_is_drawn_again_from_its_files_alone(folder, tmp_path):
    (*_, again), _ = command("sanity", "size=smoke", f"redraw={folder}", cwd=tmp_path)
    assert (Path(again) / "summary.md").is_file()
    for path in map(folder.joinpath, os.listdir(again)):
        assert (Path(again) / path.name).read_bytes() == path.read_bytes(), path.name


# Rules


def made(unit, switches, weights, chance, equal=True, n=30):
    """Arrays of one layer whose scores lie about the given levels."""
    noise = np.random.default_rng(0).normal(0, 0.02, (n, 1)) * np.ones((1, 3))
    levels = {
        "cascade/conv1": weights,
        "independent/conv5": weights,
        "unit/same position": unit,
        "switches/of another image": switches,
        "switches/shuffled in their windows": switches,
        "rule/guided": 0.9,
        "rule/gradient": unit,
        "collisions/max": 0.9,
        "mining/other half of the images": 0.8,
        "mining/favoured class alone": 0.7,
        "mining/another class alone": switches,
        "mining/another map": chance,
        "chance/other map, other image": chance,
        "above/all layers above": 1.0,
    }
    arrays = {f"conv5/{key}/scores": level + noise for key, level in levels.items()}
    arrays["conv5/above/all layers above/equal"] = np.array([True] * (n - 1) + [equal])
    other = sanity.ANOTHER_CLASS
    shares = dict(zip(sanity.OF_NINE, (0.6, 0.2), strict=True))
    shares |= {f"same images, {other}": 0.1, f"strength, {other}": 0.3}
    arrays |= {f"conv5/shares/{name}": v + noise[:, 0] for name, v in shares.items()}
    return arrays


def judged(arrays):
    rows = share_rows(arrays, ["conv5"], 0)
    found = findings(arrays, rows, "conv5", 0.2, 0.5, 0)
    return rows, {one.claim.rpartition("/")[2]: one.holds for one in found}


def test_findings_follow_the_numbers():
    _, holds = judged(made(unit=0.9, switches=0.1, weights=0.1, chance=0.1))
    assert holds["layers_above"] is True and holds["learned_weights"] is True
    assert holds["own_unit"] is False and holds["own_image"] is True
    assert holds["switches_over_unit"] is True and holds["one_class"] is True
    assert holds["rule"] is True and holds["favoured_class"] is True
    _, holds = judged(made(unit=0.15, switches=0.9, weights=0.8, chance=0.1, equal=False))
    assert holds["layers_above"] is False and holds["learned_weights"] is False
    assert holds["own_unit"] is True and holds["own_image"] is False
    assert holds["switches_over_unit"] is False and holds["one_class"] is False
    assert holds["rule"] is False
    # Halfway between chance 0.1 and 1 lies 0.55, the limit of own_unit.
    assert judged(made(unit=0.55, switches=0.9, weights=0.8, chance=0.1))[1]["own_unit"] is None


def test_sentences_follow_the_verdicts():
    for unit, said in ((0.1, GOES), (0.4, PARTLY), (0.9, STAYS)):
        rows, _ = judged(made(unit=unit, switches=0.1, weights=0.1, chance=0.1))
        text = " ".join(sentences(rows, "conv5", 0.2, 0.5))
        for name in ("own_unit", "own_unit_outline"):
            for verdict in (GOES, PARTLY, STAYS):
                assert (getattr(QUESTIONS[name], verdict) in text) == (verdict == said)
        assert QUESTIONS["own_image"].goes in text and "one class shows its own picture" in text
    rows, _ = judged(made(0.5, 0.1, 0.1, 0.1, equal=False))
    assert "only 29 of 30 pictures" in " ".join(sentences(rows, "conv5", 0.2, 0.5))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("layers=[]", "layers takes a list"),
        ("layers=[conv1,conv77]", "Did you mean 'conv"),
        ("layers=[conv1,conv1]", "names conv1 twice"),
        ("units=1", "units=1 must be at least 2"),
        ("k=3", "at least k=3 of its images"),
        ("little=0.6", "0 < little < much < 1"),
        ("stops=9", "choose 1 to 8"),
        ("example=3", "example takes 0 to 2"),
        ("split=vall", "Did you mean 'val'"),
        ("how=permut", "Did you mean 'permute'"),
        ("collisions=summ", "Did you mean 'sum'"),
    ],
)
def test_settings_that_do_not_fit_are_named(override, words):
    with pytest.raises(DeconvError, match=words):
        check(*subject("sanity", "size=smoke", override))


def test_a_refusal_leaves_nothing(smoke_run, tmp_path):
    overrides = ["size=smoke", f"snapshot={smoke_run / 'last.pt'}", "per_class=30"]
    assert_refused("sanity", overrides, "classes with as many; choose 1 to", tmp_path)
