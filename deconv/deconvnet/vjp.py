"""The deconvnet as a vector-Jacobian product with modified derivatives, for any graph of layers.

Zeiler & Fergus note (ECCV 2014, §2.1) that the method is like backpropagating one strong
activation, except that the ReLU is imposed on the way down independently and that contrast
normalisation is skipped. Taken literally: the forward pass runs under the rules of the table
(`deconv.rules`), which give those operations other derivatives, and autograd does the rest.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch

from deconv.errors import DeconvError
from deconv.rules.run import Run, send_down


def vector_jacobian(
    point: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    seed: Callable[[torch.Tensor], torch.Tensor],
    collisions: str = "sum",
    rule: str = "deconvnet",
    switches: Sequence[torch.Tensor] | None = None,
) -> torch.Tensor:
    """Send a signal from a point of any graph down to pixels: K×3×H×W.

    Args:
        point: maps K×3×H×W images to the values of the point, K×…; no layer may mix the images.
        seed: maps those values to the signal to send, of the same shape.
        collisions, rule, switches: see `Run`.

    Raises:
        DeconvError: if nothing on the way up is differentiable.
    """
    values, pixels = up(point, images, Run(rule, collisions=collisions, switches=switches))
    return send_down(values, pixels, seed(values.detach()))


def up(
    point: Callable[[torch.Tensor], torch.Tensor], images: torch.Tensor, run: Run
) -> tuple[torch.Tensor, torch.Tensor]:
    """Run images up to a point under rules: its values, and the pixels to send signals down to.

    Raises:
        DeconvError: if nothing on the way up is differentiable.
    """
    with torch.enable_grad(), run:
        pixels = images.detach().clone().requires_grad_()
        values = point(pixels.clone())  # in-place operations cannot write to a leaf
    if not values.requires_grad:
        raise DeconvError(
            "no signal can come down: nothing on the way up is differentiable (quantised "
            "operations, torch.no_grad or detach in the forward pass)"
        )
    return values, pixels
