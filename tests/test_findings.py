"""Findings beside the paper's claims: what is written, and how a status is reached."""

import pytest

from deconv.errors import DeconvError
from experiments.kit.findings import (
    DIFFERS,
    NOT_JUDGED,
    REPRODUCED,
    TREND,
    Finding,
    read_findings,
    status,
    write_findings,
)
from experiments.kit.reported import REPORTED, TABLE6

ROW = "table4/scratch/30"  # 46.5 ± 1.7


def test_table_6_adds_up():
    """The mean that the paper prints follows from its rows, so no digit was lost on the way."""
    rows = {label: row for label, row in TABLE6.items() if label != "mean"}
    assert len(rows) == 20
    assert sum(row[2] for row in rows.values()) / 20 == pytest.approx(TABLE6["mean"][2], abs=0.06)
    assert sum(row[2] > row[1] for row in rows.values()) == 5  # "won" against Yan et al.


def test_every_claim_has_a_place_and_numbers_in_its_range():
    for key, claim in REPORTED.items():
        assert key.split("/")[0].strip("0123456789") in ("fig", "table")
        assert claim.place.startswith(("Fig. ", "Table "))
        if claim.unit == "%":
            assert 0 < claim.value < 100


def test_what_is_written_is_read_again(tmp_path):
    found = [
        Finding(ROW, 51.0, 1.2, True, "three folds"),
        Finding("truth/fig2_top_activations/energy", 0.5, rule="share", unit="share"),
    ]
    write_findings(tmp_path, found)
    assert read_findings(tmp_path) == found
    assert read_findings(tmp_path / "nothing") == []


@pytest.mark.parametrize(
    ("finding", "wanted"),
    [
        (Finding(ROW, 47.9, 0.1, None, "r", comparable=True), REPRODUCED),
        (Finding(ROW, 49.0, 0.1, True, "r", comparable=True), TREND),
        (Finding(ROW, 49.0, 0.9, False, "r", comparable=True), REPRODUCED),
        (Finding(ROW, 46.5, 0.1, True, "r"), TREND),
        (Finding(ROW, 46.5, 0.1, False, "r"), DIFFERS),
        (Finding(ROW, 46.5, 0.1, None, "r"), NOT_JUDGED),
        (Finding("fig5/quasi_linear", 0.9, None, True, "r", comparable=True), TREND),
    ],
)
def test_status(finding, wanted):
    assert status(finding) == wanted


def test_findings_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(DeconvError, match=r"unknown claim 'table4/scratch/31'\. Did you mean"):
        Finding("table4/scratch/31", 1.0, rule="r")
    with pytest.raises(DeconvError, match="needs the rule"):
        Finding(ROW, 1.0)
    with pytest.raises(DeconvError, match="a value of nan"):
        Finding(ROW, float("nan"), rule="r")
    with pytest.raises(DeconvError, match="two findings for table4"):
        write_findings(tmp_path, [Finding(ROW, 1.0, rule="r")] * 2)
    assert not list(tmp_path.iterdir())
