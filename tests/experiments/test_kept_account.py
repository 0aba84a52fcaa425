"""The README's ledger: folds and probes as findings, a row each with data and link, and rules."""

import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest

from experiments.kept_account import page, probed_rows, records
from experiments.kit import ledger
from experiments.kit.findings import DIFFERS, OPEN, REPRODUCED, TREND, Finding
from experiments.kit.reported import TABLE7
from experiments.table4_caltech101 import judge_pretrained, judge_scratch, scratch_table
from experiments.table7_layer_probes import judge_table7

ROOT = Path(__file__).resolve().parents[2]


def folds(values, spread, per_class=30, model="zfnet"):
    """A row as scripts.keep_results keeps it."""
    one = {"images_per_class": per_class, "epochs": 40, "training_minutes": 1.0, "commit": "c"}
    one["command"] = f"python -m experiments.train model={model} data=caltech101"
    each = [one | {"mean_class_accuracy": value} for value in values]
    return {"mean": sum(values) / len(values), "standard_deviation": spread, "folds": each}


def probes(stem, rows, **more):
    """A probe as it is kept. rows: (source, network, classifier, layer, per_class, mean, std)."""
    names = ("source", "network", "classifier", "layer", "per_class", "mean", "std")
    table = [dict(zip(names, map(str, row), strict=True)) | {"folds": "2"} for row in rows]
    kept = {"rows": table, "data": "caltech101", "seen": [{"seen": "another data set"}]}
    kept |= {"weights_sha256": "ab", "commit": "c"}
    return kept | {"command": f"python -m experiments.{stem} data=caltech101"} | more


TINY = "zfnet, trained on tiny"
AT_224 = {"preprocessing": "minus the mean, centre crop of 224 px, about ±128"}


@pytest.fixture
def results(tmp_path):
    """A folder of kept results: folds of two recipes, probes of Tables 4 and 7, no ledger."""
    scratch = {
        "15 per class": folds([22.0, 23.0, 22.5, 23.5, 22.0], 0.7, 15),
        "30 per class": folds([50.0, 54.0], 2.0),
        "30 per class, modern": folds([10.0, 10.0], 0.0),
    }
    (tmp_path / "caltech101_scratch.json").write_text(json.dumps(scratch))
    kept = {
        "Tiny, table 4": probes(
            "table4_caltech101",
            [
                ("here", TINY, "softmax", 7, 15, 20.0, 0.5),
                ("here", TINY, "softmax", 7, 30, 60, 1.5),
            ],
            choices=AT_224,
        ),
        "Tiny, layers": probes(
            "table7_layer_probes",
            [
                ("here", TINY, "svm", 1, 30, 44.0, 1.0),
                ("here", TINY, "svm", 2, 30, 60.0, 1.0),
                ("here", TINY, "svm", 3, 30, 61.0, 1.0),
                ("control", "first random weights", "svm", 1, 30, 9.0, 0.5),
            ],
            comparable=True,
        ),
    }
    (tmp_path / "probes.json").write_text(json.dumps(kept))
    return tmp_path


@pytest.fixture
def single(results):
    """The same, and two experiments by themselves: one with findings, one to be judged."""
    data = {"name": "photographs", "split": "train", "images": 7}
    about = {"data": data, "weights_sha256": "cd", "commit": "c"}
    rows = [
        {"layer": layer, "epoch": str(epoch), "settled": str(epoch >= settled)}
        for layer, settled in (("conv1", 2), ("conv5", 20))
        for epoch in (1, 2, 10, 20)
    ]
    fig4 = about | {
        "choices": {"settled": "at the first snapshot after which turnover stays below 0.25"},
        "command": "python -m experiments.fig4_feature_evolution run=<folder>",
        "tables": {"turnover": rows},
    }
    found = asdict(Finding("table1/nose/layer5", 0.05, 0.01, False, "a rule"))
    table1 = about | {"command": "python -m experiments.table1_correspondence", "tables": {}}
    (results / "tables_fig4.json").write_text(json.dumps(fig4))
    (results / "tables_dogs.json").write_text(json.dumps(table1 | {"findings": [found]}))
    (results / "tables_mute.json").write_text(json.dumps(table1 | {"findings": []}))
    training = {"model": {"name": "zfnet"}, "recipe": {"epochs": 9}, "weights_sha256": "cd"}
    (results / "trained_flowers.json").write_text(json.dumps(training))
    return results


