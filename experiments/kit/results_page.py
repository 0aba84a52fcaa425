"""Results as pages: one table for a reader in a hurry, all findings, the controls.

Everything is written from records (`experiments.kit.kept`), claims and controls.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from experiments.kit.claims import CLAIMS, Claim
from experiments.kit.controls import CHANCE, CONTROL, P_VALUE
from experiments.kit.findings import NOT_TESTED, Finding, claim_of
from experiments.kit.kept import Record, findings
from experiments.kit.printed import bullets, literal, table
from experiments.kit.result_words import (
    counts,
    difference,
    facts,
    here,
    images,
    network,
    paper,
    whose,
)

TOPICS: dict[str, tuple[str, tuple[str, ...], str, str]] = {
    "Fig. 1": (
        "unpool, rectify, filter: the way down",
        ("fig1/",),
        "fig1/reconstruction",
        "difference to autograd",
    ),
    "Fig. 3": (
        "sizes of the layers; the paddings, not stated there, are chosen to give them",
        ("fig3/",),
        "fig3/parameters",
        "parameters",
    ),
    "Fig. 4": (
        "lower layers settle first",
        ("fig4/",),
        "fig4/lower_first",
        "layer 5 after layer 1",
    ),
    "Fig. 5": (
        "layer 1 leaps, layer 7 moves quasi-linearly, turning loses the class",
        ("fig5/",),
        "fig5/quasi_linear",
        "straight line in layer 7",
    ),
    "Fig. 6": (
        "dominating and dead filters, aliasing above a coarse first layer",
        ("fig6/",),
        "fig6/aliasing",
        "aliased, coarse minus fine",
    ),
    "Fig. 7": (
        "map and probability fall where the square covers the object",
        ("fig7/",),
        "fig7/activation",
        "fall of the map",
    ),
    "Table 1": (
        "hidden eyes and noses change all faces alike",
        ("table1/",),
        "table1/nose/layer5",
        "nose, layer 5",
    ),
    "Table 2": (
        "errors of one network; several together err less",
        ("table2/",),
        "table2/zfnet 1 net/validation top-1",
        "one network, top-1",
    ),
    "Table 4, scratch": (
        "Caltech-101 from scratch, 30 images a class",
        ("table4/scratch/30",),
        "table4/scratch/30",
        "",
    ),
    "Table 4, transfer": (
        "features learned elsewhere beat that",
        ("table4/pretrained/",),
        "table4/pretrained/30",
        "30 images a class",
    ),
    "Table 7": (
        "accuracy of linear probes rises with depth",
        ("table7/",),
        "table7/caltech101/svm/layer5",
        "SVM on layer 5",
    ),
    "Fig. 2, 9; Tables 3, 5, 6": (
        "nine strongest images; ImageNet, Caltech-256 and VOC",
        ("fig2/", "fig9/", "table3/", "table5/", "table6/"),
        "",
        "",
    ),
}
"""A line of the short table -> what the paper says, keys of its claims, the claim whose number it
shows, and what that number is."""

READING = (
    "Three verdicts: a claim *agrees*, *disagrees* or is *not tested*. A number is *comparable* "
    "where data, network and protocol are the paper's. A comparable number that lies within both "
    "spreads agrees; every other is judged by the rule of its claim, which compares numbers of one "
    "run; where the rule cannot be applied, a comparable number outside the spreads disagrees, and "
    "any other is not tested."
)


@dataclass(frozen=True)
class Line:
    """A finding and where it was measured. name: of its record."""

    name: str
    record: Record
    found: Finding

    @property
    def saw_imagenet(self) -> bool:
        """Whether it was measured on a network that was trained on ImageNet, as the paper's."""
        return self.record["network"].get("data") == "imagenet"

    @property
    def claim(self) -> Claim:
        """What the finding is about."""
        return claim_of(self.found.claim)

    @property
    def says(self) -> str:
        """What the claim says, and which layer stands here for the paper's if another does."""
        at = self.found.facts.get("read_at")
        return f"{self.claim.says}, here {at}" if at else self.claim.says


def lines(records: Mapping[str, Record]) -> list[Line]:
    """All findings, in the order of the paper, controls last."""
    found = [Line(name, one, f) for name, one in records.items() for f in findings(one)]
    order = {key: i for i, key in enumerate(CLAIMS)}
    kind = {"Fig.": 0, "Table": 1}

    def place(line: Line) -> tuple[int, int, int, str]:
        key = line.found.claim
        if key not in order:
            return 2, 0, 0, key
        word, number = line.claim.place.split()
        return kind[word], int(number), order[key], line.name

    return sorted(found, key=place)


# Pages


def summary(records: Mapping[str, Record]) -> str:
    """The short table in Markdown."""
    return table(*short_table(records))


