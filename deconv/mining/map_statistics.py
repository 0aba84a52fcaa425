"""Feature maps before and after their rectification, and how sparse they are over a data set.

A layer is looked at through a pair of points: z, what the first activation function after it takes
in, and a, what comes out. In a residual network that may lie behind a batch normalisation or a
sum, so both points carry their names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch

from deconv.errors import DeconvError, unknown
from deconv.mining.one_pass import sum_over
from deconv.networks import Network

ORDERS = ("active", "first")


@dataclass(frozen=True)
class MapPoints:
    """The points of one layer. z: before its activation function; a: behind it, None where the
    next layer or a pooling comes first. `measured` is a where there is one, else z."""

    layer: str
    z: str | None
    a: str | None

    @property
    def measured(self) -> str:
        """The point whose values are counted and whose strongest units are shown."""
        return self.a or self.z or self.layer


@dataclass(frozen=True)
class MapStatistics:
    """Counts of one point's C maps over a data set.

    above_0: C int64, values above 0. values: how many values a map had in all, images×h×w.
    maximum: C, the largest value. images: how many were measured.
    """

    above_0: torch.Tensor
    values: int
    maximum: torch.Tensor
    images: int

    def __add__(self, other: MapStatistics) -> MapStatistics:
        return MapStatistics(
            self.above_0 + other.above_0,
            self.values + other.values,
            torch.maximum(self.maximum, other.maximum),
            self.images + other.images,
        )

    @property
    def active_share(self) -> torch.Tensor:
        """C float64 in 0…1: each map's share of values above 0; sparsity is 1 minus it."""
        return self.above_0.double() / self.values

    @property
    def dead(self) -> torch.Tensor:
        """C bool: maps that were never above 0."""
        return self.above_0 == 0

    @property
    def saturated(self) -> torch.Tensor:
        """C bool: maps that were above 0 at every position of every image."""
        return self.above_0 == self.values


def map_points(net: Network, layer: str | int) -> MapPoints:
    """z and a of a layer: its own, and those of the first activation function behind it.

    Batch normalisation, normalisation and operations without weights that keep the number and the
    size of the maps may lie between; z is then what the activation takes in.
    Raises DeconvError for a layer that does not exist.
    """
    name = net.check_point(layer)
    calls = net.calls
    index = calls.values[name].index
    behind = None if index is None else calls.activation(index)
    if behind is None:
        return MapPoints(name, name, None)
    return MapPoints(name.removesuffix(":z"), net.before(behind), behind)


def ordered_maps(values: torch.Tensor, count: int, order: str = "active") -> torch.Tensor:
    """Numbers of up to `count` maps of one image, C×h×w: those with the largest maximum, largest
    first and the lower number first among equals, or with order="first" simply the first.

    Raises DeconvError for another order or a count below 1.
    """
    if order not in ORDERS:
        raise unknown("order of maps", order, ORDERS)
    if count < 1:
        raise DeconvError(f"at least one map is shown, got {count}")
    if order == "first":
        return torch.arange(min(count, len(values)))
    peak = values.flatten(1).amax(1)
    return peak.argsort(descending=True, stable=True)[:count].cpu()


def map_statistics(
    net: Network, loader: Iterable, points: Iterable[str], progress: bool = True
) -> dict[str, MapStatistics]:
    """Point -> counts over all images of a loader of (images N×3×H×W, …).

    A fully connected point has maps of one position. Under torchrun the loader's data set is a
    `Share`, and every process gets the counts of the whole. Memory is one batch and C per point.
    Raises DeconvError for a loader without images, no or an unknown point, or NaN values.
    """
    return sum_over(net, loader, points, _count, "measuring", progress)


def _count(values: torch.Tensor) -> MapStatistics:
    maps = values.flatten(2) if values.dim() > 2 else values[:, :, None]
    above = (maps > 0).sum((0, 2)).cpu()
    return MapStatistics(
        above, maps.shape[0] * maps.shape[2], maps.amax((0, 2)).cpu(), maps.shape[0]
    )
