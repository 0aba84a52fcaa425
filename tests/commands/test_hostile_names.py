"""Classes and files called like markup, paths, options or formulas: shown as text, never obeyed."""

import csv
import json
import re
from dataclasses import asdict
from pathlib import Path

import pytest
from command_line import command
from image_files import encoded, put

import deconv
from experiments.kit.findings import judged
from experiments.kit.index_page import Section, index_page
from experiments.kit.printed import literal, printed, table
from experiments.kit.provenance import write_table
from experiments.kit.results_page import results

pytestmark = pytest.mark.fault("hostile names")

NAMES = [
    "<img src=x onerror=alert(1)>",
    "a|b",
    "$x^$",
    r"$\frac{1}{$",
    "two\nlines",
    "--help",
    "=1+1",
    r"C:\new `rm` *x*",
    "[link](x) &amp; ~",
    "%s {0} ${seed}",
    "\x1b[31m",
]


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A run on photographs in folders of these names, and where it was typed."""
    where = tmp_path_factory.mktemp("hostile")
    for i in range(4 * len(NAMES)):
        split, name = ("train", "val")[i // len(NAMES) % 2], NAMES[i % len(NAMES)]
        put(where / "photos" / split / name / f"{i} {name[:9]}.jpg", encoded(i, (80, 90)))
    asked = ["size=smoke", "data=imagefolder", "data.root=photos", "model.input_px=64"]
    asked += ["model.fc_width=16", "train.epochs=1"]
    (*_, run), _ = command("train", *asked, "pictures=each", cwd=where)
    return where, [*asked[:3], f"snapshot={Path(run) / 'last.pt'}"]


@pytest.mark.slow
def test_a_training_keeps_them_as_they_are(trained):
    where, (*_, snapshot) = trained
    assert sorted(deconv.load_snapshot(snapshot.partition("=")[2]).classes) == sorted(NAMES)
    assert {path.name for path in where.iterdir()} == {"photos", "outputs"}
    assert {path.name for path in where.glob("outputs/*")} == {"train"}


@pytest.mark.slow
def test_a_figure_draws_them_and_no_file_is_called_so(trained, tmp_path):
    where, asked = trained
    images = f"images=[{','.join(map(str, range(0, 2 * len(NAMES), 2)))}]"
    lines, _ = command("fig7_occlusion", *asked, images, "stride_px=32", cwd=where)
    folder = Path(lines[-1])
    facts = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert {row["name"] for row in facts["rows"]} == set(NAMES)
    assert not [path for path in folder.rglob("*") if any(c in path.name for c in "<|$=\n\x1b")]
    (*_, again), _ = command("fig7_occlusion", "size=smoke", f"redraw={folder}", cwd=tmp_path)
    assert (Path(again) / "figure.png").read_bytes() == (folder / "figure.png").read_bytes()


def test_tables_give_them_back(tmp_path):
    write_table(tmp_path / "t.csv", [{"class": name, "n": i} for i, name in enumerate(NAMES)])
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        assert [row["class"] for row in csv.DictReader(file)] == NAMES
    said = printed(("class", "n"), [(name, "1") for name in NAMES])
    assert len(said.splitlines()) == len(NAMES) + 2 and "\x1b" not in said


def test_pages_and_results_show_them():
    record = {"experiment": "x", "command": "", "commit": "", "network": {}, "seconds": 1}
    record |= {"facts": {}, "tables": {}, "findings": [asdict(judged("fig1/reconstruction"))]}
    kept = {f"fig{i}": record | {"data": {"name": name}} for i, name in enumerate(NAMES)}
    text = results(kept, "t", str)
    assert not re.search(r"(?<!\\)<img", text) and r"\<img src=x onerror=alert(1)\>" in text
    rows = [line for line in text.splitlines() if line.startswith("| unpool")]
    assert len(rows) == len(NAMES), "each on its line"
    html = index_page("t", [Section("s", NAMES[0], None, NAMES)], NAMES, [NAMES], NAMES[0])
    assert "<img" not in html and html.count("&lt;img src=x onerror=alert(1)&gt;") == 5
    cells = table(("a", "b"), [(literal(name), "1") for name in NAMES]).splitlines()
    assert len(cells) == len(NAMES) + 2 and all(line.count(" | ") == 1 for line in cells[2:])
