"""Directions in which a unit's best image may change (Berkes & Wiskott 2006, Le et al. 2010).

Computed as arrays named walks/<field>, facts and table rows; then in words.
"""

from __future__ import annotations

import math
import time
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from deconv import figures
from deconv.studies.single_unit.hessian_invariance import (
    curves,
    fall_deg,
    geodesic,
    hessian_directions,
    random_tangents,
)
from deconv.studies.single_unit.max_activation import max_activation, slope_of, value_and_gradient
from deconv.studies.single_unit.smoothing import smoothed
from deconv.studies.single_unit.unit_function import UnitFunction
from experiments.kit.inputs import log
from experiments.single_unit import Subject
from experiments.unit_answer import Answer, as_pictures

FALL = 0.8
"""An activation below this share of its value at x⁺ has fallen."""
REFINE_DEG = 3.0
"""First turn of the steps that go on from the best image."""
FRAMES, HALF, RANDOM = 7, 30, 8
"""Images of a filmstrip; angles on each side of x⁺; random directions to compare with."""


def directions_answer(
    cfg: DictConfig, one: Subject, unit: UnitFunction, image: torch.Tensor
) -> Answer:
    """The most and the least invariant directions at the best image, and walks along them."""
    started = time.perf_counter()
    f, optimum, slope = rounded_optimum(cfg, unit, image)
    log(f"{2 * cfg.directions} directions of the Hessian at the optimum")
    found = hessian_directions(f, optimum, cfg.directions, cfg.seed)
    angles = np.linspace(-cfg.largest_angle_deg, cfg.largest_angle_deg, 2 * HALF + 1)
    walks = curves(unit.activation, optimum, found.vectors, angles).numpy()
    others = random_tangents(optimum, RANDOM, cfg.seed)
    chance = curves(unit.activation, optimum, others, angles).numpy()
    frame_deg = angles[np.linspace(0, 2 * HALF, FRAMES).round().astype(int)]
    frames = [as_pictures(one, unit, geodesic(optimum, v, frame_deg))[0] for v in found.vectors]
    fall = np.array([fall_deg(walk, angles, FALL) for walk in walks])
    chance_fall = np.array([fall_deg(walk, angles, FALL) for walk in chance])
    second = found.second_derivative.numpy()
    arrays = {
        "walks/optimum": optimum[0].float().cpu().numpy(),
        "walks/vectors": found.vectors.float().cpu().numpy(),
        "walks/second_derivative": second,
        "walks/angles_deg": angles, "walks/curves": walks, "walks/random": chance,
        "walks/fall_deg": fall, "walks/random_fall_deg": chance_fall,
        "walks/frame_deg": frame_deg, "walks/frames": np.stack(frames),
    }  # fmt: skip
    rows = [
        {"answer": "direction", "number": i + 1, "kind": kind_of(i, cfg.directions, found.flat),
         "second_derivative": float(second[i]), "fall_deg": float(fall[i])}
        for i in range(len(second))
    ]  # fmt: skip
    facts = {
        "smoothing": cfg.smoothing,
        "smoothing_width": cfg.smoothing_width if cfg.smoothing == "softplus" else None,
        "refine_steps": cfg.refine_steps, "refine_angle_deg": REFINE_DEG,
        "rounded_value": float(f(optimum).detach()), "value": float(unit(optimum).detach()),
        "value_before": float(unit(image).detach()), "slope": slope,
        "flat": found.flat,
        "flat_means": "the Hessian is zero: every direction has the second derivative of the "
        "sphere alone, so the ones shown are arbitrary" if found.flat else "",
        "sphere": found.sphere, "lanczos_error": found.error, "products": found.products,
        "directions": cfg.directions, "largest_second_derivative": float(second[0]),
        "fall": f"the angle at which the unit falls below {FALL} of its value, the smaller side",
        "fall_deg": clean(fall), "random_fall_deg": clean(chance_fall),
        "seconds": round(time.perf_counter() - started, 1),
    }  # fmt: skip
    return Answer(arrays, facts, rows)


