"""A network with rounded corners: softplus for ReLU, log-sum-exp for the maximum of a pool.

    relu(z)        →  w log(1 + exp(z / w))            at most w log 2 above it
    max of n       →  w log Σ exp(zᵢ / w)              at most w log n above it

w is a share of the root mean square of what that operation takes in, at one image, and stays what
it was there: so the rounded network is one fixed function with a Hessian, and every layer is
rounded alike whatever its scale. With w → 0 it is the network itself.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode

from deconv.errors import DeconvError

Function = Callable[[torch.Tensor], torch.Tensor]

_RELUS = (torch.relu, torch.relu_, F.relu, F.relu_, torch.Tensor.relu, torch.Tensor.relu_)
_IN_PLACE = (torch.relu_, F.relu_, torch.Tensor.relu_)
_POOLS = (F.max_pool2d, F.max_pool2d_with_indices, torch.max_pool2d)


def smoothed(f: Function, image: torch.Tensor, share: float) -> Function:
    """f with its ReLUs, ReLU6s and max-pools rounded, their widths taken at an image.

    f: runs a network of torch operations on a batch, always the same ones in the same order.
    image: 1×…. share: width w over the root mean square there, above 0; nothing comes out rounded
    in an operation that takes in zeros alone. Other operations are left as they are.
    """
    if not 0 < share < float("inf"):
        raise DeconvError(f"the width of smoothing is a share above 0, got {share}")
    scales: list[float] = []
    with torch.no_grad(), _Rounded(None, scales):
        f(image)
    widths = [share * scale for scale in scales]

    def rounded(images: torch.Tensor) -> torch.Tensor:
        with _Rounded(iter(widths)):
            return f(images)

    return rounded


class _Rounded(TorchFunctionMode):
    """Inside it rectifications and pools are rounded by `widths`, or measured into `scales`."""

    def __init__(self, widths: Iterator[float] | None, scales: list[float] | None = None) -> None:
        super().__init__()
        self.widths, self.scales = widths, scales

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func not in _RELUS and func not in _POOLS and func is not F.relu6:
            return func(*args, **kwargs)
        x = args[0] if args else kwargs["input"]
        if self.widths is None:
            self.scales.append(float(x.double().square().mean().sqrt()))
            return func(*args, **kwargs)
        width = next(self.widths)
        if width == 0:
            return func(*args, **kwargs)
        if func in _POOLS:
            return _pool(func, width, args, kwargs)
        rounded = soft_relu(x.clone(), width)
        if func is F.relu6:
            rounded = rounded - soft_relu(x - 6, width)
        in_place = func in _IN_PLACE or kwargs.get("inplace") or args[1:2] == (True,)
        return x.copy_(rounded) if in_place else rounded


def soft_relu(z: torch.Tensor, width: float) -> torch.Tensor:
    """width · log(1 + exp(z / width))."""
    return width * F.softplus(z / width)


def soft_max_pool(
    x: torch.Tensor,
    width: float,
    kernel_size: int | tuple[int, int],
    stride: int | tuple[int, int] | None = None,
    padding: int | tuple[int, int] = 0,
    dilation: int | tuple[int, int] = 1,
    ceil_mode: bool = False,
) -> torch.Tensor:
    """width · log Σ exp(x / width) over the windows of torch.nn.functional.max_pool2d.

    Positions of the padding are not counted.
    """
    stride = kernel_size if stride is None else stride
    kernel, stride, padding, dilation = (
        (n, n) if isinstance(n, int) else tuple(n) for n in (kernel_size, stride, padding, dilation)
    )
    size = F.max_pool2d(x.detach(), kernel, stride, padding, dilation, ceil_mode).shape[2:]
    ends = [
        (size[a] - 1) * stride[a] + dilation[a] * (kernel[a] - 1) + 1 - x.shape[2 + a] - padding[a]
        for a in (0, 1)
    ]
    # Windows at the end may not reach the last position, so the end is cut (negative) or padded.
    whole = F.pad(x, (padding[1], ends[1], padding[0], ends[0]), value=-torch.inf)
    taps = [
        whole[..., y * dilation[0] :: stride[0], z * dilation[1] :: stride[1]][
            ..., : size[0], : size[1]
        ]
        for y, z in itertools.product(range(kernel[0]), range(kernel[1]))
    ]
    return width * torch.logsumexp(torch.stack(taps) / width, dim=0)


def _pool(
    func: Callable[..., Any], width: float, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> Any:
    names = ("input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices")
    given = dict(zip(names, args, strict=False)) | kwargs
    indices = given.pop("return_indices", False) or func is F.max_pool2d_with_indices
    x = given.pop("input")
    rounded = soft_max_pool(x, width, **given)
    if not indices:
        return rounded
    return rounded, F.max_pool2d(x.detach(), **given, return_indices=True)[1]
