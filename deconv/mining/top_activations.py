"""Mining: the strongest units of every map over a data set, in one pass for all layers (Fig. 2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from deconv.data.batches import walk
from deconv.distributed import gather_shares, share_of
from deconv.errors import DeconvError
from deconv.fields import whole_units
from deconv.finite import check_finite
from deconv.networks import Network
from deconv.records import Box, Peaks
from deconv.whole_number import whole_number

CHUNK = 32
"""Batch size that images are run in, whatever the loader's: the last bits of a convolution can
depend on the batch size, and the order of near-ties must not."""


def top_activations(
    net: Network,
    loader: Iterable,
    layers: Iterable[str],
    k: int = 9,
    *,
    whole_fields: bool = False,
    progress: bool = True,
) -> dict[str, Peaks]:
    """Find the k strongest units of each map, at most one per image and map (Figure 2).

    Memory is C×k per layer and one batch, however large the data set.

    Args:
        loader: yields preprocessed images in any form of `deconv.data.batches`, in the data set's
            order, since a peak's `image` is the position in that order.
        layers: points such as "conv1", "conv5", "fc6".
        k: 9 in the paper.
        whole_fields: leave out units whose receptive field is cut by the image's border; images
            then have the network's `input_px`.

    Returns:
        Layer -> Peaks of C×k, best first. Ties go to the lower image, then y, then x; two copies of
        one image tie in convolutional layers, but in fully connected ones the last bit of a matrix
        product can differ from row to row.

    Raises:
        DeconvError: for an empty or shuffled loader, a batch that `deconv.data.batches` refuses, an
            unknown layer, or activations that are NaN or infinite.
    """
    layers = _checked_layers(net, loader, layers)
    k = whole_number(k, "k", least=1)
    share = share_of(loader)
    if share is not None and share.chunk % CHUNK:
        raise DeconvError(f"mining takes a Share in chunks of {CHUNK} images, got {share.chunk}")
    first = share.first if share is not None else 0
    inner = _inner_units(net, layers) if whole_fields else {}
    best: dict[str, Peaks] = {}
    for images, numbers in _chunks(walk(net, loader, "mining", progress), first):
        best = net.measure(
            images,
            {
                layer: partial(
                    _entered,
                    best.get(layer),
                    k,
                    numbers,
                    f"{layer} of {net.name}",
                    inner.get(layer),
                )
                for layer in layers
            },
        )
    best = {layer: _on_cpu(peaks) for layer, peaks in best.items()}
    # Every process takes part, also one whose shard is empty.
    merged = _merge_shards(gather_shares(loader, best), k)
    return {layer: _moved(_padded(peaks, k), inner.get(layer)) for layer, peaks in merged.items()}


def _inner_units(net: Network, layers: list[str]) -> dict[str, Box]:
    """Layer -> the range of its units whose field is whole; fully connected ones are left out."""
    sizes = {layer: net.calls.values[net.check_point(layer)].shape[1:] for layer in layers}
    side = (net.input_px, net.input_px)
    return {
        layer: whole_units(net, layer, side, (size[0], size[1]))
        for layer, size in sizes.items()
        if len(size) == 2
    }


def _inside(activation: torch.Tensor, inner: Box | None) -> torch.Tensor:
    if inner is None:
        return activation
    top, left, bottom, right = inner
    return activation[:, :, top:bottom, left:right]


def _moved(peaks: Peaks, inner: Box | None) -> Peaks:
    """Count y and x of peaks from the layer's corner, not from that of its inner units."""
    if inner is None:
        return peaks
    y, x = (
        torch.where(peaks.image >= 0, one + first, one)
        for one, first in ((peaks.y, inner[0]), (peaks.x, inner[1]))
    )
    return Peaks(peaks.value, peaks.image, y, x)


def map_maxima(net: Network, loader: Iterable, layers: Iterable[str]) -> dict[str, Peaks]:
    """Find the strongest unit of every map on every image: layer -> Peaks of C×N, in image order.

    Loader, layers and errors as for `top_activations`. Memory is C×N per layer; every process runs
    the whole loader.
    """
    layers = _checked_layers(net, loader, layers)
    chunks = [
        net.measure(
            images, {layer: partial(_all_of, numbers, f"{layer} of {net.name}") for layer in layers}
        )
        for images, numbers in _chunks(walk(net, loader))
    ]
    return {layer: _joined([found[layer] for found in chunks]) for layer in layers}


def _joined(parts: Sequence[Peaks]) -> Peaks:
    """Put the peaks of consecutive images, C×n each, side by side."""
    return Peaks(*(torch.cat(field, dim=1) for field in zip(*map(_fields, parts), strict=True)))


def _checked_layers(net: Network, loader: Iterable, layers: Iterable[str]) -> list[str]:
    layers = [layers] if isinstance(layers, str) else list(layers)
    for layer in layers:
        net.check_point(layer)
    if not layers:
        raise DeconvError(f"name at least one layer of {', '.join(net.points)}")
    if _shuffles(loader):
        raise DeconvError(
            "the loader shuffles, so positions would not identify images: use shuffle=False"
        )
    return layers


def _fields(peaks: Peaks) -> tuple[torch.Tensor, ...]:
    return tuple(vars(peaks).values())


def _on_cpu(peaks: Peaks) -> Peaks:
    return Peaks(*(field.cpu() for field in _fields(peaks)))


