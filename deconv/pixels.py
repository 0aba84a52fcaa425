"""Pixels: division and greyscale before the first filter, and the scale they are displayed on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn


class Divide(nn.Module):
    """Divide by one number, or by one per channel, for weights trained on smaller inputs."""

    by: torch.Tensor

    def __init__(self, by: float | Sequence[float]) -> None:
        super().__init__()
        # On the CPU even under another default device or "meta": no state_dict restores it.
        values = torch.tensor(by, dtype=torch.get_default_dtype(), device="cpu").view(-1, 1, 1)
        self.register_buffer("by", values, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / self.by.to(x.device)

    def extra_repr(self) -> str:
        return f"by=({', '.join(f'{v:g}' for v in self.by.flatten().tolist())})"


LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601, as in Pillow's mode L); their sum is 1."""


class Grey(nn.Module):
    """Convert N×3×H×W to greyscale N×1×H×W; grey pixels keep their value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * x.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)


PERCENTILE = 99.0
"""Percentile of the non-zero absolute values at which colours end, so that outliers do not fade the
rest."""


def display_scale(values: np.ndarray, percentile: float = PERCENTILE) -> float:
    """Return the value at which colours end on a scale around 0; 1 if all values are 0."""
    magnitude = np.abs(values[values != 0])
    return float(np.percentile(magnitude, percentile)) if magnitude.size else 1.0


def area_average(pixels: np.ndarray, side: int) -> np.ndarray:
    """Shrink …×h×w to …×side×side; each value is the mean over the area that it covers."""

    def covered(size: int) -> np.ndarray:
        """Share of each of `size` pixels in each of `side` strips; rows add up to 1."""
        edges = np.linspace(0, size, side + 1)[:, None]
        ends = np.minimum(edges[1:], np.arange(1, size + 1))
        return np.maximum(0, ends - np.maximum(edges[:-1], np.arange(size))) * side / size

    height, width = pixels.shape[-2:]
    return covered(height) @ pixels @ covered(width).T


ENERGY = 0.96
"""Share of a picture's energy, the sum of its squares, that an `energy_window` holds at least."""
MOSTLY = 0.8
"""A window whose sides reach this share of the canvas is not worth cutting."""


def energy_window(pixels: np.ndarray) -> tuple[int, int, int, int]:
    """Find the square that holds the energy of each of several pictures of one canvas.

    Args:
        pixels: K×3×R×S float around zero.

    Returns:
        (top, left, bottom, right): the square around what is left of the pictures when each loses
        up to a quarter of 1 - `ENERGY` above, below, left and right, moved into the canvas; the
        whole canvas where that is nearly all (see `MOSTLY`), or where all pictures are blank.
    """
    energy = np.square(pixels, dtype=np.float64).sum(axis=1)
    size = energy.shape[1:]
    energy = energy[energy.any(axis=(1, 2))]
    if not len(energy):
        return (0, 0, *size)
    ends = [_ends(energy.sum(axis=axis)) for axis in (2, 1)]
    side = max(last - first for first, last in ends)
    if side >= MOSTLY * min(size):
        return (0, 0, *size)
    top, left = (
        min(max(0, (first + last - side) // 2), whole - side)
        for (first, last), whole in zip(ends, size, strict=True)
    )
    return top, left, top + side, left + side


def _ends(lines: np.ndarray) -> tuple[int, int]:
    """Find the half-open range of K×n energies of rows or columns to keep."""
    share = lines.cumsum(axis=1) / lines.sum(axis=1, keepdims=True)
    rest = (1 - ENERGY) / 4
    first, last = (share <= rest).sum(axis=1), (share < 1 - rest).sum(axis=1)
    return int(first.min()), int(last.max()) + 1
