"""What the answers to "what does this unit look for?" have in common: their form and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from deconv.unit_function import UnitFunction
from experiments.single_unit import Subject


@dataclass
class Answer:
    """arrays: name -> array to save. facts: for the sidecar. rows: of table.csv."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


def as_pictures(
    one: Subject, unit: UnitFunction, images: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Patches as a person sees them, the mean added: K×3×h×w uint8; and the share cut at 0…255."""
    top, left, bottom, right = unit.box
    seen = images.float().cpu() + one.mean()[:, top:bottom, left:right]
    clipped = ((seen < 0) | (seen > 255)).flatten(1).float().mean(dim=1)
    return seen.clamp(0, 255).round().byte().numpy(), clipped.numpy()


def unit_note(facts: dict[str, Any]) -> str:
    """The note beside the title: which unit, and how much of the image it sees."""
    unit = facts["ascent"]["unit"]
    top, left, bottom, right = unit["box"]
    clipped = "" if unit["interior"] else ", all of the image or cut at its border"
    return f"unit ({unit['y']}, {unit['x']}) sees {bottom - top}×{right - left} px{clipped}"
