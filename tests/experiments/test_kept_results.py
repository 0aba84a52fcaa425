"""What is kept of folds and ledgers is read from their folders and set beside the paper's."""

import json
import statistics
from dataclasses import asdict

import pytest

from deconv.errors import DeconvError
from experiments.kit.findings import Finding, write_findings
from experiments.kit.kept_results import MOST_ROWS, onset, portable, row_of_folds, tables
from scripts import keep_results


def fold(folder, seed, accuracy, per_class=30, data="caltech101", tested=True, epochs=2):
    """The files that a training leaves, as far as they are read."""
    run = folder / f"run{seed}"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(
        f"data: {{name: {data}, seed: {seed}, train_per_class: {per_class}}}\n"
        f"train: {{epochs: {epochs}, seed: {seed}}}\n"
    )
    columns = "epoch,train_error,images_per_second,renormalised_conv1,val_mean_class_accuracy"
    test = f"{accuracy},{100 - accuracy - 2}" if tested else ","
    (run / "metrics.csv").write_text(
        f"{columns},ten_crop_mean_class_accuracy,ten_crop_top1_error\n"
        f"1,90,10,3,,,\n2,50,,4,{accuracy - 1},{test}\n"
    )
    facts = {"training_images": 600, "weights_sha256": "1" * 16}
    facts["starts"] = [{"command": "python -m experiments.train", "commit": "abc"}]
    (run / "provenance.json").write_text(json.dumps(facts))
    return run


def test_a_row_has_the_mean_and_the_spread_of_its_folds(tmp_path):
    values = [50.0, 53.0, 52.5]
    folds = [fold(tmp_path, seed, value) for seed, value in enumerate(values)]
    row = row_of_folds(folds)
    assert row["mean"] == round(statistics.mean(values), 2)
    assert row["standard_deviation"] == round(statistics.stdev(values), 2)
    assert row["reported"] == {"mean": 46.5, "spread": 1.7}
    first = row["folds"][0]
    assert first["mean_class_accuracy"] == 50 and first["top1_accuracy"] == 52
    assert first["centre_crop_mean_class_accuracy"] == 49
    assert first["renormalised_filters"] == {"conv1": 7} and first["epochs"] == 2
    assert first["training_minutes"] == 2.0, "two epochs of 600 images at 10 images/s"
    assert first["weights_sha256"] == "1" * 16 and first["commit"] == "abc"
    assert row_of_folds(folds[:1])["standard_deviation"] is None


def test_a_row_grows_by_folds_whose_predecessors_are_gone(tmp_path):
    kept = row_of_folds([fold(tmp_path, 2, 50.0), fold(tmp_path, 0, 53.0)])["folds"]
    grown = row_of_folds([fold(tmp_path, 1, 52.0), fold(tmp_path / "again", 2, 51.0)], kept)
    assert [one["split_seed"] for one in grown["folds"]] == [0, 1, 2]
    assert grown["mean"] == 52 and grown["standard_deviation"] == 1
    with pytest.raises(DeconvError, match="wants one recipe"):
        row_of_folds([fold(tmp_path, 3, 50.0, epochs=9)], kept)


def test_the_onset_of_renormalisation_joins_folders_of_one_network(tmp_path):
    def folder(name, rate, fc_width=None):
        run = tmp_path / name
        run.mkdir()
        model = {"name": "zfnet", "fc_width": fc_width}
        facts = {"model": model, "data": {"name": "scenes"}, "max_rms": 0.1, "versions": {}}
        (run / "provenance.json").write_text(json.dumps(facts))
        (run / "table.csv").write_text(f"scale,rate,layer\n1.0,{rate},conv1\n1.0,{rate},conv2\n")
        return run

    low, high = folder("low", 0.1), folder("high", 1.0)
    kept = onset([low, high])
    assert kept["model"] == {"name": "zfnet"} and kept["max_rms"] == 0.1
    pairs = [(row["rate"], row["layer"]) for row in kept["rows"]]
    assert pairs == [("0.1", "conv1"), ("0.1", "conv2"), ("1.0", "conv1"), ("1.0", "conv2")]
    for other in (folder("again", 0.1), folder("wider", 0.5, 64)):
        with pytest.raises(DeconvError, match="one table wants one network"):
            onset([low, other])


def test_short_tables_are_kept_with_where_they_come_from(tmp_path):
    (tmp_path / "short.csv").write_text("layer,dead\nconv1,0\nconv2,11\n")
    (tmp_path / "raw.csv").write_text("x\n" + "1\n" * (MOST_ROWS + 1))
    facts = {"data": {"name": "scenes"}, "choices": {}, "weights_sha256": "1", "commit": "abc"}
    command = f"python -m experiments.fig6_first_layers ours={tmp_path}/a.pt"
    (tmp_path / "provenance.json").write_text(json.dumps(facts | {"command": command}))
    found = [Finding("fig6/dead", 0.1, holds=True, rule="more")]
    write_findings(tmp_path, found)
    kept = tables(tmp_path)
    assert [Finding(**one) for one in kept["findings"]] == found
    rows = [{"layer": "conv1", "dead": "0"}, {"layer": "conv2", "dead": "11"}]
    assert kept["tables"] == {"short": rows} and kept["commit"] == "abc"
    assert kept["command"] == "python -m experiments.fig6_first_layers 'ours=<folder>'"
    (tmp_path / "short.csv").unlink()
    with pytest.raises(DeconvError, match="at most 100 rows"):
        tables(tmp_path)


