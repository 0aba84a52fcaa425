"""summary.md: what may and may not be read into a deconvnet picture, written from the numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deconv.studies import sanity
from experiments.kit.facts import describe_network
from experiments.kit.printed import bullets, table
from experiments.sanity_findings import (
    GOES,
    PARTLY,
    STAYS,
    Row,
    deepest,
    named,
    pick,
    verdict,
    worst,
)

ADVICE: dict[str, dict[str, str]] = {
    "weights": {
        GOES: "The picture depends on what was learned; other weights paint another one.",
        PARTLY: "Only what goes beyond the picture of random weights may be read as learned.",
        STAYS: "Do not read the picture as something learned: random weights paint much the same.",
    },
    "weights outline": {
        GOES: "Where it is strong depends on what was learned as well.",
        PARTLY: "Where it is strong is in part so with any weights: do not read its outline as "
        "learned.",
        STAYS: "Do not read its outline as learned: random weights are strong at the same places.",
    },
    "own layer": {
        GOES: "The filters of the unit's own layer make the picture.",
        PARTLY: "Part of the picture is made by the layers below alone: do not credit the unit's "
        "own layer with it.",
        STAYS: "The layers below make most of the picture: do not credit the unit's own layer with "
        "it.",
    },
    "unit": {
        GOES: "The picture may be read as this unit's own.",
        PARTLY: "Read only what differs between units at one place as the unit's own.",
        STAYS: "Do not read the picture as the unit's own: another map's paints much the same.",
    },
    "unit outline": {
        GOES: "Where it is strong may be read as the unit's own as well.",
        PARTLY: "Where it is strong is in part the image's: do not read its outline as what the "
        "unit looks for.",
        STAYS: "Do not read its outline as what the unit looks for: another map's unit draws the "
        "same one.",
    },
    "switches": {
        GOES: "Read the picture as this unit on this image, not as what the unit prefers in "
        "general.",
        PARTLY: "Only what is common to pictures from several images may be read as the unit's "
        "preference.",
        STAYS: "The picture hardly depends on the image: it may be read as a template of the unit.",
    },
    "shuffled": {
        GOES: "All of it hangs on the exact positions in the pooling windows.",
        PARTLY: "Part of it hangs on the exact positions in the pooling windows.",
        STAYS: "The exact positions in the pooling windows add little to it.",
    },
    "rule": {
        GOES: "Compare pictures only where they were made by one rule.",
        PARTLY: "Name the rule beside a picture, and do not compare details across rules.",
        STAYS: "Which rule made the picture matters little.",
    },
    "policy": {
        GOES: "Compare pictures only where they were made by one policy.",
        PARTLY: "Name the policy beside a picture, and do not compare details across policies.",
        STAYS: "The policy for shared switches, which the paper does not state, matters little.",
    },
}
"""What a verdict means for the reader of a picture; topic -> verdict -> sentence."""

WORDS = {GOES: "goes", PARTLY: "stays in part", STAYS: "mostly stays"}


def summary_page(rows: Sequence[Row], layers: Sequence[str], told: Mapping[str, Any]) -> str:
    """The page. rows: of table.csv, numbers as floats. told: the sidecar."""
    little, much = told["little"], told["much"]
    data = told["data"]
    parts = [
        "# What a deconvnet picture may be read as",
        f"{describe_network(dict(told))} Units: the strongest of {told['units']} maps a layer, or "
        f"of all live ones where there are fewer, over {data['mined']} images of {data['name']} "
        f"({data['split']}).",
        "A share says how much of the picture stays when one thing is exchanged: 0 is the likeness "
        "of two unrelated pictures, 1 all of it; in brackets its 95 % bootstrap interval. Rule: it "
        f"*goes* where the interval lies below {little:g}, *mostly stays* where it lies above "
        f"{much:g}, and *stays in part* otherwise. Signs and colours are compared by Pearson's "
        "correlation, the outline (where a picture is strong) by the rank correlation of absolute "
        "values.",
    ]
    for layer in reversed(layers):
        parts += [f"## {layer}", bullets(sentences(rows, layer, little, much))]
    parts += ["## All shares", all_shares(rows, layers)]
    return "\n\n".join(parts) + "\n"


def sentences(rows: Sequence[Row], layer: str, little: float, much: float) -> list[str]:
    """What is to be said of one layer."""
    out = [line for line in [above(rows, layer)] if line]
    swap = (rows, layer, sanity.UNIT, sanity.SAME_POSITION)
    switched = (rows, layer, sanity.SWITCHES)
    rule, policy = (worst(rows, layer, c, "signed") for c in (sanity.RULE, sanity.COLLISION))
    for topic, what, row in (
        ("weights", "Random weights in every layer from the unit's down: the picture",
         deepest(rows, layer, "signed")),
        ("weights outline", "… its outline", deepest(rows, layer, "rank")),
        ("own layer", "Random weights in the unit's own layer alone: the picture",
         next(iter(pick(rows, layer, sanity.INDEPENDENT, "signed")), None)),
        ("unit", "Another map's unit at the same place: the picture", named(*swap, "signed")),
        ("unit outline", "… its outline", named(*swap, "rank")),
        ("switches", "Another image's switches: the picture",
         named(*switched, sanity.OTHER_IMAGE, "signed")),
        ("shuffled", "Switches at random places of their windows: the picture",
         named(*switched, sanity.SHUFFLED, "signed")),
        ("rule", f"Another rule (most by {rule and rule['variant']}): the picture", rule),
        ("policy", f"Another policy for shared switches (most by {policy and policy['variant']}): "
         "the picture", policy),
    ):  # fmt: skip
        if row is not None and np.isfinite(row["kept"]):
            said = verdict(row, little, much)
            out.append(f"{what} **{WORDS[said]}** ({share(row)}). {ADVICE[topic][said]}")
    return out + classes(rows, layer)


def above(rows: Sequence[Row], layer: str) -> str:
    """Layers above the unit, where there are any."""
    row = named(rows, layer, sanity.ABOVE, sanity.ALL_ABOVE, "signed")
    if row is None:
        return ""
    equal, n = int(row["equal"]), int(row["n"])
    if equal == n:
        return (
            f"Random weights in all layers above: {equal} of {n} pictures are equal to the bit. "
            "Do not read a class into a picture: nothing above the unit takes part in it."
        )
    return (
        f"Random weights in all layers above: only {equal} of {n} pictures are equal to the bit. "
        "Something is wrong: nothing above a unit takes part in its picture."
    )


def classes(rows: Sequence[Row], layer: str) -> list[str]:
    """Mining by class."""
    half, favoured, other = (
        named(rows, layer, sanity.MINING, name, "signed")
        for name in (sanity.OTHER_HALF, sanity.FAVOURED, sanity.ANOTHER_CLASS)
    )
    own, chance = (named(rows, layer, sanity.SHARES, name, "share") for name in sanity.OF_NINE)
    common, strong = (
        named(rows, layer, sanity.SHARES, f"{what}, {sanity.ANOTHER_CLASS}", "share")
        for what in ("same images", "strength")
    )
    apart = named(rows, layer, sanity.SHARES, sanity.HALVES_OVER_CLASS, "signed")
    if None in (half, favoured, other, own, chance, common, strong, apart):
        return []
    differs = apart["low"] > 0
    advice = (
        "Say which classes were mined: one class shows its own picture of a map."
        if differs
        else "Another class changes the mean picture no more than other images of all classes do: "
        "it is not the map's alone, and says nothing without its images."
    )
    return [
        f"Of the strongest images over all classes {percent(own)} are of one class, by chance "
        f"{percent(chance)}. Of those of a random single class {percent(common)} are among them, "
        f"and they are {percent(strong)} as strong.",
        f"Mean pictures of the strongest correlate {half['mean']:.2f} between two halves of the "
        f"images, {favoured['mean']:.2f} between all classes and the favoured one, "
        f"{other['mean']:.2f} between all and a random other one. {advice}",
    ]


def percent(row: Row) -> str:
    return f"{100 * row['mean']:.0f} %"


def share(row: Row) -> str:
    """0.31 [0.22, 0.40]"""
    return f"{row['kept']:.2f} [{row['kept_low']:.2f}, {row['kept_high']:.2f}]"


def all_shares(rows: Sequence[Row], layers: Sequence[str]) -> str:
    """Every share, a line a variant, a column a layer and number."""
    shown = ("signed", "rank")
    checks = [
        (row["check"], row["variant"])
        for row in rows
        if row["check"] not in (sanity.SHARES, sanity.ORIGINAL)
    ]
    head = ["check", "changed to", *(f"{layer}, {n}" for layer in layers for n in shown)]
    lines = []
    for check, variant in dict.fromkeys(checks):
        cells = [named(rows, layer, check, variant, n) for layer in layers for n in shown]
        lines.append(
            [check, variant, *("" if one is None or not np.isfinite(one["kept"])
                               else share(one) for one in cells)]
        )  # fmt: skip
    return table(head, lines)
