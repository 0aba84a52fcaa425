"""Occlusion sensitivity: the response while a grey square covers part of an image (Fig. 7)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from deconv.errors import DeconvError, unknown
from deconv.finite import check_finite
from deconv.images import check_batch
from deconv.networks import ChainNet, Network
from deconv.rules.run import evaluating
from deconv.studies.occlusion.partial import answers, clean_maps
from deconv.whole_number import whole_number, whole_numbers

BATCH = 32
STRONGEST = ("sum", "max")
SQUARES = ("inside", "overhang")
PRECISIONS = {"full": None, "mixed": torch.bfloat16}


@dataclass(frozen=True)
class OcclusionMaps:
    """One cell for each position of the square, rows × columns.

    probability: softmax probability of the target class (Fig. 7d).
    activation:  sum over the map that responds most to the unoccluded image (Fig. 7b).
    label:       int64, the most probable class (Fig. 7e).
    positions:   rows × columns × 2, the square's top left corner (y, x) in pixels; negative where
                 a square overhangs the image.
    map:         number of the watched map.
    clean:       (probability, activation, label) of the unoccluded image.
    """

    probability: torch.Tensor
    activation: torch.Tensor
    label: torch.Tensor
    positions: torch.Tensor
    map: int
    clean: tuple[float, float, int]


def occlude(
    net: Network,
    image: torch.Tensor,
    target: int | Sequence[int],
    layer: str | None = None,
    size_px: int = 50,
    stride_px: int = 8,
    fill: float | Sequence[float] = 0.0,
    strongest: str = "sum",
    squares: str = "inside",
    partial: bool = True,
    precision: str = "full",
    number: int | None = None,
) -> OcclusionMaps | list[OcclusionMaps]:
    """Slide a square over an image and record the network's response (§4.2, Fig. 7).

    The paper does not state the square's size, stride and value, the meaning of "strongest", or
    how borders are treated.

    Args:
        image: 3×H×W, preprocessed; or N×3×H×W.
        target: the class whose probability is recorded; for N images also one each.
        layer: of the watched map; None for the activations of the last convolution, as the paper.
        size_px, stride_px: side of the square and its steps.
        fill: value of the square on the preprocessed scale, or one a channel; 0 is the mean image.
        strongest: watch the map with the largest "sum" over the unoccluded image, which is the
            quantity recorded, or the one with the largest "max".
        squares: see `square_corners`.
        partial: compute again only what a square changes, where the network is a chain (see
            `deconv.studies.occlusion.partial`); False: whole images. The maps are equal but for
            rounding.
        precision: "full": that of the weights; or "mixed", for a chain's partial maps: what a
            square changes goes through all but the three lowest layers in bfloat16, beside clean
            maps that stay as they are. Measured error on ZFNet and AlexNet with random weights:
            0.7 % of the largest change of the probability.
        number: of the map to watch; None for the strongest one of each image.

    Returns:
        The maps of the image; a list for N > 1 images.

    Raises:
        DeconvError: for a square larger than the image, an unknown layer, class or option.
    """
    if strongest not in STRONGEST:
        raise unknown("measure of the strongest map", strongest, STRONGEST)
    if precision not in PRECISIONS:
        raise unknown("precision", precision, PRECISIONS)
    partial = partial and isinstance(net, ChainNet)
    if PRECISIONS[precision] is not None and not partial:
        raise DeconvError(f"precision={precision} is for partial maps of a chain: leave it out")
    layer = net.check_point(layer) if layer is not None else last_convolution(net)
    images = image[None] if isinstance(image, torch.Tensor) and image.dim() == 3 else image
    check_batch(images, net.name)
    if image.dim() == 4 and getattr(target, "ndim", isinstance(target, Sequence)):
        targets = whole_numbers(target, "target").flatten().tolist()
    else:
        targets = [whole_number(target, "target")]
    if len(targets) not in (1, len(images)):
        raise DeconvError(f"target has {len(targets)} classes for {len(images)} images")
    grey = torch.as_tensor(fill, dtype=images.dtype).flatten()
    if len(grey) not in (1, 3):
        raise DeconvError(f"fill takes one number, or one a channel, got {fill}")
    square = whole_number(size_px, "size_px")
    watched = None if number is None else whole_number(number, "number")
    height, width = images.shape[2:]
    corners = square_corners((height, width), square, stride_px, squares)
    options = (layer, corners, square, grey.view(-1, 1, 1), strongest, partial, precision, watched)
    found = [
        _occlude(net, one[None], aim, *options)
        for one, aim in zip(images, targets * (len(images) // len(targets)), strict=True)
    ]
    return found if len(found) > 1 else found[0]


def map_numbers(maps: OcclusionMaps) -> dict[str, Any]:
    """Summarise the maps: the answers uncovered, the lowest ones, where another label wins."""
    probability, activation, label = maps.clean
    lowest = maps.probability.argmin()
    least = float(maps.activation.min())
    return {
        "map": maps.map,
        "probability": probability,
        "activation": activation,
        "label": label,
        "lowest_probability": float(maps.probability.min()),
        "largest_drop": probability - float(maps.probability.min()),
        "label_there": int(maps.label.flatten()[lowest]),
        "lowest_activation_share": least / activation if activation > 0 else None,
        "positions": maps.label.numel(),
        "label_changed": float((maps.label != label).float().mean()),
    }


def last_convolution(net: Network) -> str:
    """The point of the last convolution's activations."""
    calls = net.calls
    convs = [
        layer
        for layer in net.layers
        if isinstance(net.module_of(layer), nn.Conv2d)
        and max(calls.values[layer].shape[1:]) > 1  # not the gate of a squeeze-and-excitation
    ]
    if not convs:
        raise DeconvError(f"{net.name} has no convolution with maps: name the layer to watch")
    return calls.activation(calls.index(convs[-1])) or convs[-1]


