"""The claims of Table 1: hiding eyes or nose changes all faces alike at layer 5 (§4.3)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

COUNTED, LEFT_OUT = ZEROS


def findings(
    cfg: Any,
    rows: Sequence[Mapping[str, Any]],
    resampled: Mapping[tuple[str, str, str], Resampled],
    faces: int,
) -> list[Finding]:
    """Judge each cell of Table 1 at the layers asked for, and the controls.

    cfg: settings of the experiment. rows: of the table. resampled: (network, layer, zeros) -> Δ
    for each resample of the `faces` faces.
    """
    at = {(r["layer"], r["zeros"], r["mask"]): r for r in rows if r["network"] == "trained"}
    layers = {number: layer for layer in reversed(cfg.layers) if (number := number_of(layer))}
    at5 = resampled.get(("trained", layers.get("5"), COUNTED))
    found = []
    for number, layer in sorted(layers.items()):
        at7 = resampled["trained", layer, COUNTED] if number == "7" else None
        for mask in ROWS if number in ("5", "7") else ():
            row = at[layer, COUNTED, mask]
            numbers = float(row["draws"]), float(row["draws_sd"]), cfg.draws
            holds = None if at5 is None else _cell(mask, at5, at7)
            key = f"table1/{mask}/layer{number}"
            found.append(judged(key, *numbers, holds=holds, layer=layer, group=cfg.group))
        found += _exchanges(at, number, layer, faces, cfg.shuffles)
        found += _controls(resampled, number, layer, faces)
    return found


def _cell(mask: str, at5: Resampled, at7: Resampled | None) -> bool:
    """Whether a cell of the paper's table holds. at7: None for layer 5's."""
    below = share_below_random(at5, mask)
    holds = middle(below)[0] > 0
    return holds and (at7 is None or middle(below - share_below_random(at7, mask))[0] > 0)


def _exchanges(
    at: Mapping[tuple[str, str, str], Mapping[str, Any]],
    number: str,
    layer: str,
    faces: int,
    shuffles: int,
) -> list[Finding]:
    """Judge for each part whether it lies below random, by a test that exchanges names."""
    found = []
    for part in PARTS:
        for zeros in ZEROS:
            p = float(at[layer, zeros, part]["p"])
            key = f"control/table1/exchange/layer{number}/{part}/zeros {zeros}"
            facts = {"layer": layer, "part": part, "zeros": zeros, "shuffles": shuffles}
            found.append(judged(key, p, None, faces, holds=p < CHANCE, **facts))
    return found


def _controls(
    resampled: Mapping[tuple[str, str, str], Resampled], number: str, layer: str, faces: int
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
        key = f"control/table1/{name}/layer{number}" + f"/{part}" * bool(part)
        facts = {"layer": layer} | ({"part": part} if part else {})
        mean = float(np.nanmean(values))
        found.append(judged(key, mean, (low, high), faces, holds=high < 0, **facts))
    return found


def number_of(layer: str) -> str:
    """The number in a point's name: conv5 and pool5 -> 5."""
    return "".join(c for c in layer if c.isdigit())
