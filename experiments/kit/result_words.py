"""Results in words, written from data: numbers, differences, networks, images, verdicts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from experiments.kit.claims import DERIVED, SECONDARY, Claim
from experiments.kit.controls import P_VALUE
from experiments.kit.findings import (
    AGREES,
    DISAGREES,
    NOT_TESTED,
    Finding,
    claim_of,
    within_spreads,
)
from experiments.kit.kept import Record

ASKEW = 0.5
"""Farther from the middle of its interval, as a share of half of it, a value has no ±."""


def number(value: float | None, half: float | None, claim: Claim) -> str:
    """Format as 46.5 ± 1.7 %, with as many decimals as the paper's number has.

    Else three significant digits; of percentages at least one decimal, of a spread two significant
    digits. Large whole numbers are written out.
    """
    if value is None:
        return ""
    if claim.unit == P_VALUE:
        return f"p = {value:.2g}"
    model = value if claim.value is None else claim.value
    if half is None and abs(model) >= 1000 and value == int(value):
        return f"{value:,.0f} {claim.unit}".strip()
    after = max(_decimals(f"{model:.3g}"), int(claim.unit == "%"))
    text = f"{value:.{after}f}"
    if half is not None:
        text += f" ± {half:.{max(after, _decimals(f'{half:.2g}'))}f}"
    return f"{text} {claim.unit}".strip()


def _decimals(text: str) -> int:
    """Digits after the point of a printed number, 3 where it has an exponent."""
    return 3 if "e" in text else len(text.partition(".")[2])


def paper(claim: Claim) -> str:
    """The paper's number, and how it is known where not from its text."""
    text = number(claim.value, claim.spread, claim)
    return text + f" ({claim.known})" * (claim.known in (SECONDARY, DERIVED))


def here(found: Finding) -> str:
    """Our number, with ± half its interval, or the interval's ends where it lies askew in it."""
    claim, low, value, high = claim_of(found.claim), found.low, found.value, found.high
    if low is None or value is None or high is None or found.half is None:
        return number(value, None, claim)
    if abs(high + low - 2 * value) <= ASKEW * found.half:
        return number(value, found.half, claim)
    plain = replace(claim, unit="")
    ends = " to ".join(number(end, None, plain) for end in (low, high))
    return f"{number(value, None, plain)} ({ends}) {claim.unit}".strip()


def difference(found: Finding) -> str:
    """How far our number is from the paper's, and whether it may be compared."""
    claim, within = claim_of(found.claim), within_spreads(found)
    if within is None:
        return ""
    after = max(_decimals(f"{claim.value:.3g}"), int(claim.unit == "%"))
    apart = f"{found.value - claim.value:+.{after}f}" if found.value != claim.value else "0"
    if not found.comparable:
        return f"{apart}, not comparable"
    spread = claim.spread or found.half
    text = f"{apart}, {'within' if within else 'outside'} both spreads" if spread else apart
    few = claim.n is not None and found.n is not None and found.n != claim.n
    return text + f"; {found.n} splits of {claim.n}" * few


def network(record: Record) -> str:
    """The network of a record in a few words."""
    net = record["network"]
    words = short_name(net) + (f" at {net['input_px']} px" if net.get("input_px") else "")
    if "data" in net:
        course = f"{net['epochs']} epochs of" if "epochs" in net else "trained on"
        words += f", {course} {net['data']}"
    return words


def whose(record: Record) -> str:
    """The network of a record by its name and its data alone."""
    net = record["network"]
    return f"{short_name(net)} of {net['data']}" if "data" in net else short_name(net)


def short_name(net: Mapping[str, Any]) -> str:
    """A network's name without that of its package."""
    return net.get("name", "").rpartition("/")[2]


def images(record: Record) -> str:
    """The images of a record in a few words."""
    data = record["data"]
    count = f"{data['images']} of " if data.get("images") else ""
    split = f", {data['split']}" if data.get("split") else ""
    return f"{count}{data.get('name', '')}{split}"


def facts(found: Finding) -> str:
    """What a verdict rests on beside the number, as name and value."""
    pairs = ({"n": found.n} if found.n is not None else {}) | found.facts
    return "; ".join(f"{key.replace('_', ' ')} {_plain(value)}" for key, value in pairs.items())


def _plain(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_plain(one)}" for key, one in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(map(_plain, value))
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def counts(found: Iterable[Finding]) -> str:
    """Format verdicts as "2 agree, 1 disagrees"; a single one by its own word."""
    verdicts = [one.verdict for one in found]
    if len(verdicts) == 1:
        return verdicts[0]
    words = ((AGREES, "agrees", "agree"), (DISAGREES, "disagrees", "disagree"))
    words += ((NOT_TESTED, "not tested", "not tested"),)
    told = [(verdicts.count(verdict), one, many) for verdict, one, many in words]
    return ", ".join(f"{n} {one if n == 1 else many}" for n, one, many in told if n)
