"""What an experiment found about one claim, as data: a number, its range, a verdict, facts."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from deconv.data.text_files import json_text
from deconv.errors import DeconvError, unknown
from experiments.kit.claims import CLAIMS, Claim
from experiments.kit.controls import CONTROL, CONTROLS

FILE = "findings.json"
AGREES, DISAGREES, NOT_TESTED = "agrees", "disagrees", "not tested"


@dataclass(frozen=True)
class Finding:
    """One number or observation of ours.

    claim: key of CLAIMS; or of CONTROLS, with the case behind it. value, low, high, n: what the
    claim says is measured, in its unit; n is of images, units, splits, …. verdict: AGREES,
    DISAGREES or NOT_TESTED. comparable: measured on the paper's data by the paper's protocol, so
    that our number may be set beside the paper's. facts: what the verdict rests on besides.
    """

    claim: str
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = None
    verdict: str = NOT_TESTED
    comparable: bool = False
    facts: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        claim_of(self.claim)
        for name in ("value", "low", "high"):
            number = getattr(self, name)
            if number is not None and not math.isfinite(number):
                raise DeconvError(f"the finding {self.claim} has a {name} of {number}")

    @property
    def holds(self) -> bool | None:
        """Whether it agrees, None where it was not tested."""
        return {AGREES: True, DISAGREES: False}.get(self.verdict)

    @property
    def half(self) -> float | None:
        """Half the range, None without one."""
        return None if self.low is None or self.high is None else (self.high - self.low) / 2


def claim_of(key: str) -> Claim:
    """The claim or control of a finding's key. Raises DeconvError if there is none."""
    if key.startswith(CONTROL):
        name = "/".join(key.split("/")[:3])
        if name in CONTROLS:
            return CONTROLS[name]
        raise unknown("control", name, CONTROLS)
    if key not in CLAIMS:
        raise unknown("claim", key, CLAIMS)
    return CLAIMS[key]


def judged(
    claim: str,
    value: float | None = None,
    spread: float | tuple[float, float] | None = None,
    n: int | None = None,
    *,
    holds: bool | None = None,
    comparable: bool = False,
    **facts: Any,
) -> Finding:
    """Make a finding with its verdict.

    Args:
        spread: half the range, or its ends.
        holds: whether the rule of the claim holds, None where it cannot be applied.
    """
    low, high = spread if isinstance(spread, tuple) else (None, None)
    if value is not None and isinstance(spread, (int, float)):
        low, high = value - spread, value + spread
    found = Finding(claim, value, low, high, n, NOT_TESTED, comparable, facts)
    verdict = NOT_TESTED if holds is None else AGREES if holds else DISAGREES
    if comparable and (within := within_spreads(found)) is not None:
        verdict = AGREES if within else DISAGREES if holds is None else verdict
    return Finding(claim, value, low, high, n, verdict, comparable, facts)


def within_spreads(found: Finding) -> bool | None:
    """Whether our number and the paper's differ by at most both spreads; None without both."""
    claim = claim_of(found.claim)
    if claim.value is None or found.value is None:
        return None
    return abs(found.value - claim.value) <= (claim.spread or 0.0) + (found.half or 0.0)


def write_findings(folder: Path, findings: Sequence[Finding]) -> None:
    """Write folder/findings.json. Raises DeconvError if two findings have one key."""
    keys = [finding.claim for finding in findings]
    if twice := sorted({key for key in keys if keys.count(key) > 1}):
        raise DeconvError(f"two findings for {', '.join(twice)}")
    rows = [asdict(finding) for finding in findings]
    (folder / FILE).write_text(json_text(rows) + "\n", encoding="utf-8")


def read_findings(folder: Path) -> list[Finding]:
    """The findings of a folder, none if it has no such file."""
    path = folder / FILE
    rows = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else []
    return [Finding(**row) for row in rows]
