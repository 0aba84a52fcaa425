"""Four answers to "what does this unit look for?", each computed as arrays, facts and table rows.

Crops (Donahue et al. 2013, Girshick et al. 2014), the deconvnet's projections of the same peaks
(Zeiler & Fergus), the image that excites it most (Erhan et al. 2009), and the directions in which
that image may change (Berkes & Wiskott 2006, Le et al. 2010). Arrays are named <answer>/<field>.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from deconv import figures
from deconv.hessian_invariance import (
    curves,
    fall_deg,
    geodesic,
    hessian_directions,
    random_tangents,
)
from deconv.max_activation import (
    Ascent,
    agreement,
    max_activation,
    random_starts,
    slope_of,
    value_and_gradient,
)
from deconv.peak_views import peak_views
from deconv.smoothing import smoothed
from deconv.unit_function import UnitFunction
from experiments.common import log
from experiments.facts import deconvnet_choices, describe_field
from experiments.single_unit import Subject

FALL = 0.8
"""An activation below this share of its value at x⁺ has fallen."""
REFINE_DEG = 3.0
"""First turn of the steps that go on from the best image."""
FRAMES, HALF, RANDOM = 7, 30, 8
"""Images of a filmstrip; angles on each side of x⁺; random directions to compare with."""


@dataclass
class Answer:
    """arrays: name -> array to save. facts: for the sidecar. rows: of table.csv."""

    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    rows: list[dict[str, Any]] = field(default_factory=list)


def crops_answer(cfg: DictConfig, one: Subject, pictures: bool) -> Answer:
    """The peaks of the map: patches, projections, boxes; pictures: also the whole images."""
    policy = cfg.get("collisions", "sum")
    number = torch.tensor([one.map])
    views = peak_views(
        one.net, one.crops, one.layer, one.peaks, number, one.crops.picture, collisions=policy
    )
    names = ("value", "image", "y", "x", "box", "projection", "patch", "inside")
    arrays = {f"crops/{name}": getattr(views, name)[0].numpy() for name in names}
    if pictures:
        images = [one.crops.picture(int(i)).numpy() for i in views.image[0]]
        arrays["crops/picture"] = np.stack(images)
    rows = []
    for rank in range(views.value.shape[1]):
        fields = {name: arrays[f"crops/{name}"][rank] for name in ("value", "image", "y", "x")}
        box = zip(("top", "left", "bottom", "right"), arrays["crops/box"][rank], strict=True)
        rows.append({"answer": "crop", "number": rank + 1, **fields, **dict(box)})
    facts = {
        "peaks": "the map's strongest units over the split, one an image, above 0; read where the "
        "layer is named, before pooling",
        "field": describe_field(one.net, one.layer),
    }
    return Answer(arrays, facts | deconvnet_choices(one.net, policy), rows)


def ascent_answer(cfg: DictConfig, one: Subject, unit: UnitFunction) -> tuple[Answer, torch.Tensor]:
    """Maximising images from several starts, and the best of them, 1×3×h×w."""
    started = time.perf_counter()
    weights = next(one.net.parameters())
    norm = cfg.norm or patch_norm(cfg, one, unit)
    log(f"climbing {unit.climbed} of map {unit.map} from {cfg.starts} starts, ‖x‖ = {norm:.0f}")
    starts = random_starts(unit.shape, cfg.starts, norm, cfg.seed, weights.dtype)
    found = max_activation(
        unit, starts.to(weights.device), norm, cfg.steps, cfg.first_angle_deg, cfg.blur_px,
        cfg.jitter_px, cfg.seed,
    )  # fmt: skip
    values = {
        "activation": unit.activation(found.images), "climbed": found.value, "slope": found.slope
    }  # fmt: skip
    shown, clipped = as_pictures(one, unit, found.images)
    same = agreement(found.images).numpy()
    arrays = {
        "ascent/images": found.images.float().cpu().numpy(),
        "ascent/picture": shown,
        "ascent/path": found.path.cpu().numpy(),
        "ascent/agreement": same,
        "ascent/order": np.argsort(-found.value.cpu().numpy(), kind="stable"),
    } | {f"ascent/{name}": value.cpu().numpy() for name, value in values.items()}
    rows = [
        {"answer": "start", "number": i + 1, "clipped_share": float(clipped[i])}
        | {name: float(value[i]) for name, value in values.items()}
        for i in range(cfg.starts)
    ]
    facts = ascent_facts(cfg, unit, found, norm, same)
    facts["clipped_share"] = round(float(clipped[found.best]), 4)
    facts["seconds"] = round(time.perf_counter() - started, 1)
    return Answer(arrays, facts, rows), found.images[found.best][None]


def ascent_facts(
    cfg: DictConfig, unit: UnitFunction, found: Ascent, norm: float, same: np.ndarray
) -> dict[str, Any]:
    """What was decided about the ascent, and what came out."""
    live = (~found.flat).nonzero().flatten().cpu().numpy()
    pairs = same[np.ix_(live, live)][np.triu_indices(len(live), 1)]
    best = float(unit.activation(found.images).max())
    return {
        "unit": {"y": unit.y, "x": unit.x, "box": list(unit.box), "interior": unit.interior},
        "climbed": unit.climbed,
        "searched": "the pixels of the unit's receptive field alone; the rest of the input is the "
        "mean image and cannot change the unit",
        "norm": round(norm, 2),
        "norm_is": "named" if cfg.norm else
        f"the mean norm of the data's own patches there, {cfg.norm_images} images at most",
        "rms": round(norm / float(np.sqrt(np.prod(unit.shape))), 2),
        "starts": cfg.starts, "steps": cfg.steps, "first_angle_deg": cfg.first_angle_deg,
        "blur_px": cfg.blur_px, "jitter_px": cfg.jitter_px,
        "without_gradient": int(found.flat.sum()),
        "best_activation": best,
        "excited": best > 0,
        "agreement_mean": round(float(pairs.mean()), 4) if len(pairs) else None,
        "agreement_range": [round(float(v), 4) for v in (pairs.min(), pairs.max())]
        if len(pairs) else None,
    }  # fmt: skip


def patch_norm(cfg: DictConfig, one: Subject, unit: UnitFunction) -> float:
    """The mean norm of the data's patches where the unit looks, over the first images."""
    top, left, bottom, right = unit.box
    count = min(cfg.norm_images, len(one.crops))
    norms = [float(one.crops[i][0][:, top:bottom, left:right].norm()) for i in range(count)]
    return float(np.mean(norms))


