"""The points around a network's contrast normalisations, and how its maps change across them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from deconv.mining.map_statistics import map_statistics
from deconv.networks import ChainNet, Network
from deconv.networks.zfnet import NORMS
from deconv.studies.map_correlation import map_correlations, redundancy


def norm_of(net: ChainNet) -> str:
    """Say which of `NORMS` a network has."""
    kinds = {module: name for name, module in NORMS.items() if module is not None}
    found = {kinds[type(module)] for module in net.modules() if type(module) in kinds}
    return " and ".join(sorted(found)) or "none"


def around(net: Network, layer: str) -> tuple[str, str | None]:
    """Name the points before and behind the normalisation that follows a layer.

    Without one the first is where it would be, behind the layer's pool, and the second None.
    """
    points, number = list(net.points), layer.removeprefix("conv")
    norm = f"norm{number}"
    if norm in points:
        return points[points.index(norm) - 1], norm
    return f"pool{number}" if f"pool{number}" in points else layer, None


def across_norms(
    net: Network, loader: Iterable, layers: Iterable[str]
) -> tuple[dict[str, dict[str, Any]], dict[str, np.ndarray]]:
    """Measure sparsity and redundancy of maps at layers and around their normalisations.

    Under torchrun all processes ask together, each with its share of the images.

    Returns:
        layer -> above_0 (share of values, mean over maps) and redundancy; the same with before_
        and behind_ at the points "before" and "behind" the normalisation, "" where there is none.
        point -> C×C correlations of its maps.
    """
    sides = {layer: around(net, layer) for layer in layers}
    points = dict.fromkeys(p for layer in sides for p in (layer, *sides[layer]) if p)
    correlations = map_correlations(net, loader, points)
    statistics = map_statistics(net, loader, points)

    def at(point: str | None, prefix: str = "") -> dict[str, Any]:
        if point is None:
            return {f"{prefix}above_0": "", f"{prefix}redundancy": ""}
        return {
            f"{prefix}above_0": statistics[point].active_share.mean().item(),
            f"{prefix}redundancy": redundancy(correlations[point]),
        }

    measured = {
        layer: at(layer)
        | {"before": before, **at(before, "before_")}
        | {"behind": behind or "", **at(behind, "behind_")}
        for layer, (before, behind) in sides.items()
    }
    return measured, {point: found.numpy() for point, found in correlations.items()}


def at_border(inside: np.ndarray) -> int:
    """Count the live maps whose strongest unit's field reaches outside the image.

    Args:
        inside: M×R×S bool, False outside the image, throughout for a dead map.
    """
    return int((inside.any(axis=(1, 2)) & ~inside.all(axis=(1, 2))).sum())
