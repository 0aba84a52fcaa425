"""Correspondence (§4.3, Table 1): does masking one part change all images' features alike?

With ε = x − x̃ the change of a layer's features when a part is masked, two images i and j are
compared by the Hamming distance of the signs of their changes:

    Δ = mean over i ≠ j of H(sign ε_i, sign ε_j) / dimensions.

The paper writes a sum over pairs; its values below 1 are means over pairs and dimensions. A lower Δ
means a more consistent change across images. Signs have three values: after a ReLU many changes are
exactly 0, which counts as a sign of its own in `Distances.all`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from deconv.errors import DeconvError
from deconv.networks import Network
from deconv.records import Box
from deconv.studies.boxes import mask_boxes

ZERO = 1e-5
"""Changes up to this share of the layer's largest activation count as 0: rounding may differ
between positions in a batch, which a sign would amplify."""
CHUNK = 8192


@dataclass(frozen=True)
class Changes:
    """Changes of one image at one layer when each of K boxes is masked.

    sign: K×D int8, of ε = x − x̃ over the layer's D values. size: K, ‖ε‖ / ‖x‖.
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
    """Measure each layer's changes when each of `boxes` is masked.

    Args:
        image: 3×H×W, preprocessed.
        boxes: at least one.
        fill: on the preprocessed scale; 0 is the mean image.
        zero: see ZERO.

    Raises:
        DeconvError: for an unknown layer, and for no box.
    """
    if not boxes:
        raise DeconvError("at least one box to hide is needed")
    image = image.to(net.device)
    batch = torch.cat([image[None], mask_boxes(image, boxes, fill)])
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
    """Normalised Hamming distances between M rows of signs, M×M each, 0…1.

    all: over all dimensions. moved: over dimensions where at least one of the two changed; 0 if
    there is none.
    """

    all: torch.Tensor
    moved: torch.Tensor


def sign_distances(signs: torch.Tensor) -> Distances:
    """Compare M×D int8 signs in −1, 0, 1; counts are exact."""
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
    """Δ, the mean of N×N distances over pairs, and their standard deviation.

    pairs: N×N bool, at least one; by default all i ≠ j.
    """
    if pairs is None:
        pairs = ~torch.eye(len(distances), dtype=torch.bool)
    values = distances[pairs]
    if not len(values):
        raise DeconvError("Δ compares pairs of images: two or more are needed")
    return values.mean().item(), values.std(correction=0).item()
