"""The ledger: what is read from folders, how findings are judged in words, how tables are made."""

import csv
import json
import re
from html.parser import HTMLParser

import pytest

from experiments.kit import ledger
from experiments.kit.findings import DIFFERS, OPEN, REPRODUCED, TREND, Finding, write_findings
from experiments.kit.index_page import Section, index_page
from experiments.kit.provenance import write_table
from experiments.kit.reported import REPORTED, Claim
from experiments.kit.steps import DONE, FAILED, NO_DATA
from experiments.kit.unmeasured import BY_EYE, grouped, unmeasured

NETWORK = {
    "model": {"name": "zfnet"},
    "training": {
        "data": "caltech101",
        "images": 3030,
        "epochs": 50,
        "classes": 101,
        "metrics": {"val_top1_error": 46.2},
    },
    "weights_sha256": "ab" * 8,
    "data": {"name": "caltech101", "split": "val", "images": 2945, "fingerprint": "f"},
    "commit": "abc",
}


def ended(status=DONE, error=""):
    return {"status": status, "seconds": 3.0, "error": error}


@pytest.fixture
def folder(tmp_path):
    """Folders as experiments leave them."""
    for stem, found in {
        "table4_caltech101": [
            Finding("table4/scratch/30", 51.16, 1.234, True, "five folds", comparable=True),
            Finding("table4/scratch/15", 22.0, 0.5, None, "five folds", comparable=True),
        ],
        "fig5_invariance": [
            Finding("fig5/quasi_linear", 0.91, None, False, "R² above 0.95 | over five images"),
            Finding("fig5/layer1_sharp", None, None, True, "ratio"),
        ],
        "truth_projections": [
            Finding("truth/truth_projections/part_energy", 0.606, 0.082, True, "a rule", "share")
        ],
        "fig2_top_activations": [],
    }.items():
        (tmp_path / stem).mkdir()
        write_findings(tmp_path / stem, found)
        (tmp_path / stem / "provenance.json").write_text(json.dumps(NETWORK))
    (tmp_path / "fig3_architecture").mkdir()
    (tmp_path / "fig3_architecture" / "config.yaml").write_text("data: {name: scenes}\n")
    return tmp_path


OUTCOMES = {
    "fig2_top_activations": ended(),
    "fig3_architecture": ended(),
    "fig5_invariance": ended(),
    "truth_projections": ended(),
    "table4_caltech101": ended(),
    "table6_pascal": ended(NO_DATA, "VOC is not at x"),
    "table7_layer_probes": ended(FAILED, "KeyError: 'a|b'"),
}


@pytest.fixture
def kept(folder):
    return ledger.collect(folder, OUTCOMES, "laptop")


def test_each_finding_stands_beside_its_claim_in_the_paper_s_order(kept):
    lines = ledger.lines(kept)
    told = [(one.place, one.paper, one.here, one.status) for one in lines]
    assert told == [
        ("Fig. 5", "", "", TREND),
        ("Fig. 5", "", "0.91", DIFFERS),
        ("Table 4", "22.8 ± 1.5 %", "22.0 ± 0.5 %", REPRODUCED),
        ("Table 4", "46.5 ± 1.7 %", "51.2 ± 1.2 %", TREND),
        (ledger.OURS, "", "0.606 ± 0.082 share", "holds"),
    ]
    assert lines[0].measured_on == "2945 images of caltech101 (val)"
    assert lines[-1].claim == "truth_projections: part energy"
    assert {one.experiment for one in lines} < set(OUTCOMES)
    assert {one.network for one in lines} == {"zfnet, 50 epochs of caltech101"}


def test_a_finding_about_another_network_than_the_run_s_names_it(folder):
    facts = json.loads((folder / "fig5_invariance" / "provenance.json").read_text())
    facts |= {"judged": "zfnet, 224 px, as built", "data": {"name": "no images"}}
    (folder / "fig5_invariance" / "provenance.json").write_text(json.dumps(facts))
    lines = ledger.lines(ledger.collect(folder, OUTCOMES, "laptop"))
    assert lines[0].network == "zfnet, 224 px, as built" and lines[0].measured_on == "no images"
    assert lines[-1].network == "zfnet, 50 epochs of caltech101"


def test_what_is_collected_is_plain_and_read_again(kept, tmp_path):
    ledger.write(tmp_path / "kept.json", kept)
    assert json.loads((tmp_path / "kept.json").read_text()) == kept
    assert kept["network"]["weights_sha256"] == "ab" * 8
    assert kept["network"]["words"].startswith("zfnet, 50 epochs on 3030 images of caltech101")
    assert kept["steps"]["fig3_architecture"]["data"] == "scenes", "from its configuration"
    assert "findings" not in kept["steps"]["table6_pascal"]


def test_of_an_experiment_that_is_not_done_nothing_is_read(folder):
    kept = ledger.collect(folder, {"table4_caltech101": ended(FAILED, "late")}, "laptop")
    assert ledger.lines(kept) == [] and kept["network"] == {}
    assert ledger.network(kept) == "No network."


