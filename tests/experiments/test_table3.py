"""Table 3: the changes, the command with a row that fails, going on, figure and findings."""

import csv
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import command, composed, subject
from golden import assert_golden

import deconv
from deconv import figures
from deconv.data import prepare, ten_crops
from deconv.errors import DeconvError, Interrupted
from deconv.networks.changes import CHANGES, build_arguments
from deconv.scenes import Scenes
from experiments import table3_ablation
from experiments.kit.command import compose, settings_of
from experiments.kit.findings import read_findings
from experiments.kit.paper_tables import TABLE3
from experiments.kit.resume import saved_settings
from experiments.table3_ablation import (
    ERRORS,
    MAY_CHANGE,
    check,
    findings,
    panel,
    papers_column,
    row,
    same_sign,
)

NETWORK = "zfnet_mini"
TRAIN, VAL = 32, 18


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A table gone on with, of which one row fails, since its folder holds a damaged snapshot."""
    cwd = tmp_path_factory.mktemp("table3")
    overrides = ["epochs_each=1", "precision=fp32", "seed=2", 'rows=["no 3,4"]']
    overrides += [f"data.train_images={TRAIN}", f"data.val_images={VAL}"]
    lines, _ = command("table3_ablation", "size=smoke", *overrides, cwd=cwd)
    broken = Path(lines[-1]) / "rows" / NETWORK / "no_7"
    broken.mkdir(parents=True)
    (broken / "epoch_000.pt").write_bytes(b"not a snapshot")
    rows = 'rows=["no 7","no 3,4","6,7: 2048"]'
    lines, _ = command("table3_ablation", f"resume={lines[-1]}", rows, cwd=cwd)
    return Path(lines[-1]), lines


def rows_of(folder):
    return {row["change"]: row for row in csv.DictReader((folder / "table.csv").open())}


def test_a_row_that_fails_is_reported_and_the_others_are_there(run):
    folder, lines = run
    rows = rows_of(folder)
    assert list(rows) == ["none", "no 3,4", "no 7", "6,7: 2048"]
    assert {change: row["state"] for change, row in rows.items() if change != "no 7"} == {
        "none": "done",
        "no 3,4": "done",
        "6,7: 2048": "done",
    }
    assert rows["no 7"]["state"].startswith("failed: no snapshot of")
    assert rows["no 7"]["train top-1"] == "" and rows["no 7"]["paper validation top-1"] == "40.0"
    assert any(
        f"Try them again with resume={folder}" in line or "resume=" in line for line in lines
    )
    assert any(line.split()[:3] == [NETWORK, "no", "7"] and "failed" in line for line in lines)
    assert (folder / "figure.png").exists()
    assert_golden(folder)
    keys = {finding.claim.split("/")[2] for finding in read_findings(folder)}
    assert keys == {"none", "no 3,4", "6,7: 2048"}


def test_each_row_is_its_own_network_trained_by_the_same_recipe(run):
    shapes = {}
    for change in ("none", "no_3,4", "6,7_2048"):
        snapshot = deconv.load_snapshot(run[0] / "rows" / NETWORK / change / "last.pt")
        shapes[change] = {name: tuple(w.shape) for name, w in snapshot.weights.items()}
        assert snapshot.epoch == 1 and snapshot.config["settings"]["seed"] == 2
    assert {n.split(".")[0] for n in shapes["none"].keys() - shapes["no_3,4"].keys()} == {
        "conv3",
        "conv4",
    }
    assert shapes["6,7_2048"]["fc7.weight"] == (256, 256)
    assert shapes["none"]["fc7.weight"] == (512, 512)


def test_errors_are_those_of_loops_over_crops(run):
    row = rows_of(run[0])["no 3,4"]
    snapshot = deconv.load_snapshot(run[0] / "rows" / NETWORK / "no_3,4" / "last.pt")
    net, mean = snapshot.network(), snapshot.mean
    wrong = dict.fromkeys(ERRORS, 0)
    with torch.no_grad():
        for image, label in (Scenes(TRAIN, 1, mean.shape[-1])[i] for i in range(TRAIN)):
            answer = net(prepare(image, mean, net.input_px)[None])[0]
            wrong["train top-1"] += int(answer.argmax()) != label
        for image, label in (Scenes(VAL, 2, mean.shape[-1])[i] for i in range(VAL)):
            total = sum(
                net(crop[None])[0].double().softmax(0)
                for crop in ten_crops(image, mean, net.input_px)
            )
            better = int((total > total[label]).sum())
            wrong["validation top-1"] += better >= 1
            wrong["validation top-5"] += better >= 5
    for column, images in zip(ERRORS, (TRAIN, VAL, VAL), strict=True):
        assert float(row[column]) == pytest.approx(100 * wrong[column] / images, abs=1e-3)


@pytest.mark.fault("hostile environment")
@pytest.mark.usefixtures("hostile_style")
def test_it_is_drawn_again_from_its_files_alone(run, tmp_path):
    (*_, folder), _ = command("table3_ablation", "size=smoke", f"redraw={run[0]}", cwd=tmp_path)
    for name in ("figure.png", "table.csv", "findings.json", "config.yaml"):
        assert (Path(folder) / name).read_bytes() == (run[0] / name).read_bytes(), name


def test_going_on_trains_what_is_missing_and_nothing_else(run, tmp_path):
    """Last, as it changes the folder: the failed row's damage is cleared away, one row is asked."""
    folder = run[0]
    (folder / "rows" / NETWORK / "no_7" / "epoch_000.pt").unlink()
    kept = folder / "rows" / NETWORK / "none" / "epoch_001.pt"
    before, old = kept.stat().st_mtime_ns, rows_of(folder)
    lines, _ = command("table3_ablation", f"resume={folder}", 'rows=["no 7"]', cwd=tmp_path)
    assert Path(lines[-1]).resolve() == folder.resolve()
    assert kept.stat().st_mtime_ns == before
    assert f"{NETWORK}, none: finished before" in lines
    rows = rows_of(folder)
    assert rows["no 7"]["state"] == "done" and rows["none"] == old["none"]
    assert json.loads((folder / "provenance.json").read_text())["choices"]["epochs"] == 1


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ("epochs_each=2", "epochs_each: 1 in the run, 2 asked for"),
        ("train.lr=0.5", "train.lr: 0.01 in the run, 0.5 asked for"),
        ("train.epochs=9", "train.epochs: 2 in the run, 9 asked for"),
    ],
)
def test_what_defines_the_table_cannot_change(run, asked, words, monkeypatch):
    overrides = [f"resume={run[0]}", asked]
    monkeypatch.setattr("sys.argv", ["table3_ablation", *overrides])
    with pytest.raises(DeconvError, match=words):
        saved_settings("table3_ablation", compose("table3_ablation", overrides), run[0], MAY_CHANGE)


