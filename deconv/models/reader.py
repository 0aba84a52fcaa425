"""Reading values during one forward pass of a module, by the call of a module or function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import torch
from torch import nn

from deconv.layers import max_pool
from deconv.rules import Call, Operation
from deconv.rules.pooling import MAX_POOL, pool_of


class Enough(BaseException):
    """Ends a forward pass above the highest point asked for; no code of a module's catches it."""


class Reader:
    """Read values on the way up, by key, and the switches of every max-pool.

    keys: of the values wanted. stop: whether to raise Enough when the last of them is read.
    """

    def __init__(self, keys: Iterable[str], stop: bool) -> None:
        self.waiting, self.stop = set(keys), stop
        self.values: dict[str, torch.Tensor] = {}
        self.switches: dict[str, torch.Tensor] = {}
        self.planes: dict[str, tuple[int, ...]] = {}
        self.pools: dict[str, nn.MaxPool2d] = {}
        self._times: Counter[str] = Counter()

    def key(self, name: str) -> str:
        """Count one more call of a name."""
        self._times[name] += 1
        return f"{name}:{self._times[name]}"

    def called(self, call: Call, operation: Operation | None, where: str, value: Any) -> None:
        """Read the value of a function."""
        key = self.key(f"{where}()")
        if operation is MAX_POOL:
            self.pools[key] = pool = pool_of(call)
            self.switches[key] = max_pool(pool, call.input.detach())[1]
            self.planes[key] = tuple(call.input.shape[1:])
        self._read(key, value)

    def left(self, name: str, module: nn.Module, value: Any) -> None:
        """Read the value of a module."""
        self._read(self.key(name), value)

    def _read(self, key: str, value: Any) -> None:
        if key in self.waiting:
            # A copy: an operation in place may come next and overwrite it.
            self.values[key] = value.clone()
            self.waiting.discard(key)
            if self.stop and not self.waiting:
                raise Enough
