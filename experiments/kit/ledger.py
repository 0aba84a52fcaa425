"""The ledger: each claim of the paper, what was found here beside it, and on what it was measured.

`collect` reads findings.json, provenance.json and config.yaml of the folders that experiments leave
into one record, which can be kept as JSON; the rest turns records into tables. No number is typed.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf

from deconv.data.text_files import json_text
from experiments.kit.facts import briefly, network_words
from experiments.kit.findings import (
    DIFFERS,
    NOT_JUDGED,
    OPEN,
    REPRODUCED,
    TREND,
    TRUTH,
    Finding,
    read_findings,
    status,
)
from experiments.kit.printed import bullets, literal, table
from experiments.kit.provenance import write_text
from experiments.kit.reported import DERIVED, REPORTED, SECONDARY, Claim
from experiments.kit.steps import DONE
from experiments.kit.unmeasured import grouped, order, unmeasured

FILE = "ledger.json"

HOLDS, DOES_NOT_HOLD = "holds", "does not hold"
"""Of a score against ground truth, which the paper has none of."""

P_VALUE = "p"
"""The unit of a finding that is the p value of a test."""

DATA_HEAD = "data"
"""Heads the column of data sets."""

NO_TARGET = "no target"
"""Beside the status of a number whose data, network or number of splits is not the paper's."""

HOW = (
    f"*{REPRODUCED}*: on the paper's data by its protocol, and apart by at most both spreads "
    f"together. *{NO_TARGET}*: data, network or number of splits are not the paper's, so its "
    "number is not to be met. All but the reproduced are judged by the rule of their claim, below "
    "the table, which also says of how many of the data set's images a number is: "
    f"*{TREND}* if it holds, *{DIFFERS}* if not, *{NOT_JUDGED}* where it cannot "
    f"be applied to what was measured; *{OPEN}*, of claims without a finding, where the experiment "
    "ran on data that cannot say. A rule compares numbers of one run: one close to the paper's can "
    "differ, and one far from it agree."
)

Kept = dict[str, Any]
"""What `collect` returns, and what experiments/results/ledger_<name>.json holds."""


@dataclass(frozen=True)
class Line:
    """One finding beside the paper's claim, as texts for people."""

    place: str
    claim: str
    paper: str
    here: str
    status: str
    measured_on: str
    rule: str
    experiment: str
    key: str
    network: str
    comparable: bool


def collect(folder: Path, outcomes: Mapping[str, Mapping[str, Any]], size: str) -> Kept:
    """What the experiments under folder/<stem> found.

    outcomes: stem -> {"status": …, "seconds": …, "error": …}; files are read of those that are
    done.
    """
    steps = {
        stem: {key: one[key] for key in ("status", "seconds", "error")}
        | (_read(folder / stem) if one["status"] == DONE else {})
        for stem, one in outcomes.items()
    }
    networks = [step.pop("network") for step in steps.values() if step.get("network")] or [{}]
    return {"size": size, "network": networks[0], "steps": steps}


def write(path: Path, kept: Kept) -> None:
    """Write a record as JSON."""
    write_text(path, json_text(kept, ensure_ascii=False) + "\n")


def _read(folder: Path) -> dict[str, Any]:
    path = folder / "provenance.json"
    facts = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    return {
        "data": _data(folder, facts),
        "commit": facts.get("commit", ""),
        "findings": [asdict(finding) for finding in read_findings(folder)],
        "network": _network(facts),
    } | ({"judged": facts["judged"]} if "judged" in facts else {})


def _network(facts: Mapping[str, Any]) -> dict[str, Any]:
    """The network in words and by hash; {} where the sidecar has none."""
    words = network_words(facts)
    return {"words": words, "weights_sha256": facts.get("weights_sha256", "")} if words else {}


def _data(folder: Path, facts: Mapping[str, Any]) -> str:
    """Which images an experiment measured on, from its sidecar, else its configuration."""
    told = facts.get("data")
    if isinstance(told, Mapping) and "name" in told:
        return measured_on(told)
    path = folder / "config.yaml"
    config = OmegaConf.load(path) if path.is_file() else {}
    return str(OmegaConf.select(config, "data.name") or "") if config else ""


def measured_on(told: Mapping[str, Any]) -> str:
    """The images of a sidecar's entry `data`, in words."""
    split = f" ({told['split']})" if told.get("split") else ""
    images = f"{told['images']} images of " if told.get("images") else ""
    return f"{images}{told['name']}{split}"


def lines(kept: Kept) -> list[Line]:
    """The findings of one record, the paper's in the paper's order, then those against truth."""
    found = [
        _line(stem, step, Finding(**one), step.get("judged") or network_name(kept))
        for stem, step in kept["steps"].items()
        for one in step.get("findings", [])
    ]
    return sorted(found, key=lambda line: order(line.key))


def network_name(kept: Kept) -> str:
    """The network of a record in a few words, "" if it has none."""
    return briefly(kept["network"].get("words", ""))


OURS = "not in the paper"
"""The place of what the paper had no means to measure: scores against known boxes, controls."""


