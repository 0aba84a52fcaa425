"""The filters of an adaptive deconvolutional network, its reconstruction R and the transpose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from deconv.errors import DeconvError
from deconv.studies.sparse_coding.pooling import pick, unpool_blocks

NAME = "adaptive_deconv"


class AdaptiveDeconvNet(nn.Module):
    """Filters and sizes. Layers are numbered from 1, the one at the image.

    Layer l has maps[l-1] feature maps of the size of what it reconstructs: the image for l = 1,
    else the pooled maps below. Filters have odd sides and zero padding (unverified against the
    original). filters[l-1]: K×C×k×k, initially random, each of unit length over C×k×k.

    recipe: the arguments, to rebuild it. Parameters require no gradients.
    """

    def __init__(
        self,
        maps: Sequence[int],
        kernels_px: Sequence[int],
        lambdas: Sequence[float],
        pool_px: int = 2,
        pool_maps: int = 2,
        channels: int = 1,
        seed: int = 0,
    ) -> None:
        """Draw random filters.

        Args:
            lambdas: weight of the error against the l1 norm, for each layer.
            pool_px, pool_maps: sides of a pooling block in space and across neighbouring maps.
            channels: of the image.

        Raises:
            DeconvError: for lists of different lengths, and for invalid numbers.
        """
        super().__init__()
        self.recipe: dict[str, Any] = {
            "name": NAME,
            "maps": list(maps),
            "kernels_px": list(kernels_px),
            "lambdas": list(lambdas),
            "pool_px": pool_px,
            "pool_maps": pool_maps,
            "channels": channels,
            "seed": seed,
        }
        _check(self.recipe)
        self.pool_px, self.pool_maps, self.channels = pool_px, pool_maps, channels
        self.lambdas = [float(value) for value in lambdas]
        generator = torch.Generator().manual_seed(seed)
        below = [channels, *(count // pool_maps for count in maps)]
        self.filters = nn.ParameterList()
        for count, depth, side in zip(maps, below, kernels_px, strict=False):
            start = torch.randn(count, depth, side, side, generator=generator)
            self.filters.append(nn.Parameter(unit_length(start)[0], requires_grad=False))

    @property
    def layers(self) -> int:
        """The number of layers."""
        return len(self.filters)

    def check_size(self, height: int, width: int) -> None:
        """Raise DeconvError if pooling does not divide an image, or maps are smaller than filters.

        The pool above the last layer counts, as its blocks compete too.
        """
        for layer in range(1, self.layers + 1):
            side, whole = self.filters[layer - 1].shape[-1], self.pool_px**layer
            h, w = (n // self.pool_px ** (layer - 1) for n in (height, width))
            if height % whole or width % whole or min(h, w) < side:
                raise DeconvError(
                    f"an image of {height}×{width} px is too small for layer {layer} of "
                    f"{self.layers}: its maps are {h}×{w}, its filters {side}×{side}, and blocks "
                    f"of {whole} px have to divide the image; use fewer layers or a larger image"
                )

    def map_shape(self, layer: int, images: torch.Tensor) -> tuple[int, int, int, int]:
        """N×K×H×W of a layer's feature maps for images N×C×H×W."""
        n, _, height, width = images.shape
        scale = self.pool_px ** (layer - 1)
        return n, len(self.filters[layer - 1]), height // scale, width // scale

    def down(
        self,
        layer: int,
        maps: torch.Tensor,
        switches: Sequence[torch.Tensor],
        filters: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """Apply R_l: feature maps of a layer, N×K×H×W, to pixels; linear in maps and filters.

        switches: of layers 1 … l-1 at least. filters: replace those of layer l.
        """
        for at in range(layer, 0, -1):
            weight = self.filters[at - 1] if filters is None or at < layer else filters
            maps = F.conv_transpose2d(maps, weight, padding=weight.shape[-1] // 2)
            if at > 1:
                maps = unpool_blocks(maps, switches[at - 2], self.pool_px, self.pool_maps)
        return maps

    def up(
        self, layer: int, pixels: torch.Tensor, switches: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Apply the transpose of `down`: pixels to a layer's feature maps."""
        weight = self.filters[layer - 1]
        below = self.up_to(layer, pixels, switches)
        return F.conv2d(below, weight, padding=weight.shape[-1] // 2)

    def up_to(
        self, layer: int, pixels: torch.Tensor, switches: Sequence[torch.Tensor]
    ) -> torch.Tensor:
        """Apply `up` without the layer's own filters."""
        for at in range(1, layer):
            weight = self.filters[at - 1]
            maps = F.conv2d(pixels, weight, padding=weight.shape[-1] // 2)
            pixels = pick(maps, switches[at - 1], self.pool_px, self.pool_maps)
        return pixels

    def field(self, layer: int) -> tuple[int, int, int]:
        """(size, stride, start) in pixels of a unit's projective field, ignoring borders.

        Unit i reaches `size` pixels from i·stride + start.
        """
        size, start, stride = 1, 0, 1
        for at in range(layer, 0, -1):
            if at < layer:  # one value of the layer above may lie anywhere in its block
                size, start, stride = (n * self.pool_px for n in (size, start, stride))
            side = self.filters[at - 1].shape[-1]
            size, start = size + side - 1, start - side // 2
        return size, stride, start


def unit_length(filters: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Normalise filters K×C×k×k, except zero ones; also return their lengths K."""
    lengths = filters.flatten(1).norm(dim=1)
    safe = torch.where(lengths > 0, lengths, torch.ones_like(lengths))
    return filters / safe.view(-1, 1, 1, 1), lengths


def _check(recipe: dict[str, Any]) -> None:
    """Raise DeconvError for an invalid recipe."""
    lists = {name: recipe[name] for name in ("maps", "kernels_px", "lambdas")}
    lengths = {name: len(values) for name, values in lists.items()}
    if len(set(lengths.values())) > 1 or not lists["maps"]:
        words = ", ".join(f"{name} has {n}" for name, n in lengths.items())
        raise DeconvError(f"each layer takes one number of each list: {words}")
    for name in ("pool_px", "pool_maps", "channels"):
        if recipe[name] < 1:
            raise DeconvError(f"{name} must be at least 1, got {recipe[name]}")
    for count in lists["maps"]:
        if count < 1 or count % recipe["pool_maps"]:
            raise DeconvError(
                f"maps={count}: pooling takes {recipe['pool_maps']} neighbouring maps together, so "
                "their number is a multiple of it"
            )
    for side in lists["kernels_px"]:
        if side < 1 or side % 2 == 0:
            raise DeconvError(f"kernels_px={side}: the side of a filter is odd")
    for value in lists["lambdas"]:
        if not 0 < value < float("inf"):
            raise DeconvError(f"lambdas={value}: the weight of the error is above 0")
