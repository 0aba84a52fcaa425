"""Occlusion: what a network answers while a grey square covers one part of an image (Fig. 7)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from deconv.errors import DeconvError
from deconv.models import ChainNet

BATCH = 32


@dataclass(frozen=True)
class OcclusionMaps:
    """One cell for each position of the square, rows × columns.

    probability: softmax probability of the target class (Fig. 7d).
    activation:  sum over the layer's map that responds most to the whole image (Fig. 7b).
    label:       int64, the most probable class (Fig. 7e).
    positions:   rows × columns × 2, the square's top left corner (y, x) in pixels.
    map:         number of that map.
    clean:       the same three of the whole image: (probability, activation, label).
    """

    probability: torch.Tensor
    activation: torch.Tensor
    label: torch.Tensor
    positions: torch.Tensor
    map: int
    clean: tuple[float, float, int]


@torch.no_grad()
def occlude(
    net: ChainNet,
    image: torch.Tensor,
    target: int,
    layer: str = "conv5",
    size_px: int = 50,
    stride_px: int = 8,
    fill: float = 0.0,
) -> OcclusionMaps:
    """Slide a square of `size_px` over an image in steps of `stride_px` and watch the network.

    image: 3×H×W or 1×3×H×W, preprocessed. target: the class whose probability is wanted.
    layer: of the watched map; the paper's is the topmost convolutional one. "Strongest" is read
        as the largest sum over the whole image's map, the quantity that is then drawn.
    fill: value of the square on the preprocessed scale; 0 is the mean image, a grey.
    Squares lie wholly inside the image. The paper states neither size, stride nor grey value.

    Raises DeconvError for a square larger than the image, an unknown layer or class.
    """
    if isinstance(image, torch.Tensor):
        image = (image[None] if image.dim() == 3 else image).to(next(net.parameters()).device)
    record = net.record(image, [layer])
    if len(image) != 1:
        raise DeconvError(f"occlude takes one image, got {len(image)}")
    height, width = image.shape[2:]
    if not all(isinstance(n, int) for n in (target, size_px, stride_px)):
        raise DeconvError(
            f"target, size_px and stride_px are whole numbers: {target}, {size_px}, {stride_px}"
        )
    if not 1 <= size_px <= min(height, width):
        raise DeconvError(f"a square of {size_px} px does not fit an image of {height}×{width} px")
    if stride_px < 1:
        raise DeconvError(f"stride_px must be at least 1, got {stride_px}")
    if not 0 <= target < record.logits.shape[1]:
        raise DeconvError(f"there is no class {target}: {net.name} has {record.logits.shape[1]}")
    watched = int(_sums(record.activations[layer])[0].argmax())

    corners = torch.cartesian_prod(
        torch.arange(0, height - size_px + 1, stride_px),
        torch.arange(0, width - size_px + 1, stride_px),
    )
    parts = []
    for some in corners.split(BATCH):
        batch = image.repeat(len(some), 1, 1, 1)
        for covered, (y, x) in zip(batch, some.tolist(), strict=True):
            covered[:, y : y + size_px, x : x + size_px] = fill
        parts.append(_answers(net, batch, target, layer, watched))
    rows = (height - size_px) // stride_px + 1
    grids = [torch.cat(part).unflatten(0, (rows, -1)) for part in zip(*parts, strict=True)]
    clean = tuple(answer.item() for answer in _answers(net, image, target, layer, watched))
    return OcclusionMaps(*grids, corners.unflatten(0, (rows, -1)), watched, clean)


def _answers(
    net: ChainNet, batch: torch.Tensor, target: int, layer: str, watched: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    record = net.record(batch, [layer])
    probability = record.logits.softmax(dim=1)
    summed = _sums(record.activations[layer])[:, watched]
    return probability[:, target].cpu(), summed.cpu(), probability.argmax(dim=1).cpu()


def _sums(activation: torch.Tensor) -> torch.Tensor:
    """N×C: each map summed over its positions."""
    return activation.flatten(2).sum(dim=2) if activation.dim() == 4 else activation
