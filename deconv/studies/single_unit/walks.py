"""Walks on the sphere from a unit's best image: how far it may change before the activation falls.

Directions are eigenvectors of the smooth unit's Hessian; activations along them are the network's
own. Random directions are the baseline that tests Zeiler & Fergus's claim that a quadratic form is
too simple for high layers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from deconv.studies.single_unit.hessian_invariance import (
    Directions,
    curves,
    fall_deg,
    hessian_directions,
    random_tangents,
)
from deconv.studies.single_unit.max_activation import max_activation, slope_of, value_and_gradient
from deconv.studies.single_unit.smoothing import smoothed
from deconv.studies.single_unit.unit_function import UnitFunction

FALL = 0.8
"""Share of the activation at x⁺ below which it has fallen."""
REFINE_DEG = 3.0
"""First angle of the ascent that refines the best image."""
HALF, RANDOM = 30, 8
"""Angles on each side of x⁺; random directions."""


@dataclass(frozen=True)
class Walks:
    """The unit along K eigenvectors of the Hessian, and along random directions.

    optimum: x⁺, 1×3×h×w. rounded_value, value: of the smooth unit and of the unit there. slope: of
    the smooth unit there, see `Ascent`. angles_deg: A. curves: K×A and random: RANDOM×A,
    activations. fall_deg, random_fall_deg: angles of the fall, NaN if there is none.
    """

    optimum: torch.Tensor
    rounded_value: float
    value: float
    slope: float
    found: Directions
    angles_deg: np.ndarray
    curves: np.ndarray
    random: np.ndarray
    fall_deg: np.ndarray
    random_fall_deg: np.ndarray


def walks(
    unit: UnitFunction,
    image: torch.Tensor,
    count: int,
    largest_angle_deg: float,
    width: float | None,
    refine_steps: int,
    seed: int = 0,
) -> Walks:
    """Walk along the `count` most and the `count` least invariant directions at an image.

    Args:
        width: of the smoothing, see `smoothed`; None for the network's own Hessian.
        refine_steps: ascent steps on the smooth unit before the Hessian is taken.
    """
    f, optimum, slope = rounded_optimum(unit, image, width, refine_steps)
    found = hessian_directions(f, optimum, count, seed)
    angles = np.linspace(-largest_angle_deg, largest_angle_deg, 2 * HALF + 1)
    own, chance = (
        curves(unit.activation, optimum, vectors, angles).numpy()
        for vectors in (found.vectors, random_tangents(optimum, RANDOM, seed))
    )
    falls = (np.array([fall_deg(one, angles, FALL) for one in some]) for some in (own, chance))
    value, rounded = (float(one(optimum).detach()) for one in (unit, f))
    return Walks(optimum, rounded, value, slope, found, angles, own, chance, *falls)


def rounded_optimum(
    unit: UnitFunction, image: torch.Tensor, width: float | None, refine_steps: int
) -> tuple[Callable[[torch.Tensor], torch.Tensor], torch.Tensor, float]:
    """Return the smooth function, its optimum near an image, and its slope there.

    The best image lies on ridges of a piecewise linear function, where the smooth one has no
    optimum: the ascent continues on the smooth one.
    """
    f = unit if width is None else smoothed(unit, image, width)
    if not refine_steps:
        return f, image, float(slope_of(image, *value_and_gradient(f, image)))
    found = max_activation(f, image, float(image.norm()), refine_steps, REFINE_DEG)
    return f, found.images, float(found.slope)
