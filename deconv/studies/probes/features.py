"""Features of a frozen network: the values of a point as one vector an image."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch.nn.functional import adaptive_avg_pool2d, adaptive_max_pool2d

from deconv.data.batches import walk
from deconv.errors import DeconvError
from deconv.networks import Network


@dataclass(frozen=True)
class Reduction:
    """How maps become a vector of moderate length. Fully connected units stay as they are.

    pooled: sides of grids, such as (1, 2): the maps are max-pooled to 1×1 and to 2×2 and all are
    concatenated. Empty: larger maps are averaged to the finest square grid with at most
    `max_features` values over all maps. Cell i of g covers rows (and columns) floor(i·H/g) to
    ceil((i+1)·H/g), so neighbours may share one; no grid is finer than the maps.
    Differs from paper: it mentions no reduction; layer 1 of ZFNet has 290,400 values an image.
    """

    max_features: int = 10_000
    pooled: tuple[int, ...] = ()

    def __call__(self, activations: torch.Tensor) -> torch.Tensor:
        """Make N×D float32 of N×C×H×W or N×C.

        Raises:
            DeconvError: if one value a map, where they are averaged, exceeds `max_features`.
        """
        if self.pooled and activations.dim() == 4:
            sides = dict.fromkeys(min(side, *activations.shape[2:]) for side in self.pooled)
            grids = [adaptive_max_pool2d(activations, side).flatten(1) for side in sides]
            return torch.cat(grids, 1).float()
        side = self.grid_side(activations.shape[1:])
        if side is not None:
            activations = adaptive_avg_pool2d(activations, side)
        return activations.flatten(1).float()

    def grid_side(self, shape: Sequence[int]) -> int | None:
        """The side of the grid that maps C×H×W are averaged to; None if they stay as they are."""
        maps, *size = shape
        if math.prod(shape) <= self.max_features:
            return None
        if maps > self.max_features:
            raise DeconvError(
                f"{maps} maps or units are more than max_features={self.max_features}: allow more"
            )
        return min(math.isqrt(self.max_features // maps), *size)

    def in_words(self) -> str:
        """Say what becomes of maps."""
        if self.pooled:
            grids = " and ".join(f"{side}×{side}" for side in self.pooled)
            return f"maps max-pooled to {grids}"
        return f"maps with more than {self.max_features} values in all averaged to a square grid"


def check_points(net: Network, points: Iterable[str], reduction: Reduction) -> None:
    """Raise DeconvError for points that cannot be read or reduced."""
    blank = torch.zeros(1, 3, net.input_px, net.input_px, device=net.device)
    record = net.record(blank, list(dict.fromkeys(points)), logits=False)
    for values in record.activations.values():
        reduction(values)


def extract(
    net: Network,
    loader: Iterable,
    points: Sequence[str],
    reduction: Reduction | None = None,
    progress: bool = True,
) -> dict[str, torch.Tensor]:
    """Extract the features of every image at each point, in one pass without dropout.

    Args:
        loader: preprocessed images in any form of `deconv.data.batches`, not shuffled.
        reduction: None for that of the defaults.

    Returns:
        Point -> N×D float32 on the CPU, in order.

    Raises:
        DeconvError: for an unknown point, no image, or values that are not finite.
    """
    reduction = reduction or Reduction()
    found: dict[str, list[torch.Tensor]] = {}
    for images, _ in walk(net, loader, "features", progress, channels_last=True):
        record = net.record(images, points, logits=False)
        for point in points:
            found.setdefault(point, []).append(reduction(record.activations[point]).cpu())
    # Popped one by one, to hold only one point twice in memory.
    return {point: torch.cat(found.pop(point)) for point in list(found)}