def test_experiments_by_themselves_are_told_with_their_network(single):
    lines = found(records(single, "there"))
    fig4, nose = lines["fig4/lower_first"], lines["table1/nose/layer5"]
    assert (fig4.here, fig4.status) == ("18 epochs later", TREND) and "less than 0.25" in fig4.rule
    assert (nose.here, nose.status, nose.rule) == ("0.050 ± 0.010", DIFFERS, "a rule")
    for one in (fig4, nose):
        assert one.measured_on == "7 images of photographs (train)"
        assert one.network == "zfnet, 9 epochs of flowers"
    told = page(records(single, "there"))
    assert "[zfnet, 9 epochs of flowers](there/tables_dogs.json)" in told
    assert "- [fig4](there/tables_fig4.json): zfnet, 9 epochs of flowers; 7 images" in told
    assert "mute" not in told, "nothing was found"


def found(kept):
    return {one.key: one for record in kept for one in ledger.lines(record.kept)}


def test_folds_and_probes_are_judged_by_the_rules_of_their_tables(results):
    lines = found(records(results, "there"))
    told = {key: (one.paper, one.here, one.status) for key, one in lines.items()}
    assert told == {
        "table4/scratch/15": ("22.8 ± 1.5 %", "22.6 ± 0.7 %", REPRODUCED),
        "table4/scratch/30": ("46.5 ± 1.7 %", "52.0 ± 2.0 %", TREND),
        "table4/pretrained/15": ("83.8 ± 0.5 %", "20.0 ± 0.5 %", DIFFERS),
        "table4/pretrained/30": ("86.5 ± 0.5 %", "60.0 ± 1.5 %", TREND),
        "table7/caltech101/svm/layer1": ("44.8 ± 0.7 %", "44.0 ± 1.0 %", REPRODUCED),
        "table7/caltech101/svm/layer2": ("66.2 ± 0.5 %", "60.0 ± 1.0 %", TREND),
        "table7/caltech101/svm/layer3": ("72.3 ± 0.4 %", "61.0 ± 1.0 %", DIFFERS),
    }
    assert "2 splits, the paper's 5" in lines["table4/scratch/30"].rule
    assert "our network from scratch (52.0 %)" in lines["table4/pretrained/30"].rule
    assert (
        "more than 2.0 points above layer 2 (60.0 %)" in lines["table7/caltech101/svm/layer3"].rule
    )
    assert lines["table4/scratch/30"].measured_on == "caltech101, 30 a class, 2 random splits"
    assert lines["table4/scratch/30"].network == "zfnet from scratch, 40 epochs"
    assert lines["table7/caltech101/svm/layer1"].network == TINY


def test_probes_of_table_5_are_judged_without_the_background_class(results):
    rows = [("here", TINY, "softmax", 7, 6, 55.0, 0.1), ("here", TINY, "softmax", 7, 60, 50, 0.2)]
    kept = {"a": probes("table5_caltech256", rows, data="caltech256")}
    (results / "probes.json").write_text(json.dumps(kept))
    lines = found(records(results, ""))
    assert lines["fig9/few_images"].status == DIFFERS, "55.0 ± 0.1 is not above 55.2 ± 0.3"
    assert (
        lines["table5/pretrained/60"].status == TREND
        and "(38.8 %)" in lines["table5/pretrained/60"].rule
    )
    kept["a"]["command"] += " data.clutter=true"
    (results / "probes.json").write_text(json.dumps(kept))
    assert not any("table5" in key for key in found(records(results, "")))


def test_a_network_whose_training_is_kept_is_called_by_its_name(results):
    model = {"name": "mini", "input_px": 56}
    training = {"model": model, "recipe": {"epochs": 12}, "weights_sha256": "ab"}
    (results / "trained_tiny_imagenet.json").write_text(json.dumps(training))
    assert found(records(results, ""))["table4/pretrained/30"].network == (
        "mini at 56 px, 12 epochs of tiny_imagenet"
    )


