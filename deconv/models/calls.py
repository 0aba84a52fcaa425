"""What ran in one forward pass: its operations in order, and the names of its values."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from deconv.layers import max_pool
from deconv.rules import Call, Operation
from deconv.rules.pooling import MAX_POOL, pool_of
from deconv.run import Run, evaluating, flat, held

IMAGE = -1
"""Stands for the image among the inputs of an operation."""


@dataclass(frozen=True)
class Ran:
    """One operation on values that come from the image.

    name: of the module that it is, or of where it stands and its function. point: the name under
    which its value is read. operation: its entry of the table, None where there is none. what: type
    or function, for messages. module: the module without parts that ran it. inputs: indices of the
    operations whose values it took; IMAGE is the image. shape: of its value without the batch axis.
    channels_last: whether its value is N×H×W×C. call: the function with its arguments, None in the
    place of each tensor; None for a stage of a chain.
    """

    name: str
    point: str
    operation: Operation | None
    what: str
    module: nn.Module | None
    inputs: tuple[int, ...]
    shape: tuple[int, ...]
    channels_last: bool = False
    call: Call | None = None

    @property
    def activates(self) -> bool:
        """Whether it is an activation function."""
        return self.operation is not None and self.operation.activates

    @property
    def pools(self) -> bool:
        """Whether it is a max-pool."""
        return self.operation is not None and self.operation.name == "unpool"

    @property
    def has_weights(self) -> bool:
        """Whether it is a filter of a module's."""
        return isinstance(self.module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear)

    @property
    def known(self) -> bool:
        """Whether the deconvnet has a rule for it."""
        return self.operation is not None and self.operation.known


@dataclass(frozen=True)
class Value:
    """A value with a name.

    key: which call of a module or function makes it. index: of the operation that made it, None if
    none was seen to. shape: without the batch axis, () for several tensors. why_not: why it is no
    point to read, "" if it is one.
    """

    key: str
    index: int | None
    shape: tuple[int, ...]
    why_not: str


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


class _Lister(Reader):
    """Note everything that runs. Values are kept alive, so that each has an identity of its own."""

    def __init__(self, run_of: Any) -> None:
        super().__init__((), False)
        self.run: Run = run_of
        self.ran: list[Ran] = []
        self.found: dict[str, tuple[Any, int | None]] = {}
        self.functions: dict[str, tuple[Any, int | None]] = {}
        self.made_by: dict[int, int] = {}
        self._alive: list[torch.Tensor] = []

    def image(self, images: torch.Tensor) -> None:
        self.made_by[id(images)] = IMAGE
        self._alive.append(images)

    def called(self, call: Call, operation: Operation | None, where: str, value: Any) -> None:
        key = self.key(f"{where}()")
        taken = [x for x in flat((call.args, tuple(call.kwargs.values()))) if x.requires_grad]
        if call.name == "setitem":
            value = call.input
        made = [x for x in flat((value,)) if x.requires_grad]
        if not taken or not made:
            return
        last = len(self.ran) - 1
        inputs = dict.fromkeys(self.made_by.get(id(x), last) for x in taken)
        _, module = self.run.running
        leaf = module if module is not None and not [*module.children()] else None
        shape = tuple(made[0].shape[1:])
        first = self.ran[inputs_first] if (inputs_first := next(iter(inputs))) >= 0 else None
        self.ran.append(
            Ran(
                name=where,
                point=key,
                operation=operation,
                what=self.run.what(call),
                module=leaf,
                inputs=tuple(inputs),
                shape=shape,
                channels_last=len(shape) == 3 and _channels_last(call, first),
                call=_without_tensors(call),
            )
        )
        for x in made:
            self.made_by[id(x)] = len(self.ran) - 1
            self._alive.append(x)
        self.found[key] = self.functions[key] = (value, len(self.ran) - 1)

    def left(self, name: str, module: nn.Module, value: Any) -> None:
        key = self.key(name)
        index = self.made_by.get(id(value))
        self.found[key] = (value, index)
        if isinstance(value, torch.Tensor):
            self._alive.append(value)
        if index is not None and index >= 0 and not [*module.children()]:
            self.ran[index] = replace(self.ran[index], name=name, point=key, module=module)


def _without_tensors(call: Call) -> Call:
    def plain(x: Any) -> Any:
        return None if isinstance(x, torch.Tensor | list | tuple) and [*flat((x,))] else x

    kwargs = {name: plain(x) for name, x in call.kwargs.items()}
    return Call(call.func, tuple(map(plain, call.args)), kwargs, call.arguments)