def test_a_table_of_an_older_version_is_gone_on_with(run, tmp_path, monkeypatch):
    """Its settings may say more than today's; what the groups hold keeps its kind."""
    saved = (run[0] / "config.yaml").read_text()
    (tmp_path / "config.yaml").write_text(f"{saved}at_size: {{laptop: {{rows: null}}}}\n")
    overrides = [f"resume={tmp_path}", 'rows=["no 7"]']
    monkeypatch.setattr("sys.argv", ["table3_ablation", *overrides])
    config = compose("table3_ablation", overrides)
    cfg = settings_of(saved_settings("table3_ablation", config, tmp_path, MAY_CHANGE))
    assert cfg.plan() == [(NETWORK, "none"), (NETWORK, "no 7")]
    assert (cfg.size_name, cfg.data.val_images, cfg.train.epochs) == ("smoke", VAL, 2)
    assert (cfg.epochs_each, cfg.seed, cfg.resume) == (1, 2, str(tmp_path))


def test_only_the_folder_of_a_table_is_gone_on_with(tmp_path):
    for text in (None, "size_name: smoke\n"):
        if text:
            (tmp_path / "config.yaml").write_text(text)
        with pytest.raises(DeconvError, match="is not a folder of table3_ablation"):
            saved_settings("table3_ablation", compose("table3_ablation"), tmp_path, MAY_CHANGE)


def test_an_interruption_ends_the_table_and_names_its_folder(tmp_path, monkeypatch):
    def stopped(cfg, folder):
        raise Interrupted(f"stopped in epoch 2, and saved: go on with resume={folder}")

    monkeypatch.setattr(table3_ablation, "trained_in", stopped)
    with pytest.raises(Interrupted, match=f"and saved: .* by resume={tmp_path}$"):
        row(*subject("table3_ablation", "size=smoke", folder=tmp_path), NETWORK, "none")


