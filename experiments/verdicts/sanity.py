"""What the sanity checks conclude: their findings, and summary.md with advice to the reader."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from deconv.studies import sanity
from deconv.studies.bootstrap import bootstrap
from deconv.studies.sanity import shares
from deconv.studies.sanity.shares import Row, pick
from experiments.kit.facts import describe_network
from experiments.kit.findings import Finding, judged
from experiments.kit.printed import bullets, table
from experiments.kit.titles import layer_title


@dataclass(frozen=True)
class Question:
    """What one exchange leaves of a picture, and how that is judged.

    exchange: for people. row: its check, variant and number in the table. limit: the setting that
    its finding is judged by, "" for no finding. goes, partly, stays: advice for each verdict.
    """

    exchange: str
    row: tuple[str, str | int, str]
    limit: str
    goes: str
    partly: str
    stays: str


QUESTIONS = {
    "learned_weights": Question(
        "random weights in every layer from the unit's down",
        (sanity.CASCADE, shares.LAST, "signed"),
        "little",
        "The picture depends on what was learned; other weights paint another one.",
        "Only what goes beyond the picture of random weights may be read as learned.",
        "Do not read the picture as something learned: random weights paint much the same.",
    ),
    "learned_weights_outline": Question(
        "random weights in every layer from the unit's down",
        (sanity.CASCADE, shares.LAST, "rank"),
        "little",
        "Where it is strong depends on what was learned as well.",
        "It is in part the same with any weights: do not read the outline as learned.",
        "Do not read the outline as learned: random weights are strong at the same places.",
    ),
    "own_layer": Question(
        "random weights in the unit's own layer alone",
        (sanity.INDEPENDENT, shares.FIRST, "signed"),
        "",
        "The filters of the unit's own layer make the picture.",
        "The layers below alone make part of it: do not credit the unit's own layer with that.",
        "The layers below make most of it: do not credit the unit's own layer with it.",
    ),
    "own_unit": Question(
        "another map's unit at the same place",
        (sanity.UNIT, sanity.SAME_POSITION, "signed"),
        "much",
        "The picture may be read as this unit's own.",
        "Read only what differs between units at one place as the unit's own.",
        "Do not read the picture as the unit's own: another map's paints much the same.",
    ),
    "own_unit_outline": Question(
        "another map's unit at the same place",
        (sanity.UNIT, sanity.SAME_POSITION, "rank"),
        "much",
        "Where it is strong may be read as the unit's own as well.",
        "It is in part the image's: do not read the outline as what the unit looks for.",
        "Do not read it as what the unit looks for: another map's unit draws the same one.",
    ),
    "own_image": Question(
        "another image's switches",
        (sanity.SWITCHES, sanity.OTHER_IMAGE, "signed"),
        "much",
        "Read the picture as this unit on this image, not as what the unit prefers in general.",
        "Only what pictures from several images share may be read as the unit's preference.",
        "The picture hardly depends on the image: it may be read as a template of the unit.",
    ),
    "windows": Question(
        "switches at random places of their windows",
        (sanity.SWITCHES, sanity.SHUFFLED, "signed"),
        "",
        "All of it hangs on the exact positions in the pooling windows.",
        "Part of it hangs on the exact positions in the pooling windows.",
        "The exact positions in the pooling windows add little to it.",
    ),
    "rule": Question(
        "another rule (most by {variant})",
        (sanity.RULE, shares.LEAST, "signed"),
        "much",
        "Compare pictures only where they were made by one rule.",
        "Name the rule beside a picture, and do not compare details across rules.",
        "Which rule made the picture matters little.",
    ),
    "collisions": Question(
        "another policy for shared switches (most by {variant})",
        (sanity.COLLISION, shares.LEAST, "signed"),
        "much",
        "Compare pictures only where they were made by one policy.",
        "Name the policy beside a picture, and do not compare details across policies.",
        "The policy for shared switches, which the paper does not state, matters little.",
    ),
}
STAYING = ("rule", "collisions")
"""Questions whose finding holds if the picture stays; that of the others holds if it goes."""


def answers(rows: Sequence[Row], layer: str) -> Iterator[tuple[str, Question, Row]]:
    """Yield the questions that were measured at a layer, each with its row of the table."""
    for name, question in QUESTIONS.items():
        row = pick(rows, layer, *question.row)
        if row is not None and np.isfinite(row["kept"]):
            yield name, question, row


def findings(
    arrays: Mapping[str, np.ndarray],
    rows: Sequence[Row],
    layer: str,
    little: float,
    much: float,
    seed: int,
) -> list[Finding]:
    """Judge each claim about one layer's pictures by the rule of its control."""
    found = []
    if (equal := arrays.get(f"{layer}/{sanity.ABOVE}/{sanity.ALL_ABOVE}/equal")) is not None:
        share, whole = float(equal.mean()), bool(equal.all())
        key = "control/sanity/layers_above"
        found.append(judged(key, share, None, len(equal), holds=whole, layer=layer))
    for name, question, row in answers(rows, layer):
        if not question.limit:
            continue
        limit = {"little": little, "much": much}[question.limit]
        holds = shares.below(row, limit)
        if name in STAYING and holds is not None:
            holds = not holds
        ends, facts = (row["kept_low"], row["kept_high"]), {"layer": layer, "limit": limit}
        if name in STAYING:
            facts["variant"] = row["variant"]
        key = f"control/sanity/{name}"
        found.append(judged(key, row["kept"], ends, int(row["n"]), holds=holds, **facts))
    for name, values in shares.differences(arrays, layer).items():
        values = values[np.isfinite(values)]
        if len(values):
            ends = low, high = bootstrap(values, seed)
            holds = True if low > 0 else False if high < 0 else None
            key, mean = f"control/sanity/{name}", float(values.mean())
            found.append(judged(key, mean, ends, len(values), holds=holds, layer=layer))
    return found


