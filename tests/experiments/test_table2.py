"""Table 2: the command against loops over images, networks and crops, and what it refuses."""

import csv
import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from command_line import SMALLEST, assert_refused, command, subject

import deconv
from deconv.data import ten_crops
from deconv.errors import DeconvError
from deconv.scenes import Scenes
from deconv.training import Recipe, recipe_dict
from deconv.training.snapshots import Snapshot
from experiments.kit.command import compose
from experiments.kit.findings import read_findings
from experiments.kit.printed import number, printed
from experiments.kit.series import altered, as_in_the_paper, epochs_of_each
from experiments.table2_imagenet import findings

IMAGES = 18
NAMES = ("validation top-1", "validation top-5")


@pytest.fixture(scope="module")
def run(smoke_run, tmp_path_factory):
    """The last two snapshots of one training under names of the paper: (folder, lines)."""
    paths = f"snapshots=[{smoke_run}/epoch_001.pt,{smoke_run}/last.pt]"
    rows = "ensembles={zfnet 1 net:[1],zfnet 5 nets:[0,1],mine:[0]}"
    lines, _ = command(
        "table2_imagenet",
        "size=smoke",
        f"data.val_images={IMAGES}",
        "precision=fp32",
        paths,
        rows,
        cwd=tmp_path_factory.mktemp("table2"),
    )
    return Path(lines[-1]), lines


def sums_by_hand(snapshot):
    """The probabilities of each image, summed crop by crop."""
    net, data = snapshot.network(), Scenes(IMAGES, 2, snapshot.mean.shape[-1])
    sums = torch.zeros(IMAGES, len(snapshot.classes), dtype=torch.float64)
    with torch.no_grad():
        for i in range(IMAGES):
            for crop in ten_crops(data[i][0], snapshot.mean, net.input_px):
                sums[i] += net(crop[None])[0].double().softmax(0)
    return sums


def errors_by_hand(sums):
    """Top-1 and top-5 error of such sums."""
    wrong = [0, 0]
    for total, label in zip(sums, Scenes(IMAGES, 2).targets, strict=True):
        better = int((total > total[label]).sum())
        wrong[0] += better >= 1
        wrong[1] += better >= 5
    return [100 * count / IMAGES for count in wrong]


def test_the_errors_are_those_of_a_loop_over_networks_and_crops(run, smoke_run):
    first, last = (
        sums_by_hand(deconv.load_snapshot(smoke_run / n)) for n in ("epoch_001.pt", "last.pt")
    )
    rows = {row["row"]: row for row in csv.DictReader((run[0] / "table.csv").open())}
    assert list(rows) == ["zfnet 1 net", "zfnet 5 nets", "mine"]
    alone = {}
    for name, sums in (("mine", first), ("zfnet 1 net", last), ("both", first + last)):
        wanted = alone[name] = errors_by_hand(sums)
        row = rows["zfnet 5 nets" if name == "both" else name]
        assert [float(row[column]) for column in NAMES] == pytest.approx(wanted, abs=1e-3)
    both = rows["zfnet 5 nets"]
    for at, column in enumerate(NAMES):
        mean = (alone["mine"][at] + alone["zfnet 1 net"][at]) / 2
        assert float(both[f"{column} alone"]) == pytest.approx(mean, abs=1e-3)
    assert (both["nets"], both["members"]) == ("2", "0 1")
    assert [both[f"paper {c}"] for c in (*NAMES, "test top-5")] == ["36.7", "15.3", "15.3"]
    assert rows["mine"]["paper validation top-1"] == ""


