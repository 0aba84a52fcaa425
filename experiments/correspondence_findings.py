"""What Table 1 says about the paper's claim: a finding for each cell, and the controls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from omegaconf import DictConfig

from deconv.studies.bootstrap import middle
from deconv.studies.correspondence.faces import PARTS
from experiments.kit.findings import Finding

STEM = "table1_correspondence"
ROWS = (*PARTS, "random")
BORROWED = tuple(f"borrowed {part}" for part in PARTS)
MIXED = "different parts"
MASKED = (*ROWS, MIXED, *BORROWED)
"""The masks that the table has rows for."""
ZEROS = ("counted", "left out")
"""Whether dimensions count in which neither of two images changed."""
Resampled = dict[tuple[str, str], dict[str, np.ndarray]]
"""(layer, zeros) -> mask -> Δ of each resample of the faces."""


@dataclass(frozen=True)
class Found:
    """All that the findings are judged by: rows of the table by (network, layer, zeros, mask)."""

    cfg: DictConfig
    rows: dict[tuple[str, str, str, str], dict[str, Any]]
    resampled: dict[str, Resampled]

    def drop(self, mask: str, layer: str, zeros: str, network: str = "trained") -> np.ndarray:
        """How far a part's Δ lies below random, as a share of random, for each resample.

        mask: "random" stands for the mean of the three parts.
        """
        own = self.resampled[network][layer, zeros]
        part = np.mean([own[p] for p in PARTS], axis=0) if mask == "random" else own[mask]
        return 1 - part / own["random"]


def findings(
    cfg: DictConfig, rows: list[dict[str, Any]], resampled: dict[str, Resampled]
) -> list[Finding]:
    """One finding for each cell of Table 1 at the layers asked for, and the controls."""
    keys = ("network", "layer", "zeros", "mask")
    of = Found(cfg, {tuple(row[key] for key in keys): row for row in rows}, resampled)
    layers = {number: layer for layer in reversed(cfg.layers) if (number := number_of(layer))}
    found = []
    for number, layer in sorted(layers.items()):
        if number in ("5", "7"):
            found += [_cell(of, number, layer, layers.get("5"), mask) for mask in ROWS]
        for part in PARTS:
            found += _controls(of, number, layer, part)
        found.append(_same_part(of, number, layer))
    return found


def number_of(layer: str) -> str:
    """The number in a point's name: conv5 and pool5 -> 5."""
    return "".join(c for c in layer if c.isdigit())


def _cell(of: Found, number: str, layer: str, layer5: str | None, mask: str) -> Finding:
    """One cell of the paper's table."""
    who = "the mean of eyes and nose" if mask == "random" else mask.replace("_", " ")
    holds = None
    if layer5 is None:
        rule = "needs layer 5"
    else:
        at5 = of.drop(mask, layer5, "counted")
        holds = middle(at5)[0] > 0
        rule = f"at layer 5 {who} lies below random, the 95 % interval of the difference above 0"
        if number == "7":
            closer = middle(at5 - of.drop(mask, layer, "counted"))[0] > 0
            holds = holds and closer
            rule += (
                ", and at layer 7 less far below it, as a share of random, the 95 % interval of "
                "that difference above 0"
            )
    row = of.rows["trained", layer, "counted", mask]
    return Finding(
        f"table1/{mask}/layer{number}", float(row["draws"]), float(row["draws_sd"]),
        holds,
        f"Value: mean Δ of {of.cfg.draws} draws of {of.cfg.group} faces at {layer}; spread: "
        f"standard deviation between draws. Rule: {rule}.",
    )  # fmt: skip


def _controls(of: Found, number: str, layer: str, part: str) -> list[Finding]:
    """A part against random with and without zeros, against its borrowed masks, untrained."""
    stem, who = f"truth/{STEM}/layer{number}/{part}", part.replace("_", " ")
    found = []
    for zeros in ZEROS:
        p = float(of.rows["trained", layer, zeros, part]["p"])
        found.append(
            Finding(
                f"{stem}/exchange, zeros {zeros}", p, None, p < 0.05,
                f"p of {who} lying below random at {layer}, zeros {zeros}, if the names of an "
                f"image's masks meant nothing ({of.cfg.shuffles} shuffles); holds below 0.05.",
                "p",
            )
        )  # fmt: skip
    own = of.resampled["trained"][layer, "left out"]
    found.append(
        _below_zero(
            f"{stem}/place", own[part] - own[f"borrowed {part}"],
            f"Δ of {who} minus Δ of masks where another face has it, at {layer}, zeros left out",
        )
    )  # fmt: skip
    if "untrained" in of.resampled:
        apart = of.drop(part, layer, "left out", "untrained") - of.drop(part, layer, "left out")
        found.append(
            _below_zero(
                f"{stem}/learned", apart,
                f"how far {who} lies below random in the untrained network minus the same in the "
                f"trained one, as shares of random, at {layer}, zeros left out",
            )
        )  # fmt: skip
    return found


def _same_part(of: Found, number: str, layer: str) -> Finding:
    own = of.resampled["trained"][layer, "counted"]
    return _below_zero(
        f"truth/{STEM}/layer{number}/same_part",
        np.mean([own[part] for part in PARTS], axis=0) - own[MIXED],
        f"Δ with the same part hidden in both faces, mean of the three, minus Δ with two "
        f"different parts hidden, at {layer}: both use the same changes, so how large these are "
        "and how many are 0 cancels",
    )


def _below_zero(key: str, resampled: np.ndarray, what: str) -> Finding:
    low, high = middle(resampled)
    return Finding(
        key, float(np.nanmean(resampled)), (high - low) / 2, high < 0,
        f"Value: {what}, mean over resamples of the faces; spread: half the 95 % interval; holds "
        "if that lies below 0.", "Δ",
    )  # fmt: skip