def short_table(records: Mapping[str, Record]) -> tuple[Sequence[str], list[Sequence[str]]]:
    """The head and rows of the short table: a line a figure or table of the paper."""
    all_lines, body = lines(records), []
    for place, (says, keys, shown, what) in TOPICS.items():
        own = [one for one in all_lines if one.found.claim.startswith(keys)]
        by_any = [one for one in own if one.found.claim == shown and here(one.found)]
        comparable = [one for one in by_any if one.found.comparable]
        shown_by = comparable or [one for one in by_any if one.saw_imagenet] or by_any
        told: dict[str, list[str]] = {}
        for one in shown_by:
            apart = difference(one.found) if one.found.comparable else "not comparable"
            apart = f" ({apart})" if one.claim.value is not None else ""
            told.setdefault(f"{here(one.found)}{apart}", []).append(whose(one.record))
        values = [f"{number} by {', '.join(by)}" for number, by in told.items()]
        named = any(one.saw_imagenet for one in shown_by) or shown_by not in (comparable, by_any)
        values = list(told) if len(told) == 1 and not named else values
        theirs = paper(CLAIMS[shown]) if shown else ""
        saw = counts(one.found for one in own if one.saw_imagenet)
        others = counts(one.found for one in own if not one.saw_imagenet)
        both = f"on ImageNet {saw}; elsewhere {others}" if saw and others else ""
        verdict = both or saw or others or NOT_TESTED
        ours = f"{what}: " * bool(what and values) + "; ".join(values)
        body.append((place, says, theirs, ours, verdict))
    return ("", "the paper says", "its number", "here", "verdicts"), body


def results(
    records: Mapping[str, Record], title: str, link: Callable[[str], str], about: str = READING
) -> str:
    """The page of all claims. link: name of a record -> what its cell says, in Markdown."""
    parts = [f"# {title}", about, summary(records)]
    groups: dict[str, list[Line]] = {}
    for line in lines(records):
        if not line.found.claim.startswith(CONTROL):
            groups.setdefault(line.claim.place, []).append(line)
    head = ("claim", "paper", "here", "difference", "verdict", "measured on", "network")
    for place, own in groups.items():
        body = [
            (
                one.says,
                paper(one.claim),
                here(one.found),
                difference(one.found),
                one.found.verdict,
                f"{literal(images(one.record))}, {link(one.name)}",
                literal(network(one.record)),
            )
            for one in own
        ]
        parts += [f"## {place}", table(head, body), _rules(own)]
    missing = [key for key in CLAIMS if key not in {one.found.claim for one in lines(records)}]
    parts += ["## Without a finding", bullets(_missing(missing))] if missing else []
    return "\n\n".join(parts) + "\n"


def _rules(own: Sequence[Line]) -> str:
    """What each claim of a place measures and when it agrees, each once, and the facts behind."""
    groups: dict[tuple[str, str], list[Line]] = {}
    for one in own:
        groups.setdefault((one.claim.measured, one.claim.rule), []).append(one)
    out = []
    for (measured, rule), group in groups.items():
        names = list(dict.fromkeys(one.claim.says for one in group))
        what = names[0] if len(names) == 1 else f"{names[0]} … {names[-1]}"
        comparable = group[0].claim.comparable
        text = f"**{what}**. Measured: {measured}. Agrees if {rule}."
        text += f" Comparable: {comparable}." * bool(comparable)
        details = [f"{here(x.found) or '–'} ({facts(x.found)})" for x in group if facts(x.found)]
        text += f" Behind it: {literal('; '.join(details))}." if 0 < len(details) <= 4 else ""
        out.append(text)
    return bullets(out)


def _missing(keys: Sequence[str]) -> list[str]:
    """Claims without a finding, counted by place and by what they need."""
    groups: dict[tuple[str, str], int] = {}
    for key in keys:
        place = CLAIMS[key].place, CLAIMS[key].needs
        groups[place] = groups.get(place, 0) + 1
    return [
        f"{place}: {n} {'claim' if n == 1 else 'claims'}" + f"; needs {needs}" * bool(needs)
        for (place, needs), n in groups.items()
    ]


def controls(records: Mapping[str, Record], link: Callable[[str], str]) -> str:
    """The page of what is no claim of the paper."""
    own = [one for one in lines(records) if one.found.claim.startswith(CONTROL)]
    tests = [one for one in own if one.claim.unit == P_VALUE]
    parts = [
        "# Controls",
        f"These {len(own)} scores are ours: against boxes that only the built-in scenes have, "
        "against random weights, against chance. The paper has none of them, and none is evidence "
        "for a claim of the paper. A control *agrees* where what it says is so here.",
    ]
    if tests:
        strict = CHANCE / len(tests)
        below = sum(one.found.value < CHANCE for one in tests)
        parts.append(
            f"Among them are {len(tests)} p values, without a correction for their number: by "
            f"chance alone about {CHANCE * len(tests):.1f} of so many would lie below {CHANCE:g} "
            f"({below} do), and a single one counts only below {strict:.2g} (Bonferroni), which "
            f"{sum(one.found.value < strict for one in tests)} reach. Uncorrected, they are not "
            "evidence: they stand here to be looked at."
        )
    groups: dict[str, list[Line]] = {}
    for one in own:
        groups.setdefault(one.found.claim.split("/")[1], []).append(one)
    head = ("control", "here", "verdict", "facts", "measured on", "network")
    for name, group in groups.items():
        body = [
            (
                one.claim.says,
                here(one.found),
                one.found.verdict if one.claim.rule else "",
                literal(facts(one.found)),
                f"{literal(images(one.record))}, {link(one.name)}",
                literal(network(one.record)),
            )
            for one in group
        ]
        rules = {one.claim.says: one.claim for one in group}
        told = [
            f"**{says}**. Measured: {claim.measured}."
            + f" Agrees if {claim.rule}." * bool(claim.rule)
            for says, claim in rules.items()
        ]
        parts += [f"## {name}", table(head, body), bullets(told)]
    return "\n\n".join(parts) + "\n"
