"""Correspondence (§4.3, Table 1): does hiding one part change all faces' features alike?

A face x is recorded whole and with a part hidden; the change is ε = x − x̃ at a layer. Two faces
i and j are compared by the Hamming distance of the signs of their changes, and

    Δ = mean over i ≠ j of H(sign ε_i, sign ε_j) / dimensions.

The paper sums over the pairs; its values below 1 are means over pairs and dimensions. Lower: the
part is more alike across faces to the network. Signs have three values: after a ReLU many changes
are exactly 0, and they count as a sign of their own unless told otherwise.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from deconv.errors import DeconvError
from deconv.networks import Network
from deconv.records import Box
from deconv.studies.boxes import hidden

ZERO = 1e-5
"""A change counts as 0 up to this share of the layer's largest activation: one batch may round
differently at two positions, and a sign would make a change of that."""
CHUNK = 8192


@dataclass(frozen=True)
class Changes:
    """What hiding K boxes does to one image at one layer.

    sign: K×D int8, of ε = x − x̃ over all D values of the layer. size: K, |ε| over |x| (Euclidean).
    """

    sign: torch.Tensor
    size: torch.Tensor

    @property
    def zeros(self) -> torch.Tensor:
        """K shares (0…1) of values that did not change."""
        return (self.sign == 0).double().mean(dim=1)


@torch.no_grad()
def sign_changes(
    net: Network,
    image: torch.Tensor,
    boxes: Sequence[Box],
    layers: Sequence[str],
    fill: float = 0.0,
    zero: float = ZERO,
) -> dict[str, Changes]:
    """Layer -> how its values change when each of `boxes` is hidden.

    image: 3×H×W, preprocessed. fill: on the preprocessed scale; 0 is the mean image. zero: see
    ZERO. Raises DeconvError for an unknown layer and if there is nothing to hide.
    """
    if not boxes:
        raise DeconvError("at least one box to hide is needed")
    image = image.to(net.device)
    batch = torch.cat([image[None], hidden(image, boxes, fill)])
    found = {}
    for layer, values in net.record(batch, layers, logits=False).activations.items():
        whole, *rest = values.flatten(1)
        change = whole - torch.stack(rest)
        sign = torch.where(change.abs() <= zero * whole.abs().max(), 0, change.sign())
        size = change.norm(dim=1) / whole.norm().clamp(min=torch.finfo(whole.dtype).tiny)
        found[layer] = Changes(sign.to(torch.int8).cpu(), size.cpu())
    return found


@dataclass(frozen=True)
class Distances:
    """Hamming distances between all pairs of M rows of signs, M×M each, as shares 0…1.

    all:  over all dimensions. moved: over those where at least one of the two changed; 0 where
    there is no such dimension.
    """

    all: torch.Tensor
    moved: torch.Tensor


def sign_distances(signs: torch.Tensor) -> Distances:
    """Distances of M×D int8 signs in −1, 0, 1, exact counts as float64."""
    rows, dimensions = signs.shape
    alike = torch.zeros(rows, rows, dtype=torch.float64)
    still = torch.zeros_like(alike)
    for part in signs.split(CHUNK, dim=1):
        for value in (-1, 0, 1):
            # Sums of at most CHUNK ones are exact in float32.
            one = (part == value).float()
            same = (one @ one.T).double()
            alike += same
            still += same if value == 0 else 0
    different = dimensions - alike
    return Distances(different / dimensions, different / (dimensions - still).clamp(min=1))


def delta(distances: torch.Tensor, pairs: torch.Tensor | None = None) -> tuple[float, float]:
    """Δ of N images, the mean over ordered pairs, and the standard deviation over the same pairs.

    distances: N×N. pairs: N×N bool, which pairs count; by default all of i ≠ j.
    Raises DeconvError if no pair does.
    """
    if pairs is None:
        pairs = ~torch.eye(len(distances), dtype=torch.bool)
    values = distances[pairs]
    if not len(values):
        raise DeconvError("Δ compares pairs of images: two or more are needed")
    return values.mean().item(), values.std(correction=0).item()
