"""The entry type of the table: everything that the library knows about one operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from deconv.fields import Window

RULES = ("deconvnet", "guided", "gradient")
"""How a signal goes down. "deconvnet" is the paper's; for comparison, "guided" is guided
backpropagation (Springenberg et al. 2015) and "gradient" plain backpropagation (Simonyan et al.
2014)."""
FIELD, ROUNDED = "field", "rounded"
"""Two more rules: for receptive fields, and for a network with rounded corners."""


@dataclass(frozen=True)
class Call:
    """One call of a PyTorch function, with its arguments as written.

    arguments: the function's leading parameter names in order, as far as rules need them.
    """

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    arguments: tuple[str, ...] = ("input",)

    def get(self, name: str, default: Any = None) -> Any:
        """Look up an argument, whether passed by keyword or by position."""
        if name in self.kwargs:
            return self.kwargs[name]
        position = self.arguments.index(name) if name in self.arguments else len(self.args)
        return self.args[position] if position < len(self.args) else default

    @property
    def tensors(self) -> list[torch.Tensor]:
        """All tensors among the arguments, also those in tuples and lists."""
        return [*flat((self.args, tuple(self.kwargs.values())))]

    @property
    def input(self) -> Any:
        """The first argument."""
        return self.args[0] if self.args else self.kwargs.get("input")

    @property
    def name(self) -> str:
        """The canonical function name: torch.relu, Tensor.relu_ and F.relu are all relu; +, += and
        torch.add are add."""
        return function_name(self.func)

    @property
    def in_place(self) -> bool:
        """Whether the result is written into the first argument."""
        name = getattr(self.func, "__name__", "")
        dunder = name.startswith("__")
        own = name.startswith("__i") and name != "__invert__" if dunder else name.endswith("_")
        return own or bool(self.get("inplace", False))

    def run(self) -> Any:
        """Call the function as written."""
        return self.func(*self.args, **self.kwargs)

    def run_with(self, **changed: Any) -> Any:
        """Call the function with some arguments replaced."""
        kwargs = dict(self.kwargs) | dict(zip(self.arguments, self.args, strict=False)) | changed
        rest = self.args[len(self.arguments) :]
        first = [kwargs.pop(name) for name in self.arguments if name in kwargs] if rest else []
        return self.func(*first, *rest, **kwargs)

    def write(self, value: torch.Tensor) -> torch.Tensor:
        """Return a value, written into the first argument if the function works in place."""
        return self.input.copy_(value) if self.in_place else value


_SPELLINGS = {
    "truediv": "div",
    "subtract": "sub",
    "multiply": "mul",
    "divide": "div",
    "radd": "add",
    "rmul": "mul",
    "iadd": "add",
    "isub": "sub",
    "imul": "mul",
    "itruediv": "div",
    "ipow": "pow",
    "rtruediv": "reciprocal",
}


def flat(values: Any) -> Iterator[torch.Tensor]:
    """Yield the tensors in nested tuples and lists."""
    for value in values:
        if isinstance(value, torch.Tensor):
            yield value
        elif isinstance(value, tuple | list):
            yield from flat(value)


def function_name(func: Callable[..., Any]) -> str:
    """Give the canonical name of a PyTorch function, method or operator."""
    name = getattr(func, "__name__", type(func).__name__)
    if name == "__get__":  # x.T, x.real
        name = getattr(func, "__self__", func).__name__
    name = name.strip("_")
    return _SPELLINGS.get(name, name)


@dataclass(frozen=True)
class Below:
    """What a stage of a chain needs for sending a signal down.

    shape: of the stage's input, without the batch axis. switches: for a pool, K×C×h×w of the K
    signals' images. collisions: the policy for shared switches.
    """

    shape: tuple[int, ...]
    switches: torch.Tensor | None
    collisions: str


def _always(_: Any) -> bool:
    return True


@dataclass(frozen=True)
class Operation:
    """One operation: how it is recognised and what it does under each rule.

    name: of its step on the way down: "unpool", "rectify", "filter", … (see `deconv.trace`).
    functions: canonical function name -> parameter names in order, separated by spaces. A call of
        such a function is this operation if `applies(call)`.
    modules: module types that are this operation if `applies_to(module)`.
    ways: rule (RULES, FIELD, ROUNDED) -> (call, run) -> value, run instead of the function. Without
        one the function itself runs, and its own derivative is the way down.
    known: whether its own derivative is what the deconvnet wants; if not, a signal that crosses it
        is reported with `NoRuleWarning`.
    activates: whether it is an activation function, so that its input is a pre-activation.
    mirror: how a chain's mirror undoes it: (stage, signal K×…, below) -> the signal below.
    window: the sliding window of such a module; None for pointwise operations.
    prefix: of the names of such stages in a chain: conv1, relu1, …
    """

    name: str
    functions: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[type[nn.Module], ...] = ()
    applies: Callable[[Call], bool] = _always
    applies_to: Callable[[Any], bool] = _always
    ways: Mapping[str, Callable[[Call, Any], Any]] = field(default_factory=dict)
    known: bool = True
    activates: bool = False
    mirror: Callable[[Any, torch.Tensor, Below], torch.Tensor] | None = None
    window: Callable[[Any], Window] | None = None
    prefix: str = ""


def passed(stage: Any, signal: torch.Tensor, below: Below) -> torch.Tensor:
    """Pass a signal unchanged: the mirror of what the deconvnet skips."""
    return signal


def same_place(call: Call, run: Any) -> torch.Tensor:
    """Make each position depend on itself alone (FIELD)."""
    return call.input if call.in_place else call.input.clone()
