"""Feature maps of images before (z) and after (a) the activation function; sparsity over depth.

A layer is a pair of points (`MapPoints`) z and a; `MapPoints.measured` is the one whose values are
counted and ranked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from scipy.stats import spearmanr

from deconv.errors import DeconvError
from deconv.fields import receptive_field
from deconv.mining.map_statistics import MapPoints, MapStatistics, map_points, ordered_maps
from deconv.mining.top_activations import strongest
from deconv.networks import Network
from deconv.networks.depths import spread_points

STRONG = 0.5
"""|ρ| (Spearman, sparsity against depth) from which sparsity counts as rising or falling. Ours."""


def points_of(net: Network, layers: Sequence[str], count: int) -> list[MapPoints]:
    """Points of the named layers, or by default `count` of `spread_points`.

    Without convolutions below the logits, the default is chosen among all layers.

    Raises:
        DeconvError: for an unknown layer, or one named twice.
    """
    if not layers:
        below = [net.module_of(name) for name in net.layers[:-1]]
        if any(isinstance(module, torch.nn.Conv2d) for module in below):
            layers = spread_points(net, count)
        else:
            at = np.linspace(0, len(net.layers) - 1, min(count, len(net.layers))).round()
            layers = [net.layers[int(i)] for i in at]
    pairs = [map_points(net, layer) for layer in layers]
    names = [pair.layer for pair in pairs]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise DeconvError(f"layers names {', '.join(twice)} twice")
    return pairs


def all_activated(net: Network, shown: Sequence[MapPoints]) -> list[MapPoints]:
    """Every weighted layer with an activation function, and those shown, in execution order.

    One a measured point: the branches of a sum share theirs.
    """
    every = [pair for name in net.layers if (pair := map_points(net, name)).a is not None]
    by_point = {pair.measured: pair for pair in reversed([*shown, *every])}
    return [by_point[point] for point in net.points if point in by_point]


def maps_of_image(
    net: Network,
    image: torch.Tensor,
    pairs: Sequence[MapPoints],
    count: int,
    chosen: Mapping[str, str | torch.Tensor],
) -> dict[str, dict[str, np.ndarray]]:
    """Record some maps of each layer on one image (3×H×W, preprocessed).

    Args:
        chosen: layer -> numbers of its maps, or an order of `ordered_maps`, of which `count`, or
            twice as many where the layer has only z or only a.

    Returns:
        Layer -> maps (M numbers); z and a (M×h×w, if they exist); value, y, x (M) of each map's
        strongest unit and its receptive field, box (M×4).
    """
    asked = sorted({point for pair in pairs for point in (pair.z, pair.a) if point})
    found = net.record(image[None].to(net.device), asked, logits=False).activations
    seen = {point: v if v.dim() == 4 else v[:, :, None, None] for point, v in found.items()}
    out = {}
    for pair in pairs:
        peaks = strongest(seen[pair.measured], 0, pair.measured)
        wanted = chosen[pair.layer]
        if isinstance(wanted, str):
            each = count if pair.z and pair.a else 2 * count
            wanted = ordered_maps(seen[pair.measured][0], each, wanted)
        maps = wanted
        part = {
            name: getattr(peaks, name)[:, 0].cpu()[maps].numpy() for name in ("value", "y", "x")
        }
        part["maps"] = maps.numpy()
        part["box"] = np.array(
            [
                receptive_field(net, pair.measured, y, x, (image.shape[1], image.shape[2]))
                for y, x in zip(part["y"].tolist(), part["x"].tolist(), strict=True)
            ]
        )
        for name, point in (("z", pair.z), ("a", pair.a)):
            if point:
                part[name] = seen[point][0].cpu()[maps].numpy()
        out[pair.layer] = part
    return out


def sparsity_row(net: Network, pair: MapPoints, counted: MapStatistics) -> dict[str, Any]:
    """Summarise a layer: shares of values above 0, dead and saturated maps."""
    share = counted.active_share.numpy()
    return {
        "layer": pair.layer,
        "number": net.layers.index(pair.layer) + 1 if pair.layer in net.layers else None,
        "measured": pair.measured,
        "activated": pair.a is not None,
        "images": counted.images,
        "maps": len(share),
        "share_above_0": float(share.mean()),
        "sparsity": float(1 - share.mean()),
        "share_above_0_p10": float(np.percentile(share, 10)),
        "share_above_0_p90": float(np.percentile(share, 90)),
        "dead": int(counted.dead.sum()),
        "saturated": int(counted.saturated.sum()),
        "largest": float(counted.maximum.max()),
    }


def depth_trend(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Correlate sparsity with depth over the activated layers, by Spearman's ranks."""
    shares = [row["sparsity"] for row in rows if row["activated"]]
    rho = None
    if len(shares) > 2 and len(set(shares)) > 1:
        rho = round(float(spearmanr(range(len(shares)), shares).statistic), 3)
    return {
        "layers": len(shares),
        "spearman": rho,
        "first_and_last": [shares[0], shares[-1]] if shares else None,
        "rule": "Spearman's rank correlation of sparsity with depth; one sign needs |rho| of "
        f"{STRONG:g} or more",
    }