def _merge_shards(shards: list[dict[str, Peaks]], k: int) -> dict[str, Peaks]:
    """Merge the peaks of consecutive shards into the global top k."""
    best: dict[str, Peaks] = {}
    for shard in shards:
        for layer, peaks in shard.items():
            best[layer] = merge(best[layer], peaks, k) if layer in best else peaks
    return best


def _shuffles(loader: Iterable) -> bool:
    if not isinstance(loader, DataLoader):
        return False
    random = (RandomSampler, SubsetRandomSampler, WeightedRandomSampler)
    within = getattr(loader.batch_sampler, "sampler", None)
    return isinstance(loader.sampler, random) or isinstance(within, random)


def _chunks(
    batches: Iterable[tuple[torch.Tensor, Any]], first: int = 0
) -> Iterator[tuple[torch.Tensor, range]]:
    """Regroup images into batches of CHUNK, each with the numbers of its images.

    The last batch is filled up with copies of its first image. All share their memory. Channels
    last, in which pooling on a CPU is an order of magnitude faster.
    """
    chunk, count = torch.empty(0), 0
    for images, _ in batches:
        if not len(chunk):
            chunk = images.new_empty(CHUNK, *images.shape[1:])
            chunk = chunk.contiguous(memory_format=torch.channels_last)
        for image in images:  # one by one PyTorch changes the layout four times faster
            chunk[count].copy_(image)
            count += 1
            if count == CHUNK:
                yield chunk, range(first, first + count)
                first, count = first + count, 0
    if count:
        chunk[count:] = chunk[:1]
        yield chunk, range(first, first + count)


def strongest(activation: torch.Tensor, first_image: int, layer: str = "") -> Peaks:
    """Find the strongest unit of each map and image of a batch: Peaks of C×N, in image order."""
    n, maps = activation.shape[:2]
    value, rows = _maxima(activation, first_image, layer)
    image = torch.arange(n, device=value.device)[:, None].expand(n, maps)
    number = torch.arange(maps, device=value.device).repeat(n)
    y, x = _places(activation, rows, image.flatten(), number)
    return Peaks(value.T, (image + first_image).T, y.view(n, maps).T, x.view(n, maps).T)


def _all_of(numbers: range, layer: str, activation: torch.Tensor) -> Peaks:
    """Find the `strongest` of the images of some numbers."""
    return _on_cpu(strongest(activation[: len(numbers)], numbers[0], layer))


def _maxima(
    activation: torch.Tensor, first_image: int, layer: str
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the maxima of each map, N×C, and of each of its rows, N×C×h."""
    rows = activation[..., None]
    if activation.dim() == 4:
        # Up to ten times faster than amax where maps are the last axis of memory.
        rows = F.max_pool2d(activation, (1, activation.shape[3]))[..., 0]
    value = rows.amax(dim=2)
    check_finite(value, layer, first_image, "the data set")
    return value, rows


def _places(
    activation: torch.Tensor, rows: torch.Tensor, image: torch.Tensor, number: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find (y, x) of the maxima of some maps, by their images and numbers."""
    # argmax returns the first of equal values: lower y, then lower x.
    y = rows[image, number].argmax(dim=1)
    return y, activation[image, number, y].argmax(dim=1) if activation.dim() == 4 else y


def _entered(
    best: Peaks | None,
    k: int,
    numbers: range,
    layer: str,
    inner: Box | None,
    activation: torch.Tensor,
) -> Peaks:
    """Merge the images of some numbers into the k strongest, as `merge` would their `strongest`.

    Positions are looked up for those maxima alone that enter: later in a data set they are few.
    inner: the units that take part, None for all.
    """
    activation = _inside(activation, inner)
    value, rows = _maxima(activation[: len(numbers)], numbers[0], layer)
    value = value.T
    if best is None:
        none = value.new_zeros(len(value), 0)
        best = Peaks(none, none.long(), none.long(), none.long())
    known, images = best.value.shape[1], torch.arange(value.shape[1], device=value.device)
    both = torch.cat([best.value, value], dim=1)
    order = both.sort(dim=1, descending=True, stable=True).indices[:, :k]
    image = torch.cat([best.image, (numbers[0] + images).expand_as(value)], dim=1)
    unknown = torch.full_like(value, -1, dtype=torch.long)
    y, x = (torch.cat([one, unknown], dim=1).gather(1, order) for one in (best.y, best.x))
    maps, slots = (order >= known).nonzero(as_tuple=True)
    y[maps, slots], x[maps, slots] = _places(activation, rows, order[maps, slots] - known, maps)
    return Peaks(both.gather(1, order), image.gather(1, order), y, x)


def merge(best: Peaks, found: Peaks, k: int) -> Peaks:
    """Merge into the k strongest; ties go to `best`, whose images come earlier."""
    value = torch.cat([best.value, found.value], dim=1)
    order = value.sort(dim=1, descending=True, stable=True).indices[:, :k]
    pairs = zip(vars(best).values(), vars(found).values(), strict=True)
    return Peaks(*(torch.cat(pair, dim=1).gather(1, order) for pair in pairs))


def _padded(peaks: Peaks, k: int) -> Peaks:
    """Append missing peaks, of value -inf, up to k of each map."""
    more = (0, k - peaks.value.shape[1])
    value = F.pad(peaks.value, more, value=-torch.inf)
    return Peaks(value, *(F.pad(one, more, value=-1) for one in _fields(peaks)[1:]))
