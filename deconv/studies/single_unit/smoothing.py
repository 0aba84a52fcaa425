"""A network with rounded corners: softplus for ReLU, log-sum-exp for the maximum of a pool.

    relu(z)        →  w log(1 + exp(z / w))            at most w log 2 above it
    max of n       →  w log Σ exp(zᵢ / w)              at most w log n above it

w is a share of the root mean square of what that operation takes in, at one image, and stays what
it was there: so the rounded network is one fixed function with a Hessian, and every layer is
rounded alike whatever its scale. With w → 0 it is the network itself. How each operation is rounded
stands in its entry of the table (`deconv.rules`, ROUNDED).
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
    """Round f's ReLUs, ReLU6s and max-pools, their widths taken at an image.

    Args:
        f: runs a network of torch operations on a batch, always the same ones in the same order.
        image: 1×….
        share: width w over the root mean square there, above 0; nothing comes out rounded in an
            operation that takes in zeros alone. Other operations are left as they are.

    Raises:
        DeconvError: for a share that is no positive number.
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
