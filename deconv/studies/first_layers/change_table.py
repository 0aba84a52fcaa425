"""A table of filters as they are drawn, before and after a change of the layer's input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from deconv.studies.first_layers.pictures import LayerFilters, ends, pictures

Versions = Mapping[str, tuple[torch.Tensor, torch.Tensor]]
"""before, after -> weights M×C×h×w and biases M."""


def filter_rows(
    filters: LayerFilters,
    maps: Sequence[int],
    rule: str,
    versions: Versions,
    same: Mapping[str, torch.Tensor],
) -> list[dict[str, Any]]:
    """Measure a row for each filter out of `maps`.

    rule: of `ends`. same: what `same_response` found, in the columns z_<name>; empty without a
    change. picture_change_levels: the largest difference between both pictures, in 255 levels.
    """
    rows = [{"layer": filters.layer, "number": filters.number, "map": m} for m in maps]
    for version, (weights, bias) in versions.items():
        black, white = ends(weights, rule)
        flat = weights.flatten(1)
        columns = {
            "min": flat.amin(dim=1),
            "max": flat.amax(dim=1),
            "l2": flat.norm(dim=1),
            "bias": bias,
            "black": black,
            "white": white,
        }
        for row, m in zip(rows, maps, strict=True):
            row |= {f"{name}_{version}": float(values[m]) for name, values in columns.items()}
            row[f"constant_{version}"] = bool(black[m] == white[m])
    drawn = [pictures(weights, rule) for weights, _ in versions.values()]
    for row, m in zip(rows, maps, strict=True):
        row |= {f"z_{name}": float(values[m]) for name, values in same.items()}
        if len(drawn) == 2:
            row["picture_change_levels"] = float(255 * (drawn[1][m] - drawn[0][m]).abs().max())
    return rows
