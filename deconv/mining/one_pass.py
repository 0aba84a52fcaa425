"""One pass over a data set that sums a measure of each point of a network over its batches."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Protocol, TypeVar

import torch

from deconv.data.batches import walk
from deconv.distributed import gather_shares
from deconv.errors import DeconvError
from deconv.finite import check_finite
from deconv.networks import Network


class Addable(Protocol):
    """A measure of a set of images, whose + gives the measure of the union."""

    def __add__(self, other: Any) -> Any: ...


M = TypeVar("M", bound=Addable)


def sum_over(
    net: Network,
    loader: Iterable,
    points: Iterable[str],
    measure: Callable[[torch.Tensor], M],
    doing: str,
    progress: bool = True,
) -> dict[str, M]:
    """Sum a measure over all batches of a loader: point -> sum.

    Under torchrun the loader's data set is a `Share`, and every process gets the global sums.

    Args:
        loader: see `deconv.data.batches`.
        measure: takes the activations of a point, N×C×h×w or N×C.
        doing: label of the progress bar.

    Raises:
        DeconvError: for a loader without images, no or an unknown point, or values that are NaN
            or infinite.
    """
    points = [net.check_point(point) for point in points]
    if not points:
        raise DeconvError(f"name at least one layer of {net.name} to measure")
    sums: dict[str, M] = {}

    def measured(point: str, values: torch.Tensor) -> M:
        check_finite(values, f"{point} of {net.name}")
        return measure(values)

    for images, _ in walk(net, loader, doing, progress):
        _add(sums, net.measure(images, {point: partial(measured, point) for point in points}))
    total, *shards = gather_shares(loader, sums)
    for shard in shards:
        _add(total, shard)
    return total


def _add(sums: dict[str, M], more: dict[str, M]) -> None:
    for point, value in more.items():
        sums[point] = sums[point] + value if point in sums else value
