"""Reading values during one forward pass of a module, by the call of a module or function."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any

import torch
from torch import nn

from deconv.pooling import max_pool
from deconv.rules import Call, Operation
from deconv.rules.pooling import MAX_POOL, pool_of


class Enough(BaseException):
    """Ends a forward pass above the highest point asked for; no code of a module's catches it."""


class Reader:
    """Read values on the way up, by key, and the switches of every max-pool.

    keys: of the values wanted, each with that of the module that is done before it; where another
    is, the forward pass has taken another branch. stop: whether to raise Enough when the last of
    them is read.
    """

    def __init__(self, keys: Mapping[str, str], stop: bool) -> None:
        self.waiting, self.stop = dict(keys), stop
        self.last = ""
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
        key = self.key(name)
        self._read(key, value)
        self.last = name

    def _read(self, key: str, value: Any) -> None:
        if self.waiting.get(key) == self.last:
            # A copy: an operation in place may come next and overwrite it.
            self.values[key] = value.clone()
            del self.waiting[key]
            if self.stop and not self.waiting:
                raise Enough
