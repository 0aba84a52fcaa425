"""One pass over a data set: what its batches say of each point of a network, added up."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol, TypeVar

import torch
from tqdm import tqdm

from deconv.data.batches import image_count, read_batches
from deconv.distributed import Share, gather, rank
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
    device = net.device
    total, quiet = image_count(loader), None if progress and rank() == 0 else True
    found: dict[str, M] = {}
    with torch.no_grad(), tqdm(total=total, desc=doing, unit="image", disable=quiet) as bar:
        for images, _ in read_batches(net, loader):
            record = net.record(images.to(device), points, logits=False)
            for point in points:
                values = record.activations[point]
                if values.isnan().any():
                    raise DeconvError(
                        f"{point} has NaN values: the weights or the images are broken"
                    )
                _add(found, point, measure(values))
            bar.update(len(images))
    if isinstance(getattr(loader, "dataset", None), Share):
        parts, found = gather(found), {}
        for part in parts:
            for point, one in part.items():
                _add(found, point, one)
    if not found:
        raise DeconvError("the loader yields no image")
    return found


def _add(found: dict[str, M], point: str, part: M) -> None:
    found[point] = found[point] + part if point in found else part
