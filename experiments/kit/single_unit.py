"""What the experiments about one unit compute: the map, its crops, ascent and invariance walks.

Crops and projections are of the map's peaks, wherever they lie in the images; ascent and walks are
of its unit at the centre. Each answer has arrays, facts and rows of the table; `unit_pages` reads
them back for drawing.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from deconv.errors import DeconvError
from deconv.mining.peak_views import peak_views
from deconv.records import Peaks
from deconv.studies.single_unit.hessian_invariance import geodesic
from deconv.studies.single_unit.max_activation import agreement, max_activation, random_starts
from deconv.studies.single_unit.unit_function import UnitFunction
from deconv.studies.single_unit.walks import FALL, REFINE_DEG, walks
from experiments.kit.chosen_maps import choose_maps
from experiments.kit.facts import (
    deconvnet_choices,
    describe_field,
    image_arrays,
    image_columns,
    preprocessing,
)
from experiments.kit.inputs import data_name, log
from experiments.kit.result import Result
from experiments.kit.subject import Subject
from experiments.kit.titles import layer_title
from experiments.kit.unit_settings import OneMap, WithAscent, WithCrops, WithWalks

PEAKS = 9
"""Strongest images of a map that say of which class it is."""
FRAMES = 7
"""Images of a filmstrip."""

# The map


def find_map(cfg: OneMap, it: Subject, k: int = 0) -> tuple[int, Peaks | None]:
    """Find the map and, for k above 0, its k strongest peaks; then process 0 works alone."""
    it.net.check_point(cfg.layer)  # trains the network, which all processes do together
    number, peaks = cfg.map, None
    if k or number is None:
        wanted = max(k, PEAKS if cfg.choose == "class" else 1)
        mined = it.mine([cfg.layer], k=min(wanted, len(it.data)))
        number, peaks = live(cfg, it, mined[cfg.layer], k)
    it.first_alone()
    return number, peaks


def live(cfg: OneMap, it: Subject, peaks: Peaks, k: int) -> tuple[int, Peaks]:
    """The map that cfg names or chooses, and its k strongest peaks as far as they are above 0.

    Raises DeconvError for a map that is dead on this data set.
    """
    number = cfg.map
    if number is None:
        alive = peaks.value[:, 0] > 0
        found = choose_maps(cfg, it, cfg.layer, peaks, alive, 1)
        number = int(found[0]) if len(found) else 0
    above = int((peaks.value[number, :k] > 0).sum()) if k else int(peaks.value[number, 0] > 0)
    if not above:
        never = "no map of {} is ever" if cfg.map is None else f"map {number} of {{}} is never"
        raise DeconvError(
            f"{never.format(cfg.layer)} above 0 over the {len(it.data)} images of {cfg.split!r} of "
            f"{data_name(cfg)}: choose another map, or more images"
        )
    return number, Peaks(*(one[:, :above] for one in vars(peaks).values()))


@dataclass
class Answer:
    """One answer: name, field -> array, facts for the sidecar, rows of table.csv."""

    name: str
    arrays: dict[str, Any]
    facts: dict[str, Any]
    rows: list[dict[str, Any]]


CHOSEN = {
    "strongest": "with the largest peak over the split",
    "random": "drawn at random among the live ones",
    "class": "with the most {} among its strongest images",
}
"""Which map a unit is of, in words."""


def result(cfg: OneMap, it: Subject, number: int, figure: str, *answers: Answer) -> Result:
    """Combine the answers into a result. figure: what the page is."""
    peaked = "that was named" if cfg.map is not None else CHOSEN[cfg.choose].format(cfg.of_class)
    facts = {
        "figure": figure,
        "unit": {
            "layer": cfg.layer,
            "map": number,
            "title": f"{layer_title(cfg.layer, {'titles': it.titles})}, map {number}",
        },
        "choices": {
            "map": f"the one {peaked}",
            "preprocessing": preprocessing(it.net, it.snapshot.mean),
        },
    } | {one.name: one.facts for one in answers}
    arrays = {
        f"{one.name}/{field}": array.cpu().numpy() if torch.is_tensor(array) else array
        for one in answers
        for field, array in one.arrays.items()
    }
    return Result(facts, arrays, {"table": [row for one in answers for row in one.rows]})


# Crops (Donahue et al. 2013, Girshick et al. 2014) and projections of the same peaks


def crops(
    cfg: WithCrops, it: Subject, number: int, peaks: Peaks, policy: str = "sum", whole: bool = False
) -> Answer:
    """Cut and project the map's peaks; whole: keep the images around them too."""
    own = torch.tensor([number])
    views = peak_views(it.net, it.crops, cfg.layer, peaks, own, it.crops.picture, collisions=policy)
    names = ("value", "image", "y", "x", "box", "projection", "patch", "inside")
    arrays = {name: getattr(views, name)[0].numpy() for name in names}
    if whole:
        arrays["picture"] = np.stack([it.crops.picture(int(i)).numpy() for i in arrays["image"]])
    arrays |= image_arrays(it.data, arrays["image"])
    rows = [
        {"answer": "crop", "number": rank + 1}
        | {name: arrays[name][rank] for name in names[:4]}
        | dict(zip(("top", "left", "bottom", "right"), arrays["box"][rank], strict=True))
        | image_columns(it.data, int(arrays["image"][rank]))
        for rank in range(len(arrays["value"]))
    ]
    facts = {
        "peaks": "the map's strongest units over the split, one an image, above 0; read where the "
        "layer is named, before pooling",
        "field": describe_field(it.net, cfg.layer),
        "value_range": [float(arrays["value"][-1]), float(arrays["value"][0])],
    }
    choices = deconvnet_choices(it.net, policy, it.snapshot.mean, [cfg.layer])
    return Answer("crops", arrays, facts | choices, rows)


