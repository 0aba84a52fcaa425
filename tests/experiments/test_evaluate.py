"""The command that evaluates: what the training measured, and what it refuses."""

import csv
import json
from pathlib import Path

import pytest
from command_line import assert_refused, command, subject

import deconv
from deconv.training.snapshots import weights_hash
from experiments import evaluate


@pytest.mark.parametrize(("crops", "prefix"), [("ten", "ten_crop"), ("centre", "val")])
def test_it_agrees_with_the_last_metrics_of_the_training(crops, prefix, smoke_run, tmp_path):
    last = list(csv.DictReader((smoke_run / "metrics.csv").open()))[-1]
    lines, _ = command(
        "evaluate",
        "size=smoke",
        "precision=fp32",
        f"crops={crops}",
        f"snapshot={smoke_run / 'last.pt'}",
        cwd=tmp_path,
    )
    folder = Path(lines[-1])
    (row,) = csv.DictReader((folder / "table.csv").open())
    assert float(row["top1"]) == pytest.approx(100 - float(last[f"{prefix}_top1_error"]))
    assert float(row["loss"]) == pytest.approx(float(last[f"{prefix}_loss"]), rel=1e-5)
    facts = json.loads((folder / "provenance.json").read_text())
    trained = deconv.load_snapshot(smoke_run / "last.pt")
    assert facts["weights_sha256"] == weights_hash(trained.network())
    assert facts["data"]["images"] == 36 and facts["data"]["settings"]["val_seed"] == 2
    assert facts["training"]["data_fingerprint"] == trained.config["data_fingerprint"]


def test_sweeps_are_told_the_error(smoke_run):
    trained = deconv.load_snapshot(smoke_run / "last.pt")
    named = f"snapshot={smoke_run / 'last.pt'}"
    cfg, it = subject("evaluate", "size=smoke", "crops=centre", named, snapshot=trained)
    result = evaluate.compute(cfg, it)
    assert result.number == 100 - result.tables["table"][0]["top1"]


def test_bad_input_is_named(smoke_run, tmp_path):
    named = f"snapshot={smoke_run / 'last.pt'}"
    for overrides, words in (
        ([], "a network has to be given: snapshot=… or model=… model.weights=…"),
        ([named, "crops=eleven"], "unknown way to crop 'eleven'"),
        ([named, "precision=fp8"], "unknown precision 'fp8'"),
        ([named, "split=vall"], "Did you mean 'val'"),
        (["snapshot=none.pt"], "no snapshot at none.pt"),
    ):
        assert_refused("evaluate", ["size=smoke", *overrides], words, tmp_path)