def rounded_optimum(
    cfg: DictConfig, unit: UnitFunction, image: torch.Tensor
) -> tuple[Any, torch.Tensor, float]:
    """The function whose Hessian is taken, its optimum near an image, how steep it still is there.

    The best image of the ascent lies on ridges of a piecewise linear function, where a rounded one
    has no optimum, and so no directions in which it falls slowest; it is climbed on from there.
    """
    f = smoothed(unit, image, cfg.smoothing_width) if cfg.smoothing == "softplus" else unit
    norm = float(image.norm())
    if not cfg.refine_steps:
        value, gradient = value_and_gradient(f, image)
        steep = slope_of(image, value, gradient)
        return f, image, float(steep)
    log(f"{cfg.refine_steps} steps more" + ("" if f is unit else ", ReLUs and pools rounded"))
    found = max_activation(f, image, norm, cfg.refine_steps, REFINE_DEG)
    return f, found.images, float(found.slope)


def kind_of(number: int, count: int, flat: bool) -> str:
    """What the direction of a row of vectors is called."""
    if flat:
        return "arbitrary"
    return "most invariant" if number < count else "least invariant"


def clean(values: np.ndarray) -> list[float | None]:
    """Rounded to a tenth, None for NaN, which JSON does not have."""
    return [None if np.isnan(v) else round(float(v), 1) for v in values]


def walks_of(arrays: Any, facts: dict[str, Any]) -> figures.UnitWalks:
    """From saved arrays and the facts of the directions."""
    names = (
        "frames", "frame_deg", "angles_deg", "curves", "random", "second_derivative", "fall_deg"
    )  # fmt: skip
    parts = (arrays[f"walks/{name}"] for name in names)
    return figures.UnitWalks(*parts, facts["directions"], facts["flat"])


def directions_words(facts: dict[str, Any]) -> str:
    """The invariance directions' sentences of a caption."""
    it = facts["walks"]
    share = f"{100 * (1 - FALL):.0f} %"
    if it["flat"]:
        return (
            "Walks from the best image x⁺ over the sphere. The Hessian of this unit is zero, so "
            "every direction has the same second derivative, the sphere's own, and none is more "
            "invariant than another: the directions shown are arbitrary."
        )
    more = f"climbed on for {it['refine_steps']} steps" if it["refine_steps"] else "as it is"
    how = (
        f"with ReLUs and pools rounded by {it['smoothing_width']:g} of what they take in (root "
        f"mean square), which changes the unit there from {it['value']:.3g} to "
        f"{it['rounded_value']:.3g}; curves are of the network itself"
        if it["smoothing"] == "softplus"
        else "of the network as it is: ReLUs and pools do not bend, so what is seen is the "
        "normalisation alone"
    )
    return (
        f"Walks from x⁺, the best image {more}, over the sphere along the eigenvectors of the "
        "Hessian with the largest (most invariant) and smallest (least invariant) second "
        f"derivative, {how}. "
        f"An angle is named at which the activation has fallen by {share}; thick: the first at "
        f"either end; grey: {RANDOM} random directions.{beyond(it)}"
    )


def beyond(it: dict[str, Any]) -> str:
    """What has to be said of the second derivative where it does not tell how far one can walk."""
    falls, random = (
        [math.inf if fall is None else fall for fall in it[name]]
        for name in ("fall_deg", "random_fall_deg")
    )
    words, against = "", []
    if it["largest_second_derivative"] > 0:
        words += (
            " The largest second derivative is above 0: x⁺ is not quite a maximum of the rounded "
            "unit."
        )
    if any(before < after for before, after in pairwise(falls)):
        against.append("the angles do not follow its order")
    if falls[0] < min(random):
        against.append(
            "the unit falls sooner along the most invariant direction than along any random one"
        )
    if against:
        words += f" A second derivative speaks of the first degrees alone: {' and '.join(against)}."
    return words
