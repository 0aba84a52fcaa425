"""Feature distances and class probability of one image under a transform (§4.1, Fig. 5).

Transforms act on the stored square, which is larger than the crop, before the mean image is
subtracted: small shifts bring in real pixels from outside the crop.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from deconv.data import prepare
from deconv.errors import DeconvError
from deconv.networks import Network
from deconv.studies.invariance.warping import check_transform, warp
from deconv.whole_number import whole_number

BATCH = 16
LAYERS = ("conv1", "fc7")
"""Layers 1 and 7. The paper does not state where a layer is read; here after the ReLU, before
pooling and contrast normalisation."""


@dataclass(frozen=True)
class TransformResponse:
    """One image under T amounts of one transform.

    distance:    layer -> T float64, Euclidean distance of the feature vector to that of the
                 untransformed image (not normalised).
    norm:        layer -> Euclidean norm of the untransformed image's feature vector.
    probability: T float32, softmax probability of the target class.
    label:       T int64, the most probable class.
    clean:       (probability, label) of the untransformed image.
    """

    distance: dict[str, torch.Tensor]
    norm: dict[str, float]
    probability: torch.Tensor
    label: torch.Tensor
    clean: tuple[float, int]


def transform_response(
    net: Network,
    image: torch.Tensor,
    mean: torch.Tensor,
    target: int,
    kind: str,
    amounts: Sequence[float],
    layers: Sequence[str] = LAYERS,
    fill: str = "mean",
) -> TransformResponse:
    """Run the centre crop of an image through `net` under every amount of one transform.

    Args:
        image: 3×S×S uint8, the stored square.
        mean: 3×S×S, the mean image (0…255) subtracted from inputs.
        target: the class whose probability is measured.
        kind, amounts, fill: as for `warp`.
        layers: points whose values, flattened, are compared.

    Raises:
        DeconvError: for no amount, an unknown layer or class, or what `warp` and `prepare` refuse.
    """
    target, amounts = whole_number(target, "target"), [float(amount) for amount in amounts]
    check_transform(kind, amounts, fill)
    if not amounts:
        raise DeconvError(f"{kind} needs at least one amount")
    clean = _answers(net, prepare(image, mean, net.input_px)[None], layers)
    classes = clean[0].shape[1]
    if not 0 <= target < classes:
        raise DeconvError(f"there is no class {target}: {net.name} has {classes}")
    distance: dict[str, list[torch.Tensor]] = {layer: [] for layer in layers}
    odds = []
    for first in range(0, len(amounts), BATCH):
        batch = torch.stack(
            [
                prepare(warp(image, kind, amount, mean, fill), mean, net.input_px)
                for amount in amounts[first : first + BATCH]
            ]
        )
        probability, features = _answers(net, batch, layers)
        odds.append(probability)
        for layer in layers:
            gap = features[layer] - clean[1][layer]
            distance[layer].append(_norms(gap).cpu())
    probability = torch.cat(odds)
    return TransformResponse(
        {layer: torch.cat(parts) for layer, parts in distance.items()},
        {layer: _norms(clean[1][layer]).item() for layer in layers},
        probability[:, target].cpu(),
        probability.argmax(dim=1).cpu(),
        (clean[0][0, target].item(), int(clean[0].argmax())),
    )


@torch.no_grad()
def _answers(
    net: Network, batch: torch.Tensor, layers: Sequence[str]
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Return probabilities N×classes, and layer -> N×… features."""
    images = batch.to(net.device, net.dtype, memory_format=torch.channels_last)
    record = net.record(images, layers)
    assert record.logits is not None
    return record.logits.softmax(dim=1), {layer: record.activations[layer] for layer in layers}


def _norms(features: torch.Tensor) -> torch.Tensor:
    """Compute the norm of each image's features in float64, without a copy of them."""
    dims = tuple(range(1, features.dim()))
    return torch.linalg.vector_norm(features, dim=dims, dtype=torch.float64)
