"""What the sanity checks say: means with intervals, findings, and what may be read into a picture.

A check leaves a share of the picture: 0 is the likeness of two unrelated pictures, 1 all of it.
By the interval of that share it is judged "goes" (all of it below `little`), "stays" (all of it
above `much`) or "partly" (anything else); each sentence of summary.md belongs to one verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deconv.studies import sanity
from deconv.studies.bootstrap import LEVEL, bootstrap, resamples
from deconv.studies.sanity.similarity import NUMBERS
from experiments.kit.findings import Finding

GOES, PARTLY, STAYS = "goes", "partly", "stays"
Row = dict[str, Any]


# The table


def summarise(arrays: Mapping[str, np.ndarray], layers: Sequence[str], seed: int) -> list[Row]:
    """A row a layer, check, variant and number: the mean over units, its interval, n, what is kept
    of the picture, and how many units' pictures are blank or equal to the bit."""
    rows = []
    for layer in layers:
        for check, variant, scores in of_layer(arrays, layer):
            chance = scores_of(arrays, layer, *chance_of(check))
            at = f"{layer}/{check}/{variant}"
            counts = {
                name: int(arrays[f"{at}/{name}"].sum()) if f"{at}/{name}" in arrays else ""
                for name in ("blank", "equal")
            }
            for i, number in enumerate(NUMBERS):
                row: Row = {"layer": layer, "check": check, "variant": variant, "number": number}
                rows.append(row | mean_of(scores[:, i], seed)
                            | kept_of(scores[:, i], chance[:, i], seed) | counts)  # fmt: skip
        for key in arrays:
            if key.startswith(f"{layer}/{sanity.SHARES}/"):
                row = {"layer": layer, "check": sanity.SHARES, "number": "share"}
                row["variant"] = key.removeprefix(f"{layer}/{sanity.SHARES}/")
                rows.append(row | mean_of(arrays[key], seed))
        row = {"layer": layer, "check": sanity.SHARES, "variant": sanity.HALVES_OVER_CLASS}
        rows.append(row | {"number": "signed"} | mean_of(halves_over_class(arrays, layer), seed))
    return rows


def halves_over_class(arrays: Mapping[str, np.ndarray], layer: str) -> np.ndarray:
    """By how much two halves of the images are more alike than all classes and a random one: the
    correlation with signs of mean pictures, map by map."""
    half, other = (
        scores_of(arrays, layer, sanity.MINING, name)[:, NUMBERS.index("signed")]
        for name in (sanity.OTHER_HALF, sanity.ANOTHER_CLASS)
    )
    return half - other


def of_layer(arrays: Mapping[str, np.ndarray], layer: str) -> list[tuple[str, str, np.ndarray]]:
    """(check, variant, scores n×3) of one layer, in the order in which they were computed."""
    found = []
    for key in arrays:
        if key.startswith(f"{layer}/") and key.endswith("/scores"):
            check, _, variant = key.removeprefix(f"{layer}/").removesuffix("/scores").partition("/")
            found.append((check, variant, arrays[key]))
    return found


def scores_of(arrays: Mapping[str, np.ndarray], layer: str, check: str, variant: str) -> np.ndarray:
    """Scores n×3 of one variant."""
    return arrays[f"{layer}/{check}/{variant}/scores"]


def chance_of(check: str) -> tuple[str, str]:
    """The check and variant whose pictures are unrelated to the original."""
    if check == sanity.MINING:
        return sanity.MINING, sanity.ANOTHER_MAP
    return sanity.CHANCE, sanity.UNRELATED


