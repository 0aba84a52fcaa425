"""The settings of the experiments about one unit."""

from __future__ import annotations

import math
from dataclasses import dataclass

from deconv.errors import DeconvError
from deconv.studies.single_unit.unit_function import unit_function
from experiments.kit.chosen_maps import MinesPeaks, check_choice, check_class
from experiments.kit.settings import Figure, by_size, check_name
from experiments.kit.subject import Subject

SMOOTHINGS = ("softplus", "none")
MOST = 25
"""Pictures in one block."""
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


@dataclass
class OneMap(MinesPeaks, Figure):
    """One map of a network; also checks LIMITS for the settings below."""

    layer: str = "conv5"  # any point of any network
    map: int | None = None  # null: see choose
    choose: str = "strongest"  # which map: strongest: with the largest peak over the split; random:
    # of the live ones; class: with the most of its strongest images in of_class
    of_class: str | None = None  # a class of the data, by name or number

    def __post_init__(self) -> None:
        check_choice(self.choose, self.of_class)
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
    steps: int = by_size(paper=200, laptop=200, smoke=12)  # of the ascent
    first_angle_deg: float = 10.0  # turn of the first step; falls to 0 along half a cosine
    norm: float | None = None  # of the image, pixels minus mean; null: the mean of data's patches
    norm_images: int = 200  # to take that mean over
    blur_px: float = 0.0  # Gaussian blur after each step; Erhan et al. have none
    jitter_px: int = 0  # random offset of each step; Erhan et al. have none


@dataclass
class WithWalks(WithAscent):
    directions: int = 2  # at each end
    smoothing: str = "softplus"  # softplus: ReLUs and pools rounded for the Hessian; none: as is
    smoothing_width: float = 0.1  # a share of the root mean square of what an operation takes in
    refine_steps: int = by_size(paper=200, laptop=200, smoke=12)  # of ascent on the rounded unit
    # before the Hessian; 0: none
    largest_angle_deg: float = 60.0  # of the walks

    def __post_init__(self) -> None:
        super().__post_init__()
        check_name("smoothing", self.smoothing, SMOOTHINGS)


def check(cfg: OneMap, it: Subject) -> None:
    """Raise DeconvError for a layer, map or option that does not fit the network."""
    it.need_images(1, "a unit's figure")
    check_class(cfg, it)
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
