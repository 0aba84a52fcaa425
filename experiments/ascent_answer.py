"""The image that excites a unit most (Erhan et al. 2009), climbed to from several starts.

Computed as arrays named ascent/<field>, facts and table rows; then in words.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from deconv import figures
from deconv.studies.single_unit.max_activation import (
    Ascent,
    agreement,
    max_activation,
    random_starts,
)
from deconv.studies.single_unit.unit_function import UnitFunction
from experiments.kit.inputs import log
from experiments.single_unit import Subject
from experiments.unit_answer import Answer, as_pictures


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
    reached = unit.activation(found.images)
    best = float(reached.max())
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
        "best_activation": best, "least_activation": float(reached.min()),
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


def optima_of(arrays: Any) -> figures.UnitOptima:
    """From saved arrays, the strongest first."""
    order = arrays["ascent/order"]
    names = ("picture", "activation", "path")
    parts = (arrays[f"ascent/{name}"][order] for name in names)
    return figures.UnitOptima(*parts, arrays["ascent/agreement"][np.ix_(order, order)])


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
        f"root mean square {it['rms']:.0f}), {extras}; the activation comes to "
        f"{it['best_activation']:.3g} down to {it['least_activation']:.3g}. Shown with the mean "
        f"image added, "
        f"{100 * it['clipped_share']:.0f} % of the best one's values cut at black or white."
        f"{agree}{dead}{never}"
    )
