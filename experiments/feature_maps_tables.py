"""Rows of feature_maps' tables, and the rule by which sparsity rises with depth or does not.

In: the values of the maps shown, and statistics of the layers measured. Out: rows of units.csv and
table.csv, and what their column says over depth; the caller writes them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy.stats import spearmanr

from deconv.mining.map_statistics import MapPoints, MapStatistics
from deconv.networks import ChainNet
from experiments.kit.chosen_images import ChosenImage


def unit_rows(
    number: int, image: ChosenImage, layer: str, part: dict[str, np.ndarray]
) -> list[dict[str, Any]]:
    """A line for each map of one layer of one image."""
    rows = []
    for i, one in enumerate(part["maps"]):
        at = {name: part[name][i] for name in ("value", "y", "x")}
        box = dict(zip(("top", "left", "bottom", "right"), part["box"][i], strict=True))
        rows.append(
            {"shown": number + 1, "image": image.index, "name": image.name, "layer": layer,
             "number": i + 1, "map": one} | at | box
        )  # fmt: skip
    return rows


def layer_row(net: ChainNet, pair: MapPoints, one: MapStatistics) -> dict[str, Any]:
    """A measured layer as a line of the table."""
    share = one.active_share.numpy()
    number = net.layers.index(pair.layer) + 1 if pair.layer in net.layers else None
    return {
        "layer": pair.layer,
        "number": number,
        "measured": pair.measured,
        "activated": pair.a is not None,
        "images": one.images,
        "maps": len(share),
        "share_above_0": float(share.mean()),
        "sparsity": float(1 - share.mean()),
        "share_above_0_p10": float(np.percentile(share, 10)),
        "share_above_0_p90": float(np.percentile(share, 90)),
        "dead": int(one.dead.sum()),
        "saturated": int(one.saturated.sum()),
        "largest": float(one.maximum.max()),
    }


def depth_trend(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Whether sparsity rises with depth: Spearman's rank correlation over the activated layers."""
    shares = [row["sparsity"] for row in rows if row["activated"]]
    rule = "Spearman's rank correlation of sparsity with depth; one sign needs |rho| of 0.5 or more"
    rho = None
    if len(shares) > 2 and len(set(shares)) > 1:
        rho = round(float(spearmanr(range(len(shares)), shares).statistic), 3)
    ends = [shares[0], shares[-1]] if shares else None
    return {"layers": len(shares), "spearman": rho, "first_and_last": ends, "rule": rule}
