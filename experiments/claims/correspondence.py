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
from experiments.kit.findings import TRUTH, Finding

COUNTED, LEFT_OUT = ZEROS


def findings(
    cfg: Any,
    rows: Sequence[Mapping[str, Any]],
    resampled: Mapping[tuple[str, str, str], Resampled],
) -> list[Finding]:
    """Judge each cell of Table 1 at the layers asked for, and the controls.

    cfg: settings of the experiment. rows: of the table. resampled: (network, layer, zeros) -> Δ
    for each resample of the faces.
    """
    at = {(r["layer"], r["zeros"], r["mask"]): r for r in rows if r["network"] == "trained"}
    layers = {number: layer for layer in reversed(cfg.layers) if (number := number_of(layer))}
    at5 = resampled.get(("trained", layers.get("5"), COUNTED))
    found = []
    for number, layer in sorted(layers.items()):
        counted, moved = (resampled["trained", layer, zeros] for zeros in ZEROS)
        for mask in ROWS if number in ("5", "7") else ():
            row = at[layer, COUNTED, mask]
            holds, rule = _cell(mask, at5, counted if number == "7" else None)
            rule = (
                f"Mean Δ of {cfg.draws} draws of {cfg.group} faces at {layer}; spread: standard "
                f"deviation between draws; {rule}."
            )
            value, spread = float(row["draws"]), float(row["draws_sd"])
            found.append(Finding(f"table1/{mask}/layer{number}", value, spread, holds, rule))
        stem = f"{TRUTH}table1_correspondence/layer{number}"
        for part in PARTS:
            who = part.replace("_", " ")
            for zeros in ZEROS:
                p = float(at[layer, zeros, part]["p"])
                rule = (
                    f"p of {who} lying below random at {layer}, zeros {zeros}, over {cfg.shuffles} "
                    "shuffles of the names of each image's masks; holds below 0.05."
                )
                key = f"{stem}/{part}/exchange, zeros {zeros}"
                found.append(Finding(key, p, None, p < 0.05, rule, "p"))
            words = f"Δ of {who} minus Δ of masks where another face has it, at {layer}"
            beyond = moved[part] - moved[f"borrowed {part}"]
            found.append(_below_zero(f"{stem}/{part}/place", beyond, f"{words}, zeros left out"))
            if untrained := resampled.get(("untrained", layer, LEFT_OUT)):
                words = (
                    f"how far {who} lies below random in the untrained network minus the same in "
                    f"the trained one, as shares of random, at {layer}, zeros left out"
                )
                apart = share_below_random(untrained, part) - share_below_random(moved, part)
                found.append(_below_zero(f"{stem}/{part}/learned", apart, words))
        words = (
            "Δ with the same part hidden in both faces, mean of the three, minus Δ with different "
            f"parts hidden, at {layer}: both use the same changes, so their size and their zeros "
            "cancel"
        )
        found.append(_below_zero(f"{stem}/same_part", parts_mean(counted) - counted[MIXED], words))
    return found


def _cell(mask: str, at5: Resampled | None, at7: Resampled | None) -> tuple[bool | None, str]:
    """Whether a cell of the paper's table holds, and by which rule. at7: None for layer 5's."""
    if at5 is None:
        return None, "not judged without layer 5"
    who = "the mean of eyes and nose" if mask == "random" else mask.replace("_", " ")
    below = share_below_random(at5, mask)
    holds = middle(below)[0] > 0
    rule = f"holds if at layer 5 {who} lies below random (95 % interval of the difference above 0)"
    if at7 is None:
        return holds, rule
    closer = middle(below - share_below_random(at7, mask))[0] > 0
    return holds and closer, (
        f"{rule}, and at layer 7 less far below it, as a share of random (95 % interval of that "
        "difference above 0)"
    )


def _below_zero(key: str, resampled: np.ndarray, what: str) -> Finding:
    low, high = middle(resampled)
    rule = (
        f"{what}, mean over resamples of the faces; spread: half the 95 % interval; holds "
        "if that lies below 0."
    )
    return Finding(key, float(np.nanmean(resampled)), (high - low) / 2, high < 0, rule, "Δ")


def number_of(layer: str) -> str:
    """The number in a point's name: conv5 and pool5 -> 5."""
    return "".join(c for c in layer if c.isdigit())
