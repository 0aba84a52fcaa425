"""One pass over a data set: what its batches say of each point of a network, added up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import torch

from deconv.data.batches import walk
from deconv.distributed import gather_shares
from deconv.errors import DeconvError
from deconv.networks import Network


class Addable(Protocol):
    """A measure of some images, such that + gives the measure of two lots of them together."""

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
    """Point -> the sum of `measure` over all batches of a loader, see `deconv.data.batches`.

    measure: takes the activations of a point, N×C×h×w or N×C. doing: names the progress bar.
    Under torchrun the loader's data set is a `Share`, and every process gets the sums of the whole.
    Raises DeconvError for a loader without images, no or an unknown point, or NaN values.
    """
    points = [net.check_point(point) for point in points]
    if not points:
        raise DeconvError(f"name at least one layer of {net.name} to measure")
    found: dict[str, M] = {}
    for images, _ in walk(net, loader, doing, progress):
        record = net.record(images, points, logits=False)
        for point in points:
            values = record.activations[point]
            if values.isnan().any():
                raise DeconvError(f"{point} has NaN values: the weights or the images are broken")
            _add(found, {point: measure(values)})
    first, *others = gather_shares(loader, found)
    for part in others:
        _add(first, part)
    return first


def _add(found: dict[str, M], more: dict[str, M]) -> None:
    for point, part in more.items():
        found[point] = found[point] + part if point in found else part
