"""Units of an adaptive deconvolutional network in pixel space."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from deconv.errors import DeconvError
from deconv.studies.sparse_coding.learning import Epoch
from deconv.studies.sparse_coding.measures import Measured, learning_curve
from deconv.studies.sparse_coding.network import AdaptiveDeconvNet
from deconv.studies.sparse_coding.pooling import unpool_blocks


@dataclass(frozen=True)
class Strongest:
    """The k strongest units of each map by magnitude, at most one an image.

    value: K×k, signed, 0 if fewer images activate the map. image, y, x: K×k, then -1.
    """

    value: torch.Tensor
    image: torch.Tensor
    y: torch.Tensor
    x: torch.Tensor


def strongest_units(maps: torch.Tensor, k: int) -> Strongest:
    """Find the strongest units of maps N×K×H×W, 1 ≤ k ≤ N; ties go to the lower image, y, x."""
    n, _, _, width = maps.shape
    if not 1 <= k <= n:
        raise DeconvError(f"{k} units a map at one an image are asked for, of {n} images")
    flat = maps.flatten(2)
    peak = flat.abs().amax(dim=2, keepdim=True)
    places = torch.arange(flat.shape[2], device=maps.device)
    place = torch.where(flat.abs() == peak, places, flat.shape[2]).amin(dim=2)
    order = peak[..., 0].T.sort(dim=1, descending=True, stable=True).indices[:, :k]
    at = place.T.gather(1, order)
    value = flat.gather(2, place[..., None])[..., 0].T.gather(1, order)
    live = value != 0
    image, y, x = (
        torch.where(live, one, -1)
        for one in (order, at.div(width, rounding_mode="floor"), at % width)
    )
    return Strongest(value, image, y, x)


def project_units(
    net: AdaptiveDeconvNet,
    layer: int,
    units: torch.Tensor,
    values: torch.Tensor,
    switches: Sequence[torch.Tensor],
    size: tuple[int, int],
) -> torch.Tensor:
    """Project each unit alone with its image's switches, as the 2014 paper does: M×C×H×W.

    units: M×4, rows (image, map, y, x). values: M. size: (H, W) of the image.
    """
    shape = net.map_shape(layer, torch.empty(len(units), 1, *size, device="meta"))
    alone = values.new_zeros(shape)
    image, number, y, x = units.unbind(1)
    alone[torch.arange(len(units), device=units.device), number, y, x] = values
    return net.down(layer, alone, [one[image] for one in switches])


def decompose(
    net: AdaptiveDeconvNet,
    layer: int,
    unit: torch.Tensor,
    value: torch.Tensor,
    switches: Sequence[torch.Tensor],
    size: tuple[int, int],
    counts: Sequence[int],
) -> list[torch.Tensor]:
    """Project one unit, then the features of the layers below that compose it.

    As Figure 1 of Zeiler et al. 2011, by its caption: a single activation of the highest layer,
    then 5, 25 and 125 active features of the layers below, conditional on those above.

    Args:
        unit: (image, map, y, x).
        counts: features kept of layers l-1, l-2 …, the largest by magnitude of what those kept
            above reconstruct there (selection unverified).

    Returns:
        C×H×W for layer l and each of `counts`.
    """
    if len(counts) >= layer:
        raise DeconvError(f"below layer {layer} are {layer - 1} layers, {len(counts)} asked for")
    image, number, y, x = unit.tolist()
    own = [one[image : image + 1] for one in switches]
    shape = net.map_shape(layer, torch.empty(1, 1, *size, device="meta"))
    kept = value.new_zeros(shape)
    kept[0, number, y, x] = value
    pictures = [net.down(layer, kept, own)[0]]
    for at, count in zip(range(layer - 1, 0, -1), counts, strict=False):
        weight = net.filters[at]
        painted = F.conv_transpose2d(kept, weight, padding=weight.shape[-1] // 2)
        maps = unpool_blocks(painted, own[at - 1], net.pool_px, net.pool_maps)
        flat = maps.flatten()
        best = flat.abs().topk(min(count, flat.numel())).indices
        kept = torch.zeros_like(flat).scatter(0, best, flat[best]).view_as(maps)
        pictures.append(net.down(at, kept, own)[0])
    return pictures


def inside(net: AdaptiveDeconvNet, layer: int, maps: torch.Tensor, side_px: int) -> torch.Tensor:
    """Zero the units of `maps` whose field crosses the image's border, unless all fields do."""
    size, stride, start = net.field(layer)
    first = torch.arange(maps.shape[-1], device=maps.device) * stride + start
    whole = (first >= 0) & (first + size <= side_px)
    if not whole.any():
        return maps
    return maps * (whole[:, None] & whole[None, :]).to(maps.dtype)


def view_maps(
    net: AdaptiveDeconvNet,
    layer: int,
    maps: torch.Tensor,
    switches: Sequence[torch.Tensor],
    size: tuple[int, int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Project each map's strongest unit alone, with a positive sign, cropped to its field.

    Returns:
        K×C×s×s, zeros outside the image and for dead maps; units K×4, -1 for dead maps.
    """
    best = strongest_units(inside(net, layer, maps, size[0]), 1)
    number = torch.arange(len(best.value), device=maps.device)
    units = torch.stack([best.image[:, 0], number, best.y[:, 0], best.x[:, 0]], 1)
    pixels = project_units(net, layer, units.clamp(min=0), best.value[:, 0].abs(), switches, size)
    side, stride, start = net.field(layer)
    padded = F.pad(pixels, (side,) * 4)
    corners = units[:, 2:].clamp(min=0) * stride + start + side
    cut = [
        one[:, top : top + side, left : left + side]
        for one, (top, left) in zip(padded, corners.tolist(), strict=True)
    ]
    return torch.stack(cut), torch.where(best.image >= 0, units, -1)


def strongest_unit(net: AdaptiveDeconvNet, maps: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Find the last layer's strongest unit over all images: (image, map, y, x) and its value."""
    side_px = maps.shape[-1] * net.pool_px ** (net.layers - 1)
    maps = inside(net, net.layers, maps, side_px)
    unit = torch.stack(torch.unravel_index(maps.abs().argmax(), maps.shape))
    return unit, maps[tuple(unit)]


def picture_arrays(
    net: AdaptiveDeconvNet,
    measured: Measured,
    history: Sequence[Epoch],
    shown: int,
    parts: Sequence[int],
) -> dict[str, np.ndarray]:
    """Arrays to draw: images, and of each layer filters, features, reconstructions, parts, costs.

    shown: images to reconstruct. parts: features that the strongest unit of the last layer is
    broken down into, of the layers below from the top.
    """
    images, switches = measured.images, measured.switches
    own = [one[:shown] for one in switches]
    size = (images.shape[-2], images.shape[-1])
    unit, value = strongest_unit(net, measured.found[-1].maps)
    chain = decompose(net, net.layers, unit, value, switches, size, parts[: net.layers - 1])
    arrays = {"images": images[:shown], "unit": unit}
    for i, found in enumerate(measured.found):
        layer, maps = i + 1, found.maps[:shown]
        features, units = view_maps(net, layer, found.maps, switches, size)
        own_arrays = {
            "filters": net.filters[i].data,
            "features": features,
            "units": units,
            "rebuilt": net.down(layer, maps, own),
            "nonzero": (maps != 0).double().mean(dim=(1, 2, 3)),
            "parts": chain[net.layers - layer],
            "cost": learning_curve(history, layer),
        }
        arrays |= {f"{layer}/{name}": array for name, array in own_arrays.items()}
    return {name: one.detach().cpu().numpy() for name, one in arrays.items()}
