"""The deconvnet as a vector-Jacobian product with other rules: for any graph of layers.

Zeiler & Fergus note (ECCV 2014, §2.1) that the method is like backpropagating one strong
activation, except that the ReLU is imposed on the way down independently and that contrast
normalisation is skipped. Here that is done literally: the forward pass runs under a mode that
gives those operations other derivatives, and autograd does the rest. It takes modules and
functions alike, in place or not, and leaves nothing behind.

                            deconvnet              guided                    gradient
    relu, relu6             max(signal, 0)         max(signal, 0) where a>0  signal where a>0
    contrast normalisation  signal                 own derivative            own derivative
    layer and group norm    scaled as its image    own derivative            own derivative
    max-pool                to the switch; shared switches by the collision policy
    everything else         its own derivative: convolution, linear layers, batch normalisation and
                            averages give the transposed weights without biases, sums and
                            concatenations split the signal

"guided" is guided backpropagation (Springenberg et al. 2015), "gradient" plain backpropagation
(Simonyan et al. 2014): to compare with, not what the paper does. Layer and group normalisation
came after the paper; the rule holds their mean and scale fixed.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from deconv.errors import DeconvError, unknown
from deconv.layers import COLLISIONS, contrast_norm, local_contrast_norm, max_pool, unpool

RULES = ("deconvnet", "guided", "gradient")
"""What happens to the signal on its way down; the paper's is the first."""


def vector_jacobian(
    point: Callable[[torch.Tensor], torch.Tensor],
    images: torch.Tensor,
    seed: Callable[[torch.Tensor], torch.Tensor],
    collisions: str = "sum",
    rule: str = "deconvnet",
    switches: Sequence[torch.Tensor] | None = None,
) -> torch.Tensor:
    """Send a signal from a point of any graph down to pixels: K×3×H×W.

    point: from K×3×H×W images to the values of the point, K×…; no layer may mix the images.
    seed: from those values to the signal to send, of the same shape. rule: one of RULES.
    switches: K×C×h×w of each max-pool in the order in which they run; None: the images' own.
    """
    with torch.enable_grad(), DeconvnetRules(collisions, rule, switches):
        pixels = images.detach().clone().requires_grad_()
        values = point(pixels.clone())  # a leaf could not be written in place
        signal = seed(values.detach())
    (below,) = torch.autograd.grad(values, pixels, signal)
    return below


