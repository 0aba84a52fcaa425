"""Reading values during one forward pass, by the call of a module or function that makes them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import nn

from deconv.pooling import max_pool
from deconv.rules import Call, Operation
from deconv.rules.pooling import MAX_POOL, pool_of


class Enough(BaseException):
    """Stops a forward pass above the highest requested point; `except Exception` lets it pass."""


class Reader:
    """Read requested values by key, and the switches of every max-pool.

    keys: requested key -> name of the module that finishes before it; if another did, the forward
    pass has taken another branch. stop: whether to raise Enough after the last value. read: (key,
    value) -> what `values` keeps; None: a copy, because the next operation may overwrite the value
    in place. switches: whether to record them.
    """

    def __init__(
        self,
        keys: Mapping[str, str],
        stop: bool,
        read: Callable[[str, torch.Tensor], Any] | None = None,
        switches: bool = True,
    ) -> None:
        self.waiting, self.stop = dict(keys), stop
        self.read, self.with_switches = read or (lambda _, value: value.clone()), switches
        self.last = ""
        self.values: dict[str, Any] = {}
        self.switches: dict[str, torch.Tensor] = {}
        self.planes: dict[str, tuple[int, ...]] = {}
        self.pools: dict[str, nn.MaxPool2d] = {}
        self._times: Counter[str] = Counter()

    def key(self, name: str) -> str:
        """Make the key of the next call of a name: name:count."""
        self._times[name] += 1
        return f"{name}:{self._times[name]}"

    def on_call(self, call: Call, operation: Operation | None, where: str, value: Any) -> None:
        """Read the value of a function call."""
        key = self.key(f"{where}()")
        if operation is MAX_POOL and self.with_switches:
            self.pools[key] = pool = pool_of(call)
            self.switches[key] = max_pool(pool, call.input.detach())[1]
            self.planes[key] = tuple(call.input.shape[1:])
        self._read(key, value)

    def on_module(self, name: str, module: nn.Module, value: Any) -> None:
        """Read the output of a module."""
        self._read(self.key(name), value)
        self.last = name

    def _read(self, key: str, value: Any) -> None:
        if self.waiting.get(key) == self.last:
            self.values[key] = self.read(key, value)
            del self.waiting[key]
            if self.stop and not self.waiting:
                raise Enough
