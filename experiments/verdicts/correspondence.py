"""The claims of Table 1: hiding eyes or nose changes all faces alike at layer 5 (§4.3)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from deconv.studies.bootstrap import middle
from deconv.studies.correspondence.delta_table import (
    MIXED,
    ROWS,
    ZEROS,
    Resampled,
    parts_mean,
    share_below_random,
)
from deconv.studies.correspondence.faces import PARTS
from experiments.kit.controls import CHANCE
from experiments.kit.findings import Finding, judged
from experiments.kit.titles import layer_title

COUNTED, LEFT_OUT = ZEROS
NAMED = ("conv5", "fc7")
"""Layers 5 and 7 of the paper's networks."""


def paper_numbers(layers: Sequence[str], points: Collection[str]) -> dict[str, str]:
    """Layer -> the number of the paper's layer that it is, or stands for.

    Where conv5 and fc7 are points, that in its name. In any other network the middle one of
    `layers`, of two the lower, stands for layer 5 and the last one for layer 7.
    """
    if set(NAMED) <= set(points):
        numbers = {layer: "".join(c for c in layer if c.isdigit()) for layer in layers}
        return {layer: number for layer, number in numbers.items() if number}
    top = {layers[-1]: "7"} if len(layers) > 1 else {}
    return top | {layers[(len(layers) - 1) // 2]: "5"}


def stand_in(layer: str, number: str, titles: Mapping[str, str]) -> dict[str, str]:
    """The fact that another layer stands for a numbered one of the paper, if it does."""
    title = layer_title(layer, {"titles": titles})
    return {} if title == f"Layer {number}" else {"read_at": title}


def findings(
    cfg: Any,
    numbers: Mapping[str, str],
    titles: Mapping[str, str],
    rows: Sequence[Mapping[str, Any]],
    resampled: Mapping[tuple[str, str, str], Resampled],
    faces: int,
) -> list[Finding]:
    """Judge each cell of Table 1 at the layers asked for, and the controls.

    cfg: settings of the experiment. numbers: see `paper_numbers`. titles: layer -> title. rows:
    of the table. resampled: (network, layer, zeros) -> Δ for each resample of the `faces` faces.
    """
    at = {(r["layer"], r["zeros"], r["mask"]): r for r in rows if r["network"] == "trained"}
    layers = {numbers.get(layer, layer): layer for layer in reversed(cfg.layers)}
    at5 = resampled.get(("trained", layers.get("5"), COUNTED))
    found = []
    for number, layer in sorted(layers.items()):
        at7 = resampled["trained", layer, COUNTED] if number == "7" else None
        for mask in ROWS if number in ("5", "7") else ():
            row = at[layer, COUNTED, mask]
            measured = float(row["draws"]), float(row["draws_sd"]), cfg.draws
            holds = None if at5 is None else _cell(mask, at5, at7)
            key = f"table1/{mask}/layer{number}"
            facts = {"layer": layer, "group": cfg.group} | stand_in(layer, number, titles)
            found.append(judged(key, *measured, holds=holds, **facts))
        case = f"layer{number}" if layer in numbers else layer
        found += _exchanges(at, case, layer, faces, cfg.shuffles)
        found += _controls(resampled, case, layer, faces)
    return found


def _cell(mask: str, at5: Resampled, at7: Resampled | None) -> bool:
    """Whether a cell of the paper's table holds. at7: None for layer 5's."""
    below = share_below_random(at5, mask)
    holds = middle(below)[0] > 0
    return holds and (at7 is None or middle(below - share_below_random(at7, mask))[0] > 0)


def _exchanges(
    at: Mapping[tuple[str, str, str], Mapping[str, Any]],
    case: str,
    layer: str,
    faces: int,
    shuffles: int,
) -> list[Finding]:
    """Judge for each part whether it lies below random, by a test that exchanges names."""
    found = []
    for part in PARTS:
        for zeros in ZEROS:
            p = float(at[layer, zeros, part]["p"])
            key = f"control/table1/exchange/{case}/{part}/zeros {zeros}"
            facts = {"layer": layer, "part": part, "zeros": zeros, "shuffles": shuffles}
            found.append(judged(key, p, None, faces, holds=p < CHANCE, **facts))
    return found


def _controls(
    resampled: Mapping[tuple[str, str, str], Resampled], case: str, layer: str, faces: int
) -> list[Finding]:
    """Judge whether what is found comes from place, from learning and from the part."""
    counted, moved = (resampled["trained", layer, zeros] for zeros in ZEROS)
    untrained = resampled.get(("untrained", layer, LEFT_OUT))
    measured = {}
    for part in PARTS:
        measured["place", part] = moved[part] - moved[f"borrowed {part}"]
        if untrained:
            learned = share_below_random(untrained, part) - share_below_random(moved, part)
            measured["learned", part] = learned
    measured["same_part", ""] = parts_mean(counted) - counted[MIXED]
    found = []
    for (name, part), values in measured.items():
        low, high = middle(values)
        key = f"control/table1/{name}/{case}" + f"/{part}" * bool(part)
        facts = {"layer": layer} | ({"part": part} if part else {})
        mean = float(np.nanmean(values))
        found.append(judged(key, mean, (low, high), faces, holds=high < 0, **facts))
    return found
