"""What is known of where the positions of a value lie and what they look at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch

from deconv.geometry import AnyAxis, WholeAxis

Place = tuple[int, int]
MAPS, LAST = (2, 3), (1, 2)
"""Where rows and columns lie in N×C×H×W and in N×H×W×C."""


@dataclass(frozen=True)
class Sight:
    """at: the dimensions of rows and columns; None for vectors N×C, and where it is not known.
    axes: the window along rows and columns, None where every position stands for itself.
    whole: whether a normalisation looks at the whole map. why: "" or why the rest is not known.
    """

    at: Place | None
    axes: tuple[AnyAxis | None, AnyAxis | None] = (None, None)
    whole: bool = False
    why: str = ""


WHOLE = (WholeAxis(), WholeAxis())


def dims(value: Any) -> int:
    part = value[0] if isinstance(value, tuple | list) and value else value
    return part.dim() if isinstance(part, torch.Tensor) else 0


def extent(value: Any, at: Place | None) -> Place | None:
    """Rows and columns of a value, the same of all parts of it; vectors have one position."""
    found = set()
    for part in value if isinstance(value, tuple | list) else (value,):
        if not isinstance(part, torch.Tensor) or (at is None and part.dim() != 2):
            return None
        found.add((1, 1) if at is None else (part.shape[at[0]], part.shape[at[1]]))
    return found.pop() if len(found) == 1 else None


def layer_norm(normalised: int, first: torch.Tensor, at: Place | None) -> Sight:
    """Layer normalisation over the last dimensions: of maps alone it leaves positions alone."""
    return Sight(at, whole=at is not None and at[1] >= first.dim() - normalised)


def revived(value: torch.Tensor) -> Place | None:
    """Of what has one position: whether it is a vector or maps of 1×1."""
    return MAPS if value.dim() == 4 and value.shape[2:] == (1, 1) else None


def lost(reason: str) -> Sight:
    return Sight(None, why=reason)
