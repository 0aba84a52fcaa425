"""Claims and findings as data: what each says, how a verdict is reached, what is refused."""

import pytest

from deconv.errors import DeconvError
from experiments.kit.claims import CLAIMS
from experiments.kit.controls import CONTROLS
from experiments.kit.findings import (
    AGREES,
    DISAGREES,
    NOT_TESTED,
    claim_of,
    judged,
    read_findings,
    write_findings,
)
from experiments.kit.paper_tables import TABLE6

ROW = "table4/scratch/30"  # 46.5 ± 1.7


def test_table_6_adds_up():
    """The mean that the paper prints follows from its rows, so no digit was lost on the way."""
    rows = {label: row for label, row in TABLE6.items() if label != "mean"}
    assert len(rows) == 20
    assert sum(row[2] for row in rows.values()) / 20 == pytest.approx(TABLE6["mean"][2], abs=0.06)
    assert sum(row[2] > row[1] for row in rows.values()) == 5  # "won" against Yan et al.


def test_every_claim_has_a_place_a_measure_and_numbers_in_their_range():
    numbers = {"Table 1": 8, "Table 2": 18, "Table 3": 36, "Table 4": 4, "Table 5": 8}
    numbers |= {"Table 6": 21, "Table 7": 16, "Fig. 3": 9}
    places = [claim.place for claim in CLAIMS.values() if claim.value is not None]
    assert {place: places.count(place) for place in places} == numbers
    for key, claim in CLAIMS.items():
        assert claim.place.replace(". ", "").replace(" ", "").lower() == key.split("/")[0]
        assert claim.says and claim.measured and (claim.rule or key == "fig2/hierarchy")
        assert claim.unit != "%" or claim.value is None or 0 < claim.value < 100
        assert (claim.value is None) or claim.comparable, key


def test_a_control_is_found_by_its_name_whatever_its_case():
    assert all(key.count("/") == 2 and claim.measured for key, claim in CONTROLS.items())
    place = CONTROLS["control/table1/place"]
    assert claim_of("control/table1/place/layer5/nose") is place is claim_of("control/table1/place")
    assert claim_of(ROW) is CLAIMS[ROW]


@pytest.mark.parametrize(
    ("value", "spread", "holds", "comparable", "wanted"),
    [
        (47.9, 0.1, None, True, AGREES),
        (48.3, (48.0, 48.6), False, True, AGREES),  # 1.8 apart, 2.0 allowed
        (49.0, 0.1, None, True, DISAGREES),
        (49.0, 0.1, True, True, AGREES),
        (49.0, 0.1, False, True, DISAGREES),
        (46.5, 0.1, True, False, AGREES),
        (46.5, 0.1, False, False, DISAGREES),
        (46.5, 0.1, None, False, NOT_TESTED),
        (None, None, None, True, NOT_TESTED),
    ],
)
def test_a_comparable_number_is_judged_first_and_then_the_rule(
    value, spread, holds, comparable, wanted
):
    found = judged(ROW, value, spread, 3, holds=holds, comparable=comparable)
    assert found.verdict == wanted


def test_a_claim_without_a_number_is_judged_by_its_rule_alone():
    assert judged("fig5/quasi_linear", 0.9, holds=True, comparable=True).verdict == AGREES
    assert judged("fig5/quasi_linear", 0.9, comparable=True).verdict == NOT_TESTED


def test_what_is_written_is_read_again(tmp_path):
    found = [
        judged(ROW, 51.0, 1.25, 3, comparable=True, rival="another"),
        judged("control/fig7/largest_drop_on_object", 0.5, (0.25, 0.9), holds=True),
    ]
    assert (found[0].low, found[0].high, found[0].half) == (49.75, 52.25, 1.25)
    assert (found[1].low, found[1].high) == (0.25, 0.9)
    write_findings(tmp_path, found)
    assert read_findings(tmp_path) == found
    assert read_findings(tmp_path / "nothing") == []


def test_findings_that_cannot_be_used_are_refused(tmp_path):
    with pytest.raises(DeconvError, match=r"unknown claim 'table4/scratch/31'\. Did you mean"):
        judged("table4/scratch/31", 1.0)
    with pytest.raises(DeconvError, match="unknown control 'control/table1/plaice'"):
        judged("control/table1/plaice/layer5", 1.0)
    with pytest.raises(DeconvError, match="a value of nan"):
        judged(ROW, float("nan"))
    with pytest.raises(DeconvError, match="two findings for table4"):
        write_findings(tmp_path, [judged(ROW, 1.0)] * 2)
    assert not list(tmp_path.iterdir())