def mean_of(values: np.ndarray, seed: int) -> Row:
    """mean, low, high and n of the values that are there."""
    some = values[np.isfinite(values)]
    if not len(some):
        return {"mean": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    low, high = bootstrap(some, seed)
    return {"mean": float(some.mean()), "low": low, "high": high, "n": len(some)}


def kept_of(values: np.ndarray, chance: np.ndarray, seed: int) -> Row:
    """What is kept of the picture, with its interval over the units that have both numbers."""
    both = np.isfinite(values) & np.isfinite(chance)
    if not both.any():
        return {"kept": np.nan, "kept_low": np.nan, "kept_high": np.nan}
    # One seed for both: each resample takes the same units of both.
    drawn = [resamples(some[both], seed, 2000).mean(axis=1) for some in (values, chance)]
    tail = 50 * (1 - LEVEL)
    value = sanity.kept(values[both].mean(), chance[both].mean())
    spread = sanity.kept(*drawn)
    low, high = np.nanpercentile(spread, [tail, 100 - tail]) if np.isfinite(value) else [np.nan] * 2
    return {"kept": float(value), "kept_low": float(low), "kept_high": float(high)}


# Verdicts


def verdict(row: Row, little: float, much: float) -> str:
    """GOES, PARTLY or STAYS; PARTLY also where the interval reaches over a limit."""
    if row["kept_high"] < little:
        return GOES
    return STAYS if row["kept_low"] > much else PARTLY


def below(row: Row, limit: float) -> bool | None:
    """Whether what is kept lies below a limit; None where its interval reaches over it."""
    if not np.isfinite(row["kept_low"]):
        return None
    if row["kept_high"] < limit:
        return True
    return False if row["kept_low"] > limit else None


def pick(rows: Sequence[Row], layer: str, check: str, number: str) -> list[Row]:
    """The rows of one layer, check and number."""
    return [r for r in rows if (r["layer"], r["check"], r["number"]) == (layer, check, number)]


def named(rows: Sequence[Row], layer: str, check: str, variant: str, number: str) -> Row | None:
    """One row, None where there is no such variant at this layer."""
    return next((r for r in pick(rows, layer, check, number) if r["variant"] == variant), None)


def deepest(rows: Sequence[Row], layer: str, number: str) -> Row | None:
    """The cascade's last halt: all layers random from the unit's down to the first."""
    return next(iter(pick(rows, layer, sanity.CASCADE, number)[::-1]), None)


def worst(rows: Sequence[Row], layer: str, check: str, number: str) -> Row | None:
    """The variant of a check that keeps least."""
    some = [row for row in pick(rows, layer, check, number) if np.isfinite(row["kept"])]
    return min(some, key=lambda row: row["kept"], default=None)


# Findings


def findings(
    arrays: Mapping[str, np.ndarray],
    rows: Sequence[Row],
    layer: str,
    little: float,
    much: float,
    seed: int,
) -> list[Finding]:
    """What holds of one layer's pictures, each by its declared rule."""
    interval = f"± half the {100 * LEVEL:.0f} % bootstrap interval over units"
    scale = f"of a picture of {layer} kept, 0 for unrelated pictures and 1 for all of it"
    out = []

    def add(name: str, row: Row | None, limit: float, says: str, under: bool = True) -> None:
        if row is None or not np.isfinite(row["kept"]):
            return
        holds = below(row, limit)
        holds = holds if under or holds is None else not holds
        words = f"{says}: share {scale}, {interval} ({row['n']}); holds if the interval lies "
        out.append(
            Finding(
                f"truth/sanity/{name}", row["kept"], (row["kept_high"] - row["kept_low"]) / 2,
                holds, f"{words}{'below' if under else 'above'} {limit:g}, does not if it lies "
                "beyond, and is not judged in between", "of the picture",
            )
        )  # fmt: skip

    signed, outline = "by correlation with signs", "by rank correlation of absolute values"
    same = f"{layer}/{sanity.ABOVE}/{sanity.ALL_ABOVE}/equal"
    if same in arrays:
        share = float(arrays[same].mean())
        out.append(
            Finding(
                "truth/sanity/layers_above", share, None, share == 1.0,
                f"share of {len(arrays[same])} units of {layer} whose pictures stay equal to the "
                "bit with random weights in all layers above; holds if all do", "of the units",
            )
        )  # fmt: skip
    swap = (layer, sanity.UNIT, sanity.SAME_POSITION)
    switched = named(rows, layer, sanity.SWITCHES, sanity.OTHER_IMAGE, "signed")
    for name, row, limit, says in (
        ("learned_weights", deepest(rows, layer, "signed"), little,
         f"pictures depend on the learned weights, all random from {layer} down, {signed}"),
        ("learned_weights_outline", deepest(rows, layer, "rank"), little,
         f"where they are strong depends on the learned weights, {outline}"),
        ("own_unit", named(rows, *swap, "signed"), much,
         f"pictures are mostly the unit's own, another map's at the same place instead, {signed}"),
        ("own_unit_outline", named(rows, *swap, "rank"), much,
         f"where they are strong is mostly the unit's own, {outline}"),
        ("own_image", switched, much,
         f"pictures are mostly the image's own, another image's switches instead, {signed}"),
    ):  # fmt: skip
        add(name, row, limit, says)
    for name, check in (("rule", sanity.RULE), ("collisions", sanity.COLLISION)):
        row = worst(rows, layer, check, "signed")
        says = (
            f"pictures stay mostly the same by any {'rule' if check == sanity.RULE else 'policy'}"
        )
        add(name, row, much, f"{says}, the worst is {row and row['variant']}, {signed}", False)
    return [*out, *switches_over_unit(arrays, layer, seed), *by_class(arrays, layer, seed)]


def difference(key: str, values: np.ndarray, seed: int, says: str, unit: str) -> list[Finding]:
    """One finding: a mean difference, unit by unit, that holds above 0."""
    values = values[np.isfinite(values)]
    if not len(values):
        return []
    low, high = bootstrap(values, seed)
    holds = True if low > 0 else False if high < 0 else None
    rule = (
        f"{says}, ± half the {100 * LEVEL:.0f} % bootstrap interval over {len(values)} of them; "
        "holds if the interval lies above 0, does not if below, and is not judged in between"
    )
    return [Finding(key, float(values.mean()), (high - low) / 2, holds, rule, unit)]


def switches_over_unit(arrays: Mapping[str, np.ndarray], layer: str, seed: int) -> list[Finding]:
    """Mahendran & Vedaldi 2016: little depends on the unit, much on the switches."""
    unit = f"{layer}/{sanity.UNIT}/{sanity.SAME_POSITION}/scores"
    switches = f"{layer}/{sanity.SWITCHES}/{sanity.OTHER_IMAGE}/scores"
    if switches not in arrays:
        return []
    at = NUMBERS.index("signed")
    return difference(
        "truth/sanity/switches_over_unit", arrays[unit][:, at] - arrays[switches][:, at], seed,
        "pictures depend more on the switches than on the unit: correlation with signs, with "
        "another map in the unit's place minus with another image's switches, mean over units of "
        f"{layer}", "of correlation",
    )  # fmt: skip


def by_class(arrays: Mapping[str, np.ndarray], layer: str, seed: int) -> list[Finding]:
    """Whether it matters which classes are mined."""
    shares = [arrays[f"{layer}/{sanity.SHARES}/{name}"] for name in sanity.OF_NINE]
    return difference(
        "truth/sanity/one_class", halves_over_class(arrays, layer), seed,
        "mining one class shows another picture than mining all: correlation with signs of the "
        "mean pictures of the strongest, between two halves of the images minus between all "
        f"classes and a random one, mean over maps of {layer}", "of correlation",
    ) + difference(
        "truth/sanity/favoured_class", shares[0] - shares[1], seed,
        "the strongest images are of one class more often than by chance: share of the most "
        f"frequent class minus that among random images, mean over maps of {layer}",
        "of the strongest",
    )  # fmt: skip
