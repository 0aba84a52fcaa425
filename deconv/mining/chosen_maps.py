"""Which maps of a layer to show: the strongest, or those most selective for a class."""

from __future__ import annotations

import torch

from deconv.records import Peaks


def strongest_maps(value: torch.Tensor, live: torch.Tensor, count: int) -> torch.Tensor:
    """Number up to `count` of the live maps (C bool) by falling value (C), ties by number."""
    order = value.argsort(descending=True, stable=True)
    return order[live[order]][:count]


def selectivity(peaks: Peaks, of_class: torch.Tensor) -> torch.Tensor:
    """C float64 in 0…1: the share of each map's k strongest images that are of a class.

    of_class: N bool, of the images that were mined. Peaks that are not above 0 are no hits.
    """
    hits = of_class[peaks.image.clamp(min=0)] & (peaks.value > 0)
    return hits.double().mean(dim=1)


def selective_maps(
    peaks: Peaks, of_class: torch.Tensor, live: torch.Tensor, count: int
) -> torch.Tensor:
    """Number up to `count` live maps by falling `selectivity`; among equals the stronger first."""
    stronger = strongest_maps(peaks.value[:, 0], live, len(live))
    share = selectivity(peaks, of_class)[stronger]
    return stronger[share.argsort(descending=True, stable=True)][:count]
