"""The paper's claims that no record has a finding for, and why."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.kit.findings import OPEN
from experiments.kit.reported import DRAWN, REPORTED
from experiments.kit.steps import DONE, FAILED, NO_DATA, NOT_RUN

BY_EYE = "drawn, for the eye to judge"
"""Of what the paper only draws, where the experiment ran and measured nothing about it."""

ANOTHER_STEM = {"fig9": "table5", "fig8": "table1"}
"""A figure that the experiment of a table draws."""


def order(key: str) -> tuple[int, int, int, str]:
    """Sorts claims as the paper has them: figures, tables, by number; scores against truth last."""
    if key not in REPORTED:
        return 2, 0, 0, key
    kind, number = REPORTED[key].place.split()
    return int(kind == "Table"), int(number), list(REPORTED).index(key), key


def unmeasured(records: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Claim key -> why there is no finding for it in any record; not of others' own numbers."""
    found = {
        one["key"] for k in records for s in k["steps"].values() for one in s.get("findings", [])
    }
    return {key: _why(key, records) for key in REPORTED if key not in found and "et al." not in key}


def _why(key: str, records: Sequence[Mapping[str, Any]]) -> str:
    """The reason closest to a finding, over all records."""
    name, part = key.split("/")[:2]
    prefix = ANOTHER_STEM.get(name, name) + "_"
    steps = [
        step for kept in records for stem, step in kept["steps"].items() if stem.startswith(prefix)
    ]
    ended = {step["status"] for step in steps}
    if DONE in ended:
        if name == "fig3":  # of the paper's own network, which needs no data
            return f"{NOT_RUN} with model=zfnet"
        # Where a table has a column for each data set, a run on one says nothing of another.
        done_on = " ".join(step.get("data", "") for step in steps if step["status"] == DONE)
        if name == "table7" and part not in done_on:
            return f"{NOT_RUN} on {part}"
        return BY_EYE if REPORTED[key].known == DRAWN else OPEN
    return next((one for one in (NO_DATA, FAILED) if one in ended), NOT_RUN)


def grouped(reasons: Mapping[str, str]) -> list[str]:
    """Lines such as "Table 2 (14 numbers): needs ImageNet", places in the paper's order."""
    groups: dict[tuple[str, str], list[str]] = {}
    for key, reason in sorted(reasons.items(), key=lambda pair: order(pair[0])):
        groups.setdefault((REPORTED[key].place, reason), []).append(key)
    out = []
    for (place, reason), keys in groups.items():
        kind = "number" if all(REPORTED[key].value is not None for key in keys) else "claim"
        out.append(f"{place} ({len(keys)} {kind}{'s' * (len(keys) > 1)}): {reason}")
    return out
