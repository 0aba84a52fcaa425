"""What the experiments about one unit share: the network, the data, which map and which unit.

layer, map: the map; null: the one whose strongest peak over the split is the largest. Crops and
projections are of the map's peaks, wherever they lie; ascent is of its unit at the centre.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from omegaconf import DictConfig
from torch.utils.data import DataLoader

from deconv import distributed
from deconv.data import SPLITS, CentreCrops, Squares
from deconv.distributed import Share
from deconv.errors import DeconvError, unknown
from deconv.mining.top_activations import CHUNK, top_activations
from deconv.networks import ChainNet
from deconv.pooling import COLLISIONS
from deconv.records import Peaks
from deconv.studies.single_unit.unit_function import UnitFunction, unit_function
from deconv.training.snapshots import Snapshot
from experiments.kit.facts import data_facts, layer_title, preprocessing, training_facts
from experiments.kit.inputs import (
    build_network,
    data_name,
    device,
    given,
    log,
    squares,
    stored_side_px,
    workers,
)
from experiments.kit.training import train_network

SMOOTHINGS = ("softplus", "none")
MOST = 25
"""Pictures in one block."""


@dataclass(frozen=True)
class Subject:
    """One map of a network over a data set. peaks: of all maps of the layer, so many as this one
    has above 0; None where the data set was not mined."""

    snapshot: Snapshot
    net: ChainNet
    data: Squares
    crops: CentreCrops
    layer: str
    map: int
    peaks: Peaks | None

    def unit(self) -> UnitFunction:
        """The unit at the centre of the map."""
        return unit_function(self.net, self.layer, self.map)

    def mean(self) -> torch.Tensor:
        """The mean image where the network looks, 3×H×W in 0…255."""
        side, edge = self.net.input_px, (self.snapshot.mean.shape[-1] - self.net.input_px) // 2
        return self.snapshot.mean[:, edge : edge + side, edge : edge + side]


def subject(cfg: DictConfig, folder: Path, needs_crops: bool, climbs: bool) -> Subject | None:
    """The unit that cfg names, checked before anything long; the network is trained if need be.

    needs_crops: mine the data set also where cfg.map is given. climbs: whether cfg has the settings
    of ascent. None on the processes of torchrun that have nothing more to do.
    """
    if cfg.split not in SPLITS:
        raise unknown("split", cfg.split, SPLITS)
    snapshot = given(cfg)
    data = squares(cfg, cfg.split, stored_side_px(cfg, snapshot))
    net = snapshot.network() if snapshot else build_network(cfg, len(data.classes))
    check(cfg, net, data, needs_crops, climbs)
    if snapshot is None:
        log("no snapshot given: training one first")
        snapshot = train_network(cfg, folder)
        net = snapshot.network()
    net = net.to(device(cfg)).eval()
    crops = CentreCrops(data, snapshot.mean, net.input_px)
    peaks, number = None, cfg.map
    if needs_crops or cfg.map is None:
        log(f"mining {cfg.layer} of {net.name} over {len(crops)} images")
        loader = DataLoader(Share(crops, CHUNK), batch_size=CHUNK, num_workers=workers(cfg))
        k = min(cfg.k if needs_crops else 1, len(crops))
        peaks, number = live(top_activations(net, loader, [cfg.layer], k)[cfg.layer], cfg, crops)
    if distributed.rank() > 0:
        return None
    return Subject(snapshot, net, data, crops, cfg.layer, number, peaks)


def live(peaks: Peaks, cfg: DictConfig, crops: CentreCrops) -> tuple[Peaks, int]:
    """As many peaks as are above 0 in the map that cfg names or the strongest one; its number.

    Raises DeconvError for a map without any: it is dead on this data set.
    """
    number = int(peaks.value[:, 0].argmax()) if cfg.map is None else cfg.map
    above = int((peaks.value[number] > 0).sum())
    if not above:
        which = "no map" if cfg.map is None else f"map {number}"
        never = "is ever" if cfg.map is None else "is never"
        raise DeconvError(
            f"{which} of {cfg.layer} {never} above 0 over the {len(crops)} images of "
            f"{cfg.split!r} of {data_name(cfg)}: choose another map, or more images"
        )
    return Peaks(*(one[:, :above] for one in vars(peaks).values())), number


def check(cfg: DictConfig, net: ChainNet, data: Squares, needs_crops: bool, climbs: bool) -> None:
    """Raise DeconvError for a layer, map, option or number that cannot be used."""
    if not len(data):
        raise DeconvError(f"{cfg.split!r} of {data_name(cfg)} has no image")
    unit = unit_function(net, cfg.layer, 0 if cfg.map is None else cfg.map)
    if needs_crops and not 1 <= cfg.k <= MOST:
        raise DeconvError(f"k={cfg.k} cannot be shown: choose 1 to {MOST}")
    if "collisions" in cfg and cfg.collisions not in COLLISIONS:
        raise unknown("collision policy", cfg.collisions, COLLISIONS)
    if climbs:
        check_ascent(cfg, min(unit.shape[1:]))
    if climbs and "smoothing" in cfg:
        check_directions(cfg, int(torch.tensor(unit.shape).prod()))


def check_ascent(cfg: DictConfig, side_px: int) -> None:
    """Raise DeconvError for settings of ascent that cannot be used on patches of a side."""
    if not 1 <= cfg.starts <= MOST:
        raise DeconvError(f"starts={cfg.starts} cannot be shown: choose 1 to {MOST}")
    if cfg.norm is not None and not cfg.norm > 0:
        raise DeconvError(f"norm={cfg.norm}: choose more than 0, or null for the data")
    least = {"steps": 1, "norm_images": 1, "blur_px": 0, "jitter_px": 0}
    for name, smallest in least.items():
        if cfg[name] < smallest:
            raise DeconvError(f"{name}={cfg[name]}: choose {smallest} or more")
    if not 0 < cfg.first_angle_deg <= 90:
        raise DeconvError(f"first_angle_deg={cfg.first_angle_deg}: choose more than 0, up to 90")
    if cfg.jitter_px >= side_px or 3 * cfg.blur_px >= side_px - 1:
        raise DeconvError(
            f"blur_px={cfg.blur_px} and jitter_px={cfg.jitter_px} do not fit the {side_px} px that "
            f"a unit of {cfg.layer} sees"
        )


def check_directions(cfg: DictConfig, values: int) -> None:
    """Raise DeconvError for settings of the invariance directions that cannot be used."""
    if cfg.smoothing not in SMOOTHINGS:
        raise unknown("smoothing", cfg.smoothing, SMOOTHINGS)
    if not cfg.smoothing_width > 0:
        raise DeconvError(f"smoothing_width={cfg.smoothing_width}: a share above 0")
    if cfg.refine_steps < 0:
        raise DeconvError(f"refine_steps={cfg.refine_steps}: choose 0 or more")
    if not 1 <= cfg.directions <= 6 or 2 * cfg.directions >= values - 1:
        raise DeconvError(
            f"directions={cfg.directions} at each end: choose 1 to 6, fewer than half of the "
            f"{values} values that a unit of {cfg.layer} sees"
        )
    if not 0 < cfg.largest_angle_deg <= 90:
        raise DeconvError(f"largest_angle_deg={cfg.largest_angle_deg}: more than 0, up to 90")


def common_facts(cfg: DictConfig, one: Subject) -> dict[str, Any]:
    """What the sidecar of every one of these figures says."""
    peaked = " with the largest peak over the split" if cfg.map is None else " that was named"
    return {
        "unit": {
            "layer": one.layer, "map": one.map,
            "title": f"{layer_title(one.layer)}, map {one.map}",
        },
        "choices": {
            "map": f"the one{peaked}",
            "preprocessing": preprocessing(one.net, one.snapshot.mean),
        },
        "training": training_facts(one.snapshot, cfg.snapshot),
        "data": data_facts(cfg, cfg.split, one.data),
    }  # fmt: skip