def test_what_is_printed_and_found(run):
    folder, lines = run
    assert any(line.split()[-4:] == ["nets", "36.7", "15.3", "15.3"] for line in lines)
    ours = next(line for line in lines if line.startswith("zfnet 5 nets"))
    told = "test top-5: the labels of the test set are not public"
    assert ours.endswith("–") and any(line.endswith(told) for line in lines)
    found = {finding.claim: finding for finding in read_findings(folder)}
    assert set(found) == {f"table2/zfnet {n}/{c}" for n in ("1 net", "5 nets") for c in NAMES}
    assert not any(finding.comparable for finding in found.values())
    row = list(csv.DictReader((folder / "table.csv").open()))[1]
    for column in NAMES:
        assert found[f"table2/zfnet 1 net/{column}"].holds is None
        several = found[f"table2/zfnet 5 nets/{column}"]
        assert several.holds == (float(row[column]) < float(row[f"{column} alone"]))
    facts = json.loads((folder / "provenance.json").read_text())
    assert len({net["weights_sha256"] for net in facts["networks"]}) == 2
    assert facts["rows"] == {"zfnet 1 net": [1], "zfnet 5 nets": [0, 1], "mine": [0]}


def test_without_snapshots_networks_of_different_seeds_are_trained(tmp_path):
    lines, _ = command("table2_imagenet", *SMALLEST, "epochs_each=1", "seed=5", cwd=tmp_path)
    folder = Path(lines[-1])
    one, two = (deconv.load_snapshot(folder / f"net_{n}" / "last.pt") for n in (1, 2))
    assert [s.config["settings"]["seed"] for s in (one, two)] == [5, 6]
    assert [s.config["train"]["seed"] for s in (one, two)] == [5, 6] and one.epoch == 1
    assert not torch.equal(one.weights["conv1.weight"], two.weights["conv1.weight"])
    names = [row["row"] for row in csv.DictReader((folder / "table.csv").open())]
    assert names == ["net 1", "net 2", "2 nets"]


def test_networks_of_other_classes_are_not_averaged(smoke_run, tmp_path):
    snapshot = deconv.load_snapshot(smoke_run / "last.pt")
    other = replace(snapshot, classes=[*snapshot.classes[:-1], "unicorn"])
    deconv.save_snapshot(tmp_path / "other.pt", other)
    paths = [str(smoke_run / "last.pt"), str(tmp_path / "other.pt")]
    overrides = ["size=smoke", f"snapshots=[{','.join(paths)}]"]
    assert_refused("table2_imagenet", overrides, "other.pt knows other classes (17)", tmp_path)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["size=paper"], "size=paper needs trained networks"),
        (["nets=0"], "nets must be 1 or more"),
        (["precision=fp8"], "unknown precision 'fp8'"),
        (["split=vall"], "Did you mean 'val'"),
        (["epochs_each=0"], "epochs_each must be 1 or more"),
        (["ensembles={a:[]}"], "row 'a' takes a list"),
        (["ensembles={a:0}"], "row 'a' takes a list"),
        (["ensembles={a:[0,2]}"], "there are 2, numbered from 0"),
        (["ensembles={a:[1,1]}"], "each once"),
    ],
)
def test_settings_that_do_not_fit_are_named(overrides, message):
    with pytest.raises(DeconvError, match=message):
        subject("table2_imagenet", "size=smoke", *overrides)


def test_each_network_alone_and_all_of_them_are_the_rows_where_none_is_named():
    one, _ = subject("table2_imagenet", "size=smoke", "nets=1")
    assert one.rows == {"1 net": [0]}
    three, _ = subject("table2_imagenet", "size=smoke", "snapshots=[a.pt,b.pt,c.pt]")
    assert three.rows == {"net 1": [0], "net 2": [1], "net 3": [2], "3 nets": [0, 1, 2]}


def of_imagenet(**changes):
    """A snapshot that was trained as the paper says, but for `changes` of its parts."""
    recipe = {"name": "zfnet", "num_classes": 1000, "init": None, "input_px": None}
    recipe |= {"remove": (), "maps_345": None, "fc_width": None, "dropout": None}
    train = recipe_dict(Recipe())
    for key in list(changes):
        if key in recipe:
            recipe[key] = changes.pop(key)
        elif key in train:
            train[key] = changes.pop(key)
    config = {"data": "imagenet", "train": train} | changes
    classes = [str(i) for i in range(1000)]
    return Snapshot(recipe, {}, torch.zeros(3, 8, 8), classes, train["epochs"], config=config)


