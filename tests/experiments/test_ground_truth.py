"""On scenes whose objects and parts are known, a trained network scores with margins.

The commands are a user's. The network in the package is scored here, a short training and that of
the demo among the slow tests; what untrained networks score stands beside it, by the same commands.
"""

import csv
import json
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from command_line import command
from torch.utils.data import DataLoader

import deconv
from deconv.data import CentreCrops
from deconv.scenes import Scenes
from deconv.training.evaluation import evaluate
from deconv.training.snapshots import save_snapshot
from experiments.kit.findings import read_findings

PARTS = ("right_eye", "left_eye", "nose")
PROJECTIONS = ("layers=[conv5]", "k=5", "examples=1")
OCCLUSION = ("count=1", "k=1", "score_stride_px=12")
FACES = ("faces=24", "draws=4", "random=4", "resamples=500", "shuffles=200")


@dataclass(frozen=True)
class Case:
    """A training, and the least that is wanted of it.

    settings: beside size=laptop. error: the most of validation images that it gets wrong, in
    percent. energy: by how much the share of a projection's energy that lies in the object, and in
    the preferred part, exceeds the best of three baselines (a random map, an untrained network,
    the box's area). fall: of the true class's probability where the square covers the object minus
    elsewhere. below: how far eyes and nose lie below random masks, as a share of random, mean of
    the three at layers 5 and 7.

    Margins are about half of what was measured: in the short training (seeds 0 and 1) 0.10 and
    0.22, 0.05 to 0.10, 0.024 and 0.065; in the demo's 0.12 and 0.29, 0.096, 0.0085 and 0.064. Of
    ratios that are asked to exceed 1.5, the fall over that with the regions of other images was
    2.4 to 4.3, and what lies below random at layer 7 over the untrained network's 3.6 to 3.8.
    """

    settings: tuple[str, ...]
    error: float
    energy: tuple[float, float]
    fall: float
    below: tuple[float, float]


SHORT = Case(
    ("data.val_images=600", "train.epochs=6", "train.eval_every=6"),
    70.0,
    (0.05, 0.1),
    0.02,
    (0.01, 0.03),
)
DEMO = Case((), 20.0, (0.06, 0.15), 0.04, (0.004, 0.035))
SHIPPED = replace(DEMO, settings=("data.val_images=150",))
"""The network in the package, which was trained as the demo's is."""


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(SHIPPED, id="shipped"),
        pytest.param(SHORT, id="short", marks=pytest.mark.slow),
        pytest.param(DEMO, id="demo", marks=pytest.mark.slow),
    ],
)
def case(request):
    return request.param


@pytest.fixture(scope="module")
def run(case, tmp_path_factory):
    """The folder of the training, with snapshots from before its first update and of its end."""
    cwd = tmp_path_factory.mktemp("ground_truth")
    if case is SHIPPED:
        trained = deconv.load_snapshot("zfnet_mini")
        untrained = deconv.build(**trained.recipe | {"seed": 7}).state_dict()
        save_snapshot(cwd / "last.pt", trained)
        save_snapshot(cwd / "epoch_000.pt", replace(trained, weights=untrained, epoch=0))
        return cwd
    settings = ("size=laptop", "pictures=none", *case.settings)
    lines, _ = command("train", *settings, cwd=cwd)
    return Path(lines[-1])


def measured(stem, case, run, snapshot, *settings):
    data = [one for one in case.settings if one.startswith("data.")]
    coarse = ("figure.dpi=100", "figure.formats=[png]")  # nobody looks at it
    settings = ("size=laptop", f"snapshot={run / snapshot}", *data, *coarse, *settings)
    lines, _ = command(stem, *settings, cwd=run.parent)
    return Path(lines[-1])


def table(path):
    with path.open() as file:
        return list(csv.DictReader(file))


def test_the_training_learned(case, run):
    snapshot = deconv.load_snapshot(run / "last.pt")
    settings = snapshot.config["data_settings"]
    scenes = Scenes(100, settings["val_seed"], snapshot.mean.shape[-1])
    net = snapshot.network()
    crops = CentreCrops(scenes, snapshot.mean, net.input_px)
    assert 100 - evaluate(net, DataLoader(crops, batch_size=32)).top1 < case.error


def test_projections_lie_on_the_object_and_on_the_part_that_the_map_prefers(case, run):
    folder = measured("truth_projections", case, run, "last.pt", *PROJECTIONS)
    rows = {row["what"]: row for row in table(folder / "summary.csv")}
    for what, margin in zip(("object", "part"), case.energy, strict=True):
        others = [float(rows[what][name]) for name in ("random_map", "untrained", "chance")]
        assert float(rows[what]["trained"]) - max(others) > margin, what


def test_projections_of_the_untrained_network_do_not(case, run):
    # Its baseline is then an untrained network of other weights.
    folder = measured("truth_projections", case, run, "epoch_000.pt", *PROJECTIONS, "seed=1")
    found = read_findings(folder)
    assert len(found) == 2 and not any(one.holds for one in found)


def occlusion(case, run, snapshot, *settings):
    folder = measured("fig7_occlusion", case, run, snapshot, *OCCLUSION, *settings)
    found = {one.claim: one for one in read_findings(folder)}
    scored = json.loads((folder / "provenance.json").read_text())["scored"]
    return found["fig7/probability"], scored["probability_drop_on_object"]


def test_the_probability_falls_where_the_square_covers_the_object(case, run):
    finding, score = occlusion(case, run, "last.pt", "score_images=30")
    assert finding.value == score["own"] > case.fall
    assert score["own"] > 1.5 * score["shuffled"]


def test_the_untrained_networks_probability_does_not(case, run):
    finding, score = occlusion(case, run, "epoch_000.pt", "score_images=12", "only_right=false")
    assert finding.holds is False and abs(score["own"]) < case.fall / 10


def test_eyes_and_noses_lie_below_random(case, run):
    """Counted are dimensions that moved in one of two faces at least.

    Where those count that moved in neither, as in the paper's Table 1, eyes and noses lie above
    random here: a random mask moves fewer. The results tell that.
    """
    folder = measured("table1_correspondence", case, run, "last.pt", *FACES)
    rows = [row for row in table(folder / "table.csv") if row["zeros"] == "left out"]
    of = {(row["network"], row["layer"], row["mask"]): row for row in rows}

    def below(network, layer):
        random = float(of[network, layer, "random"]["all"])
        return [float(of[network, layer, part]["below_random"]) / random for part in PARTS]

    assert all(float(of["trained", "conv5", part]["p"]) < 0.05 for part in PARTS)
    assert np.mean(below("trained", "conv5")) > case.below[0]
    assert np.mean(below("trained", "fc7")) > case.below[1]
    assert np.mean(below("trained", "fc7")) > 1.5 * np.mean(below("untrained", "fc7"))
