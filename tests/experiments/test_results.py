"""Results that are kept and the pages written from them."""

import json
import re
import statistics
from dataclasses import asdict
from html.parser import HTMLParser
from pathlib import Path

import pytest

from deconv.errors import DeconvError
from experiments.kit import kept
from experiments.kit.claims import CLAIMS, Claim
from experiments.kit.controls import CHANCE
from experiments.kit.findings import AGREES, DISAGREES, NOT_TESTED, judged, write_findings
from experiments.kit.index_page import Section, index_page
from experiments.kit.kept import MOST_ROWS, portable, row_of_folds
from experiments.kit.result_words import counts, difference, network, number
from experiments.kit.results_page import TOPICS, controls, lines, results, short_table, summary
from experiments.kit.steps import DONE, FAILED, Outcome, State, write_state
from scripts import results as script

ROOT = Path(__file__).resolve().parents[2]

# What is kept in this checkout


def test_the_pages_show_what_is_kept_and_nothing_else():
    """To mend: python -m scripts.results pages."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    for path, text in script.pages(kept.records(), readme).items():
        assert path.read_text(encoding="utf-8") == text, path


def test_every_kept_record_has_one_form():
    form = ["experiment", "command", "commit", "network", "data", "seconds"]
    names = kept.records()
    assert len(names) > 30
    for name, record in names.items():
        assert list(record) == [*form, "findings", "facts", "tables"], name
        assert portable(record["command"]) == record["command"], name
        for found in kept.findings(record):
            assert found.verdict in (AGREES, DISAGREES, NOT_TESTED)
            again = judged(found.claim, found.value, found.half, holds=found.holds)
            assert found.comparable or again.verdict == found.verdict, (name, found)


def test_the_short_table_has_a_line_for_every_place_of_the_paper():
    keys = [prefix for _, prefixes, *_ in TOPICS.values() for prefix in prefixes]
    missing = [key for key in CLAIMS if not key.startswith(tuple(keys))]
    assert missing == ["table4/scratch/15"], "beside the row of 30"
    head, rows = short_table(kept.records())
    assert len(rows) == len(TOPICS) == 12 and {len(row) for row in rows} == {len(head)}


# Pages of records made here

NET = {"name": "zfnet", "data": "caltech101", "epochs": 40, "input_px": None}


def record(*found, data=None, net=NET):
    data = data or {"name": "caltech101", "images": 9, "split": "val"}
    one = {"experiment": "x", "command": "", "commit": "", "network": net, "data": data}
    return one | {"seconds": 1.0, "findings": [asdict(f) for f in found], "facts": {}, "tables": {}}


SCRATCH = judged("table4/scratch/30", 52.52, 1.85, 3, comparable=True)


def cells(text):
    """The rows of a page's Markdown tables, without rules."""
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in text.splitlines() if line[:1] == "|"]
    rows = [[cell.strip() for cell in row] for row in rows]
    return [row for row in rows if set("".join(row)) != {"-"}]


@pytest.mark.parametrize(
    ("finding", "wanted"),
    [
        (SCRATCH, "+6.0, outside both spreads; 3 splits of 5"),
        (judged("table4/scratch/30", 45.0, 0.5, 5, comparable=True), "-1.5, within both spreads"),
        (judged("table4/scratch/30", 40.0, 0.5, 5), "-6.5, not comparable"),
        (judged("fig3/conv1", 110, comparable=True), "0"),
        (judged("fig3/conv1", 109, comparable=True), "-1"),
        (judged("fig5/quasi_linear", 0.5), ""),
        (judged("table4/scratch/30"), ""),
    ],
)
def test_the_difference_to_the_paper_is_said_with_whether_it_counts(finding, wanted):
    assert difference(finding) == wanted


def test_findings_stand_beside_the_paper_s_in_its_order():
    one = record(SCRATCH, judged("fig5/quasi_linear", 0.65, 0.05, holds=False))
    two = record(judged("fig1/reconstruction", 0.0, holds=True), judged("fig2/hierarchy"))
    made = {"a/one": one, "b/two": two}
    order = [line.found.claim for line in lines(made)]
    assert order == ["fig1/reconstruction", "fig2/hierarchy", "fig5/quasi_linear", SCRATCH.claim]
    text = results(made, "T", lambda name: f"<{name}>")
    row = next(row for row in cells(text) if row[0] == CLAIMS[SCRATCH.claim].says)
    assert row[1:5] == ["46.5 ± 1.7 %", "52.5 ± 1.9 %", difference(SCRATCH), DISAGREES]
    assert row[5:] == ["9 of caltech101, val, <a/one>", "zfnet, 40 epochs of caltech101"]
    assert all(claim.rule in text for claim in (CLAIMS[key] for key in order))
    needs = CLAIMS["table2/zfnet 1 net/validation top-1"].needs
    assert f"- Table 2: 18 claims; needs {needs}" in text
    assert not [row for row in cells(text) if row[0].startswith("VOC")]