# summary.md

WORDS = {shares.GOES: "goes", shares.PARTLY: "stays in part", shares.STAYS: "mostly stays"}


def summary(rows: Sequence[Row], facts: dict[str, Any]) -> str:
    """Write summary.md: what may and may not be read into a picture."""
    little, much, data, layers = facts["little"], facts["much"], facts["data"], facts["layers"]
    parts = [
        "# What a deconvnet picture may be read as",
        f"{describe_network(facts)} Units: the strongest of {facts['units']} maps a layer, or of "
        f"all live ones where there are fewer, over {data['mined']} images of {data['name']} "
        f"({data['split']}).",
        "A share says how much of the picture stays when one thing is exchanged: 0 is the likeness "
        "of two unrelated pictures, 1 all of it; in brackets its 95 % bootstrap interval. Rule: it "
        f"*goes* where the interval lies below {little:g}, *mostly stays* where it lies above "
        f"{much:g}, and *stays in part* otherwise. Signs and colours are compared by Pearson's "
        "correlation, the outline (where a picture is strong) by the rank correlation of absolute "
        "values.",
    ]
    for layer in reversed(layers):
        parts += [f"## {layer_title(layer, facts)}", bullets(sentences(rows, layer, little, much))]
    return "\n\n".join([*parts, "## All shares", all_shares(rows, facts)]) + "\n"


def sentences(rows: Sequence[Row], layer: str, little: float, much: float) -> Iterator[str]:
    """Yield the sentences about one layer."""
    if (above := pick(rows, layer, sanity.ABOVE, sanity.ALL_ABOVE, "signed")) is not None:
        equal, n = int(above["equal"]), int(above["n"])
        only = "only " if equal < n else ""
        advice = "Something is wrong" if only else "Do not read a class into a picture"
        yield (
            f"Random weights in all layers above: {only}{equal} of {n} pictures are equal to the "
            f"bit. {advice}: nothing above a unit takes part in its picture."
        )
    for _, question, row in answers(rows, layer):
        outcome = shares.verdict(row, little, much)
        what = "the outline" if question.row[2] == "rank" else "the picture"
        change = question.exchange.format(**row)
        yield (
            f"{change[0].upper()}{change[1:]}: {what} **{WORDS[outcome]}** ({share(row)}). "
            f"{getattr(question, outcome)}"
        )
    yield from of_classes(rows, layer)


def of_classes(rows: Sequence[Row], layer: str) -> Iterator[str]:
    """Yield the sentences about mining over all classes and over one."""

    def percent(variant: str) -> str:
        return f"{100 * pick(rows, layer, sanity.SHARES, variant, 'share')['mean']:.0f} %"

    def alike(variant: str) -> str:
        return f"{pick(rows, layer, sanity.MINING, variant, 'signed')['mean']:.2f}"

    own, chance = map(percent, sanity.OF_NINE)
    yield (
        f"Of the strongest images over all classes {own} are of one class, by chance {chance}. Of "
        f"those of a random single class {percent(f'same images, {sanity.ANOTHER_CLASS}')} are "
        f"among them, and they are {percent(f'strength, {sanity.ANOTHER_CLASS}')} as strong."
    )
    apart = pick(rows, layer, sanity.SHARES, sanity.HALVES_OVER_CLASS, "signed")["low"] > 0
    advice = (
        "Say which classes were mined: one class shows its own picture of a map."
        if apart
        else "Another class changes the mean picture no more than other images of all classes do: "
        "it is not the map's alone, and says nothing without its images."
    )
    yield (
        f"Mean pictures of the strongest correlate {alike(sanity.OTHER_HALF)} between two halves "
        f"of the images, {alike(sanity.FAVOURED)} between all classes and the favoured one, "
        f"{alike(sanity.ANOTHER_CLASS)} between all and a random other one. {advice}"
    )


def share(row: Row | None) -> str:
    """Format a share with its interval, 0.31 [0.22, 0.40]; "" where there is none."""
    if row is None or not np.isfinite(row["kept"]):
        return ""
    return f"{row['kept']:.2f} [{row['kept_low']:.2f}, {row['kept_high']:.2f}]"


def all_shares(rows: Sequence[Row], facts: Mapping[str, Any]) -> str:
    """Tabulate every share in Markdown: one line per variant, one column per layer and number."""
    columns = [(layer, number) for layer in facts["layers"] for number in ("signed", "rank")]
    titles = [f"{layer_title(layer, facts)}, {number}" for layer, number in columns]
    head = ["check", "changed to", *titles]
    left_out = (sanity.SHARES, sanity.ORIGINAL)
    lines = {(r["check"], r["variant"]): None for r in rows if r["check"] not in left_out}
    cells = [
        [*at, *(share(pick(rows, layer, *at, number)) for layer, number in columns)] for at in lines
    ]
    return table(head, cells)