def test_nothing_is_called_not_run_that_is_kept(results):
    text = page(records(results, "there"))
    assert "Table 4" not in text.partition("Without a finding:")[2]
    assert "- Table 7 (8 numbers): not run on caltech256" in text
    assert "- Table 7 (5 numbers): needs ImageNet" in text, "layers that were not probed"
    assert "- Table 2 (18 numbers): not run" in text


def tables(text):
    blocks = re.findall(r"(?:^\|.*\n)+", text + "\n", re.M)
    return [[line.split(" | ") for line in block.splitlines()] for block in blocks]


def test_each_row_has_its_data_its_link_and_whether_it_is_a_target(results):
    text = page(records(results, "there"))
    main, rules = tables(text)
    assert {len(row) for row in main} == {7} and {len(row) for row in rules} == {4}
    rows = {row[1]: row for row in main[2:]}
    scratch = rows["scratch, 30 per class, mean accuracy per class"]
    assert scratch[4] == f"{TREND}, {ledger.NO_TARGET}" and scratch[5].startswith(
        "caltech101, 30 a class"
    )
    assert scratch[6] == "[zfnet from scratch, 40 epochs](there/caltech101_scratch.json) |"
    assert rows["caltech101, svm on layer 1"][4] == REPRODUCED
    assert rows["caltech101, svm on layer 3"][6] == f"[{TINY}](there/probes.json) |"
    for one in found(records(results, "there")).values():
        assert one.rule in text
    assert text.count("<details>") == text.count("</details>") == 2
    assert text.index(f"*{DIFFERS}*") < text.index("| --- |"), "what the words mean comes first"


def test_one_rule_of_several_rows_is_told_once(results):
    step = {
        "status": "done",
        "seconds": 1.0,
        "error": "",
        "data": "no images",
        "commit": "c",
        "judged": "zfnet, as built",
        "findings": [
            Finding(f"fig3/{s}", v, None, v > 50, "one rule", comparable=True).__dict__
            for s, v in (("conv1", 110), ("pool1", 55), ("conv2", 25))
        ],
    }
    kept = {"size": "laptop", "network": {}, "steps": {"fig3_architecture": step}}
    (results / "ledger_x.json").write_text(json.dumps(kept))
    text = page(records(results, "there"))
    assert text.count("one rule") == 1 and "side of conv2: 25 px, differs | zfnet, as built" in text
    assert "no trained network" in text and "Fig. 3 (6 numbers): not run with model=zfnet" in text


def test_the_papers_own_numbers_are_reproduced_by_these_rules():
    kind = {"per_class": 30, "architecture": "zfnet, 224 px"}
    pretrained = [kind | {"mean": 86.5, "std": 0.5}]
    scratch = [kind | {"mean": 46.5, "std": 1.7, "folds": 5}]
    (one,) = judge_pretrained(pretrained, scratch, False)
    assert one.holds and not one.comparable
    (one,) = judge_scratch(scratch, pretrained)
    assert one.holds and one.comparable and "target" not in one.rule
    close = [kind | {"mean": 48.6, "std": 0.5}]  # 2.1 above, spreads 2.2 together
    assert not judge_pretrained(close, scratch, False)[0].holds
    close[0]["std"] = 0.3
    assert judge_pretrained(close, scratch, False)[0].holds
    assert judge_scratch(scratch, close)[0].holds
    (alone,) = judge_scratch(scratch, [])
    assert alone.holds is None and "no pre-trained network" in alone.rule
    rows = [
        {"classifier": c, "layer": layer, "mean": pair[0][0], "std": pair[0][1]}
        for (c, layer), pair in TABLE7.items()
    ]
    assert all(
        f.holds is not False for f in judge_table7("caltech101", rows, True, "table7/caltech101")
    )