def _line(stem: str, step: Mapping[str, Any], finding: Finding, network: str) -> Line:
    claim = REPORTED.get(finding.key)
    if claim is None:
        what = ", ".join(finding.key.removeprefix(f"{TRUTH}{stem}/").split("/")).replace("_", " ")
        place, says, paper, unit = OURS, f"{stem}: {what}", "", finding.unit
    else:
        place, says, unit = claim.place, claim.says, claim.unit
        paper = number(claim.value, claim.spread, unit)
        if claim.value is not None and claim.known in (SECONDARY, DERIVED):
            paper += f" ({claim.known})"
    here = number(finding.value, finding.spread, unit, claim)
    return Line(
        place,
        says,
        paper,
        here,
        words(finding),
        step.get("data", ""),
        finding.rule,
        stem,
        finding.key,
        network,
        finding.comparable,
    )


def words(finding: Finding) -> str:
    """Its status; of a score against ground truth whether its rule holds."""
    if not finding.key.startswith(TRUTH):
        return status(finding)
    return {True: HOLDS, False: DOES_NOT_HOLD, None: NOT_JUDGED}[finding.holds]


HEAD = ("place", "claim", "paper", "here", "status", DATA_HEAD)


def cells(line: Line, shown: Callable[[str], str] = str) -> tuple[str, ...]:
    """The line under HEAD. shown: how text that users name is written."""
    status = target_or_not(line)
    return line.place, line.claim, line.paper, line.here, status, shown(line.measured_on)


def target_or_not(line: Line) -> str:
    """The status, and whether a number of the paper is no target for this one."""
    return line.status + f", {NO_TARGET}" * bool(line.paper and not line.comparable)


def number(
    value: float | None, spread: float | None, unit: str, beside: Claim | None = None
) -> str:
    """Format as 46.5 ± 1.7 %.

    As many decimals as the claim beside it, else three significant digits; of percentages at
    least one decimal, of a spread two significant digits. Large whole numbers are written out.
    """
    if value is None:
        return ""
    if unit == P_VALUE:
        return f"p = {value:.2g}"
    model = value if beside is None or beside.value is None else beside.value
    if spread is None and abs(model) >= 1000 and model == int(model) and value == int(value):
        return f"{value:,.0f} {unit}".strip()
    after = max(_decimals(f"{model:.3g}"), int(unit == "%"))
    text = f"{value:.{after}f}"
    if spread is not None:
        text += f" ± {spread:.{max(after, _decimals(f'{spread:.2g}'))}f}"
    return f"{text} {unit}".strip()


def _decimals(text: str) -> int:
    """Digits after the point of a printed number, 3 where it has an exponent."""
    return 3 if "e" in text else len(text.partition(".")[2])


def markdown(kept: Kept, pictures: Mapping[str, str]) -> str:
    """The ledger of one record as a page. pictures: stem -> what its name links to."""
    links = {stem: f"[{stem}]({path})" for stem, path in pictures.items()}
    rows = [(*cells(x, literal), links.get(x.experiment, x.experiment)) for x in lines(kept)]
    parts = [f"# The paper and this reproduction, size {kept['size']}", literal(network(kept))]
    parts += [HOW, table((*HEAD, "experiment"), rows)] if rows else ["Nothing was found yet."]
    parts += ["How each was judged:", bullets(rules(kept))] if rows else []
    parts += ["Without a finding:", bullets(grouped(unmeasured([kept])))]
    if ended := endings(kept):
        parts += ["Without a result:", bullets(map(literal, ended))]
    return "\n\n".join(parts) + "\n"


def rules(kept: Kept) -> list[str]:
    """How each finding was judged."""
    return [f"`{one.key}`: {one.rule}" for one in lines(kept)]


def endings(kept: Kept) -> list[str]:
    """The experiments that are not done, each with its last error."""
    return [
        f"{stem}: {step['status']}" + (f" ({step['error']})" if step["error"] else "")
        for stem, step in kept["steps"].items()
        if step["status"] != DONE
    ]


def network(kept: Kept) -> str:
    """The sentence about the network."""
    told = kept["network"]
    return f"Network: {told['words']} Weights {told['weights_sha256']}." if told else "No network."


def rows(kept: Kept) -> list[dict[str, Any]]:
    """The ledger of one record as rows of a CSV file: findings, then claims without one."""
    found = []
    by_key = {
        one["key"]: one for step in kept["steps"].values() for one in step.get("findings", [])
    }
    for one in lines(kept):
        claim, ours = REPORTED.get(one.key), by_key[one.key]
        found.append(
            {
                "key": one.key,
                "place": one.place,
                "claim": one.claim,
                "paper": claim and claim.value,
                "paper_spread": claim and claim.spread,
                "here": ours["value"],
                "here_spread": ours["spread"],
                "unit": claim.unit if claim else ours["unit"],
                "status": one.status,
                "comparable": ours["comparable"],
                "measured_on": one.measured_on,
                "size": kept["size"],
                "rule": one.rule,
                "experiment": one.experiment,
            }
        )
    for key, reason in unmeasured([kept]).items():
        claim = REPORTED[key]
        found.append(
            {
                "key": key,
                "place": claim.place,
                "claim": claim.says,
                "paper": claim.value,
                "paper_spread": claim.spread,
                "unit": claim.unit,
                "status": reason,
            }
        )
    return found
