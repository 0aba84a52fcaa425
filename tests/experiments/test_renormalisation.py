"""How often filters are renormalised: what is counted, and what is refused."""

import csv
import json
from pathlib import Path

import pytest
from command_line import assert_refused, command


def test_it_is_counted_for_each_rate_and_scale(tmp_path):
    lines, _ = command(
        "renormalisation",
        "size=smoke",
        "updates=4",
        "rates=[0.01,0.5]",
        "scales=[4.0]",
        "train.max_rms=0.024",
        cwd=tmp_path,
    )
    rows = list(csv.DictReader((Path(lines[-1]) / "table.csv").open()))
    assert [(row["rate"], row["layer"]) for row in rows] == [
        (rate, f"conv{n}") for rate in ("0.01", "0.5") for n in range(1, 6)
    ]
    for row in rows:
        acted = float(row["largest_rms"]) > 0.024
        assert (int(row["filters_scaled"]) > 0) == acted == (row["first_update"] != "")
    assert any(int(row["filters_scaled"]) for row in rows)
    facts = json.loads((Path(lines[-1]) / "provenance.json").read_text())
    assert facts["max_rms"] == 0.024 and facts["data"]["images"] == 60


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("rates=[0]", "rates takes a list of positive numbers"),
        ("scales=[]", "scales takes a list of positive numbers"),
        ("updates=0", "updates must be at least 1"),
        ("train.max_rms=null", "has no limit to count by"),
    ],
)
def test_bad_settings_are_named(override, words, tmp_path):
    assert_refused("renormalisation", ["size=smoke", override], words, tmp_path)