def test_what_is_kept_in_this_repository_is_whole():
    """The kept files are read, every link leads to a file, every row of Tables 4 and 7 is there."""
    results = ROOT / "experiments" / "results"
    kept = records(results, "experiments/results")
    text = page(kept)
    for link in re.findall(r"\]\((experiments/[^)]+)\)", text):
        assert (ROOT / link).is_file(), link
    lines = found(kept)
    scratch = json.loads((results / "caltech101_scratch.json").read_text())
    for size in (15, 30):
        key = f"table4/scratch/{size}"
        told = [one.here for record in kept for one in ledger.lines(record.kept) if one.key == key]
        for name in (f"{size} per class", f"{size} per class, zfnet_mini 56 px"):
            assert sum(here.startswith(f"{scratch[name]['mean']:.1f} ±") for here in told) == 1
    wanted = {f"table7/caltech101/{kind}/layer{layer}" for kind, layer in TABLE7}
    assert wanted | {"table4/pretrained/15", "table4/pretrained/30"} <= set(lines)
    assert not any(lines[key].comparable for key in wanted), "none was pre-trained on ImageNet"
    assert OPEN not in "\n".join(re.findall(r"- Fig\. 3.*", text))
    probe = json.loads((results / "probes.json").read_text())["Tiny ImageNet, table 4"]
    means = {row["per_class"]: row["mean"] for row in probed_rows(probe)}
    assert lines["table4/pretrained/30"].here.startswith(f"{means[30]:.1f} ±")


def test_a_network_is_set_against_one_of_its_own_architecture():
    def row(mean, architecture, **more):
        return {"per_class": 30, "mean": mean, "std": 1.0, "architecture": architecture} | more

    scratch = [row(52.0, "zfnet, 224 px", folds=3), row(38.0, "mini, 56 px", folds=3)]
    (one,) = judge_pretrained([row(42.0, "mini, 56 px")], scratch, False)
    assert one.holds and "our network from scratch (38.0 %)" in one.rule
    (one,) = judge_pretrained([row(42.0, "mini, 112 px")], scratch, False)
    assert not one.holds and "another one (zfnet, 224 px) (52.0 %)" in one.rule
    (one,) = judge_scratch(scratch[1:], [row(42.0, "mini, 56 px")])
    assert one.holds and one.value == 38.0
    (one,) = judge_scratch(scratch, [row(42.0, "mini, 56 px")])
    assert one.holds and one.value == 38.0, "of its kind, though another one comes first"
    (one,) = judge_scratch(scratch, [row(60.0, "mini, 112 px")])
    assert one.holds is None and one.value == 52.0 and "of its kind" in one.rule
    unknown = {key: value for key, value in scratch[0].items() if key != "architecture"}
    (one,) = judge_scratch([unknown], [unknown | {"mean": 90.0}])
    assert one.holds is None, "what is not known is not the same"


def test_the_architecture_is_read_from_what_is_kept():
    def kept(command):
        fold = {"images_per_class": 30, "command": command}
        return {"mean": 1.0, "standard_deviation": 0.1, "folds": [fold]}

    rows = scratch_table(
        {
            "a": kept("python -m experiments.train model=zfnet data=caltech101"),
            "b": kept(
                "python -m experiments.train model=zfnet_mini model.input_px=56 data=caltech101"
            ),
            "c": kept("python -m experiments.train model=zfnet_mini data=caltech101"),
            "d": kept("python -m experiments.train resume=<folder>"),
        }
    )
    known = [row.get("architecture") for row in rows]
    assert known == ["zfnet, 224 px", "zfnet_mini, 56 px", "zfnet_mini, 112 px", None]
    rows = [("here", "zfnet_mini, trained on x", "softmax", 7, 30, 1, 1)]
    probe = probes("table4_caltech101", rows, choices=AT_224)
    assert probed_rows(probe)[0]["architecture"] == "zfnet_mini, 224 px"


def test_every_architecture_from_scratch_has_a_row_and_other_recipes_have_none(results):
    scratch = json.loads((results / "caltech101_scratch.json").read_text())
    small = folds([20.0, 21.0], 0.5, 30, "zfnet_mini model.input_px=56")
    (results / "caltech101_scratch.json").write_text(json.dumps(scratch | {"z mini": small}))
    names = [r.kept["network"]["words"] for r in records(results, "") if "Table 4" in page([r])]
    assert names.count("zfnet_mini at 56 px from scratch, 40 epochs") == 1
    assert names.count("zfnet from scratch, 40 epochs") == 2, (
        "15 and 30 a class, not the modern one"
    )
