"""Dropout (§3) whose mask is a pure function of (seed, epoch, image, unit).

PyTorch draws masks from a generator, so that they depend on everything drawn before and on how a
batch is sharded over processes. Here a unit is dropped if a hash of its number and the image's key
falls below p: a run resumed at any step, or on another number of processes or devices, drops the
same units.
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
    """Shift right logically; PyTorch's own shift keeps the sign."""
    return (x >> bits) & ((1 << (64 - bits)) - 1)


def _mix(x: torch.Tensor) -> torch.Tensor:
    x = (x ^ _shift(x, 30)) * _FIRST
    x = (x ^ _shift(x, 27)) * _SECOND
    return x ^ _shift(x, 31)


def dropout_keys(seed: int, epoch: int, images: torch.Tensor) -> torch.Tensor:
    """Hash (seed, epoch, number in the data set) to one int64 key per image of a batch."""
    key = _mix(torch.tensor(seed, dtype=torch.int64) + _GOLDEN)
    key = _mix((key ^ epoch) + _GOLDEN)
    return _mix((key ^ images.long()) + _GOLDEN)


class Dropout(nn.Dropout):
    """Dropout by keys, see `with_keys`; without keys it draws as torch.nn.Dropout does.

    number: distinguishes the dropout layers of one network (the layer's number).
    """

    def __init__(self, p: float = 0.5, number: int = 0) -> None:
        super().__init__(p)
        self.number = number
        self.keys: torch.Tensor | None = None

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """In training, zero dropped units of N×… and scale the others by 1/(1-p)."""
        if not self.training or self.p == 0 or self.keys is None:
            return super().forward(x)
        kept = keep(self.keys.to(x.device), x[0].numel(), self.p, self.number)
        return x * kept.to(x.dtype).view_as(x)


def keep(keys: torch.Tensor, units: int, p: float, number: int) -> torch.Tensor:
    """Return a mask N×units float32: 0 for a dropped unit (probability p), else 1/(1-p)."""
    # Not a sum: torch.compile would evaluate it in integers that do not wrap around.
    unit = torch.arange(units, device=keys.device) ^ (number << 32)
    hashed = _mix((keys[:, None] ^ _mix(unit * _GOLDEN)) + _GOLDEN)
    # The lower 32 bits, as a number in 0…1 in steps of 2^-32, against p.
    kept = (hashed & 0xFFFFFFFF) >= round(p * (1 << 32))
    return kept.float() / (1 - p)


@contextlib.contextmanager
def with_keys(net: nn.Module, keys: torch.Tensor) -> Iterator[None]:
    """Give keys to `net`'s dropout layers within the context, one per image of the batch."""
    layers = [module for module in net.modules() if isinstance(module, Dropout)]
    for layer in layers:
        layer.keys = keys
    try:
        yield
    finally:
        for layer in layers:
            layer.keys = None


@contextlib.contextmanager
def seeded_by(keys: torch.Tensor, device: torch.device) -> Iterator[None]:
    """Seed PyTorch's generators by a batch's keys within the context.

    What a network of others draws by itself (torch.nn.Dropout, stochastic depth) is then a function
    of the batch too, so that its training resumes bit-exactly.
    """
    with torch.random.fork_rng([device] if device.type == "cuda" else []):
        torch.manual_seed(int(keys.sum()))
        yield
