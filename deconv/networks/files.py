"""Networks made by a function in a user's file."""

from __future__ import annotations

import importlib.util
import inspect
import sys
import zlib
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from torch import nn

from deconv.errors import DeconvError, unknown


def made_by_file(where: str, num_classes: int | None) -> nn.Module:
    """Make the module of "path.py:function".

    num_classes is passed if it is given and the function has an argument of that name.

    Raises:
        DeconvError: for a missing file or function, and for one that fails.
    """
    path, colon, factory = where.rpartition(":")
    if not colon or not Path(path).is_file():
        raise DeconvError(
            f"file:{where} is not file:<path.py>:<function>, or there is no such file"
        )
    make = _function(Path(path), factory)
    try:
        has_argument = "num_classes" in inspect.signature(make).parameters
        if num_classes is not None and has_argument:
            module = make(num_classes=num_classes)
        else:
            module = make()
    except Exception as error:  # a user's file may raise anything
        raise DeconvError(f"{factory}() of {path} fails: {_describe(error)}") from error
    if not isinstance(module, nn.Module):
        raise DeconvError(f"{factory}() of {path} made a {type(module).__name__}, not a module")
    return module


def _function(path: Path, name: str) -> Callable[..., Any]:
    code = _run(path)
    found = getattr(code, name, None)
    if not callable(found):
        functions = [n for n, v in vars(code).items() if callable(v) and not n.startswith("_")]
        raise unknown(f"function of {path}", name, functions)
    return found


def _run(path: Path) -> ModuleType:
    """Import a file under a unique name, so that it shadows no package."""
    name = f"_deconv_file_{zlib.crc32(str(path.resolve()).encode()):08x}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise DeconvError(f"{path} is no Python file: its name has to end in .py")
    code = importlib.util.module_from_spec(spec)
    sys.modules[name] = code  # dataclasses and others look up their module there
    try:
        # Not by the loader, whose bytecode cache misses an edit within the same second.
        exec(compile(path.read_bytes(), str(path), "exec"), vars(code))
    except Exception as error:
        del sys.modules[name]
        if isinstance(error, ModuleNotFoundError):
            raise DeconvError(
                f"{path} needs the package {error.name}: install it, or put the folder that it "
                "lies in on PYTHONPATH"
            ) from error
        raise DeconvError(f"{path} cannot be run: {_describe(error)}") from error
    return code


def _describe(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
