"""scripts/bench in small: its data, its page, and what it refuses."""

import json
import re
import statistics
import sys

import pytest
from command_line import program

from scripts.benchmark import __main__ as bench
from scripts.benchmark.size import SMOKE

MAIN = "from scripts.benchmark.__main__ import main\nmain()"


def table(page, row):
    """The lines of a row's table, each as its cells."""
    section = page.split(f"## {row}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line[1:-1].split("|")] for line in lines[2:]]


def test_the_page_says_what_the_data_do(tmp_path):
    options = ("--smoke", "--folder", tmp_path, "--only", "occlusion,project", "--rounds", 2)
    printed, _ = program(MAIN, *options, cwd=tmp_path)
    data = json.loads((tmp_path / "speed.json").read_text())
    page = (tmp_path / "speed.md").read_text()
    assert printed.strip() == page.strip() and list(data["rows"]) == ["project", "occlusion"]
    for row, found in data["rows"].items():
        ways = [(case, way) for case in found["cases"] for way in case["ways"]]
        for line, (case, way) in zip(table(page, row), ways, strict=True):
            name, said, rate, faster, memory, shares, difference = line
            ours = case["ways"][0]
            first = way is ours
            assert (name, said) == (case["case"] if first else "", way["way"])
            assert rate == f"{way['per_second']:g} {case['things']}"
            assert float(memory or -1) == (way["memory_mb"] or -1)
            assert bool(shares) == first and bool(difference) == (first and "difference" in case)
            seconds = way["seconds"]
            assert len(seconds) == found["rounds"] == 2
            assert way["per_second"] == pytest.approx(1 / statistics.median(seconds), rel=0.01)
            if not first:
                ratios = [t / o for t, o in zip(seconds, ours["seconds"], strict=True)]
                wanted = statistics.median(ratios), min(ratios), max(ratios)
                numbers = [float(number) for number in re.findall(r"[\d.]+(?=×|…|\))", faster)]
                assert numbers == pytest.approx(wanted, rel=0.02)
    cases = [case for found in data["rows"].values() for case in found["cases"]]
    assert max(case.get("difference", 0) for case in cases) < 1e-4


def test_rows_that_are_not_measured_stay(monkeypatch):
    kept = {"rows": {"mining": {"date": "2001-02-03", "rounds": 7, "cases": []}}}
    monkeypatch.setattr(bench, "machine", lambda side, rounds: {"gflops": {}})
    monkeypatch.setitem(bench.ROWS, "project", lambda run: [run.rounds])
    data = bench.measure(["project"], SMOKE, 2, kept)
    assert list(data["rows"]) == ["project", "mining"]
    assert data["rows"]["mining"] == kept["rows"]["mining"]
    assert data["rows"]["project"]["cases"] == [2]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "project,minning"], "unknown row 'minning'. Did you mean 'mining' or"),
        (["--rounds", "0"], "--rounds must be at least 1, got 0"),
        (["--folder", "nowhere"], "there is no folder nowhere"),
    ],
)
def test_what_it_refuses(arguments, message, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["bench", "--folder", str(tmp_path), *arguments])
    with pytest.raises(SystemExit) as end:
        bench.main()
    assert end.value.code == 2 and message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_damaged_data_of_other_rows_are_not_lost(tmp_path, monkeypatch, capsys):
    (tmp_path / "speed.json").write_text('{"rows": ')
    options = ["--folder", str(tmp_path), "--only", "mining"]
    monkeypatch.setattr(sys, "argv", ["bench", *options])
    with pytest.raises(SystemExit) as end:
        bench.main()
    assert end.value.code == 2 and "speed.json is no data of" in capsys.readouterr().err
    assert (tmp_path / "speed.json").read_text() == '{"rows": '
