"""What the shares of energy in known boxes say: rows of the tables, and findings by declared rules.

In: arrays of shares, "<network>/<layer>/<object or part>/<group>" -> a number a map. Out: rows of
table.csv and summary.csv, and whether a layer's energy lies in object and part.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from deconv.studies.bootstrap import LEVEL, bootstrap, bootstrap_difference
from deconv.studies.localisation import CHANCE, OWN, RANDOM
from experiments.kit.findings import Finding

STEM = "truth_projections"
TRAINED, UNTRAINED = "trained", "untrained"
WHAT = ("object", "part")

GROUPS = (TRAINED, RANDOM, UNTRAINED, CHANCE)
"""What is compared: the map's own units, and the three baselines."""


def summarise(
    arrays: dict[str, np.ndarray], layers: Sequence[str], seed: int
) -> list[dict[str, Any]]:
    """A row a layer and a box: each group's mean and interval over maps, and the intervals of the
    differences between the trained network's own units and each baseline."""
    rows = []
    for layer in layers:
        for what in WHAT:
            per_map = {
                TRAINED: arrays[f"{TRAINED}/{layer}/{what}/{OWN}"],
                RANDOM: arrays[f"{TRAINED}/{layer}/{what}/{RANDOM}"],
                UNTRAINED: arrays[f"{UNTRAINED}/{layer}/{what}/{OWN}"],
                CHANCE: arrays[f"{TRAINED}/{layer}/{what}/{CHANCE}"],
            }
            per_map = {group: values[np.isfinite(values)] for group, values in per_map.items()}
            row: dict[str, Any] = {"layer": layer, "what": what, "maps": len(per_map[TRAINED])}
            for group, values in per_map.items():
                low, high = bootstrap(values, seed) if len(values) else (np.nan, np.nan)
                mean = values.mean() if len(values) else np.nan
                row |= {group: mean, f"{group}_low": low, f"{group}_high": high}
            for group in (RANDOM, UNTRAINED, CHANCE):
                low, high = difference(per_map[TRAINED], per_map[group], group, seed)
                row |= {f"above_{group}_low": low, f"above_{group}_high": high}
            rows.append({k: v if isinstance(v, str | int) else float(v) for k, v in row.items()})
    return rows


def difference(own: np.ndarray, other: np.ndarray, group: str, seed: int) -> tuple[float, float]:
    """The interval of own - other: map by map, but for the untrained network, whose maps are
    others."""
    if not len(own) or not len(other):
        return np.nan, np.nan
    if group == UNTRAINED:
        return bootstrap_difference(own, other, seed)
    return bootstrap(own - other, seed)


def findings(summary: Sequence[dict[str, Any]], layer: str, margin: float) -> list[Finding]:
    """Whether the energy of one layer lies in object and part, by the declared rule."""
    out = []
    for what in WHAT:
        row = next(r for r in summary if (r["layer"], r["what"]) == (layer, what))
        if not row["maps"]:
            continue
        lows = [row[f"above_{group}_low"] for group in (RANDOM, UNTRAINED, CHANCE)]
        half = " (the part chosen on the other half of the images)" if what == "part" else ""
        out.append(
            Finding(
                f"truth/{STEM}/{what}_energy",
                row[TRAINED],
                (row[f"{TRAINED}_high"] - row[f"{TRAINED}_low"]) / 2,
                bool(np.isfinite(lows).all() and min(lows) > margin),
                f"mean over {row['maps']} maps of {layer} of the share of a projection's energy in "
                f"the {what}'s box{half}, ± half the {100 * LEVEL:.0f} % bootstrap interval over "
                "maps; holds if it is above a random map's unit on the same image, an untrained "
                "network and the box's share of the receptive field, each by more than "
                f"{margin:g} at the lower end of the difference's interval",
                "of the energy",
            )
        )
    return out


def map_rows(arrays: dict[str, np.ndarray], layers: Sequence[str]) -> list[dict[str, Any]]:
    """A row a map of each network."""
    rows = []
    for name in (TRAINED, UNTRAINED):
        for layer in layers:
            at = f"{name}/{layer}"
            columns = [f"{what}/{group}" for what in WHAT for group in (OWN, RANDOM, CHANCE)]
            for i, number in enumerate(arrays[f"{at}/maps"]):
                row = {"network": name, "layer": layer, "map": int(number)}
                row["preferred_part"] = str(arrays[f"{at}/parts"][i])
                shares = {c.replace("/", "_"): arrays[f"{at}/{c}"][i] for c in columns}
                rows.append(row | {key: round(float(v), 5) for key, v in shares.items()})
    return rows
