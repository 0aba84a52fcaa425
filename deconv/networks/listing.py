"""Listing the operations of one forward pass of a module, and naming their values."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from deconv.networks.calls import IMAGE, Calls, Ran, Value
from deconv.networks.reader import Reader
from deconv.rules import Call, Operation, flat
from deconv.rules.run import Run, evaluating, frozen, is_leaf


class _Lister(Reader):
    """List everything that runs. Values are kept alive so that their ids stay unique."""

    def __init__(self, run: Run, images: torch.Tensor) -> None:
        super().__init__({}, False)
        self.run = run
        self.ran: list[Ran] = []
        self.found: dict[str, tuple[Any, int | None]] = {}
        self.functions: dict[str, tuple[Any, int | None]] = {}
        self.made_by: dict[int, int] = {id(images): IMAGE}
        self.owner: list[nn.Module | None] = []
        self.after: dict[str, str] = {}
        self.strangers = False
        self._alive = [images]

    def on_call(self, call: Call, operation: Operation | None, where: str, value: Any) -> None:
        key = self.key(f"{where}()")
        inputs = [x for x in call.tensors if x.requires_grad]
        self.strangers |= any(id(x) not in self.made_by and not x.is_leaf for x in inputs)
        if call.name == "setitem":
            value = call.input
        outputs = [x for x in flat((value,)) if x.requires_grad]
        if not inputs or not outputs:
            return
        last = len(self.ran) - 1
        sources = tuple(dict.fromkeys(self.made_by.get(id(x), last) for x in inputs))
        _, module = self.run.running
        leaf = module if module is not None and is_leaf(module) else None
        shape = tuple(outputs[0].shape[1:])
        below = self.ran[sources[0]] if sources[0] >= 0 else None
        self.ran.append(
            Ran(
                name=where,
                point=key,
                operation=operation,
                what=self.run.what(call),
                module=leaf,
                inputs=sources,
                shape=shape,
                channels_last=len(shape) == 3 and _channels_last(call, below),
                call=_without_tensors(call),
            )
        )
        self.owner.append(module)
        for x in outputs:
            self.made_by[id(x)] = len(self.ran) - 1
            self._alive.append(x)
        self.functions[key] = (value, len(self.ran) - 1)
        self.after[key] = self.last
        if not self.run.plain:
            self.found[key] = self.functions[key]

    def on_module(self, name: str, module: nn.Module, value: Any) -> None:
        key = self.key(name)
        self.after[key], self.last = self.last, name
        if "parametrizations" in name.split("."):
            return
        index = self.made_by.get(id(value))
        self.found[key] = (value, index)
        if isinstance(value, torch.Tensor):
            self._alive.append(value)
        if index is None or index < 0 or self.owner[index] is not module:
            return
        if is_leaf(module):
            self.ran[index] = replace(self.ran[index], name=name, point=key, module=module)


def _without_tensors(call: Call) -> Call:
    def plain(x: Any) -> Any:
        return None if isinstance(x, torch.Tensor | list | tuple) and [*flat((x,))] else x

    kwargs = {name: plain(x) for name, x in call.kwargs.items()}
    return Call(call.func, tuple(map(plain, call.args)), kwargs, call.arguments)


def _channels_last(call: Call, below: Ran | None) -> bool:
    """Tell whether a call's four-dimensional output is N×H×W×C."""
    if call.name == "linear" or (
        call.name == "layer_norm" and len(call.get("normalized_shape")) == 1
    ):
        return True
    before = below is not None and below.channels_last
    if call.name in ("permute", "movedim", "moveaxis"):
        order = call.args[1:] if len(call.args) > 2 else call.args[1:2] or (call.get("dims"),)
        order = tuple(order[0]) if isinstance(order[0], tuple | list) else tuple(order)
        if call.name != "permute":
            order = {(1, -1): (0, 2, 3, 1), (-1, 1): (0, 3, 1, 2)}.get(order, ())
        order = tuple(d % 4 for d in order)
        return order == (0, 2, 3, 1) if not before else order != (0, 3, 1, 2)
    return before and not call.name.startswith(("conv", "batch_norm"))


def list_calls(module: nn.Module, images: torch.Tensor) -> tuple[Calls, Any]:
    """Run a module once in evaluation mode and return what ran and its output."""
    run = Run(module=module)
    with torch.enable_grad(), evaluating(module), frozen(module):
        # A copy, because in-place operations cannot write to a leaf.
        pixels = images.detach().clone().requires_grad_().clone()
        lister = _Lister(run, pixels)
        run.watch, run.on_module = lister.on_call, lister.on_module
        with run:
            answer = module(pixels)
    names = _names(lister)
    ran = tuple(
        replace(one, name=names.get(one.point, one.name), point=names.get(one.point, one.name))
        for one in lister.ran
    )
    values = {
        names[key]: _value(key, lister.after[key], value, index, ran, len(images))
        for key, (value, index) in lister.found.items()
        if key in names
    }
    by_function = {
        key: ran[index].name for key, (_, index) in lister.functions.items() if index is not None
    }
    last = lister.made_by.get(id(answer)) if isinstance(answer, torch.Tensor) else None
    return Calls(ran, values, by_function, lister.strangers, last), answer


def _names(lister: _Lister) -> dict[str, str]:
    """Map keys to public names, numbered where several calls share one.

    A function whose value is that of the module that ran it bears the module's name.
    """
    own = {ran.point for ran in lister.ran}
    modules = {key.rpartition(":")[0] for key in lister.found if not _is_function(key)}
    names: dict[str, str] = {}
    for key in lister.found:
        name = key.rpartition(":")[0]
        if not name or (_is_function(key) and key not in own):
            continue
        if _is_function(key):
            name = name.removesuffix("()")
            if name in modules:
                head, dot, function = name.rpartition(".")
                name = f"{head}{dot}F.{function}"
        names[key] = name
    many = Counter(names.values())
    return {
        key: f"{name}:{key.rpartition(':')[2]}" if many[name] > 1 else name
        for key, name in names.items()
    }


def _is_function(key: str) -> bool:
    return key.rpartition(":")[0].endswith("()")


def _value(
    key: str, after: str, value: Any, index: int | None, ran: tuple[Ran, ...], batch: int
) -> Value:
    if not isinstance(value, torch.Tensor):
        return Value(key, after, index, (), "its value is several tensors")
    shape = tuple(value.shape[1:])
    shown = "×".join(map(str, ("N", *shape)))
    why = ""
    if not value.is_floating_point() or len(value.shape) not in (2, 4) or len(value) != batch:
        why = f"its value has shape {'×'.join(map(str, value.shape))}"
        if len(shape) == 2:
            why = f"its values are tokens {shown}, no maps with rows and columns"
    elif index is not None and index >= 0 and ran[index].channels_last:
        why = f"its values are {shown} with the channels last, no maps N×C×H×W"
    return Value(key, after, index, shape, why)
