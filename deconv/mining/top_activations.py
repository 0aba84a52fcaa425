"""Mining: the strongest units of every map over a data set, in one pass for all layers (Fig. 2)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, RandomSampler, SubsetRandomSampler, WeightedRandomSampler

from deconv.data.batches import walk
from deconv.distributed import gather_shares, share_of
from deconv.errors import DeconvError
from deconv.finite import check_finite
from deconv.networks import Network
from deconv.records import Peaks
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
    progress: bool = True,
) -> dict[str, Peaks]:
    """Find the k strongest units of each map, at most one per image and map (Figure 2).

    Memory is C×k per layer and one batch, however large the data set.

    Args:
        loader: yields preprocessed images in any form of `deconv.data.batches`, in the data set's
            order, since a peak's `image` is the position in that order.
        layers: points such as "conv1", "conv5", "fc6".
        k: 9 in the paper.

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
    best: dict[str, Peaks] = {}
    for seen, recorded in _recorded_chunks(net, loader, layers, first, "mining", progress):
        for layer, values in recorded.items():
            best[layer] = _entered(best.get(layer), values, seen, f"{layer} of {net.name}", k)
    best = {layer: _on_cpu(peaks) for layer, peaks in best.items()}
    # Every process takes part, also one whose shard is empty.
    merged = _merge_shards(gather_shares(loader, best), k)
    return {layer: _padded(peaks, k) for layer, peaks in merged.items()}


def map_maxima(net: Network, loader: Iterable, layers: Iterable[str]) -> dict[str, Peaks]:
    """Find the strongest unit of every map on every image: layer -> Peaks of C×N, in image order.

    Loader, layers and errors as for `top_activations`. Memory is C×N per layer; every process runs
    the whole loader.
    """
    layers = _checked_layers(net, loader, layers)
    chunks: dict[str, list[Peaks]] = {layer: [] for layer in layers}
    for seen, recorded in _recorded_chunks(net, loader, layers):
        for layer, values in recorded.items():
            chunks[layer].append(_on_cpu(strongest(values, seen, f"{layer} of {net.name}")))
    return {
        layer: Peaks(*(torch.cat(field, dim=1) for field in zip(*map(_fields, some), strict=True)))
        for layer, some in chunks.items()
    }


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


def _recorded_chunks(
    net: Network,
    loader: Iterable,
    layers: list[str],
    first: int = 0,
    doing: str = "",
    progress: bool = True,
) -> Iterator[tuple[int, dict[str, torch.Tensor]]]:
    """Yield (number of the first image, layer -> activations) of each chunk of a loader."""
    seen = first
    for images, count in _chunks(walk(net, loader, doing, progress, channels_last=True)):
        # `_maxima` knows the image's number in the data set.
        values = net.record(images, layers, logits=False, finite=False).activations
        yield seen, {layer: values[layer][:count] for layer in layers}
        seen += count


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


def _chunks(batches: Iterable[tuple[torch.Tensor, Any]]) -> Iterator[tuple[torch.Tensor, int]]:
    """Regroup images into batches of CHUNK, each with its number of real images.

    The last batch is padded with copies of its first image.
    """
    queue: list[torch.Tensor] = []
    for images, _ in batches:
        queue += images.unbind(0)
        while len(queue) >= CHUNK:
            yield _stack(queue[:CHUNK]), CHUNK
            queue = queue[CHUNK:]
    if queue:
        yield _stack(queue + [queue[0]] * (CHUNK - len(queue))), len(queue)


def _stack(images: list[torch.Tensor]) -> torch.Tensor:
    return torch.stack(images).contiguous(memory_format=torch.channels_last)


def strongest(activation: torch.Tensor, first_image: int, layer: str = "") -> Peaks:
    """Find the strongest unit of each map and image of a batch: Peaks of C×N, in image order."""
    n, maps = activation.shape[:2]
    value = _maxima(activation, first_image, layer)
    rows = torch.arange(n, device=value.device)[:, None].expand(n, maps)
    y, x = _places(activation, rows.flatten(), torch.arange(maps, device=value.device).repeat(n))
    image = (rows + first_image).T
    return Peaks(value.T, image, y.view(n, maps).T, x.view(n, maps).T)


def _maxima(activation: torch.Tensor, first_image: int, layer: str) -> torch.Tensor:
    """Find the maximum of each map of each image, N×C."""
    value = activation.amax(dim=(2, 3)) if activation.dim() == 4 else activation
    check_finite(value, layer, first_image, "the data set")
    return value


def _places(
    activation: torch.Tensor, image: torch.Tensor, number: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor]:
    """Find (y, x) of the maxima of some maps, by their images and numbers."""
    if activation.dim() != 4:
        return torch.zeros_like(image), torch.zeros_like(image)
    # argmax returns the first of equal values in scan order: lower y, then lower x.
    at = activation[image, number].flatten(1).argmax(dim=1)
    return at // activation.shape[3], at % activation.shape[3]


def _entered(
    best: Peaks | None, activation: torch.Tensor, first_image: int, layer: str, k: int
) -> Peaks:
    """Merge a batch into the k strongest, as `merge` would its `strongest`.

    Positions are looked up for those maxima alone that enter: later in a data set they are few.
    """
    value = _maxima(activation, first_image, layer).T
    if best is None:
        none = value.new_zeros(len(value), 0)
        best = Peaks(none, none.long(), none.long(), none.long())
    known, images = best.value.shape[1], torch.arange(value.shape[1], device=value.device)
    both = torch.cat([best.value, value], dim=1)
    order = both.sort(dim=1, descending=True, stable=True).indices[:, :k]
    image = torch.cat([best.image, (first_image + images).expand_as(value)], dim=1)
    unknown = torch.full_like(value, -1, dtype=torch.long)
    y, x = (torch.cat([one, unknown], dim=1).gather(1, order) for one in (best.y, best.x))
    maps, slots = (order >= known).nonzero(as_tuple=True)
    y[maps, slots], x[maps, slots] = _places(activation, order[maps, slots] - known, maps)
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