# Maximising images (Erhan et al. 2009)


def ascent(cfg: WithAscent, it: Subject, unit: UnitFunction) -> tuple[Answer, torch.Tensor]:
    """Climb to maximising images from several starts; the second result is the best, 1×3×h×w."""
    started = time.perf_counter()
    seen = range(min(cfg.norm_images, len(it.crops)))
    norm = cfg.norm or float(np.mean([float(unit.cut(it.crops[i][0]).norm()) for i in seen]))
    log(f"climbing {unit.climbed} of map {unit.map} from {cfg.starts} starts, ‖x‖ = {norm:.0f}")
    starts = random_starts(unit.shape, cfg.starts, norm, cfg.seed, it.net.dtype).to(it.device)
    found = max_activation(
        unit, starts, norm, cfg.steps, cfg.first_angle_deg, cfg.blur_px, cfg.jitter_px, cfg.seed
    )
    reached, same = unit.activation(found.images), found.pair_agreement()
    picture, clipped = unit.pictures(found.images, it.snapshot.mean)
    each = {"activation": reached, "climbed": found.value, "slope": found.slope}
    arrays = each | {
        "images": found.images.float(),
        "picture": picture,
        "path": found.path,
        "agreement": agreement(found.images),
        "order": found.value.cpu().sort(descending=True, stable=True).indices,
    }
    rows = [
        {"answer": "start", "number": i + 1, "clipped_share": float(clipped[i])}
        | {name: float(value[i]) for name, value in each.items()}
        for i in range(cfg.starts)
    ]
    mean_norm = f"the mean norm of the data's patches there, {cfg.norm_images} images at most"
    facts = {
        "unit": {"y": unit.y, "x": unit.x, "box": list(unit.box), "interior": unit.interior},
        "climbed": unit.climbed,
        "searched": "the pixels of the unit's receptive field; the rest of the input, which cannot "
        "change the unit, is the mean image",
        "norm": round(norm, 2),
        "norm_is": "named" if cfg.norm else mean_norm,
        "rms": round(norm / math.sqrt(math.prod(unit.shape)), 2),
        "without_gradient": int(found.flat.sum()),
        "best_activation": float(reached.max()),
        "least_activation": float(reached.min()),
        "excited": bool(reached.max() > 0),
        "agreement_mean": round(float(same.mean()), 4) if len(same) else None,
        "agreement_range": [round(float(v), 4) for v in same.aminmax()] if len(same) else None,
        "clipped_share": round(float(clipped[found.best]), 4),
        "seconds": round(time.perf_counter() - started, 1),
    }
    for setting in ("starts", "steps", "first_angle_deg", "blur_px", "jitter_px"):
        facts[setting] = getattr(cfg, setting)
    return Answer("ascent", arrays, facts, rows), found.images[found.best][None]


# Directions in which the best image may change (Berkes & Wiskott 2006, Le et al. 2010)


def directions(cfg: WithWalks, it: Subject, unit: UnitFunction, image: torch.Tensor) -> Answer:
    """Walk along the most and the least invariant directions at the best image."""
    started = time.perf_counter()
    width = cfg.smoothing_width if cfg.smoothing == "softplus" else None
    rounded = "" if width is None else ", ReLUs and pools rounded"
    log(f"{cfg.refine_steps} steps more{rounded}, then {2 * cfg.directions} directions")
    on = walks(
        unit, image, cfg.directions, cfg.largest_angle_deg, width, cfg.refine_steps, cfg.seed
    )
    found, angles, second = on.found, on.angles_deg, on.found.second_derivative
    frame_deg = angles[np.linspace(0, len(angles) - 1, FRAMES).round().astype(int)]
    strips = [geodesic(on.optimum, v, frame_deg) for v in found.vectors]
    falls = ("fall_deg", "random_fall_deg")
    arrays = {
        "optimum": on.optimum[0].float(),
        "vectors": found.vectors.float(),
        "second_derivative": second,
        "frame_deg": frame_deg,
        "frames": torch.stack([unit.pictures(one, it.snapshot.mean)[0] for one in strips]),
    } | {name: getattr(on, name) for name in ("angles_deg", "curves", "random", *falls)}
    ends = ["most invariant"] * cfg.directions + ["least invariant"] * cfg.directions
    rows = [
        {
            "answer": "direction",
            "number": i + 1,
            "kind": "arbitrary" if found.flat else end,
            "second_derivative": float(second[i]),
            "fall_deg": float(on.fall_deg[i]),
        }
        for i, end in enumerate(ends)
    ]
    arbitrary = "the Hessian is zero, so the directions shown are arbitrary"
    facts = {
        "smoothing": cfg.smoothing,
        "smoothing_width": width,
        "refine_steps": cfg.refine_steps,
        "refine_angle_deg": REFINE_DEG,
        "rounded_value": on.rounded_value,
        "value": on.value,
        "value_before": float(unit(image).detach()),
        "slope": on.slope,
        "flat": found.flat,
        "flat_means": arbitrary if found.flat else "",
        "sphere": found.sphere,
        "lanczos_error": found.error,
        "products": found.products,
        "directions": cfg.directions,
        "largest_second_derivative": float(second[0]),
        "fall": f"the angle at which the unit falls below {FALL} of its value, the smaller side",
        "seconds": round(time.perf_counter() - started, 1),
    }
    return Answer("walks", arrays, facts | {n: tenths(getattr(on, n)) for n in falls}, rows)


def tenths(values: np.ndarray) -> list[float | None]:
    """Round to a tenth; NaN, which JSON lacks, becomes None."""
    return [None if np.isnan(v) else round(float(v), 1) for v in values]
