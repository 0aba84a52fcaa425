"""What there is to see of layers 1 and 2, as Figure 6 shows it: filters, and projections."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import torch
from torch import nn

from deconv.data import CentreCrops
from deconv.errors import DeconvError
from deconv.fields import unclipped_field
from deconv.mining.map_statistics import map_points
from deconv.mining.peak_views import peak_views
from deconv.mining.top_activations import top_activations
from deconv.networks import Network, build
from deconv.records import Peaks
from deconv.studies.first_layers.quality import (
    aliased,
    effective_filters,
    faint,
    filter_rms,
    filters_of_half,
    square_stride,
)

FIRST, SECOND = "conv1", "conv2"
"""Layers 1 and 2 of any network, as arrays and tables name them."""


def names(net: Network) -> dict[str, str]:
    """Name layers 1 and 2 in a network: FIRST and SECOND -> its own name for them.

    Layer 2 is the next convolution that looks at more than one position: what only mixes maps, as
    SqueezeNet's first squeeze does, has layer 1's pictures.

    Raises:
        DeconvError: if there are no such two, or layer 1 does not take a colour image.
    """
    modules = {name: net.module_of(name) for name in net.layers}
    found = {name: one for name, one in modules.items() if isinstance(one, nn.Conv2d)}
    first = next(iter(found), "")
    wide = [name for name, one in found.items() if name != first and max(one.kernel_size) > 1]
    if not wide or found[first].in_channels != 3:
        raise DeconvError(
            f"{net.name} has no convolution of the colour image with another above it: take a "
            "network that has"
        )
    return {FIRST: first, SECOND: wide[0]}


def points(net: Network) -> dict[str, str]:
    """Map FIRST and SECOND to the points of their values, after the activation function."""
    return {layer: map_points(net, name).measured for layer, name in names(net).items()}


def convolution(net: Network, layer: str) -> nn.Conv2d:
    """Return the module of FIRST or SECOND."""
    module = net.module_of(names(net)[layer])
    assert isinstance(module, nn.Conv2d)
    return module


def features(
    net: Network, crops: CentreCrops, peaks: Mapping[str, Peaks], collisions: str
) -> dict[str, np.ndarray]:
    """Show layers 1 and 2 of a network, and how strong they are.

    Args:
        crops: the images that were mined.
        peaks: of FIRST and SECOND, the strongest unit of each map.
        collisions: the policy where windows share a switch.

    Returns:
        filters: C×3×k×k, of layer 1; what `projections` returns of layer 2; and for both layers
        <layer>/strongest, the largest activation of each map, and <layer>/rms of each filter.
    """
    out = projections(net, crops, peaks[SECOND], collisions)
    out["filters"] = convolution(net, FIRST).weight.detach().cpu().float().numpy()
    for layer in (FIRST, SECOND):
        out[f"{layer}/strongest"] = peaks[layer].value[:, 0].numpy()
        out[f"{layer}/rms"] = filter_rms(convolution(net, layer).weight.detach()).cpu().numpy()
    return out


def projections(
    net: Network, crops: CentreCrops, peaks: Peaks, collisions: str
) -> dict[str, np.ndarray]:
    """Project the strongest unit of each map of layer 2, cut to its receptive field.

    Returns:
        image, y, x: M, -1 where the map is dead. box: M×4. projection: M×3×R×S, inside: M×R×S
        bool, whether a pixel lies in the image; both blank where the map is dead.
    """
    point = points(net)[SECOND]
    top, left, bottom, right = unclipped_field(net, point, 0, 0, (net.input_px, net.input_px))
    maps, canvas = len(peaks.value), (bottom - top, right - left)
    out = {
        **{name: np.full(maps, -1) for name in ("image", "y", "x")},
        "box": np.zeros((maps, 4), int),
        "projection": np.zeros((maps, 3, *canvas), np.float32),
        "inside": np.zeros((maps, *canvas), bool),
    }
    live = (peaks.value[:, 0] > 0).nonzero().flatten()
    if len(live):
        views = peak_views(net, crops, point, peaks, live, collisions=collisions)
        for name, values in out.items():
            values[live.numpy()] = getattr(views, name)[:, 0].numpy()
    return out


def strengths(
    net: Network, found: Mapping[str, np.ndarray], layer: str, faint_share: float
) -> dict[str, Any]:
    """Count a layer's dead and faint filters, and those that carry its weight.

    Args:
        found: what `features` returned.
        faint_share: a filter is faint if its RMS is below this share of the strongest's; a map is
            dead if it is never above 0 on the images.
    """
    conv, rms = convolution(net, layer), torch.from_numpy(found[f"{layer}/rms"])
    dead, weak = found[f"{layer}/strongest"] <= 0, faint(rms, faint_share).numpy()
    return {
        "kernel": conv.kernel_size[0],
        "stride": conv.stride[0],
        "maps": len(rms),
        "dead": int(dead.sum()),
        "faint": int(weak.sum()),
        "dead_or_faint": int((dead | weak).sum()),
        "largest_rms": float(rms.max()),
        "median_rms": float(rms.median()),
        "effective_filters": round(effective_filters(rms), 2),
        "filters_of_half": filters_of_half(rms),
    }


def random_aliasing(
    recipe: Mapping[str, Any],
    crops: CentreCrops,
    loader: Iterable,
    seeds: Iterable[int],
    collisions: str,
    device: torch.device,
) -> np.ndarray:
    """Measure what layer 1's stride aliases of layer 2's projections under random weights.

    Args:
        recipe: of the network, see `deconv.build`.
        crops: the images that `loader` yields the first of.
        seeds: of the weights, one a network.

    Returns:
        For each network the share of energy above the Nyquist frequency, mean over live maps.
    """
    shares = []
    for seed in seeds:
        net = build(**recipe, seed=seed).to(device)
        point = points(net)[SECOND]
        peaks = top_activations(net, loader, point, k=1, progress=False)[point]
        pictures = torch.from_numpy(projections(net, crops, peaks, collisions)["projection"])
        stride = square_stride(convolution(net, FIRST))
        shares.append(aliased(pictures, stride).nanmean().item())
    return np.array(shares)
