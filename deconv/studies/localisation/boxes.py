"""Localisation of one projection: shares of its energy and of its field's area inside boxes.

Energy is the sum of squares over channels and pixels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from deconv.deconvnet.projection import project
from deconv.errors import DeconvError
from deconv.fields import receptive_field
from deconv.networks import Network
from deconv.records import Box, Record
from deconv.scenes import Scene
from deconv.studies.boxes import in_crop

Shares = Mapping[str, tuple[float, float]]
"""Part name -> (share of a projection's energy, share of the field's area) inside its boxes."""


def union(boxes: Iterable[Box], height: int, width: int) -> torch.Tensor:
    """height×width bool: the pixels inside any of the boxes."""
    inside = torch.zeros(height, width, dtype=torch.bool)
    for top, left, bottom, right in boxes:
        inside[top:bottom, left:right] = True
    return inside


def energy_share(pixels: torch.Tensor, inside: torch.Tensor) -> float:
    """The share of a projection's energy (3×H×W) inside a mask (H×W bool), 0…1.

    Raises:
        DeconvError: for a blank projection, as of a dead unit.
    """
    energy = pixels.double().square().sum(dim=0)
    total = float(energy.sum())
    if total == 0:
        raise DeconvError("a blank projection has no energy to look for: leave dead units out")
    return float(energy[inside.to(energy.device)].sum()) / total


def area_share(field: Box, inside: torch.Tensor) -> float:
    """The share of a receptive field's area inside a mask (H×W bool): the chance level."""
    top, left, bottom, right = field
    if bottom <= top or right <= left:
        raise DeconvError(f"the field {field} is empty")
    return float(inside[top:bottom, left:right].double().mean())


@dataclass(frozen=True)
class Truth:
    """Ground-truth masks of one network input, H×W bool: of the object, and of parts by name."""

    object: torch.Tensor
    parts: dict[str, torch.Tensor]


def truth_of(scene: Scene, crop_px: int) -> Truth:
    """Make the masks of a scene, a stored square, in its centre crop, without parts outside it."""
    stored_px = len(scene.image)
    boxes: dict[str, list[Box]] = defaultdict(list)
    for part in scene.parts:
        boxes[part.name].append(in_crop(part.box, stored_px, crop_px))
    parts = {name: union(some, crop_px, crop_px) for name, some in boxes.items()}
    whole = union([in_crop(scene.box, stored_px, crop_px)], crop_px, crop_px)
    return Truth(whole, {name: mask for name, mask in parts.items() if mask.any()})


@dataclass(frozen=True)
class Located:
    """(Share of a projection's energy, share of its field's area) inside boxes.

    object: inside the object's. parts: part name -> inside all boxes of that part.
    """

    object: tuple[float, float]
    parts: Shares


def locate(
    net: Network,
    record: Record,
    layer: str,
    units: torch.Tensor,
    truths: Sequence[Truth],
    **options: Any,
) -> list[Located]:
    """Project units of recorded images and locate each projection.

    Args:
        units: K×4 as for `project`, none dead.
        truths: one for each recorded image.
        options: those of `project`.
    """
    height, width = record.images.shape[2:]
    found = []
    painted = project(net, record, layer, units, **options)
    for pixels, (image, _, y, x) in zip(painted.cpu(), units.tolist(), strict=True):
        field = receptive_field(net, layer, y, x, (height, width))
        truth = truths[image]
        masks = {"": truth.object} | truth.parts
        shares = {
            name: (energy_share(pixels, mask), area_share(field, mask))
            for name, mask in masks.items()
        }
        found.append(Located(shares.pop(""), shares))
    return found