def test_folds_that_do_not_belong_together_are_refused(tmp_path):
    first = fold(tmp_path, 0, 50.0)
    with pytest.raises(DeconvError, match="split seeds that differ"):
        row_of_folds([first, first])
    with pytest.raises(DeconvError, match="and one number of images per class"):
        row_of_folds([first, fold(tmp_path, 1, 30.0, per_class=15)])
    for wrong in ({"tested": False}, {"data": "imagenette"}):
        with pytest.raises(DeconvError, match="not a finished training on Caltech-101"):
            row_of_folds([fold(tmp_path / str(wrong), 2, 30.0, **wrong)])


def test_kept_probes_are_the_rows_measured_here(tmp_path, monkeypatch):
    folder = tmp_path / "table7"
    folder.mkdir()
    monkeypatch.setattr(keep_results, "RESULTS", tmp_path / "results")
    (folder / "provenance.json").write_text("{}")
    with pytest.raises(DeconvError, match="no folder of table4"):
        keep_results.keep("probes", "x", [folder])
    (folder / "table.csv").write_text(
        "source,network,classifier,layer,per_class,mean,std,folds\n"
        'here,"mini, trained on x",svm,1,30,48.37,1.24,2\n'
        'here,"mini, trained on x",svm,5,30,54.7,,2\n'
        "control,first random weights,svm,5,30,31.8,1.3,2\n"
        '"paper","paper, trained on ImageNet",svm,1,30,44.8,0.7,5\n'
    )
    facts = {"folds": 2, "seen": [], "data": {"name": "caltech101"}, "choices": {}}
    facts |= {"weights_sha256": "1", "commit": "c", "command": "x data.root=/a"}
    (folder / "provenance.json").write_text(json.dumps(facts))
    key, numbers = "table7/caltech101/svm/layer1", (48.37, 1.24, None, "a rule", "%")
    write_findings(folder, [Finding(key, *numbers)])
    keep_results.keep("probes", "x", [folder])
    kept = json.loads((tmp_path / "results" / keep_results.PROBES).read_text())["x"]
    assert kept["comparable"] is False
    write_findings(folder, [Finding(key, *numbers, comparable=True)])
    keep_results.keep("probes", "x", [folder])
    kept = json.loads((tmp_path / "results" / keep_results.PROBES).read_text())["x"]
    assert kept["command"] == "x 'data.root=<folder>'" and len(kept["rows"]) == 3
    assert kept["comparable"] is True
    assert keep_results.probed()[2:] == [
        "| caltech101, 30 | mini, trained on x | svm | 2 | 48.4 ± 1.2 | 54.7 |",
        "| caltech101, 30 | mini, first random weights | svm | 2 |  | 31.8 ± 1.3 |",
    ]


def test_a_kept_command_names_no_folder_of_the_machine():
    command = (
        "python -m experiments.train model=zfnet data.root=/mnt/x cache_dir=/c "
        "'train.lr_drops=[30,36]' hydra.run.dir=/home/a/b seed=1 snapshot=/runs/last.pt"
    )
    assert portable(command) == (
        "python -m experiments.train model=zfnet 'data.root=<folder>' 'train.lr_drops=[30,36]' "
        "seed=1 'snapshot=<folder>'"
    )


def test_a_kept_ledger_stands_in_the_readme(tmp_path, monkeypatch):
    record = {
        "size": "laptop",
        "network": {"words": "zfnet_mini, 24 epochs.", "weights_sha256": "ab"},
        "steps": {
            "table4_caltech101": {
                "status": "done",
                "seconds": 3.0,
                "error": "",
                "data": "9 images",
                "commit": "c",
                "findings": [asdict(Finding("table4/scratch/30", 47.0, 0.5, True, "five folds"))],
            }
        },
    }
    folder = tmp_path / "reproduce"
    folder.mkdir()
    monkeypatch.setattr(keep_results, "RESULTS", tmp_path / "results")
    with pytest.raises(DeconvError, match=r"holds no ledger\.json"):
        keep_results.keep("ledger", "scenes", [folder])
    (folder / "ledger.json").write_text(json.dumps(record))
    readme = tmp_path / "README.md"
    monkeypatch.setattr(keep_results, "README", readme)
    markers = (keep_results.START, keep_results.END)
    ledger_markers = (keep_results.LEDGER_START, keep_results.LEDGER_END)
    readme.write_text("\n".join(["before", *markers, "between", *ledger_markers, "after\n"]))
    keep_results.write_blocks()
    assert "No ledger is kept yet." in readme.read_text()
    keep_results.keep("ledger", "scenes", [folder])
    keep_results.keep("ledger", "caltech101", [folder])
    for _ in range(2):
        keep_results.write_blocks()
        text = readme.read_text()
        assert text.startswith("before\n<!-- results") and text.endswith("-->\nafter\n")
        assert "\nbetween\n" in text and "No ledger" not in text
        assert "|  | claim | paper | here | status | data | network, kept in |" in text
        link = "(experiments/results/ledger_caltech101.json)"
        row = "| 46.5 ± 1.7 % | 47.0 ± 0.5 % | same trend, no target | 9 images |"
        assert f"{row} [zfnet_mini, 24 epochs]{link} |" in text
        assert text.count(row) == 1, "the same finding of two records stands there once"