class DeconvnetRules(TorchFunctionMode):
    """Inside this context a forward pass gets the deconvnet's rules for its way down."""

    def __init__(
        self,
        collisions: str = "sum",
        rule: str = "deconvnet",
        switches: Sequence[torch.Tensor] | None = None,
    ) -> None:
        super().__init__()
        if collisions not in COLLISIONS:
            raise unknown("collision policy", collisions, COLLISIONS)
        if rule not in RULES:
            raise unknown("rule", rule, RULES)
        self.collisions, self.rule = collisions, rule
        self.switches = None if switches is None else iter(switches)

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if self.rule != "gradient" and (limit := rectification(func, args, kwargs)) is not None:
            x = args[0] if args else kwargs["input"]
            rectified = _Rectify.apply(x, limit, self.rule == "guided")
            in_place = func in _IN_PLACE or kwargs.get("inplace") or _flag(func, args)
            return x.copy_(rectified) if in_place else rectified
        if self.rule == "deconvnet" and func in _SKIPPED:
            return _Scaled.apply(args[0], func(*args, **kwargs), torch.ones(()))
        if self.rule == "deconvnet" and func in _HELD:
            x = args[0] if args else kwargs["input"]
            with torch.no_grad():
                scale = _HELD[func](*args, **kwargs)
            return _Scaled.apply(x, func(*args, **kwargs), scale)
        if func in MAX_POOLS and (self.collisions != "sum" or self.switches is not None):
            if func is F.max_pool2d_with_indices:
                kwargs = kwargs | {"return_indices": True}
            return _pool_with(self.collisions, self._next(args, kwargs), *args, **kwargs)
        return func(*args, **kwargs)

    def _next(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> torch.Tensor | None:
        """The given switches of the pool that runs now; None for one that no signal passes."""
        x = args[0] if args else kwargs["input"]
        if self.switches is None or not x.requires_grad:
            return None
        given = next(self.switches, None)
        if given is None:
            raise DeconvError("more max-pools run than there are switches given")
        return given


_RELUS = (torch.relu, torch.relu_, F.relu, F.relu_, torch.Tensor.relu, torch.Tensor.relu_)
_IN_PLACE = (torch.relu_, F.relu_, torch.Tensor.relu_, F.hardtanh_)
_SKIPPED = (contrast_norm, local_contrast_norm, F.local_response_norm)
MAX_POOLS = (F.max_pool2d, F.max_pool2d_with_indices, torch.max_pool2d)


def _flag(func: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Whether `inplace` is given by position."""
    place = 3 if func is F.hardtanh else 1
    return args[place : place + 1] == (True,)


def rectification(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> float | None:
    """Where a rectification saturates; None for what rectifies nothing."""
    if func in _RELUS:
        return math.inf
    if func is F.relu6:
        return 6.0
    if func in (F.hardtanh, F.hardtanh_):
        given = dict(zip(("min_val", "max_val"), args[1:3], strict=False)) | kwargs
        low, high = given.get("min_val", -1.0), given.get("max_val", 1.0)
        return float(high) if low == 0 else None
    return None


class _Rectify(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, limit: float, guided: bool) -> torch.Tensor:
        if guided:
            ctx.save_for_backward((x > 0) & (x < limit))
        return x.clamp(min=0, max=limit)

    @staticmethod
    def backward(ctx: Any, signal: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        below = signal.clamp(min=0)
        return (below * ctx.saved_tensors[0] if ctx.saved_tensors else below), None, None


class _Scaled(torch.autograd.Function):
    """Forward the normalised values, send the signal past the normalisation times a scale."""

    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, normalised: torch.Tensor, scale: torch.Tensor
    ) -> torch.Tensor:
        ctx.save_for_backward(scale)
        return normalised.clone()

    @staticmethod
    def backward(ctx: Any, signal: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        return signal * ctx.saved_tensors[0].to(signal), None, None


def _layer_scale(
    input: torch.Tensor,
    normalized_shape: Any,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
) -> torch.Tensor:
    """What layer normalisation multiplies by, its statistics held: weight / σ."""
    dims = tuple(range(-len(normalized_shape), 0))
    scale = (input.var(dims, unbiased=False, keepdim=True) + eps).rsqrt()
    return scale if weight is None else scale * weight


def _group_scale(
    input: torch.Tensor,
    num_groups: int,
    weight: torch.Tensor | None = None,
    bias: torch.Tensor | None = None,
    eps: float = 1e-5,
) -> torch.Tensor:
    """What group normalisation multiplies by, its statistics held: weight / σ."""
    n, c = input.shape[:2]
    groups = input.reshape(n, num_groups, -1)
    scale = (groups.var(2, unbiased=False) + eps).rsqrt().repeat_interleave(c // num_groups, 1)
    shape = (n, c, *[1] * (input.dim() - 2))
    scale = scale if weight is None else scale * weight
    return scale.reshape(shape)


_HELD: dict[Callable[..., Any], Callable[..., torch.Tensor]] = {
    F.layer_norm: _layer_scale,
    F.group_norm: _group_scale,
}


class _Pool(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        pool: nn.MaxPool2d,
        collisions: str,
        given: torch.Tensor | None,
    ) -> Any:
        values, switches = max_pool(pool, x)
        if given is not None and given.shape != switches.shape:
            raise DeconvError(
                f"switches of {tuple(given.shape)} are given to a max-pool that has "
                f"{tuple(switches.shape)}"
            )
        ctx.save_for_backward(switches if given is None else given)
        ctx.size, ctx.collisions = tuple(x.shape[2:]), collisions
        ctx.mark_non_differentiable(switches)
        return values, switches

    @staticmethod
    def backward(ctx: Any, signal: torch.Tensor, _: Any) -> tuple[torch.Tensor, None, None, None]:
        (switches,) = ctx.saved_tensors
        return unpool(signal, switches, ctx.size, ctx.collisions), None, None, None


def _pool_with(
    collisions: str,
    given: torch.Tensor | None,
    input: torch.Tensor,
    kernel_size: int,
    stride: int | None = None,
    padding: int = 0,
    dilation: int = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Any:
    """torch.nn.functional.max_pool2d, argument by argument, with a policy for collisions.

    given: switches for the way down, None for those of the values.
    """
    pool = nn.MaxPool2d(kernel_size, stride, padding, dilation, ceil_mode=ceil_mode)
    values, switches = _Pool.apply(input, pool, collisions, given)
    return (values, switches) if return_indices else values