def test_a_comparable_number_is_the_one_that_the_short_table_shows():
    other = record(judged("table4/scratch/30", 38.8, 0.7, 3), net=NET | {"name": "zfnet_mini"})
    row = next(r for r in cells(summary({"a": other, "b": record(SCRATCH)})) if "scratch" in r[0])
    assert row[3] == f"52.5 ± 1.9 % ({difference(SCRATCH)})"
    assert row[4] == "1 disagrees, 1 not tested"
    row = next(r for r in cells(summary({"a": other})) if "scratch" in r[0])
    assert row[3:] == ["38.8 ± 0.7 % (not comparable)", NOT_TESTED]


def test_numbers_and_verdicts_of_a_network_of_imagenet_stand_out():
    claim = "table7/caltech101/svm/layer5"
    own = record(judged(claim, 53.0, None, 1, holds=False))
    imagenet = {"name": "torchvision/squeezenet1_0", "data": "imagenet"}
    saw = record(judged(claim, 86.2, 0.5, 5, holds=True), net=imagenet)
    row = next(r for r in cells(summary({"a": own, "b": saw})) if r[0] == "Table 7")
    told = "SVM on layer 5: 86.2 ± 0.5 % (not comparable) by squeezenet1_0 of imagenet"
    assert row[3:] == [told, f"on ImageNet {AGREES}; elsewhere {DISAGREES}"]
    row = next(r for r in cells(summary({"b": saw})) if r[0] == "Table 7")
    assert row[3:] == [told, AGREES]


def test_controls_have_a_page_of_their_own_with_the_number_of_tests():
    p = [0.001, 0.04, 0.5, 0.9]
    tests = [
        judged(f"control/table1/exchange/layer5/nose/{i}", x, holds=x < CHANCE)
        for i, x in enumerate(p)
    ]
    made = {"a": record(*tests, SCRATCH, judged("control/transfer/scenes/15", 50.0, 1.0, 2))}
    text = controls(made, str)
    assert "These 5 scores" in text and "4 p values" in text
    assert "about 0.2 of so many" in text and "(2 do)" in text and "which 1 reach" in text
    rows = cells(text)
    assert [row[1:3] for row in rows if row[1].startswith("p = ")] == [
        ["p = 0.001", AGREES],
        ["p = 0.04", AGREES],
        ["p = 0.5", DISAGREES],
        ["p = 0.9", DISAGREES],
    ]
    assert ["50.0 ± 1.0 %", ""] in [row[1:3] for row in rows], "a number without a verdict"
    assert "scratch" not in text and "p = " not in results(made, "T", str)


@pytest.mark.parametrize(
    ("value", "half", "unit", "beside", "wanted"),
    [
        (None, None, "%", None, ""),
        (46.5, 1.7, "%", None, "46.5 ± 1.7 %"),
        (0.067, 0.007, "", None, "0.067 ± 0.007"),
        (81.4, 0.33, "%", None, "81.4 ± 0.33 %"),
        (110, None, "px", None, "110 px"),
        (62357608, None, "", 62357608, "62,357,608"),
        (51.163, 1.2345, "%", 46.5, "51.2 ± 1.2 %"),
        (0.0712, 0.00361, "", 0.067, "0.071 ± 0.0036"),
        (40.0, None, "%", None, "40.0 %"),
        (110.0, None, "px", 110, "110 px"),
        (0.123456, None, "", None, "0.123"),
        (-0.5, 0.25, "", None, "-0.5 ± 0.25"),
        (0.00001, None, "", None, "0.000"),
    ],
)
def test_numbers_have_the_digits_that_tell_something(value, half, unit, beside, wanted):
    assert number(value, half, Claim("Table 1", "x", "y", value=beside, unit=unit)) == wanted


def test_verdicts_and_networks_in_words():
    some = [judged("fig5/quasi_linear", holds=holds) for holds in (True, True, False, None)]
    assert counts(some) == "2 agree, 1 disagrees, 1 not tested"
    assert counts(some[:1]) == AGREES
    assert network(record(net={})) == ""
    assert network(record(net={"name": "a", "input_px": 56})) == "a at 56 px"
    assert network(record(net={"name": "a", "data": "d"})) == "a, trained on d"


# Folders of runs


