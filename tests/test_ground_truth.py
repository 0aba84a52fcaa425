"""On scenes whose objects and parts are known a trained network scores, with margins.

The commands are a user's. A short training is scored here, that of the demo among the slow tests;
the network that either began from is scored by the same commands and must not pass.
"""

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import pytest
from commands import command

from experiments.findings import read_findings

HOUR_S = 3600
"""A machine that does other work besides is no reason to fail."""
PARTS = ("right_eye", "left_eye", "nose")
PROJECTIONS = ("layers=[conv5]", "k=5", "examples=1")
OCCLUSION = ("count=1", "others=1", "score_images=60")
FACES = ("faces=24", "draws=4", "random=4", "resamples=500", "shuffles=200")


@dataclass(frozen=True)
class Case:
    """A training, and the least that is wanted of it.

    settings: beside size=laptop. error: the most of validation images that it gets wrong, in
    percent. energy: by how much the share of a projection's energy that lies in the object, and in
    the preferred part, exceeds the best of three baselines (a random map, an untrained network,
    the box's area). fall: of the true class's probability where the square covers the object minus
    elsewhere. below: how far eyes and nose lie below random masks, as a share of random, at layers
    5 and 7.
    """

    settings: tuple[str, ...]
    error: float
    energy: tuple[float, float]
    fall: float
    below: tuple[float, float]


SHORT = Case(
    ("data.train_images=3000", "data.val_images=400", "train.epochs=10", "train.eval_every=10"),
    90.0, (0.0, 0.0), 0.0, (0.0, 0.0),
)  # fmt: skip
DEMO = Case((), 20.0, (0.1, 0.2), 0.03, (0.01, 0.02))


@pytest.fixture(
    scope="module",
    params=[pytest.param(SHORT, id="short"), pytest.param(DEMO, id="demo", marks=pytest.mark.slow)],
)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def run(case, tmp_path_factory):
    """The folder of the training, with the snapshots of its begin and its end."""
    cwd = tmp_path_factory.mktemp("ground_truth")
    settings = ("size=laptop", "pictures=none", *case.settings)
    lines, _ = command("train", *settings, cwd=cwd, timeout_s=HOUR_S)
    return Path(lines[-1])


def measured(stem, case, run, snapshot, *settings):
    data = [one for one in case.settings if one.startswith("data.")]
    settings = ("size=laptop", f"snapshot={run / snapshot}", *data, *settings)
    lines, _ = command(stem, *settings, cwd=run.parent, timeout_s=HOUR_S)
    return Path(lines[-1])


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_training_learned(case, run):
    assert float(table(run / "metrics.csv")[-1]["val_top1_error"]) < case.error


def test_projections_lie_on_the_object_and_on_the_part_that_the_map_prefers(case, run):
    folder = measured("truth_projections", case, run, "last.pt", *PROJECTIONS)
    assert all(one.holds for one in read_findings(folder))
    rows = {row["what"]: row for row in table(folder / "summary.csv")}
    for what, margin in zip(("object", "part"), case.energy, strict=True):
        others = [float(rows[what][name]) for name in ("random_map", "untrained", "chance")]
        print(what, float(rows[what]["trained"]) - max(others))
        assert float(rows[what]["trained"]) - max(others) > margin


def test_projections_of_the_untrained_network_do_not(case, run):
    folder = measured("truth_projections", case, run, "epoch_000.pt", *PROJECTIONS)
    assert not any(one.holds for one in read_findings(folder))


def occlusion(case, run, snapshot, *settings):
    folder = measured("fig7_occlusion", case, run, snapshot, *OCCLUSION, *settings)
    found = {one.key: one for one in read_findings(folder)}
    scored = json.loads((folder / "provenance.json").read_text())["scored"]
    return found["fig7/probability"], scored["probability_drop_on_object"]


def test_the_probability_falls_where_the_square_covers_the_object(case, run):
    finding, score = occlusion(case, run, "last.pt")
    assert finding.holds and finding.value == score["own"]
    print("fall", score)
    assert score["own"] > case.fall and score["own"] > 2 * score["shuffled"]


def test_the_untrained_networks_probability_does_not(case, run):
    finding, score = occlusion(case, run, "epoch_000.pt", "only_right=false")
    assert not finding.holds and abs(score["own"]) < case.fall / 4


def test_eyes_and_noses_lie_below_random(case, run):
    """Of what moved in at least one of two faces: where dimensions count that moved in neither,
    they lie above random, which moves fewer (a departure from the paper that the ledger tells)."""
    folder = measured("table1_correspondence", case, run, "last.pt", *FACES)
    rows = [row for row in table(folder / "table.csv") if row["zeros"] == "left out"]
    of = {(row["network"], row["layer"], row["mask"]): row for row in rows}
    for layer, margin in zip(("conv5", "fc7"), case.below, strict=True):
        for part in PARTS:
            row, random = of["trained", layer, part], of["trained", layer, "random"]
            print(
                layer,
                part,
                float(row["below_random"]) / float(random["all"]),
                row["below_random_low"],
                row["p"],
            )
            assert float(row["below_random_low"]) > 0 and float(row["p"]) < 0.05
            assert float(row["below_random"]) / float(random["all"]) > margin
