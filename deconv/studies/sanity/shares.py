"""The table of the sanity checks: mean similarities, and the share of a picture that is kept.

A share of 0 is the similarity of unrelated pictures, 1 identity. Scores are arrays n×3 named
`<layer>/<check>/<variant>/scores`, one row per unit or map, a column one of NUMBERS.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from deconv.studies.bootstrap import bootstrap, middle, resamples
from deconv.studies.sanity.classes import (
    ANOTHER_CLASS,
    ANOTHER_MAP,
    HALVES_OVER_CLASS,
    MINING,
    OF_NINE,
    OTHER_HALF,
    SHARES,
)
from deconv.studies.sanity.scores import kept
from deconv.studies.sanity.similarity import NUMBERS
from deconv.studies.sanity.units import SAME_POSITION
from deconv.studies.sanity.variants import CHANCE, OTHER_IMAGE, SWITCHES, UNIT, UNRELATED

GOES, PARTLY, STAYS = "goes", "partly", "stays"
FIRST, LAST, LEAST = 0, -1, "least"
"""Instead of a variant's name: the first or last of a check, or the one that keeps least."""

Arrays = Mapping[str, np.ndarray]
Row = dict[str, Any]


def share_rows(arrays: Arrays, layers: Sequence[str], seed: int) -> list[Row]:
    """Summarise the units of each layer, check, variant and number in one row.

    Returns:
        Rows with the mean over units and its interval, n, the share that is kept with its
        interval, and how many pictures are blank or equal to the bit.
    """
    rows: list[Row] = []
    for layer in layers:
        own = {key.removeprefix(f"{layer}/"): key for key in arrays if key.startswith(f"{layer}/")}
        for name in [name for name in own if name.endswith("/scores")]:
            check, variant, _ = name.split("/")
            scores = arrays[own[name]]
            chance = arrays["/".join([layer, *chance_of(check), "scores"])]
            counts = {}
            for what in ("blank", "equal"):
                at = own.get(f"{check}/{variant}/{what}")
                counts[what] = "" if at is None else int(arrays[at].sum())
            for i, number in enumerate(NUMBERS):
                row = {"layer": layer, "check": check, "variant": variant, "number": number}
                row |= mean_of(scores[:, i], seed) | kept_of(scores[:, i], chance[:, i], seed)
                rows.append(row | counts)
        shares = {name: arrays[own[name]] for name in own if name.startswith(f"{SHARES}/")}
        for name, values in shares.items():
            row = {"layer": layer, "check": SHARES, "number": "share"}
            row |= {"variant": name.removeprefix(f"{SHARES}/")}
            rows.append(row | mean_of(values, seed))
        row = {"layer": layer, "check": SHARES, "variant": HALVES_OVER_CLASS, "number": "signed"}
        rows.append(row | mean_of(halves_over_class(arrays, layer), seed))
    return rows


def chance_of(check: str) -> tuple[str, str]:
    """The check and variant whose pictures are unrelated to those of a check."""
    return (MINING, ANOTHER_MAP) if check == MINING else (CHANCE, UNRELATED)


def signed(arrays: Arrays, layer: str, check: str, variant: str) -> np.ndarray:
    """The correlations with signs of one variant, one value per unit."""
    return arrays[f"{layer}/{check}/{variant}/scores"][:, NUMBERS.index("signed")]


def halves_over_class(arrays: Arrays, layer: str) -> np.ndarray:
    """The paired difference, map by map, of signed correlations of mean pictures: two halves of the
    images, minus all classes against a random one.
    """
    half, other = (signed(arrays, layer, MINING, name) for name in (OTHER_HALF, ANOTHER_CLASS))
    return half - other


def differences(arrays: Arrays, layer: str) -> dict[str, np.ndarray]:
    """Differences that are above 0 where a claim holds, by unit or map.

    switches_over_unit (where switches were exchanged): how much more another image's switches
    change a picture than another map's unit does. one_class: `halves_over_class`. favoured_class:
    the share of the most frequent class among the strongest images minus that by chance.
    """
    out = {}
    if f"{layer}/{SWITCHES}/{OTHER_IMAGE}/scores" in arrays:
        out["switches_over_unit"] = signed(arrays, layer, UNIT, SAME_POSITION) - signed(
            arrays, layer, SWITCHES, OTHER_IMAGE
        )
    own, chance = (arrays[f"{layer}/{SHARES}/{name}"] for name in OF_NINE)
    return out | {"one_class": halves_over_class(arrays, layer), "favoured_class": own - chance}


def mean_of(values: np.ndarray, seed: int) -> Row:
    """The mean, low, high and n of the values that are not NaN."""
    some = values[np.isfinite(values)]
    if not len(some):
        return {"mean": np.nan, "low": np.nan, "high": np.nan, "n": 0}
    low, high = bootstrap(some, seed)
    return {"mean": float(some.mean()), "low": low, "high": high, "n": len(some)}


def kept_of(values: np.ndarray, chance: np.ndarray, seed: int) -> Row:
    """The share that is kept and its interval, over the units that have both numbers."""
    both = np.isfinite(values) & np.isfinite(chance)
    share, low, high = np.nan, np.nan, np.nan
    if both.any():
        share = float(kept(values[both].mean(), chance[both].mean()))
    if np.isfinite(share):
        # One seed for both, so that resamples are paired.
        drawn = [resamples(some[both], seed).mean(axis=1) for some in (values, chance)]
        low, high = middle(kept(*drawn))
    return {"kept": share, "kept_low": low, "kept_high": high}


def pick(
    rows: Sequence[Row], layer: str, check: str, variant: str | int, number: str
) -> Row | None:
    """The row of a variant, by name or as FIRST, LAST or LEAST; None where there is none."""
    some = [r for r in rows if (r["layer"], r["check"], r["number"]) == (layer, check, number)]
    if variant == LEAST:
        some = [row for row in some if np.isfinite(row["kept"])]
        return min(some, key=lambda row: row["kept"], default=None)
    if isinstance(variant, int):
        return some[variant] if some else None
    return next((row for row in some if row["variant"] == variant), None)


def verdict(row: Row, little: float, much: float) -> str:
    """GOES, PARTLY or STAYS; PARTLY also where the interval reaches over a limit."""
    if row["kept_high"] < little:
        return GOES
    return STAYS if row["kept_low"] > much else PARTLY


def below(row: Row, limit: float) -> bool | None:
    """Whether the share lies below a limit; None where its interval reaches over it."""
    if row["kept_high"] < limit:
        return True
    return False if row["kept_low"] > limit else None
