"""What an experiment found about the paper's claims, kept beside its figure for the ledger."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from deconv.data.text_files import json_text
from deconv.errors import DeconvError, unknown
from experiments.kit.reported import REPORTED

FILE = "findings.json"
TRUTH = "truth/"
"""Begins the key of what the paper had no means to measure: scores against known boxes of parts."""

REPRODUCED = "reproduced within spread"
TREND = "same trend"
DIFFERS = "differs"
OPEN = "needs ImageNet"
NOT_JUDGED = "not judged"


@dataclass(frozen=True)
class Finding:
    """One number or observation of ours.

    key: of REPORTED; or "truth/<experiment>/<name>" for a score against ground truth.
    value, spread: ours, in the unit of the claim; spread is named in `rule`.
    holds: whether the claim, read as `rule`, holds here; None where it cannot be judged.
    rule: the rule in words, with its margin.
    unit: of a truth/ finding; of others the claim's own counts.
    comparable: measured on the paper's data by the paper's protocol, so that its number is a
        target; otherwise only the trend can be the same.
    """

    key: str
    value: float | None = None
    spread: float | None = None
    holds: bool | None = None
    rule: str = ""
    unit: str = ""
    comparable: bool = False

    def __post_init__(self) -> None:
        if not self.key.startswith(TRUTH) and self.key not in REPORTED:
            raise unknown("claim", self.key, REPORTED)
        if not self.rule:
            raise DeconvError(f"the finding {self.key} needs the rule it was judged by")
        for name in ("value", "spread"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise DeconvError(f"the finding {self.key} has a {name} of {number}")


def write_findings(folder: Path, findings: Sequence[Finding]) -> None:
    """Write folder/findings.json. Raises DeconvError if two findings have one key."""
    keys = [finding.key for finding in findings]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise DeconvError(f"two findings for {', '.join(twice)}")
    rows = [asdict(finding) for finding in findings]
    (folder / FILE).write_text(json_text(rows) + "\n", encoding="utf-8")


def read_findings(folder: Path) -> list[Finding]:
    """The findings of a folder, none if it has no such file."""
    path = folder / FILE
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [Finding(**row) for row in rows]


def status(finding: Finding) -> str:
    """How far a finding is from the paper, in words: REPRODUCED, TREND, DIFFERS or NOT_JUDGED.

    REPRODUCED wants the paper's data and protocol and a difference of at most the sum of both
    spreads; everything else is judged by the finding's own rule.
    """
    claim = REPORTED.get(finding.key)
    if finding.comparable and claim and None not in (claim.value, finding.value):
        reach = (claim.spread or 0.0) + (finding.spread or 0.0)
        if abs(finding.value - claim.value) <= reach:
            return REPRODUCED
    if finding.holds is None:
        return NOT_JUDGED
    return TREND if finding.holds else DIFFERS
