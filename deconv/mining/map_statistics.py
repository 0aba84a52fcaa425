"""Feature maps before and after rectification, and their sparsity over a data set.

A layer is measured at a pair of points: z, the input of the first activation function after it, and
a, its output. In a residual network that may follow a batch normalisation or a sum, so both points
carry their own names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import nn

from deconv.errors import DeconvError, unknown
from deconv.mining.one_pass import sum_over
from deconv.networks import Network

ORDERS = ("strongest", "first")


@dataclass(frozen=True)
class MapPoints:
    """The points of one layer: z before its activation function, a after it.

    a is None where the next layer or a pooling comes first, z where the layer puts side by side
    what several activation functions give.
    """

    layer: str
    z: str | None
    a: str | None

    @property
    def measured(self) -> str:
        """The point that is counted and whose strongest units are shown: a if there is one."""
        return self.a or self.z or self.layer


@dataclass(frozen=True)
class MapStatistics:
    """Counts of one point's C maps over a data set.

    above_0: C int64, values above 0. values: number of values per map, images×h×w. maximum: C.
    images: number of images.
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
        """Each map's share of values above 0, C float64 in 0…1; sparsity is 1 minus it."""
        return self.above_0.double() / self.values

    @property
    def dead(self) -> torch.Tensor:
        """The maps that were never above 0, C bool."""
        return self.above_0 == 0

    @property
    def saturated(self) -> torch.Tensor:
        """The maps that were above 0 at every position of every image, C bool."""
        return self.above_0 == self.values


def map_points(net: Network, layer: str | int) -> MapPoints:
    """Find z and a of a layer: input and output of the first activation function after it.

    Normalisations and operations without weights that keep the number and size of the maps may lie
    between.

    Raises:
        DeconvError: for an unknown layer.
    """
    name = net.check_point(layer)
    calls = net.calls
    index = calls.values[name].index
    a = None if index is None else calls.activation(index)
    if index is not None and a is None and calls.activated(index):
        return MapPoints(name, None, name)
    if a is None:
        return MapPoints(name, name, None)
    return MapPoints(name.removesuffix(":z"), net.before(a), a)


def convolution_points(net: Network) -> list[str]:
    """List the points of a network's convolutions, each after its activation function."""
    layers = [one for one in net.layers if isinstance(net.module_of(one), nn.Conv2d)]
    return list(dict.fromkeys(map_points(net, one).measured for one in layers))


def ordered_maps(values: torch.Tensor, count: int, order: str = "strongest") -> torch.Tensor:
    """Number up to `count` maps of one image, C×h×w, in an order.

    order: "strongest" by falling maximum, the lower number first among equals; "first" by number.
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
    """Count over all images of a loader: point -> counts; see `sum_over` for loader and errors.

    A fully connected point has maps of one position. Memory is one batch and C per point.
    """
    return sum_over(net, loader, points, _count, "measuring", progress)


def _count(values: torch.Tensor) -> MapStatistics:
    maps = values.flatten(2) if values.dim() > 2 else values[:, :, None]
    above = (maps > 0).sum((0, 2)).cpu()
    return MapStatistics(
        above, maps.shape[0] * maps.shape[2], maps.amax((0, 2)).cpu(), maps.shape[0]
    )
