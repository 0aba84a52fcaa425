"""Redundancy of a layer's feature maps: their correlations over positions and images."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from deconv.mining.one_pass import sum_over
from deconv.networks import Network


@dataclass(frozen=True)
class Moments:
    """Sums over positions and images: of values (C) and of products of map pairs (C×C), float64.

    count: values a map. Moments of two parts add up.
    """

    count: int
    values: torch.Tensor
    products: torch.Tensor

    def __add__(self, other: Moments) -> Moments:
        return Moments(
            self.count + other.count, self.values + other.values, self.products + other.products
        )

    def correlations(self) -> torch.Tensor:
        """C×C Pearson correlations, -1…1; NaN in rows and columns of maps that never vary."""
        mean = self.values / self.count
        covariance = self.products / self.count - mean[:, None] * mean
        power = self.products.diagonal() / self.count
        # For a constant map the difference is rounding, not variance.
        varies = covariance.diagonal() > 1e-10 * power
        deviation = covariance.diagonal().clamp(min=0).sqrt()
        out = (covariance / (deviation[:, None] * deviation)).clamp(-1, 1)
        out[~varies], out[:, ~varies] = torch.nan, torch.nan
        return out


def redundancy(correlations: torch.Tensor) -> float:
    """The mean |r| over pairs of different maps, 0…1.

    correlations: C×C. Constant maps (NaN) are left out; NaN if fewer than two maps vary.
    """
    pairs = ~torch.eye(len(correlations), dtype=torch.bool)
    known = correlations[pairs & ~correlations.isnan()]
    return known.abs().mean().item() if len(known) else float("nan")


def map_correlations(
    net: Network, loader: Iterable, points: Iterable[str], progress: bool = True
) -> dict[str, torch.Tensor]:
    """Correlate the maps of each point over all positions of all images.

    Maps are compared at equal positions, so spatially shifted copies do not count as correlated.

    Args:
        loader: yields (images N×3×H×W, …); under torchrun over a `Share` of the data set, and
            every process gets the result for the whole.

    Returns:
        Point -> C×C correlations.

    Raises:
        DeconvError: for no image, no or an unknown point, or NaN values.
    """
    found = sum_over(net, loader, points, _moments, "correlating", progress)
    return {point: moments.correlations() for point, moments in found.items()}


def _moments(values: torch.Tensor) -> Moments:
    maps = values.shape[1]
    sums = torch.zeros(maps, dtype=torch.float64, device=values.device)
    products = torch.zeros(maps, maps, dtype=torch.float64, device=values.device)
    for image in values:  # one at a time, as float64 takes twice the memory of a batch
        flat = image.reshape(maps, -1).double()
        sums += flat.sum(1)
        products += flat @ flat.T
    return Moments(values.shape[0] * values[0, 0].numel(), sums.cpu(), products.cpu())
