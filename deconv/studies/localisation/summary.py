"""Energy shares of a trained network's maps against three baselines, with intervals over maps.

Scores are arrays "<network>/<layer>/<object or part>/<whose>" of one share a map, from
`score_maps` for each network and layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from deconv.studies.bootstrap import bootstrap, bootstrap_difference
from deconv.studies.localisation.scores import CHANCE, OWN, RANDOM

TRAINED, UNTRAINED = "trained", "untrained"
WHAT = ("object", "part")
GROUPS = (TRAINED, RANDOM, UNTRAINED, CHANCE)
"""The maps' own units and the three baselines."""


def grouped(arrays: Mapping[str, np.ndarray], layer: str, what: str) -> dict[str, np.ndarray]:
    """Group of GROUPS -> the share of each map of a layer."""
    return {
        TRAINED: arrays[f"{TRAINED}/{layer}/{what}/{OWN}"],
        RANDOM: arrays[f"{TRAINED}/{layer}/{what}/{RANDOM}"],
        UNTRAINED: arrays[f"{UNTRAINED}/{layer}/{what}/{OWN}"],
        CHANCE: arrays[f"{TRAINED}/{layer}/{what}/{CHANCE}"],
    }


def summarise(
    arrays: Mapping[str, np.ndarray], layers: Sequence[str], seed: int
) -> list[dict[str, Any]]:
    """Summarise each layer and box in a row.

    Returns:
        Rows of each group's mean and interval over maps, and the interval of the difference
        between the trained network's own units and each baseline; NaN where no map has a share.
    """
    rows = []
    for layer in layers:
        for what in WHAT:
            groups = grouped(arrays, layer, what)
            groups = {group: values[np.isfinite(values)] for group, values in groups.items()}
            own = groups[TRAINED]
            numbers: dict[str, float] = {}
            for group, values in groups.items():
                low, high = bootstrap(values, seed) if len(values) else (np.nan, np.nan)
                mean = values.mean() if len(values) else np.nan
                numbers |= {group: mean, f"{group}_low": low, f"{group}_high": high}
            for group in GROUPS[1:]:
                low, high = _difference(own, groups[group], group, seed)
                numbers |= {f"above_{group}_low": low, f"above_{group}_high": high}
            numbers = {name: float(number) for name, number in numbers.items()}
            rows.append({"layer": layer, "what": what, "maps": len(own)} | numbers)
    return rows


def _difference(own: np.ndarray, other: np.ndarray, group: str, seed: int) -> tuple[float, float]:
    """The interval of own - other: paired, except for the untrained network's maps."""
    if not len(own) or not len(other):
        return np.nan, np.nan
    if group == UNTRAINED:
        return bootstrap_difference(own, other, seed)
    return bootstrap(own - other, seed)


def map_rows(arrays: Mapping[str, np.ndarray], layers: Sequence[str]) -> Iterator[dict[str, Any]]:
    """List the maps of both networks with their preferred parts and shares."""
    columns = [f"{what}/{whose}" for what in WHAT for whose in (OWN, RANDOM, CHANCE)]
    for network in (TRAINED, UNTRAINED):
        for layer in layers:
            at = f"{network}/{layer}"
            for i, number in enumerate(arrays[f"{at}/maps"].tolist()):
                row = {"network": network, "layer": layer, "map": number}
                row["preferred_part"] = str(arrays[f"{at}/parts"][i])
                shares = {c.replace("/", "_"): float(arrays[f"{at}/{c}"][i]) for c in columns}
                yield row | {name: round(share, 5) for name, share in shares.items()}
