"""Answers about one unit read back from a run's files: what figures take, and captions' words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import numpy as np

from deconv import figures
from deconv.errors import DeconvError
from deconv.studies.single_unit.walks import FALL, RANDOM
from experiments.kit.facts import images_of
from experiments.kit.layout import layout_of
from experiments.kit.result import Saved


def unit_note(facts: Mapping[str, Any]) -> str:
    """The note beside the title: which unit, and how much of the image it sees."""
    unit = facts["ascent"]["unit"]
    top, left, bottom, right = unit["box"]
    clipped = "" if unit["interior"] else ", all of the image or cut at its border"
    return f"unit ({unit['y']}, {unit['x']}) sees {bottom - top}×{right - left} px{clipped}"


def shown_crops(saved: Saved) -> int:
    """How many of the saved crops to draw: k, where the figure is drawn again with one."""
    k, most = layout_of(saved).get("k"), len(saved.arrays["crops/value"])
    if k is not None and not 1 <= k <= most:
        raise DeconvError(f"{most} crops were saved: k={k} has to be computed")
    return k or most


def crops_of(saved: Saved) -> figures.UnitCrops:
    """From saved arrays."""
    arrays, shown = saved.arrays, shown_crops(saved)
    names = ("patch", "projection", "inside", "value", "box", "image")
    picture = arrays.get("crops/picture")
    parts = (arrays[f"crops/{name}"][:shown] for name in names)
    return figures.UnitCrops(*parts, None if picture is None else picture[:shown])


def crops_words(facts: Mapping[str, Any], count: int) -> str:
    """The crops' sentence of a caption."""
    data, unit = facts["data"], facts["unit"]
    low, high = facts["crops"]["value_range"]
    return (
        f"The {count} image patches that excite map {unit['map']} of {unit['layer']} most over "
        f"{data['images']} images of {images_of(data)}, one an image, the strongest "
        f"first ({high:.3g} to {low:.3g}), cut to the exact receptive field (hatched lies "
        "outside the image)."
    )


def optima_of(arrays: Mapping[str, np.ndarray]) -> figures.UnitOptima:
    """From saved arrays, the strongest first."""
    order = arrays["ascent/order"]
    parts = (arrays[f"ascent/{name}"][order] for name in ("picture", "activation", "path"))
    return figures.UnitOptima(*parts, arrays["ascent/agreement"][np.ix_(order, order)])


def ascent_words(facts: Mapping[str, Any]) -> str:
    """The maximising images' sentences of a caption."""
    it = facts["ascent"]
    added = [f"{it[k]:g} px of {k[:-3]}" for k in ("blur_px", "jitter_px") if it[k]]
    extras = f"with {' and '.join(added)}" if added else "without blur or jitter"
    norm = "as named" if it["norm_is"] == "named" else "the mean of the data's patches there"
    words = (
        f"Maximising images: ascent of {it['climbed']} at the map's centre from {it['starts']} "
        f"random starts, {it['steps']} steps on the sphere ‖x‖ = {it['norm']:.0f} ({norm}; "
        f"root mean square {it['rms']:.0f}), {extras}; the activation comes to "
        f"{it['best_activation']:.3g} down to {it['least_activation']:.3g}. Shown with the mean "
        f"image added, "
        f"{100 * it['clipped_share']:.0f} % of the best one's values cut at black or white."
    )
    if it["agreement_mean"] is not None:
        words += (
            f" Correlation between the images of two starts: {it['agreement_mean']:.2f} on average "
            "({:.2f} to {:.2f}).".format(*it["agreement_range"])
        )
    if it["without_gradient"]:
        words += f" {it['without_gradient']} of the starts found no gradient."
    return words if it["excited"] else f"{words} None of them brings the unit above 0."


def walks_of(arrays: Mapping[str, np.ndarray], facts: Mapping[str, Any]) -> figures.UnitWalks:
    """From saved arrays and the sidecar."""
    names = ("frames", "frame_deg", "angles_deg", "curves", "random", "second_derivative")
    parts = (arrays[f"walks/{name}"] for name in (*names, "fall_deg"))
    return figures.UnitWalks(*parts, facts["walks"]["directions"], facts["walks"]["flat"])


def walks_words(facts: Mapping[str, Any]) -> str:
    """The invariance directions' sentences of a caption."""
    it = facts["walks"]
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
        f"An angle is named at which the activation has fallen by {100 * (1 - FALL):.0f} %; thick: "
        f"the first at either end; grey: {RANDOM} random directions.{beyond(it)}"
    )


def beyond(it: Mapping[str, Any]) -> str:
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