def test_memory_that_runs_out_fails_one_row(tmp_path, monkeypatch):
    def full(cfg, folder):
        raise RuntimeError("out of memory")

    monkeypatch.setattr(table3_ablation, "trained_in", full)
    failed = row(*subject("table3_ablation", "size=smoke", folder=tmp_path), NETWORK, "no 7")
    assert failed["state"] == "failed: out of memory"


# The changes


def test_the_papers_networks_get_the_papers_numbers():
    for network in ("zfnet", "alexnet"):
        for change in TABLE3:
            found = build_arguments(network, change)
            assert found["fc_width"] == next((n for n in (2048, 8192) if str(n) in change), None)
            wide = [512, 1024, 512] if "512,1024,512" in change else None
            assert found["maps_345"] == wide
            removed = change.removeprefix("no ") if change.startswith("no ") else ""
            assert found["remove"] == [int(n) for n in removed.split(",") if n]
    assert list(CHANGES) == list(TABLE3)


def test_another_network_is_resized_in_the_same_ratio():
    assert build_arguments(NETWORK, "6,7: 2048")["fc_width"] == 256
    both = build_arguments(NETWORK, "6,7: 8192 and 3-5: 512,1024,512")
    assert both == {"remove": [], "maps_345": [171, 341, 192], "fc_width": 1024}
    for network, change, words in (
        ("zfnt", "none", "Did you mean 'zfnet'"),
        ("torchvision/vgg11", "none", "unknown network of Table 3"),
        ("zfnet", "no 3", "Did you mean 'no 3,4'"),
    ):
        with pytest.raises(DeconvError, match=words):
            build_arguments(network, change)


def plan(*overrides):
    return settings_of(composed("table3_ablation", overrides)).plan()


def test_the_plan_has_the_papers_twelve_trainings():
    paper = plan("size=paper")
    assert len(paper) == 12 == len(set(paper)) == sum(len(row) for row in TABLE3.values())
    assert paper[0] == ("alexnet", "none") and ("zfnet", "no 7") not in paper
    assert plan("size=laptop") == [(NETWORK, change) for change in TABLE3]
    asked = plan("networks=[zfnet]", 'rows=["6,7: 2048","no 7"]')
    assert asked == [("zfnet", change) for change in ("none", "no 7", "6,7: 2048")]


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("rows=[none,'no 8']", "unknown change of Table 3 'no 8'"),
        ("networks=[zfnet_min]", "Did you mean 'zfnet_mini'"),
        ("train_crops=any", "unknown way to crop 'any'"),
        ("precision=fp8", "unknown precision"),
        ("epochs_each=0", "epochs_each must be 1 or more"),
        ("model.fc_width=7", "leave out model.fc_width"),
        ("train.batch_size=0", "batch_size must be positive"),
    ],
)
def test_settings_that_do_not_fit_are_named(override, words):
    with pytest.raises(DeconvError, match=words):
        check(*subject("table3_ablation", "size=smoke", override))


# Findings


@pytest.mark.parametrize(
    ("ours", "reported", "margin", "holds"),
    [
        (3.0, 4.9, 1.0, True),
        (-3.0, 4.9, 1.0, False),
        (-3.0, -7.7, 1.0, True),
        (3.0, -0.5, 1.0, False),
        (0.9, 4.9, 1.0, None),
        (-1.0, 4.9, 1.0, None),
        (0.4, 0.0, 1.0, True),
        (1.4, 0.0, 1.0, False),
    ],
)
def test_the_sign_of_a_change_is_judged_with_a_margin(ours, reported, margin, holds):
    assert same_sign(ours, reported, margin) is holds


def done(change, errors, network=NETWORK, **more):
    line = {"network": network, "change": change, "state": "done", "as_in_the_paper": False}
    line |= dict(zip(ERRORS, errors, strict=True))
    return line | {"train_images": 6000, "val_images": 1200} | more


