"""Smooth networks: softplus for ReLU, log-sum-exp for max-pooling.

    relu(z)        →  w log(1 + exp(z / w))            at most w log 2 above it
    max of n       →  w log Σ exp(zᵢ / w)              at most w log n above it

w is a share of the RMS of the operation's input at one image, and fixed from then on: the smooth
network is one function with a Hessian, and every layer is smoothed alike whatever its scale. For
w → 0 it is the network itself. The rules are in the table of operations (`deconv.rules`, ROUNDED).
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from deconv.errors import DeconvError
from deconv.rules import ROUNDED
from deconv.rules.pooling import soft_max_pool
from deconv.rules.rectification import soft_relu
from deconv.rules.run import Run

__all__ = ["smoothed", "soft_max_pool", "soft_relu"]

Function = Callable[[torch.Tensor], torch.Tensor]


def smoothed(f: Function, image: torch.Tensor, share: float) -> Function:
    """Smooth f's ReLUs, ReLU6s and max-pools, with widths measured at an image.

    Args:
        f: runs a network on a batch, always with the same operations in the same order.
        image: 1×….
        share: width w over the RMS of the operation's input, above 0; an operation whose input is
            all zeros is not smoothed.

    Raises:
        DeconvError: for a share that is not a positive number.
    """
    if not 0 < share < float("inf"):
        raise DeconvError(f"the width of smoothing is a share above 0, got {share}")
    with torch.no_grad(), Run(ROUNDED) as measured:
        f(image)
    widths = [share * scale for scale in measured.scales]

    def rounded(images: torch.Tensor) -> torch.Tensor:
        with Run(ROUNDED, widths=widths):
            return f(images)

    return rounded
