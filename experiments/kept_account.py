"""The README's ledger: all kept results beside the paper's.

Reads experiments/results alone: the records of `reproduce` (ledger_<name>.json), the networks of
Table 4 from scratch, the probes of Tables 4, 5 and 7, and single experiments (tables_<name>.json).
Folds, probes and turnover are judged from their numbers by the rules of their experiments.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.fig4_feature_evolution import judge
from experiments.kit.findings import TRUTH, Finding
from experiments.kit.ledger import DATA_HEAD, HOW, Kept, Line, cells, lines, measured_on, network
from experiments.kit.printed import bullets, table
from experiments.kit.steps import DONE
from experiments.kit.unmeasured import grouped, order, unmeasured
from experiments.table4_caltech101 import (
    architecture,
    judge_pretrained,
    judge_scratch,
    model_of,
    scratch_table,
)
from experiments.table5_caltech256 import judge_table5
from experiments.table7_layer_probes import TABLE7_SIZE, judge_table7

FOLDS, PROBES = "caltech101_scratch.json", "probes.json"
FIG4 = "fig4_feature_evolution"
TABLE4, TABLE5, TABLE7 = "table4_caltech101", "table5_caltech256", "table7_layer_probes"
FOLDS_OF = "caltech101"
"""What the folds of FOLDS are of: `experiments.kit.kept_results.fold` takes no other."""


@dataclass(frozen=True)
class Record:
    """One kept result. name: for people; link: of its file from the page; about: a sentence."""

    name: str
    link: str
    kept: Kept
    about: str


def records(results: Path, link: str) -> list[Record]:
    """Read every record in the folder `results`, which the page links to as link/<file>."""
    found = []
    for path in sorted(results.glob("ledger_*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        words = network(kept)
        about = f"size {kept['size']}; "
        about += f"{words[0].lower()}{words[1:]}" if kept["network"] else "no trained network"
        name = path.stem.removeprefix("ledger_")
        found.append(Record(name, f"{link}/{path.name}", kept, about))
    folds, probes = _read(results / FOLDS), _read(results / PROBES)
    own = scratch_table(folds)
    pretrained = [
        row
        for kept in probes.values()
        if _stem(kept) == TABLE4 and kept["data"] == FOLDS_OF
        for row in probed_rows(kept)
    ]
    found += [
        from_scratch(name, folds[name], judge_scratch([row], pretrained), f"{link}/{FOLDS}")
        for name, row in zip(folds, own, strict=True)
        if row is _first(own, row)
    ]
    trained = trained_networks(results)
    found += [
        probed(name, kept, own, f"{link}/{PROBES}", probed_network(kept, trained))
        for name, kept in probes.items()
    ]
    for path in sorted(results.glob("tables_*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        if rows := _findings_of(kept):
            name = path.stem.removeprefix("tables_")
            words = kept.get("network") or trained.get(kept["weights_sha256"], "")
            found.append(single(name, kept, rows, words, f"{link}/{path.name}"))
    return found


def trained_networks(results: Path) -> dict[str, str]:
    """Hash of the weights -> the network in words, of the trainings that are kept."""
    found = {}
    for path in sorted(results.glob("trained_*.json")):
        kept = json.loads(path.read_text(encoding="utf-8"))
        data = path.stem.removeprefix("trained_")
        name = _at(kept["model"]["name"], kept["model"].get("input_px"))
        found[kept["weights_sha256"]] = f"{name}, {kept['recipe']['epochs']} epochs of {data}"
    return found


def probed_network(kept: Mapping[str, Any], trained: Mapping[str, str]) -> str:
    """The frozen network of a kept probe in words. trained: as from `trained_networks`."""
    row = probed_rows(kept)[0]
    if known := trained.get(kept["weights_sha256"]):
        return known
    name, comma, rest = row["network"].partition(",")
    return f"{_at(name, _side(kept))}{comma}{rest}"


def _at(name: str, input_px: int | None) -> str:
    return f"{name} at {input_px} px" if input_px else name


def _side(kept: Mapping[str, Any]) -> int | None:
    """The input size of a probe's network, from its declared choices."""
    found = re.search(r"crop of (\d+) px", kept.get("choices", {}).get("preprocessing", ""))
    return int(found[1]) if found else None


