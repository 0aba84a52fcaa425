"""Dropout (§3) whose choice is a pure function of (seed, epoch, image, unit).

PyTorch draws dropout from a generator, so that it depends on everything that was drawn before and
on how a batch is divided among processes. Here a unit is left out if a hash of its number and of
the image's key falls below p: a run that is resumed at any step, or on another number of
processes or devices, leaves out the same units.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch
from torch import nn

# splitmix64 (Steele, Lea & Flood 2014), as signed 64-bit numbers, which wrap around in PyTorch.
_GOLDEN = 0x9E3779B97F4A7C15 - (1 << 64)
_FIRST = 0xBF58476D1CE4E5B9 - (1 << 64)
_SECOND = 0x94D049BB133111EB - (1 << 64)


def _shift(x: torch.Tensor, bits: int) -> torch.Tensor:
    """Logical shift to the right; PyTorch's own keeps the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: torch.Tensor) -> torch.Tensor:
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    return x ^ _shift(x, 31)


def dropout_keys(seed: int, epoch: int, images: torch.Tensor) -> torch.Tensor:
    """One int64 key for each image of a batch, from (seed, epoch, its number in the data set)."""
    key = _mix(torch.tensor(seed, dtype=torch.int64) + _GOLDEN)
    key = _mix((key ^ epoch) + _GOLDEN)
    return _mix((key ^ images.long()) + _GOLDEN)


class Dropout(nn.Dropout):
    """Dropout by keys: see `with_keys`. Without keys it draws as torch.nn.Dropout does.

    number: tells the dropout layers of one network apart (the layer's number).
    """

    def __init__(self, p: float = 0.5, number: int = 0) -> None:
        super().__init__(p)
        self.number = number
        self.keys: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """N×…, with units left out while training and the others scaled by 1/(1-p)."""
        if not self.training or self.p == 0 or self.keys is None:
            return super().forward(x)
        kept = keep(self.keys.to(x.device), x[0].numel(), self.p, self.number)
        return x * kept.to(x.dtype).view_as(x)


def keep(keys: torch.Tensor, units: int, p: float, number: int) -> torch.Tensor:
    """N×units float32: 0 where a unit is left out (probability p), else 1/(1-p)."""
    # Not a sum: torch.compile would work out that expression in numbers that do not wrap around.
    unit = torch.arange(units, device=keys.device) ^ (number << 32)
    hashed = _mix((keys[:, None] ^ _mix(unit * _GOLDEN)) + _GOLDEN)
    # The lower 32 bits, as a number in 0…1 in steps of 2^-32, against p.
    kept = (hashed & 0xFFFFFFFF) >= round(p * (1 << 32))
    return kept.float() / (1 - p)


@contextlib.contextmanager
def with_keys(net: nn.Module, keys: torch.Tensor) -> Iterator[None]:
    """Within it, `net`'s dropout layers take these keys, one for each image of the batch."""
    layers = [module for module in net.modules() if isinstance(module, Dropout)]
    for layer in layers:
        layer.keys = keys
    try:
        yield
    finally:
        for layer in layers:
            layer.keys = None