def as_pictures(
    one: Subject, unit: UnitFunction, images: torch.Tensor
) -> tuple[np.ndarray, np.ndarray]:
    """Patches as a person sees them, the mean added: K×3×h×w uint8; and the share cut at 0…255."""
    top, left, bottom, right = unit.box
    seen = images.float().cpu() + one.mean()[:, top:bottom, left:right]
    clipped = ((seen < 0) | (seen > 255)).flatten(1).float().mean(dim=1)
    return seen.clamp(0, 255).round().byte().numpy(), clipped.numpy()


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


# As the figures take them


def crops_of(arrays: Any) -> figures.UnitCrops:
    """From saved arrays."""
    names = ("patch", "projection", "inside", "value", "box", "image")
    picture = arrays["crops/picture"] if "crops/picture" in arrays else None
    return figures.UnitCrops(*(arrays[f"crops/{name}"] for name in names), picture)


def optima_of(arrays: Any) -> figures.UnitOptima:
    """From saved arrays, the strongest first."""
    order = arrays["ascent/order"]
    names = ("picture", "activation", "path")
    parts = (arrays[f"ascent/{name}"][order] for name in names)
    return figures.UnitOptima(*parts, arrays["ascent/agreement"][np.ix_(order, order)])


def walks_of(arrays: Any, facts: dict[str, Any]) -> figures.UnitWalks:
    """From saved arrays and the facts of the directions."""
    names = (
        "frames", "frame_deg", "angles_deg", "curves", "random", "second_derivative", "fall_deg"
    )  # fmt: skip
    parts = (arrays[f"walks/{name}"] for name in names)
    return figures.UnitWalks(*parts, facts["directions"], facts["flat"])


# In words


def unit_note(facts: dict[str, Any]) -> str:
    """The note beside the title: which unit, and how much of the image it sees."""
    unit = facts["ascent"]["unit"]
    top, left, bottom, right = unit["box"]
    clipped = "" if unit["interior"] else ", all of the image or cut at its border"
    return f"unit ({unit['y']}, {unit['x']}) sees {bottom - top}×{right - left} px{clipped}"


def crops_words(facts: dict[str, Any], count: int) -> str:
    """The crops' sentence of a caption."""
    data, unit = facts["data"], facts["unit"]
    return (
        f"The {count} image patches that excite map {unit['map']} of {unit['layer']} most over "
        f"{data['images']} images of {data['name']} ({data['split']}), one an image, the strongest "
        "first, cut to the exact receptive field (blue-grey lies outside the image)."
    )


def ascent_words(facts: dict[str, Any]) -> str:
    """The maximising images' sentences of a caption."""
    it = facts["ascent"]
    added = [f"{it[k]:g} px of {k[:-3]}" for k in ("blur_px", "jitter_px") if it[k]]
    extras = f"with {' and '.join(added)}" if added else "without blur or jitter"
    agree = ""
    if it["agreement_mean"] is not None:
        low, high = it["agreement_range"]
        agree = (
            f" Correlation between the images of two starts: {it['agreement_mean']:.2f} on average "
            f"({low:.2f} to {high:.2f})."
        )
    lost = it["without_gradient"]
    dead = f" {lost} of the starts found no gradient." if lost else ""
    never = "" if it["excited"] else " None of them brings the unit above 0."
    norm = "as named" if it["norm_is"] == "named" else "the mean of the data's patches there"
    return (
        f"Maximising images: ascent of {it['climbed']} at the map's centre from {it['starts']} "
        f"random starts, {it['steps']} steps on the sphere ‖x‖ = {it['norm']:.0f} ({norm}; "
        f"{it['rms']:.0f} a value), {extras}; shown with the mean image added, "
        f"{100 * it['clipped_share']:.0f} % of the best one's values cut at black or white."
        f"{agree}{dead}{never}"
    )


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
        f"An angle is named at which the activation has fallen by {share}; grey: {RANDOM} random "
        f"directions."
    )