@torch.no_grad()
def _occlude(
    net: Network,
    image: torch.Tensor,
    target: int,
    layer: str,
    corners: torch.Tensor,
    size_px: int,
    grey: torch.Tensor,
    strongest: str,
    partial: bool,
    precision: str,
    number: int | None,
) -> OcclusionMaps:
    """Compute the maps of one image 1×3×H×W. corners: rows × columns × 2."""
    image = image.to(net.device, memory_format=torch.channels_last)
    clean: list[torch.Tensor] = []
    if partial and isinstance(net, ChainNet):
        with evaluating(net):
            clean = clean_maps(net, image)
        activation, answer = clean[len(net.stages_to(layer))], clean[-1]
        check_finite(activation, f"{layer} of {net.name}")
        check_finite(answer, f"the output of {net.name}")
    else:
        record = net.record(image, [layer])
        assert record.logits is not None
        activation, answer = record.activations[layer], record.logits
    if not 0 <= target < answer.shape[1]:
        raise DeconvError(f"there is no class {target}: {net.name} has {answer.shape[1]}")
    responses = _responses(activation, strongest)[0]
    if number is not None and not 0 <= number < len(responses):
        raise DeconvError(f"there is no map {number}: {layer} has {len(responses)}")
    watched = int(responses.argmax()) if number is None else number
    uncovered = _read(answer, _responses(activation, "sum")[:, watched], target)
    places = corners.flatten(0, 1)
    if clean:
        assert isinstance(net, ChainNet)
        way = (places, size_px, grey, (layer, watched), PRECISIONS[precision])
        with evaluating(net):
            logits, sums = answers(net, clean, *way)
        check_finite(logits, f"the output of {net.name}", of="the map", row="square")
        check_finite(sums, f"{layer} of {net.name}", of="the map", row="square")
        parts = [_read(logits, sums, target)]
    else:
        parts = [
            _answers(net, batch, target, layer, watched)
            for batch in _covered(image, places, size_px, grey.to(image.device))
        ]
    probability, activation, label = (
        torch.cat(part).unflatten(0, (len(corners), -1)) for part in zip(*parts, strict=True)
    )
    p, a, best = (one.item() for one in uncovered)
    return OcclusionMaps(probability, activation, label, corners, watched, (p, a, int(best)))


def _covered(
    image: torch.Tensor, places: torch.Tensor, size_px: int, grey: torch.Tensor
) -> Iterator[torch.Tensor]:
    """Yield batches of the image, each copy with its square."""
    for some in places.split(BATCH):
        # Pooling is an order of magnitude faster in this layout on a CPU.
        batch = image.repeat(len(some), 1, 1, 1).to(memory_format=torch.channels_last)
        for covered, (y, x) in zip(batch, some.tolist(), strict=True):
            covered[:, max(y, 0) : y + size_px, max(x, 0) : x + size_px] = grey
        yield batch


def square_corners(
    image_px: tuple[int, int], size_px: int, stride_px: int, squares: str = "inside"
) -> torch.Tensor:
    """The top left corners (y, x) of all squares: rows × columns × 2 int64, in pixels.

    Args:
        image_px: height and width.
        squares: "inside" the image, starting in its corner; or "overhang", a centred grid whose
            cells of `stride_px` tile the image, so that outer squares cover less.

    Raises:
        DeconvError: for a square larger than the image, and for numbers that are not whole.
    """
    if squares not in SQUARES:
        raise unknown("placing of squares", squares, SQUARES)
    size_px, stride_px = whole_number(size_px, "size_px"), whole_number(stride_px, "stride_px", 1)
    if not 1 <= size_px <= min(image_px):
        height, width = image_px
        raise DeconvError(
            f"a square of {size_px} px does not fit an image of {height}×{width} px: "
            "take a smaller size_px"
        )
    axes = []
    for extent in image_px:
        first, count = 0, (extent - size_px) // stride_px + 1
        if squares == "overhang":
            count = -(-extent // stride_px)
            first = (extent - (count - 1) * stride_px - size_px) // 2
        axes.append(first + stride_px * torch.arange(count))
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=2)


def _answers(
    net: Network, batch: torch.Tensor, target: int, layer: str, watched: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    record = net.record(batch, [layer])
    assert record.logits is not None
    summed = _responses(record.activations[layer], "sum")[:, watched]
    return _read(record.logits, summed, target)


def _read(
    logits: torch.Tensor, summed: torch.Tensor, target: int
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Return (probability of the target, sum of the watched map, most probable class)."""
    probability = logits.softmax(dim=1)
    return probability[:, target].cpu(), summed.cpu(), probability.argmax(dim=1).cpu()


def _responses(activation: torch.Tensor, measure: str) -> torch.Tensor:
    """N×C: each map's sum over positions, or its maximum."""
    if activation.dim() == 2:
        return activation
    maps = activation.flatten(2)
    return maps.sum(dim=2) if measure == "sum" else maps.amax(dim=2)
