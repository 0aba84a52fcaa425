"""Validation of integers from Python, numpy and PyTorch; bools and floats are refused."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch

from deconv.errors import DeconvError


def whole_number(value: Any, name: str, least: int | None = None) -> int:
    """Convert a Python or numpy integer, or a 0-d integer tensor, to int.

    Raises:
        DeconvError: naming `name`, for anything else and for less than `least`.
    """
    try:
        if "bool" in str(getattr(value, "dtype", type(value))) or getattr(value, "ndim", 0) > 0:
            raise TypeError
        number = operator.index(value)
    except TypeError as error:
        raise DeconvError(f"{name} takes whole numbers, got {value!r}") from error
    if least is not None and number < least:
        raise DeconvError(f"{name} must be at least {least}, got {number}")
    return number


def whole_numbers(values: object, name: str) -> torch.Tensor:
    """Convert a tensor, an array or a (nested) sequence of integers to an int64 tensor.

    Raises:
        DeconvError: naming `name`, for anything else and for rows of unequal lengths.
    """
    if isinstance(values, Sequence) and not isinstance(values, str):
        rows = [whole_numbers(value, name) for value in values]
        if len({row.shape for row in rows}) > 1:
            raise DeconvError(f"{name} takes rows of one length, got {values!r}")
        return torch.stack(rows) if rows else torch.zeros(0, dtype=torch.int64)
    if isinstance(values, np.ndarray) and values.dtype.kind in "iu":
        return torch.from_numpy(values.astype(np.int64))
    if isinstance(values, torch.Tensor | np.ndarray):
        if isinstance(values, torch.Tensor) and not (
            values.is_floating_point() or values.is_complex() or values.dtype == torch.bool
        ):
            return values.long()
        raise DeconvError(f"{name} must be integers, got {values.dtype}")
    return torch.tensor(whole_number(values, name))
