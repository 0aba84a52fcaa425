"""What the experiments about one unit share: their settings, the map, and the answers themselves.

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

from deconv.errors import DeconvError, unknown
from deconv.mining.peak_views import peak_views
from deconv.records import Peaks
from deconv.studies.single_unit.hessian_invariance import geodesic
from deconv.studies.single_unit.max_activation import agreement, max_activation, random_starts
from deconv.studies.single_unit.unit_function import UnitFunction, unit_function
from deconv.studies.single_unit.walks import FALL, REFINE_DEG, walks
from experiments.kit.facts import deconvnet_choices, describe_field, layer_title, preprocessing
from experiments.kit.inputs import data_name, log
from experiments.kit.result import Result
from experiments.kit.settings import Figure, by_size
from experiments.kit.subject import Subject

SMOOTHINGS = ("softplus", "none")
MOST = 25
"""Pictures in one block."""
FRAMES = 7
"""Images of a filmstrip."""

LIMITS = {
    "k": (1, MOST),
    "starts": (1, MOST),
    "steps": (1, None),
    "norm_images": (1, None),
    "blur_px": (0, None),
    "jitter_px": (0, None),
    "directions": (1, 6),
    "refine_steps": (0, None),
    "norm": (None, None),
    "smoothing_width": (None, None),
    "first_angle_deg": (None, 90),
    "largest_angle_deg": (None, 90),
}
"""Setting -> its least value, None for anything above 0, and its largest, None for any."""


# Settings


@dataclass
class OneMap(Figure):
    """One map of a network; numbers are held within LIMITS here for all settings below."""

    layer: str = "conv5"  # any point of any network
    map: int | None = None  # null: the map with the largest peak over the split

    def __post_init__(self) -> None:
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name, None)
            if value is None:
                continue
            low = value <= 0 if least is None else value < least
            if low or (most is not None and value > most):
                fit = "more than 0" if least is None else f"{least} or more"
                fit += "" if most is None else f", at most {most}"
                raise DeconvError(f"{name}={value:g} cannot be used: choose {fit}")


@dataclass
class WithCrops(OneMap):
    k: int = 9  # how many crops


@dataclass
class WithAscent(OneMap):
    starts: int = by_size(paper=9, laptop=9, smoke=2)  # random starts of the ascent
    steps: int = by_size(paper=200, laptop=200, smoke=12)
    first_angle_deg: float = 10.0  # turn of the first step; falls to 0 along half a cosine
    norm: float | None = None  # of the image, pixels minus mean; null: the mean of data's patches
    norm_images: int = 200  # how many images tell that mean
    blur_px: float = 0.0  # Gaussian blur after each step; Erhan et al. have none
    jitter_px: int = 0  # random offset of each step; Erhan et al. have none


@dataclass
class WithWalks(WithAscent):
    directions: int = 2  # at each end
    smoothing: str = "softplus"  # softplus: ReLUs and pools rounded for the Hessian; none: as is
    smoothing_width: float = 0.1  # a share of the root mean square of what an operation takes in
    refine_steps: int = by_size(paper=200, laptop=200, smoke=12)  # climbed on before the Hessian,
    # rounded; 0: none
    largest_angle_deg: float = 60.0  # of the walks

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.smoothing not in SMOOTHINGS:
            raise unknown("smoothing", self.smoothing, SMOOTHINGS)


def check(cfg: OneMap, it: Subject) -> None:
    """Raise DeconvError for a layer, map or option that does not fit the network."""
    it.need_images(1, "a unit's figure")
    unit = unit_function(it.sketch, cfg.layer, cfg.map or 0)
    side, values = min(unit.shape[1:]), math.prod(unit.shape)
    if isinstance(cfg, WithAscent) and (cfg.jitter_px >= side or 3 * cfg.blur_px >= side - 1):
        raise DeconvError(
            f"blur_px={cfg.blur_px} and jitter_px={cfg.jitter_px} do not fit the {side} px that "
            f"a unit of {cfg.layer} sees"
        )
    if isinstance(cfg, WithWalks) and 2 * cfg.directions >= values - 1:
        raise DeconvError(
            f"directions={cfg.directions} at each end: choose fewer than half of the {values} "
            f"values that a unit of {cfg.layer} sees"
        )


# The map


def find_map(cfg: OneMap, it: Subject, k: int = 0) -> tuple[int, Peaks | None]:
    """The map's number and, for k above 0, its k strongest peaks; then process 0 works alone."""
    it.net.check_point(cfg.layer)  # before process 0 is alone: all of them train the network
    number, peaks = cfg.map, None
    if k or number is None:
        mined = it.mine([cfg.layer], k=min(max(k, 1), len(it.data)))
        number, peaks = live(cfg, it, mined[cfg.layer])
    it.first_alone()
    return number, peaks


def live(cfg: OneMap, it: Subject, peaks: Peaks) -> tuple[int, Peaks]:
    """The map that cfg names or the strongest one, and as many peaks as are above 0 in it.

    Raises DeconvError for a map without any: it is dead on this data set.
    """
    number = int(peaks.value[:, 0].argmax()) if cfg.map is None else cfg.map
    above = int((peaks.value[number] > 0).sum())
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


def result(cfg: OneMap, it: Subject, number: int, figure: str, *answers: Answer) -> Result:
    """The answers, with what every one of these figures says; figure: what the page is."""
    peaked = "with the largest peak over the split" if cfg.map is None else "that was named"
    facts = {
        "figure": figure,
        "unit": {
            "layer": cfg.layer,
            "map": number,
            "title": f"{layer_title(cfg.layer)}, map {number}",
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
    """The peaks of the map: patches, projections, boxes; whole: also the images around them."""
    own = torch.tensor([number])
    views = peak_views(it.net, it.crops, cfg.layer, peaks, own, it.crops.picture, collisions=policy)
    names = ("value", "image", "y", "x", "box", "projection", "patch", "inside")
    arrays = {name: getattr(views, name)[0].numpy() for name in names}
    if whole:
        arrays["picture"] = np.stack([it.crops.picture(int(i)).numpy() for i in arrays["image"]])
    rows = [
        {"answer": "crop", "number": rank + 1}
        | {name: arrays[name][rank] for name in names[:4]}
        | dict(zip(("top", "left", "bottom", "right"), arrays["box"][rank], strict=True))
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
    """Maximising images from several starts, and the best of them, 1×3×h×w."""
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
    data = f"the mean norm of the data's own patches there, {cfg.norm_images} images at most"
    facts = {
        "unit": {"y": unit.y, "x": unit.x, "box": list(unit.box), "interior": unit.interior},
        "climbed": unit.climbed,
        "searched": "the pixels of the unit's receptive field alone; the rest of the input is the "
        "mean image and cannot change the unit",
        "norm": round(norm, 2),
        "norm_is": "named" if cfg.norm else data,
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
    """The most and the least invariant directions at the best image, and walks along them."""
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
    arbitrary = (
        "the Hessian is zero: every direction has the second derivative of the sphere alone, so "
        "the ones shown are arbitrary"
    )
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
    """Rounded to a tenth, None for NaN, which JSON does not have."""
    return [None if np.isnan(v) else round(float(v), 1) for v in values]
