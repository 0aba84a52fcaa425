"""Translated, scaled and rotated images, with a choice of padding (Fig. 5).

Positions are pixel centres (y, x) relative to the middle of the image. Sampling is bilinear in
double precision, so shifts by whole pixels and quarter turns move values unchanged. The paper
states neither interpolation nor padding.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch.nn import functional as F

from deconv.errors import DeconvError, unknown

IDENTITY = {"translation": 0.0, "scale": 1.0, "rotation": 0.0}
"""Kind of transform -> its identity."""

FILLS = ("mean", "edge", "mirror")
"""Padding: the mean image, which the network sees as 0; the edge pixels repeated; a reflection
that does not repeat them."""

_PADDING = {"mean": "zeros", "edge": "border", "mirror": "reflection"}


def warp(
    image: torch.Tensor, kind: str, amount: float, mean: torch.Tensor, fill: str = "mean"
) -> torch.Tensor:
    """Transform an image.

    Args:
        image: C×H×W, uint8 or float.
        kind, amount: "translation", downwards in pixels; "scale", a factor above 0; "rotation",
            counterclockwise in degrees.
        mean: C×H×W on the image's scale, used by fill="mean" only.
        fill: one of FILLS.

    Returns:
        C×H×W float32 on the image's scale.

    Raises:
        DeconvError: for an unknown kind or fill, an invalid amount, or shapes that differ.
    """
    check_transform(kind, [amount], fill)
    if image.dim() != 3 or image.shape != mean.shape:
        raise DeconvError(
            f"warp takes a C×H×W image and a mean image of its size, got {tuple(image.shape)} and "
            f"{tuple(mean.shape)}"
        )
    height, width = image.shape[1:]
    y, x = torch.meshgrid(
        torch.arange(height, dtype=torch.float64) - (height - 1) / 2,
        torch.arange(width, dtype=torch.float64) - (width - 1) / 2,
        indexing="ij",
    )
    y, x = _SOURCES[kind](y, x, float(amount))
    # grid_sample counts (x, y) from -1 to 1 between the centres of the outermost pixels.
    grid = torch.stack([2 * x / max(width - 1, 1), 2 * y / max(height - 1, 1)], dim=-1)
    pixels = _sample(image.double(), grid, fill)
    if fill == "mean":
        covered = _sample(torch.ones(1, height, width, dtype=torch.float64), grid, fill)
        pixels = pixels + (1 - covered) * mean.double()
    # Converting to -1…1 and back costs 1e-13 of a pixel: round it away, so that 0 stays 0.
    return pixels.round(decimals=9).float()


def check_transform(kind: str, amounts: list[float], fill: str = "mean") -> None:
    """Raise DeconvError for arguments that `warp` refuses."""
    if kind not in _SOURCES:
        raise unknown("transform", kind, _SOURCES)
    if fill not in FILLS:
        raise unknown("fill", fill, FILLS)
    for amount in amounts:
        if not math.isfinite(amount) or (kind == "scale" and amount <= 0):
            wanted = "a factor above 0" if kind == "scale" else "a finite number"
            raise DeconvError(f"{kind} takes {wanted}, got {amount}")


def _sample(image: torch.Tensor, grid: torch.Tensor, fill: str) -> torch.Tensor:
    return F.grid_sample(image[None], grid[None], "bilinear", _PADDING[fill], align_corners=True)[0]


Offsets = tuple[torch.Tensor, torch.Tensor]


def _shifted(y: torch.Tensor, x: torch.Tensor, down_px: float) -> Offsets:
    return y - down_px, x


def _scaled(y: torch.Tensor, x: torch.Tensor, factor: float) -> Offsets:
    return y / factor, x / factor


def _turned(y: torch.Tensor, x: torch.Tensor, angle_deg: float) -> Offsets:
    quarters, rest = divmod(angle_deg, 90.0)
    for _ in range(int(quarters) % 4):
        y, x = x, -y  # exact, where a cosine would be 6e-17 instead of 0
    sine, cosine = math.sin(math.radians(rest)), math.cos(math.radians(rest))
    return sine * x + cosine * y, cosine * x - sine * y


_SOURCES: dict[str, Callable[[torch.Tensor, torch.Tensor, float], Offsets]] = {
    "translation": _shifted,
    "scale": _scaled,
    "rotation": _turned,
}
"""Kind -> the inverse map: the source position of the value at (y, x), relative to the middle."""