def test_every_claim_is_found_or_has_a_reason(kept):
    found = {one.key for one in ledger.lines(kept)} & set(REPORTED)
    reasons = unmeasured([kept])
    others = {key for key in REPORTED if "et al." in key}
    assert found | set(reasons) | others == set(REPORTED)
    assert not found & set(reasons) and len(others) == 11
    wanted = {
        "fig2/hierarchy": BY_EYE,
        "fig3/conv1": "not run with model=zfnet",
        "fig5/not_rotation": BY_EYE,
        "fig4/lower_first": "not run",
        "table4/pretrained/30": OPEN,
        "table6/cat": NO_DATA,
        "table7/caltech101/svm/layer1": FAILED,
        "fig9/few_images": "not run",
    }
    assert {key: reasons[key] for key in wanted} == wanted
    second = {
        "size": "laptop",
        "network": {},
        "steps": {"table5_caltech256": ended(), "fig4_feature_evolution": ended(NO_DATA)},
    }
    both = unmeasured([kept, second])
    assert both["fig9/few_images"] == OPEN, "drawn by table 5's experiment"
    assert both["fig4/lower_first"] == NO_DATA
    step = ended() | {"data": "9 images of caltech101", "findings": []}
    third = {"size": "laptop", "network": {}, "steps": {"table7_layer_probes": step}}
    reasons = unmeasured([third])
    assert reasons["table7/caltech256/svm/layer1"] == "not run on caltech256"
    assert reasons["table7/caltech101/svm/layer1"] == OPEN


def test_claims_without_a_finding_are_counted_by_place(kept):
    groups = grouped(unmeasured([kept]))
    assert f"Table 2 ({sum(k.startswith('table2/') for k in REPORTED)} numbers): not run" in groups
    assert "Table 6 (21 numbers): data not here" in groups
    assert "Fig. 5 (1 claim): drawn, for the eye to judge" in groups
    assert groups == sorted(groups, key=lambda text: (text[0], int(re.search(r"\d+", text)[0])))
    counts = sum(int(re.search(r"\((\d+) ", text)[1]) for text in groups)
    assert counts == len(unmeasured([kept]))


@pytest.mark.parametrize(
    ("value", "spread", "unit", "beside", "wanted"),
    [
        (None, None, "%", None, ""),
        (46.5, 1.7, "%", None, "46.5 ± 1.7 %"),
        (0.067, 0.007, "", None, "0.067 ± 0.007"),
        (81.4, 0.33, "%", None, "81.4 ± 0.33 %"),
        (110, None, "px", None, "110 px"),
        (62357608, None, "", 62357608, "62,357,608"),
        (51.163, 1.2345, "%", 46.5, "51.2 ± 1.2 %"),
        (0.0712, 0.00361, "", 0.067, "0.071 ± 0.0036"),
        (0.0, 0.0, "%", 46.5, "0.0 ± 0.0 %"),
        (40.0, None, "%", None, "40.0 %"),
        (86.25, 0.234, "%", 86, "86.2 ± 0.23 %"),
        (110.0, None, "px", 110, "110 px"),
        (0.123456, None, "", None, "0.123"),
        (1234.5678, None, "", None, "1234.568"),
        (-0.5, 0.25, "", None, "-0.5 ± 0.25"),
        (0.00001, None, "", None, "0.000"),
    ],
)
def test_numbers_have_the_digits_that_tell_something(value, spread, unit, beside, wanted):
    claim = None if beside is None else Claim("Table 1", "x", beside)
    assert ledger.number(value, spread, unit, claim) == wanted


def cells(table):
    rows = [re.split(r"(?<!\\)\|", line)[1:-1] for line in table.splitlines()]
    assert len({len(row) for row in rows}) == 1, "every row has all its cells"
    return [[cell.strip() for cell in row] for row in rows]


def test_the_page_of_a_record(kept):
    text = ledger.markdown(kept, {"fig5_invariance": "fig5_invariance/figure.png"})
    table = "\n".join(line for line in text.splitlines() if line.startswith("|"))
    rows = cells(table)
    assert rows[0] == ["place", "claim", "paper", "here", "status", ledger.DATA_HEAD, "experiment"]
    assert rows[2][-1] == "[fig5_invariance](fig5_invariance/figure.png)"
    assert rows[-1][-1] == "truth_projections"
    assert "- `fig5/quasi_linear`: R² above 0.95 | over five images" in text
    assert "- table6_pascal: data not here (VOC is not at x)" in text
    assert "- table7_layer_probes: failed (KeyError: 'a|b')" in text
    assert "Network: zfnet, 50 epochs" in text
    empty = ledger.markdown({"size": "smoke", "network": {}, "steps": {}}, {})
    assert "Nothing was found yet." in empty and "Fig. 2 (1 claim): not run" in empty


def test_rows_for_a_csv_file_hold_the_numbers_as_they_are(kept, tmp_path):
    write_table(tmp_path / "ledger.csv", ledger.rows(kept))
    rows = {row["key"]: row for row in csv.DictReader((tmp_path / "ledger.csv").open())}
    row = rows["table4/scratch/30"]
    assert (row["paper"], row["paper_spread"]) == ("46.5", "1.7")
    assert (row["here"], row["here_spread"], row["unit"]) == ("51.16", "1.234", "%")
    assert row["comparable"] == "True" and row["size"] == "laptop" and row["status"] == TREND
    assert rows["truth/truth_projections/part_energy"]["unit"] == "share"
    assert rows["table6/cat"]["status"] == NO_DATA and rows["table6/cat"]["here"] == ""
    assert len(rows) == len(ledger.rows(kept)) == len(REPORTED) - 11 + 1


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
        Section("fig2", "done in 3 s", "fig2/figure.png", ["fig2/table.csv"]),
        Section("table6", "failed: <KeyError> & so on", None, []),
    ]
    text = index_page(
        "A <title>", ["x & y"], ["a", "b"], [["1 < 2", "3"]], ["a > b"], ["Fig. 1"], sections
    )
    page = Page(text)
    assert (
        page.cells == 2
        and "1 < 2" in page.texts
        and "a > b" in page.texts
        and "failed: <KeyError> & so on" in page.texts
    )
    assert page.links == [
        "#fig2",
        "#table6",
        "fig2/figure.png",
        "fig2/figure.png",
        "fig2/table.csv",
    ]
    assert not re.search(r"https?://|<script|url\(", text)
    assert Page(index_page("t", [], [], [], [], [], [])).cells == 0
