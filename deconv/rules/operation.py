"""One entry of the table: all that the library knows of one operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from deconv.fields import Window

RULES = ("deconvnet", "guided", "gradient")
"""What happens to a signal on its way down; the paper's is the first. "guided" is guided
backpropagation (Springenberg et al. 2015), "gradient" plain backpropagation (Simonyan et al. 2014):
to compare with."""
FIELD, ROUNDED = "field", "rounded"
"""Two more ways to run a network: for its receptive fields, and with rounded corners."""


@dataclass(frozen=True)
class Call:
    """One call of a function of PyTorch's, with its arguments as they were written.

    arguments: the function's parameter names in their order, as far as rules ask for them.
    """

    func: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    arguments: tuple[str, ...] = ("input",)

    def get(self, name: str, default: Any = None) -> Any:
        """Look up an argument, given by its name or by its place."""
        if name in self.kwargs:
            return self.kwargs[name]
        place = self.arguments.index(name) if name in self.arguments else len(self.args)
        return self.args[place] if place < len(self.args) else default

    @property
    def input(self) -> Any:
        """The first argument."""
        return self.args[0] if self.args else self.kwargs.get("input")

    @property
    def name(self) -> str:
        """The function's name without what tells spellings apart: torch.relu, Tensor.relu_ and
        F.relu are all relu; +, += and torch.add are add."""
        return function_name(self.func)

    @property
    def in_place(self) -> bool:
        """Whether it writes its result into its first argument."""
        name = getattr(self.func, "__name__", "")
        dunder = name.startswith("__")
        own = name.startswith("__i") and name != "__invert__" if dunder else name.endswith("_")
        return own or bool(self.get("inplace", False))

    def run(self) -> Any:
        """Compute what PyTorch computes."""
        return self.func(*self.args, **self.kwargs)

    def run_with(self, **changed: Any) -> Any:
        """Compute it with other arguments."""
        kwargs = dict(self.kwargs) | dict(zip(self.arguments, self.args, strict=False)) | changed
        rest = self.args[len(self.arguments) :]
        first = [kwargs.pop(name) for name in self.arguments if name in kwargs] if rest else []
        return self.func(*first, *rest, **kwargs)

    def write(self, value: torch.Tensor) -> torch.Tensor:
        """Return the value, put into the first argument if the function works in place."""
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
    """Name a function of PyTorch's, whichever way it is spelled."""
    name = getattr(func, "__name__", type(func).__name__)
    if name == "__get__":  # x.T, x.real
        name = getattr(func, "__self__", func).__name__
    name = name.strip("_")
    return _SPELLINGS.get(name, name)


@dataclass(frozen=True)
class Below:
    """What a stage of a chain needs to know to send a signal back down.

    shape: of the stage's input, without the batch axis. switches: K×C×h×w of the K signals'
    images, for a pool. collisions: the policy for shared switches.
    """

    shape: tuple[int, ...]
    switches: torch.Tensor | None
    collisions: str


def always(_: Any) -> bool:
    """Apply whatever the arguments."""
    return True


@dataclass(frozen=True)
class Operation:
    """What one operation is called, and what it does on every way through a network.

    name: of its step on the way down: "unpool", "rectify", "filter", … (see `deconv.trace`).
    functions: name -> its parameters' names in their order, separated by spaces. PyTorch's
        functions, methods and operators of that name are this operation if `applies` to the call.
    modules: the modules that are it, if `applies_to` the module.
    ways: by rule (RULES, FIELD, ROUNDED), what runs in its place: (call, run) -> value. Where there
        is none, the function itself runs, and its own derivative is the way down.
    known: whether its own derivative is what the deconvnet wants. If not, a signal that crosses it
        is reported with `NoRuleWarning`.
    activates: whether it is an activation function: what stands below it is a pre-activation.
    mirror: how a chain's mirror undoes it: (stage, signal K×…, below) -> the signal below.
    window: the sliding window of such a module; None where each position stands for itself.
    prefix: of the names of such stages in a chain: conv1, relu1, …
    """

    name: str
    functions: Mapping[str, str] = field(default_factory=dict)
    modules: tuple[type[nn.Module], ...] = ()
    applies: Callable[[Call], bool] = always
    applies_to: Callable[[Any], bool] = always
    ways: Mapping[str, Callable[[Call, Any], Any]] = field(default_factory=dict)
    known: bool = True
    activates: bool = False
    mirror: Callable[[Any, torch.Tensor, Below], torch.Tensor] | None = None
    window: Callable[[Any], Window] | None = None
    prefix: str = ""


def passed(stage: Any, signal: torch.Tensor, below: Below) -> torch.Tensor:
    """Leave a signal as it is: the mirror of what the deconvnet skips."""
    return signal


def same_place(call: Call, run: Any) -> torch.Tensor:
    """Let each position look at itself alone (FIELD)."""
    return call.input if call.in_place else call.input.clone()
