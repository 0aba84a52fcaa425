"""The deconvnet's pictures of one map, in an image and in others that excite it most (Fig. 7c)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from deconv.data import CentreCrops
from deconv.mining.peak_views import peak_views
from deconv.mining.top_activations import strongest
from deconv.networks import Network
from deconv.records import Peaks


def without_image(peaks: Peaks, image: int | None, k: int) -> Peaks:
    """The k strongest peaks of every map that are not in `image`."""
    own = peaks.image == (-1 if image is None else image)
    order = own.int().sort(dim=1, stable=True).indices[:, :k]
    return Peaks(*(field.gather(1, order) for field in vars(peaks).values()))


def map_pictures(
    net: Network,
    layer: str,
    number: int,
    image: torch.Tensor,
    picture: torch.Tensor,
    crops: CentreCrops,
    peaks: Peaks,
    collisions: str,
) -> tuple[dict[str, torch.Tensor], list[int]]:
    """Project the strongest unit of map `number` in one image, then its peaks in others.

    Args:
        image: 3×c×c, preprocessed. picture: the same as 3×c×c uint8 pixels.
        peaks: C×k of the whole layer over `crops`.

    Returns:
        projection (1+k)×3×R×S and inside (1+k)×R×S, all False for peaks that are not above 0; and
        the numbers of the other images in the data set.
    """
    record = net.record(image[None].to(net.device), [layer], logits=False)
    own = Peaks(*(field.cpu() for field in vars(strongest(record.activations[layer], 0)).values()))
    live = int((peaks.value[number] > 0).sum())
    others = Peaks(*(field[:, :live] for field in vars(peaks).values()))
    views: list[tuple[Any, Peaks, Callable[[int], torch.Tensor]]] = [
        ([(image,)], own, lambda _: picture)
    ]
    views += [(crops, others, crops.picture)] if live else []
    found = [
        peak_views(net, data, layer, some, torch.tensor([number]), seen, collisions=collisions)
        for data, some, seen in views
    ]
    tiles = {}
    for name in ("projection", "inside"):
        shown = torch.cat([getattr(one, name)[0] for one in found])
        blank = shown.new_zeros(peaks.value.shape[1] - live, *shown.shape[1:])
        tiles[name] = torch.cat([shown, blank])
    return tiles, others.image[number].tolist()
