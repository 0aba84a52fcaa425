"""The table of operations: one entry each, with everything that the library knows about it.

A deconvnet, guided backpropagation, a receptive field and a network with rounded corners are the
same thing: the module's own forward pass with some operations redefined, and autograd for the way
down. `deconv.rules.run.Run` is that pass. To add an operation, write its `Operation` in the file of
its kind and list it in the tuple at the end of that file.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn

from deconv.rules.arithmetic import BENDING, LINEAR_ARITHMETIC
from deconv.rules.filters import FILTERS
from deconv.rules.normalisation import NORMALISATION
from deconv.rules.operation import (
    FIELD,
    ROUNDED,
    RULES,
    Below,
    Call,
    Operation,
    flat,
    function_name,
)
from deconv.rules.pooling import POOLING
from deconv.rules.rectification import RECTIFICATION
from deconv.rules.shape import SHAPE

__all__ = [
    "FIELD",
    "ROUNDED",
    "RULES",
    "TABLE",
    "Below",
    "Call",
    "Operation",
    "find",
    "flat",
    "of_module",
]

TABLE: tuple[Operation, ...] = (
    *RECTIFICATION,
    *POOLING,
    *NORMALISATION,
    *FILTERS,
    *SHAPE,
    *LINEAR_ARITHMETIC,
    *BENDING,  # last: these take the calls that no entry above applies to
)

_BY_NAME: dict[str, list[tuple[Operation, tuple[str, ...]]]] = {}
for _operation in TABLE:
    for _name, _arguments in _operation.functions.items():
        _BY_NAME.setdefault(_name, []).append((_operation, tuple(_arguments.split())))


def find(
    func: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[Call, Operation | None]:
    """Look up the entry of a PyTorch function call; None where there is none."""
    call = Call(func, args, kwargs)
    for operation, arguments in _BY_NAME.get(function_name(func), ()):
        call = Call(func, args, kwargs, arguments)
        if operation.applies(call):
            return call, operation
    return call, None


def of_module(module: nn.Module) -> Operation | None:
    """Look up the entry of a module; None where the module is not one operation of the table."""
    for operation in TABLE:
        if isinstance(module, operation.modules) and operation.applies_to(module):
            return operation
    return None