def _findings_of(kept: Mapping[str, Any]) -> list[Finding]:
    """The findings of a single experiment; those of Figure 4 can be read off its table."""
    if _stem(kept) == FIG4 and not kept.get("findings"):
        threshold = float(re.search(r"below ([\d.]+)", kept["choices"]["settled"])[1])
        return [judge(kept["tables"]["turnover"], threshold)]
    return [Finding(**one) for one in kept.get("findings", [])]


def single(
    name: str, kept: Mapping[str, Any], found: Sequence[Finding], words: str, link: str
) -> Record:
    """A record of one experiment. words: its network, "" where unknown."""
    data = measured_on(kept["data"])
    record = _record(_stem(kept), found, data, words, kept["commit"])
    about = f"{data}; weights {kept['weights_sha256']}; `{kept['command']}`"
    whose = f"{words.rstrip('.')}; " if words else ""
    return Record(name, link, record, whose + about)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}


def _stem(kept: Mapping[str, Any]) -> str:
    """The experiment whose command is kept."""
    return re.search(r"-m experiments\.(\w+)", kept["command"])[1]


def _first(rows: Sequence[Mapping[str, Any]], wanted: Mapping[str, Any]) -> Mapping[str, Any]:
    """The first row of the same size and architecture; the others vary the recipe."""
    keys = ("per_class", "architecture")
    return next(row for row in rows if all(row.get(k) == wanted.get(k) for k in keys))


def from_scratch(name: str, row: Mapping[str, Any], found: Sequence[Finding], link: str) -> Record:
    """A row of Table 4 whose networks were trained on each split from random weights."""
    first, folds = row["folds"][0], len(row["folds"])
    data = f"{FOLDS_OF}, {first['images_per_class']} a class, {_splits(folds)}"
    words = f"{_at(*model_of(first['command']))} from scratch, {first['epochs']} epochs"
    seconds = round(60 * sum(fold["training_minutes"] for fold in row["folds"]))
    kept = _record(TABLE4, found, data, words, first["commit"], seconds)
    each = ", ".join(f"{fold['mean_class_accuracy']:.1f}" for fold in row["folds"])
    about = f"{words} on each split of {data}: {each} %; `{first['command']}`"
    return Record(name, link, kept, about)


