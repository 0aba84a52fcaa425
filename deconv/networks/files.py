"""Networks that a function in a file of the user's makes."""

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
    """The module that "path.py:function" makes.

    The function is called with num_classes if that is known and it has an argument of that name,
    else with nothing. Raises DeconvError for what is not there, and for a file or function that
    fails.
    """
    path, colon, factory = where.rpartition(":")
    if not colon or not Path(path).is_file():
        raise DeconvError(
            f"file:{where} is not file:<path.py>:<function>, or there is no such file"
        )
    make = _function(Path(path), factory)
    try:
        takes = inspect.signature(make).parameters
        told = num_classes is not None and "num_classes" in takes
        module = make(num_classes=num_classes) if told else make()
    except Exception as error:  # the file is not ours: whatever it raises is its own
        raise DeconvError(f"{factory}() of {path} fails: {_said(error)}") from error
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
    """The file as a module, under a name of its own so that it hides no package."""
    name = f"_deconv_file_{zlib.crc32(str(path.resolve()).encode()):08x}_{path.stem}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise DeconvError(f"{path} is no Python file: its name has to end in .py")
    code = importlib.util.module_from_spec(spec)
    sys.modules[name] = code  # dataclasses and others look their module up there
    try:
        # Not by the loader: it would take what it compiled before, if a change is a second old.
        exec(compile(path.read_bytes(), str(path), "exec"), vars(code))
    except Exception as error:
        del sys.modules[name]
        if isinstance(error, ModuleNotFoundError):
            raise DeconvError(
                f"{path} needs the package {error.name}: install it, or put the folder that it "
                "lies in on PYTHONPATH"
            ) from error
        raise DeconvError(f"{path} cannot be run: {_said(error)}") from error
    return code


def _said(error: Exception) -> str:
    return f"{type(error).__name__}: {error}"