def test_only_the_papers_recipe_on_its_data_is_comparable():
    assert as_in_the_paper(of_imagenet(), "zfnet")
    assert as_in_the_paper(of_imagenet(workers=9, precision="bf16", seed=4), "zfnet")
    assert not as_in_the_paper(of_imagenet(), "alexnet")
    for change in (
        {"data": "imagenette"},
        {"epochs": 69},
        {"lr": 0.02},
        {"optimizer": "adamw"},
        {"crops": "any"},
        {"max_rms": None},
        {"init": "he"},
        {"input_px": 112},
        {"dropout": 0.0},
        {"train": None},
    ):
        assert not as_in_the_paper(of_imagenet(**change), "zfnet"), change
    assert not as_in_the_paper(replace(of_imagenet(), epoch=69), "zfnet")


def line(row, members, top1, alone):
    out = {"row": row, "nets": len(members.split()), "members": members}
    for column in NAMES:
        out |= {column: top1, f"{column} alone": alone}
    return out


def test_findings_are_comparable_with_the_papers_row_of_as_many_networks():
    cfg, _ = subject("table2_imagenet", "size=paper", "snapshots=[a.pt]")
    trained = [of_imagenet() for _ in range(5)]
    rows = [line("zfnet 1 net", "0", 38.6, 38.6), line("zfnet 5 nets", "0 1 2 3 4", 36.9, 38.5)]
    found = {f.claim: f for f in findings(cfg, trained, rows, 50000)}
    several = found["table2/zfnet 5 nets/validation top-1"]
    assert several.comparable and several.holds and several.value == 36.9
    assert several.half == pytest.approx(2 * 100 * math.sqrt(0.369 * 0.631 / 50000))
    assert found["table2/zfnet 1 net/validation top-5"].comparable
    for trained_, row in (
        ([of_imagenet(remove=(7,)) for _ in range(5)], rows[1]),
        ([*trained[:4], of_imagenet(epochs=60)], rows[1]),
        (trained, line("zfnet 5 nets", "0 1", 37.0, 38.5)),
        (trained, line("alexnet 5 nets", "0 1 2 3 4", 37.0, 38.5)),
        (trained, line("wide 1 net", "0", 37.0, 38.5)),
    ):
        assert not any(f.comparable for f in findings(cfg, trained_, [row], 50000)), row
    worse = findings(cfg, trained, [line("zfnet 5 nets", "0 1", 38.5, 38.5)], 50000)
    assert [f.holds for f in worse] == [False, False]
    assert findings(cfg, trained, [line("net 1", "0", 1.0, 1.0)], 10) == []
    mine = line("my 2 nets", "0 1", 1.0, 2.0)
    assert len(findings(cfg, trained, [mine], 10)) == 2
    for other in (of_imagenet(remove=(7,)), of_imagenet(epochs=60)):
        assert findings(cfg, [trained[0], other], [mine], 10) == [], "one of them is another"


def test_settings_of_a_series_keep_the_shares_of_the_rates_drops():
    cfg = compose("table2_imagenet", ["size=laptop"])
    assert epochs_of_each(cfg) == 6 and list(cfg.train.lr_drops) == [16, 21]
    short = altered(cfg, {"train.epochs": 6, "seed": 3})
    assert list(short.train.lr_drops) == [4, 5] and short.train.seed == 3
    assert list(cfg.train.lr_drops) == [16, 21] and cfg.seed == 0, "the original stays"
    assert list(altered(cfg, {"train.epochs": 1}).train.lr_drops) == []
    assert epochs_of_each(compose("table2_imagenet", ["size=smoke"])) == 2
    assert epochs_of_each(compose("table2_imagenet", ["size=paper"])) == 70
    assert epochs_of_each(compose("table2_imagenet", ["epochs_each=9"])) == 9


def test_a_printed_table_is_aligned():
    text = printed(("a", "bb"), [("long", "1"), ("b", number(None))])
    assert text.splitlines() == ["a     bb", "--------", "long   1", "b      –"]
    assert number(1.25, 1) == "1.2" and number(float("nan")) == "–" and number(0.0) == "0.0"