def probed_rows(kept: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The rows of a kept probe's own network, the first one, with numbers as numbers."""
    rows = [row for row in kept["rows"] if row["source"] == "here"]
    side, name = _side(kept), rows[0]["network"].partition(",")[0]
    kind = {"architecture": architecture(name, side)} if side else {}
    return [
        row
        | kind
        | {key: int(row[key]) for key in ("layer", "per_class", "folds")}
        | {"mean": float(row["mean"]), "std": float(row["std"]) if row.get("std") else ""}
        for row in rows
        if row["network"] == rows[0]["network"]
    ]


def probed(
    name: str,
    kept: Mapping[str, Any],
    scratch: Sequence[Mapping[str, Any]],
    link: str,
    words: str,
) -> Record:
    """The frozen layers of a network, with a classifier on them.

    scratch: its rivals of Table 4. words: the network.
    """
    ours, data, stem = probed_rows(kept), kept["data"], _stem(kept)
    sizes = sorted({row["per_class"] for row in ours})
    # Records without the key are older; none of them had the paper's network.
    comparable = kept.get("comparable", False)
    found: list[Finding] = []
    if stem == TABLE4 and data == FOLDS_OF:
        found = judge_pretrained(ours, scratch, comparable)
    elif stem == TABLE5 and data == "caltech256" and "clutter=true" not in kept["command"]:
        found = judge_table5(ours, comparable)
    elif stem == TABLE7 and sizes == [TABLE7_SIZE.get(data)]:
        found = judge_table7(data, ours, comparable, f"table7/{data}")
    splits = _splits(ours[0]["folds"])
    images = f"{data}, {' or '.join(map(str, sizes))} a class, {splits}"
    record = _record(stem, found, images, words, kept["commit"])
    target = "" if comparable else ", not the paper's, so its numbers are no targets"
    seen = "; ".join(one["seen"] for one in kept["seen"])
    about = f"{words}{target}; {seen}. Weights {kept['weights_sha256']}; `{kept['command']}`"
    return Record(name, link, record, about)


def _splits(count: int) -> str:
    return f"{count} random split{'s' * (count != 1)}"


def _record(
    stem: str, found: Sequence[Finding], data: str, words: str, commit: str, seconds: float = 0.0
) -> Kept:
    """One experiment's findings in the form of `experiments.kit.ledger.collect`."""
    step = {"status": DONE, "seconds": seconds, "error": "", "data": data, "commit": commit}
    step["findings"] = [asdict(one) for one in found]
    return {"size": "", "network": {"words": words}, "steps": {stem: step}}


def page(kept: Sequence[Record]) -> str:
    """Write the ledger in Markdown: claims with status, data and link; rules; what is missing."""
    found = _unique(kept)
    paper = [(one, record) for one, record in found if not one.key.startswith(TRUTH)]
    ours = [(one, record) for one, record in found if one.key.startswith(TRUTH)]
    parts = []
    if paper:
        rows = [
            (*cells(one), f"[{one.network or record.name}]({record.link})") for one, record in paper
        ]
        head = ("", "claim", "paper", "here", "status", DATA_HEAD, "network, kept in")
        parts += [HOW, table(head, rows)]
        parts += folded(f"The rules by which these {len(rows)} rows were judged", _rules(paper))
    about = bullets(f"[{one.name}]({one.link}): {one.about}" for one in kept)
    parts += folded(f"The {len(kept)} kept runs that the rows come from", about)
    parts += ["Without a finding:", bullets(grouped(unmeasured([one.kept for one in kept])))]
    if ours:
        head = f"{len(ours)} scores that the paper does not have: known boxes and controls"
        parts += folded(head, _controls(ours))
    return "\n\n".join(parts)


def _rules(paper: Sequence[tuple[Line, Record]]) -> str:
    """A row for each rule, with the claims that it decides and how."""
    groups: dict[tuple[str, str, str], list[Line]] = {}
    for one, record in paper:
        groups.setdefault((one.place, one.rule, one.network or record.name), []).append(one)
    rows = [
        (place, "; ".join(f"{one.claim}: {_found(one)}" for one in group), network, rule)
        for (place, rule, network), group in groups.items()
    ]
    return table(("", "claim and finding", "network", "value and rule"), rows)


def _unique(kept: Sequence[Record]) -> list[tuple[Line, Record]]:
    """All findings in the paper's order, each once."""
    seen: dict[tuple[str, ...], tuple[Line, Record]] = {}
    for record in kept:
        for one in lines(record.kept):
            same = (one.key, one.here, one.status, one.measured_on, one.network)
            seen.setdefault(same, (one, record))
    return sorted(seen.values(), key=lambda pair: order(pair[0].key))


def _found(line: Line) -> str:
    return f"{line.here}, {line.status}" if line.here else line.status


def _controls(ours: Sequence[tuple[Line, Record]]) -> str:
    rows = [
        (one.claim, _found(one), one.measured_on, f"[{record.name}]({record.link})", one.rule)
        for one, record in ours
    ]
    return table(("", "here", DATA_HEAD, "kept in", "what"), rows)


def folded(summary: str, text: str) -> list[str]:
    """Markdown that GitHub folds under its summary."""
    return [f"<details><summary>{summary}</summary>", text, "</details>"]
