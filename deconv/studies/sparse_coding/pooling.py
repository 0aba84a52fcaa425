"""Max pooling by magnitude in blocks of space and neighbouring maps, and unpooling.

Unverified against Zeiler et al. 2011: that blocks span pairs of maps, that the largest magnitude
wins and keeps its sign, that blocks do not overlap. Unlike in the 2014 paper no two blocks
therefore share a switch, and unpooling is an isometry.
"""

from __future__ import annotations

import torch

from deconv.errors import DeconvError


def pool_blocks(maps: torch.Tensor, size_px: int, across: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pool maps N×K×H×W by magnitude in blocks of across × size_px × size_px; the first wins ties.

    Returns:
        (pooled, switches), both N×(K/across)×(H/size_px)×(W/size_px); a switch is the position in
        its block, map·size_px² + y·size_px + x.

    Raises:
        DeconvError: if blocks do not divide the maps.
    """
    blocks = _blocks(maps, size_px, across)
    # argmax does not define the winner on ties.
    magnitude = blocks.abs()
    best = magnitude == magnitude.amax(dim=-1, keepdim=True)
    places = torch.arange(blocks.shape[-1], device=maps.device)
    switches = torch.where(best, places, blocks.shape[-1]).amin(dim=-1)
    return blocks.gather(-1, switches[..., None])[..., 0], switches


def unpool_blocks(
    pooled: torch.Tensor, switches: torch.Tensor, size_px: int, across: int
) -> torch.Tensor:
    """Put each pooled value at its switch, zeros elsewhere: N×k×h×w → N×K×H×W."""
    n, k, h, w = pooled.shape
    blocks = pooled.new_zeros(n, k, h, w, across * size_px**2)
    blocks.scatter_(-1, switches[..., None], pooled[..., None])
    apart = blocks.view(n, k, h, w, across, size_px, size_px).permute(0, 1, 4, 2, 5, 3, 6)
    return apart.reshape(n, k * across, h * size_px, w * size_px)


def pick(maps: torch.Tensor, switches: torch.Tensor, size_px: int, across: int) -> torch.Tensor:
    """Gather the values at the switches, the transpose of `unpool_blocks`: N×K×H×W → N×k×h×w."""
    return _blocks(maps, size_px, across).gather(-1, switches[..., None])[..., 0]


def _blocks(maps: torch.Tensor, size_px: int, across: int) -> torch.Tensor:
    """N×K×H×W as N×k×h×w×(across·size_px²)."""
    n, k, height, width = maps.shape
    if k % across or height % size_px or width % size_px:
        raise DeconvError(
            f"blocks of {across} maps × {size_px}×{size_px} px do not divide {k} maps of "
            f"{height}×{width}"
        )
    apart = maps.view(n, k // across, across, height // size_px, size_px, width // size_px, size_px)
    return apart.permute(0, 1, 3, 5, 2, 4, 6).flatten(4)
