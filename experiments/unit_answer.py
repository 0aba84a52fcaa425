"""What the answers to "what does this unit look for?" have in common: their form and pictures."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from deconv.studies.single_unit.unit_function import UnitFunction
from experiments.kit.provenance import write_provenance, write_table
from experiments.single_unit import Subject, common_facts


@dataclass
class Answer:
    """arrays: name -> array to save. facts: for the sidecar. rows: of table.csv."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


SAVED = ("arrays.npz", "table.csv", "provenance.json", "config.yaml")
"""The files that a page about one unit is drawn from."""


def save(cfg: DictConfig, folder: Path, one: Subject, figure: str, **answers: Answer) -> None:
    """Write arrays.npz, table.csv and provenance.json of some answers.

    figure: what the page is. answers: by the name that their facts have in the sidecar; their rows
    follow one another in this order, and their arrays have names of their own.
    """
    arrays = {name: array for answer in answers.values() for name, array in answer.arrays.items()}
    np.savez_compressed(folder / "arrays.npz", **arrays)
    write_table(folder / "table.csv", [row for answer in answers.values() for row in answer.rows])
    facts = {"figure": figure} | {name: answer.facts for name, answer in answers.items()}
    write_provenance(folder, one.net, facts | common_facts(cfg, one))


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
