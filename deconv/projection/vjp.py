"""The deconvnet as a vector-Jacobian product with other rules: for any graph of layers.

Zeiler & Fergus note (ECCV 2014, §2.1) that the method is like backpropagating one strong
activation, except that the ReLU is imposed on the way down independently and that contrast
normalisation is skipped. Here that is done literally: the forward pass runs under a mode that
gives those operations other derivatives, and autograd does the rest. It takes modules and
functions alike, in place or not, and leaves nothing behind.

    relu                    signal -> max(signal, 0), whatever the activity was
    contrast normalisation  signal -> signal
    max-pool                to the switch; shared switches by the collision policy
    everything else         its own derivative: convolution and linear layers give the transposed
                            weights without biases, sums and concatenations split the signal
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from deconv.errors import unknown
from deconv.layers import COLLISIONS, contrast_norm, max_pool, unpool


def vector_jacobian(
    point: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    seed: Callable[[torch.Tensor], torch.Tensor],
    collisions: str = "sum",
) -> torch.Tensor:
    """Send a signal from a point of any graph down to pixels: K×3×H×W.

    point: from K×3×H×W images to the values of the point, K×…; no layer may mix the images.
    seed: from those values to the signal to send, of the same shape.
    """
    with torch.enable_grad(), DeconvnetRules(collisions):
        pixels = images.detach().clone().requires_grad_()
        values = point(pixels.clone())  # a leaf could not be written in place
        signal = seed(values.detach())
    (below,) = torch.autograd.grad(values, pixels, signal)
    return below


class DeconvnetRules(TorchFunctionMode):
    """Inside this context a forward pass gets the deconvnet's rules for its way down."""

    def __init__(self, collisions: str = "sum") -> None:
        super().__init__()
        if collisions not in COLLISIONS:
            raise unknown("collision policy", collisions, COLLISIONS)
        self.collisions = collisions

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _RELUS:
            x = args[0] if args else kwargs["input"]
            rectified = _Rectify.apply(x)
            in_place = func in _IN_PLACE or kwargs.get("inplace") or args[1:2] == (True,)
            return x.copy_(rectified) if in_place else rectified
        if func in (contrast_norm, F.local_response_norm):
            return _Skip.apply(args[0], func(*args, **kwargs))
        if func in _MAX_POOLS and self.collisions != "sum":
            if func is F.max_pool2d_with_indices:
                kwargs = kwargs | {"return_indices": True}
            return _pool_with(self.collisions, *args, **kwargs)
        return func(*args, **kwargs)


_RELUS = (torch.relu, torch.relu_, F.relu, F.relu_, torch.Tensor.relu, torch.Tensor.relu_)
_IN_PLACE = (torch.relu_, F.relu_, torch.Tensor.relu_)
_MAX_POOLS = (F.max_pool2d, F.max_pool2d_with_indices, torch.max_pool2d)


class _Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(min=0)

    @staticmethod
    def backward(ctx: Any, signal: torch.Tensor) -> torch.Tensor:
        return signal.clamp(min=0)


class _Skip(torch.autograd.Function):
    """Forward the normalised values, send the signal past the normalisation."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, normalised: torch.Tensor) -> torch.Tensor:
        return normalised.clone()

    @staticmethod
    def backward(ctx: Any, signal: torch.Tensor) -> tuple[torch.Tensor, None]:
        return signal, None


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, pool: nn.MaxPool2d, collisions: str) -> Any:
        values, switches = max_pool(pool, x)
        ctx.save_for_backward(switches)
        ctx.size, ctx.collisions = tuple(x.shape[2:]), collisions
        ctx.mark_non_differentiable(switches)
        return values, switches

    @staticmethod
    def backward(ctx: Any, signal: torch.Tensor, _: Any) -> tuple[torch.Tensor, None, None]:
        (switches,) = ctx.saved_tensors
        return unpool(signal, switches, ctx.size, ctx.collisions), None, None


def _pool_with(
    collisions: str,
    input: torch.Tensor,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """torch.nn.functional.max_pool2d, argument by argument, with a policy for collisions."""
    pool = nn.MaxPool2d(kernel_size, stride, padding, dilation, ceil_mode=ceil_mode)
    values, switches = _Pool.apply(input, pool, collisions)
    return (values, switches) if return_indices else values