@pytest.fixture
def run(tmp_path):
    """A folder as an experiment leaves it."""
    (tmp_path / "short.csv").write_text("layer,dead\nconv1,0\nconv2,11\n")
    (tmp_path / "raw.csv").write_text("x\n" + "1\n" * (MOST_ROWS + 1))
    facts = {
        "experiment": "fig6_first_layers",
        "command": f"python -m experiments.fig6_first_layers ours={tmp_path}/a.pt",
        "commit": "abc",
        "model": {"name": "zfnet", "input_px": None},
        "training": {
            "data": "caltech101",
            "images": 3030,
            "epochs": 50,
            "classes": 101,
            "metrics": {"val_top1_error": 46.2},
        },
        "weights_sha256": "ab" * 8,
        "data": {"name": "scenes", "split": "val", "images": 7},
        "choices": {"dead": "never above 0"},
        "seconds": 2.5,
        "rows": "not kept",
    }
    (tmp_path / "provenance.json").write_text(json.dumps(facts))
    write_findings(tmp_path, [judged("fig6/dead", 0.1, holds=True)])
    return tmp_path


def test_a_run_is_kept_as_data_with_its_short_tables(run):
    found = kept.collect(run)
    assert list(found["tables"]) == ["short"] and found["tables"]["short"][1]["dead"] == "11"
    assert found["network"] == {
        "name": "zfnet",
        "data": "caltech101",
        "images": 3030,
        "classes": 101,
        "epochs": 50,
        "top1": 53.8,
        "weights_sha256": "ab" * 8,
    }
    assert found["command"] == "python -m experiments.fig6_first_layers 'ours=<file>'"
    assert found["facts"]["choices"] == {"dead": "never above 0"} and found["seconds"] == 2.5
    assert "rows" not in found["facts"] and found["data"]["images"] == 7
    assert list(kept.findings(found)) == [judged("fig6/dead", 0.1, holds=True)]
    with pytest.raises(DeconvError, match=r"holds no provenance\.json"):
        kept.collect(run / "nothing")


def test_what_was_judged_on_another_network_names_that(run):
    facts = json.loads((run / "provenance.json").read_text())
    facts["judged"] = {"name": "zfnet", "input_px": 224}
    (run / "provenance.json").write_text(json.dumps(facts))
    assert kept.collect(run)["network"] == {"name": "zfnet", "input_px": 224}


def test_the_script_keeps_a_run_and_what_reproduce_finished(run, tmp_path_factory):
    to, both = tmp_path_factory.mktemp("results"), tmp_path_factory.mktemp("reproduce")
    (path,) = script.keep("mine", [run], to)
    assert path == to / "mine" / "fig6_first_layers.json"
    assert kept.records(to) == {"mine/fig6_first_layers": kept.collect(run)}
    run.rename(both / "fig6")
    outcomes = {"fig6": Outcome([], {}, DONE), "fig7": Outcome([], {}, FAILED)}
    write_state(both, State({"overrides": {}}, outcomes))
    assert script.keep("all", [both], to) == [to / "all" / "fig6_first_layers.json"]


def test_a_kept_file_has_a_line_for_each_row_and_reads_back():
    content = {"a": [{"x": 1, "y": [2, 3]}], "b": {}, "c": {"d": {"é": None}}, "e": "s"}
    text = script.in_lines(content)
    assert json.loads(text) == content and '    {"x": 1, "y": [2, 3]}\n' in text


# Networks from scratch


def fold(folder, seed, accuracy, *, per_class=30, data="caltech101", tested=True, epochs=2):
    """A training's folder as experiments.train leaves it, as far as it is read."""
    run = folder / f"run{seed}"
    run.mkdir(parents=True)
    (run / "config.yaml").write_text(
        f"model: {{name: zfnet, input_px: null, num_classes: 101}}\nseed: {seed}\n"
        f"data: {{name: {data}, seed: {seed}, train_per_class: {per_class}}}\n"
        f"train: {{epochs: {epochs}, seed: {seed}}}\n"
    )
    columns = "epoch,train_error,train_loss,images_per_second,renormalised_conv1"
    columns += ",val_top1_error,val_mean_class_accuracy"
    test = f"{accuracy},{100 - accuracy - 2}" if tested else ","
    (run / "metrics.csv").write_text(
        f"{columns},ten_crop_mean_class_accuracy,ten_crop_top1_error\n"
        f"1,90,4.0,10,3,,,,\n2,50,2.0,,4,47.5,{accuracy - 1},{test}\n"
    )
    facts = {"training_images": 600, "weights_sha256": "1" * 16, "versions": {}}
    facts["starts"] = [{"command": "python -m experiments.train", "commit": "abc"}]
    (run / "provenance.json").write_text(json.dumps(facts))
    return run