def test_findings_by_hand():
    rows = [
        done("none", (20.0, 30.0, 5.0)),
        done("no 3,4", (40.0, 33.0, 12.0)),
        done("6,7: 8192", (21.0, 50.0, 5.2)),
    ]
    found = {f.claim: f for f in findings(rows, imagenet=False)}
    assert set(found) == {
        f"table3/{key}/{column}"
        for key in ("zfnet/none", "alexnet/no 3,4", "zfnet/6,7: 8192")
        for column in ERRORS
    }
    # Two standard errors of 30 against 33 %: 2 · √((0.3·0.7 + 0.33·0.67) / 1200) = 3.79 points.
    assert math.isclose(2 * math.sqrt((0.21 + 0.2211) / 1200), 0.0379, abs_tol=1e-4)
    assert found["table3/alexnet/no 3,4/validation top-1"].holds is None
    assert found["table3/alexnet/no 3,4/train top-1"].holds is True  # +20, the paper's +6.7
    assert found["table3/alexnet/no 3,4/validation top-5"].holds is True
    assert found["table3/zfnet/6,7: 8192/validation top-1"].holds is True  # the paper's +0.4
    assert found["table3/zfnet/6,7: 8192/train top-1"].holds is None  # +1.0 within 1.47
    assert all(found[f"table3/zfnet/none/{column}"].holds is None for column in ERRORS)
    assert not any(f.comparable for f in found.values())
    facts = found["table3/alexnet/no 3,4/validation top-1"].facts
    assert facts["margin"] == pytest.approx(3.79, abs=0.01)
    assert (facts["moved"], facts["paper_moved"]) == (3.0, 4.9)


def test_signs_stay_open_where_trainings_were_cut_short():
    rows = [done("none", (20.0, 30.0, 5.0)), done("no 3,4", (40.0, 43.0, 12.0))]
    whole, cut = findings(rows, False), findings(rows, False, "6 of the recipe's 24 epochs")
    assert [f.value for f in whole] == [f.value for f in cut]
    assert [f.holds for f in whole[3:]] == [True] * 3 and [f.holds for f in cut] == [None] * 6
    assert all(f.facts["cut_short"] == "6 of the recipe's 24 epochs" for f in cut[3:])
    for overrides, how in (
        (["size=laptop"], "6 of the recipe's 24 epochs"),
        (["size=laptop", "epochs_each=24"], ""),
        (["size=paper"], ""),
    ):
        assert settings_of(composed("table3_ablation", overrides)).cut_short == how


def test_only_the_papers_network_on_its_data_is_comparable():
    for network, paper, imagenet in (
        ("zfnet", True, True),
        ("zfnet", False, True),
        ("zfnet", True, False),
        (NETWORK, True, True),
    ):
        rows = [done("none", (33.0, 38.0, 16.0), network, as_in_the_paper=paper)]
        (comparable,) = {f.comparable for f in findings(rows, imagenet)}
        assert comparable == (network == "zfnet" and paper and imagenet)
    assert papers_column("zfnet", "no 7") is None and papers_column(NETWORK, "no 7") == "alexnet"
    assert findings([done("no 7", (1, 1, 1))], True) == [], "nothing to compare with"


def test_the_dots_stand_where_the_numbers_are():
    def line(change, ours, theirs, paper):
        out = {"network": NETWORK, "change": change, "paper network": theirs}
        out |= {"maps of 3-5": "", "units of 6,7": "256" if "2048" in change else ""}
        out |= {"train_images": "6000", "val_images": "1200"}
        out |= {c: str(v) for c, v in zip(ERRORS, ours, strict=True)}
        return out | {f"paper {c}": str(v) for c, v in zip(ERRORS, paper, strict=True)}

    one = panel(
        [
            line("none", (20.0, 30.0, 5.0), "zfnet", (33.1, 38.4, 16.5)),
            line("no 3,4", (40.0, 33.0, 9.0), "alexnet", (41.8, 45.4, 22.1)),
            line("6,7: 2048", (19.0, 29.5, 5.5), "zfnet", (38.2, 40.2, 17.6)),
        ]
    )
    np.testing.assert_allclose(one.ours, [[20, 3], [-1, -0.5]])
    np.testing.assert_allclose(one.reported, [[6.7, 4.9], [5.1, 1.8]])
    assert one.changes == ["no 3,4", "6,7: 2048"] and one.theirs == ["alexnet", "zfnet"]
    assert one.notes == ["", "here layers 6, 7: 256"]
    figure = figures.error_changes([one], "caption")
    for column, axes in enumerate(figure.axes):
        dots = [artist for artist in axes.lines if artist.get_marker() in ("o", "s")]
        found = {(float(d.get_xdata()[0]), int(d.get_ydata()[0])) for d in dots}
        both = {(round(one.ours[r, column], 6), r) for r in (0, 1)}
        both |= {(round(one.reported[r, column], 6), r) for r in (0, 1)}
        assert {(round(x, 6), y) for x, y in found} == both
        low, high = axes.get_xlim()
        assert all(low < x < high for x, _ in found)
