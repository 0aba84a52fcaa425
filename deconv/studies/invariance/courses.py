"""Responses of many images under one transform, scored image by image (§4.1, Fig. 5)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from deconv.networks import Network
from deconv.studies.invariance.response import transform_response
from deconv.studies.invariance.scores import at_angles, line, over_sides, sharp, value_at
from deconv.studies.invariance.scores import sides as sides_of
from deconv.studies.invariance.warping import IDENTITY

LAYERS = ("layer1", "layer7")
RIGHT, DIAGONAL = [90.0, 180.0, 270.0], [45.0, 135.0, 225.0, 315.0]

Scores = Mapping[str, Mapping[str, np.ndarray]]
"""Kind of transform -> measure -> one value per image."""


@dataclass(frozen=True)
class Course:
    """Responses of N images under T amounts of one transform, at a lower and an upper layer.

    distance: N×T feature distances of each layer. norm: N norms of the untransformed features of
    each layer. probability: N×T of the true class; clean: N, untransformed.
    """

    kind: str
    amounts: np.ndarray
    distance: tuple[np.ndarray, np.ndarray]
    norm: tuple[np.ndarray, np.ndarray]
    probability: np.ndarray
    clean: np.ndarray

    def kept(self) -> np.ndarray:
        """N×T: the probability as a share of the untransformed image's."""
        clean = np.where(self.clean > 0, self.clean, math.nan)
        return self.probability / clean[:, None]

    def relative(self, layer: int) -> np.ndarray:
        """N×T: the distance over the norm of the untransformed vector; NaN where that is 0."""
        norm = np.where(self.norm[layer] > 0, self.norm[layer], math.nan)
        return self.distance[layer] / norm[:, None]

    def arrays(self) -> dict[str, np.ndarray]:
        """Return all fields as named arrays."""
        out = {"amounts": self.amounts, "probability": self.probability, "clean": self.clean}
        for i, name in enumerate(LAYERS):
            out |= {f"{name}/distance": self.distance[i], f"{name}/norm": self.norm[i]}
        return out


def course(
    net: Network,
    images: Sequence[tuple[torch.Tensor, int]],
    mean: torch.Tensor,
    kind: str,
    amounts: np.ndarray,
    layers: Sequence[str],
    fill: str,
) -> Course:
    """Measure N images (stored square, true class) under one transform, see `transform_response`.

    layers: lower and upper.
    """
    every = [
        transform_response(net, image, mean, target, kind, amounts.tolist(), layers, fill)
        for image, target in images
    ]
    lower, upper = (torch.stack([r.distance[name] for r in every]).numpy() for name in layers)
    below, above = (np.array([r.norm[name] for r in every]) for name in layers)
    return Course(
        kind,
        amounts,
        (lower, upper),
        (below, above),
        torch.stack([r.probability for r in every]).double().numpy(),
        np.array([r.clean[0] for r in every]),
    )


def sides(kind: str, amounts: np.ndarray) -> list[tuple[np.ndarray, np.ndarray]]:
    """The directions away from a transform's identity, see `scores.sides`."""
    return sides_of(amounts, IDENTITY[kind], 360.0 if kind == "rotation" else None)


def image_scores(course: Course) -> dict[str, np.ndarray]:
    """Score each image: measure -> N values.

    line, sharp: see `scores`. half: the relative distance at half the range. kept: the mean share
    of the probability kept over all amounts but the identity. For rotation also right_angles: the
    share kept at 90, 180 and 270° minus that at 45, 135, 225 and 315°; and dip: layer 7's relative
    distance at the diagonals minus that at the right angles.
    """
    ways = sides(course.kind, course.amounts)
    scores = {}
    for i, name in enumerate(LAYERS):
        scores[f"{name}/line"] = over_sides(line, course.distance[i], ways)
        scores[f"{name}/sharp"] = over_sides(sharp, course.distance[i], ways)
        scores[f"{name}/half"] = over_sides(
            lambda x, d: value_at(x, d, 0.5), course.relative(i), ways
        )
    kept = course.kept()
    scores["kept"] = kept[:, course.amounts != IDENTITY[course.kind]].mean(axis=1)
    if course.kind == "rotation":
        scores["right_angles"] = _over_diagonals(course.amounts, kept)
        scores["dip"] = -_over_diagonals(course.amounts, course.relative(1))
    return scores


def _over_diagonals(amounts: np.ndarray, curves: np.ndarray) -> np.ndarray:
    """The mean at right angles minus that at diagonals."""
    right, diagonal = (at_angles(amounts, curves, angles) for angles in (RIGHT, DIAGONAL))
    return right.mean(axis=1) - diagonal.mean(axis=1)