def test_a_training_is_kept_with_its_course(tmp_path):
    found = kept.collect(fold(tmp_path, 1, 50.0))
    facts = found["facts"]
    assert found["experiment"] == "train" and found["command"] == "python -m experiments.train"
    assert found["network"]["epochs"] == 2 and found["network"]["images"] == 600
    assert facts["validation_top1_error"] == {"2": 47.5}
    assert facts["renormalised_filters"] == {"conv1": 7}
    assert facts["training_minutes"] == 2.0, "two epochs of 600 images at 10 images/s"


def test_a_row_has_the_mean_and_the_spread_of_its_folds(tmp_path):
    values = [50.0, 53.0, 52.5]
    folds = [kept.fold(fold(tmp_path, seed, value)) for seed, value in enumerate(values)]
    row = row_of_folds(folds[::-1])
    facts = row["facts"]
    assert facts["mean"] == round(statistics.mean(values), 2)
    assert facts["standard_deviation"] == round(statistics.stdev(values), 2)
    (found,) = kept.findings(row)
    assert (found.claim, found.value, found.n) == ("table4/scratch/30", facts["mean"], 3)
    first = row["tables"]["folds"][0]
    assert first["mean_class_accuracy"] == 50 and first["top1_accuracy"] == 52
    assert first["centre_crop_mean_class_accuracy"] == 49 and first["split_seed"] == 0
    assert row_of_folds(folds[:1])["facts"]["standard_deviation"] is None


def test_a_row_grows_by_folds_whose_predecessors_are_gone(tmp_path):
    to = tmp_path / "results"
    script.folds("mine", [fold(tmp_path, 2, 50.0), fold(tmp_path, 0, 53.0)], to)
    again = fold(tmp_path / "again", 2, 51.0)
    path = script.folds("mine", [fold(tmp_path, 1, 52.0), again], to)
    row = json.loads(path.read_text())
    assert [one["split_seed"] for one in row["tables"]["folds"]] == [0, 1, 2]
    assert row["facts"]["mean"] == 52 and row["facts"]["standard_deviation"] == 1
    with pytest.raises(DeconvError, match="wants one network, one recipe"):
        script.folds("mine", [fold(tmp_path, 3, 50.0, epochs=9)], to)


def test_folds_that_do_not_belong_together_are_refused(tmp_path):
    first = kept.fold(fold(tmp_path, 0, 50.0))
    with pytest.raises(DeconvError, match="seeds that differ"):
        row_of_folds([first, first])
    with pytest.raises(DeconvError, match="one number of images per class"):
        row_of_folds([first, kept.fold(fold(tmp_path, 1, 30.0, per_class=15))])
    for wrong in ({"tested": False}, {"data": "imagenette"}):
        with pytest.raises(DeconvError, match="not a finished training on Caltech-101"):
            kept.fold(fold(tmp_path / str(wrong), 2, 30.0, **wrong))


def test_a_kept_command_names_no_folder_of_the_machine():
    command = (
        "python -m experiments.train model=zfnet data.root=/mnt/x cache_dir=/c "
        "'train.lr_drops=[30,36]' hydra.run.dir=/home/a/b seed=1 snapshot=/runs/last.pt"
    )
    assert portable(command) == (
        "python -m experiments.train model=zfnet 'data.root=<folder>' 'train.lr_drops=[30,36]' "
        "seed=1 'snapshot=<file>'"
    )


def test_files_in_a_list_of_a_kept_command_lose_their_folders():
    command = "python -m experiments.feature_maps 'images=[/home/a/cat.png,b/c.png,3,/d/e/f.png]'"
    assert portable(command).endswith(" 'images=[cat.png,b/c.png,3,f.png]'")


# The page of a reproduction


class Page(HTMLParser):
    """Collects tags and texts, and that every tag is closed by its own end."""

    def __init__(self, text):
        super().__init__()
        self.open, self.links, self.cells, self.texts = [], [], 0, []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.links += [value for name, value in attributes if name in ("href", "src")]
        self.cells += tag == "td"
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data.strip())


def test_the_page_is_whole_escaped_and_takes_nothing_from_elsewhere():
    sections = [
        Section("table6", "failed: <KeyError> & so on", None, []),
        Section("fig2", "done in 3 s", "fig2/figure.png", ["fig2/table.csv"]),
    ]
    text = index_page("A <title>", sections, ["a", "b"], [["1 < 2", "3"]], "x & *y*")
    page = Page(text)
    assert page.cells == 2 and {"1 < 2", "x & y", "failed: <KeyError> & so on"} <= set(page.texts)
    picture = "fig2/figure.png"
    top = ["#fig2", picture, "#table6", "#results"]
    assert page.links == [*top, picture, picture, "fig2/table.csv", "results.md"]
    assert text.index("<img") < text.index("<table>"), "pictures first"
    assert not re.search(r"https?://|<script|url\(", text)
    assert Page(index_page("t", [], [], [], "")).cells == 0