def _channels_last(call: Call, below: Ran | None) -> bool:
    """Whether a value of four dimensions is N×H×W×C, by what made it."""
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


@dataclass(frozen=True)
class Calls:
    """One forward pass: its operations in running order, its values by name, the name of each call
    of a function by key, its answer."""

    ran: tuple[Ran, ...]
    values: dict[str, Value]
    names: dict[str, str]
    answer: Any = None

    def index(self, layer: str) -> int:
        """The operation that a layer with weights is."""
        return next(i for i, ran in enumerate(self.ran) if ran.name == layer)

    def activation(self, start: int) -> str | None:
        """The point of the first activation function at or behind an operation that still has its
        maps; normalisations, sums and the like may lie between."""
        reached = {start}
        for index, ran in enumerate(self.ran):
            beside = not reached & set(ran.inputs) or ran.shape != self.ran[start].shape
            if index != start and beside:
                continue
            if ran.activates and ran.point in self.values:
                return ran.point
            if index != start and ran.known and not ran.pools and not ran.has_weights:
                reached.add(index)
        return None

    def needed(self, index: int) -> set[int]:
        """The operations that one depends on, itself included."""
        found, stack = set(), [index]
        while stack:
            at = stack.pop()
            if at >= 0 and at not in found:
                found.add(at)
                stack += self.ran[at].inputs
        return found


def list_calls(module: nn.Module, images: torch.Tensor) -> Calls:
    """Run a module once in evaluation mode and list what ran. images: a batch that it can take."""
    run = Run(module=module)
    lister = _Lister(run)
    run.watch, run.left = lister.called, lister.left
    pixels = images.detach().clone().requires_grad_()
    with torch.enable_grad(), evaluating(module), held(module):
        given = pixels.clone()  # a leaf could not be written in place
        lister.image(given)
        with run:
            answer = module(given)
    names = _names(lister)
    ran = tuple(
        replace(one, name=names.get(one.point, one.name), point=names.get(one.point, one.name))
        for one in lister.ran
    )
    values = {
        names[key]: _value(key, value, index, ran, len(images))
        for key, (value, index) in lister.found.items()
        if key in names
    }
    by_function = {
        key: ran[index].name for key, (_, index) in lister.functions.items() if index is not None
    }
    return Calls(ran, values, by_function, answer)


def _names(lister: _Lister) -> dict[str, str]:
    """Key -> the name that people use: numbered where several calls share it.

    A function whose value is that of the module that ran it bears the module's name.
    """
    keys, own = lister.found, {ran.point for ran in lister.ran}
    modules = {key.rpartition(":")[0] for key in keys if not _is_function(key)}
    names: dict[str, str] = {}
    for key in keys:
        name, _, number = key.rpartition(":")
        if not name or (_is_function(key) and key not in own):
            continue
        if _is_function(key):
            name = name.removesuffix("()")
            if name in modules:
                head, _, function = name.rpartition(".")
                name = f"{head}.F.{function}" if head else f"F.{function}"
        names[key] = (name, number)
    many = Counter(name for name, _ in names.values())
    times = {key: f"{name}:{number}" if many[name] > 1 else name
             for key, (name, number) in names.items()}  # fmt: skip
    return times


def _is_function(key: str) -> bool:
    return key.rpartition(":")[0].endswith("()")


def _value(key: str, value: Any, index: int | None, ran: tuple[Ran, ...], batch: int) -> Value:
    if not isinstance(value, torch.Tensor):
        return Value(key, index, (), "its value is several tensors")
    shape = tuple(value.shape[1:])
    said = "×".join(map(str, ("N", *shape)))
    why = ""
    if not value.is_floating_point() or len(value.shape) not in (2, 4) or len(value) != batch:
        why = f"its value has shape {'×'.join(map(str, value.shape))}"
        if len(shape) == 2:
            why = f"its values are tokens {said}, no maps with rows and columns"
    elif index is not None and index >= 0 and ran[index].channels_last:
        why = f"its values are {said} with the channels last, no maps N×C×H×W"
    return Value(key, index, shape, why)


class Placed:
    """Where a network's numbers are, and of what type: its parameters', or its buffers'."""

    @property
    def device(self) -> torch.device:
        """Where images go; the CPU for a network without parameters and buffers."""
        return self._some.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the images that it takes."""
        return self._some.dtype

    @property
    def _some(self) -> torch.Tensor:
        both = (*self.parameters(), *self.buffers())
        return next((one for one in both if one.is_floating_point()), torch.zeros(0))
