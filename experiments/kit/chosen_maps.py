"""Which maps a figure shows: those that its user names, or a choice among the live ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from deconv.data.class_names import class_number
from deconv.errors import DeconvError
from deconv.mining.chosen_maps import selective_maps, strongest_maps
from deconv.mining.random_maps import random_maps
from deconv.networks import Network
from deconv.records import Peaks
from experiments.kit.settings import check_name
from experiments.kit.subject import Subject

CHOICES = ("random", "strongest", "class")


@dataclass
class ShowsMaps:
    """The settings of a figure that shows maps of several layers."""

    layers: list[str] = field(default_factory=list)  # names, or numbers among the layers with
    # weights; []: those that maps names, else the figure's own
    maps: Any = None  # numbers of maps by layer: maps.conv5=[32,93], maps.features.12=[3];
    # layers without any: see choose
    choose: str = "random"  # which maps: random; strongest: by their largest peak; class: with the
    # most of their k strongest images in of_class
    of_class: str | None = None  # a class of the data, by name or number

    def __post_init__(self) -> None:
        self.layers = [str(layer) for layer in self.layers]
        self.maps = checked_maps(self.maps)
        check_choice(self.choose, self.of_class)

    def shown_layers(self, usual: Sequence[str]) -> list[str]:
        """The layers of the figure. usual: its own, where nothing names any."""
        return self.layers or list(self.maps) or list(usual)


@dataclass
class MinesPeaks:
    """The setting of a figure that shows the strongest units of maps over a split."""

    whole_fields: bool = False  # leave out peaks whose field is cut by the image's border


MOST = 25
"""Peaks of one map in a figure."""


def whole_words(cfg: MinesPeaks) -> str:
    """What cfg.whole_fields leaves out, in words; empty where that is nothing."""
    return ", of units whose field the border does not cut" if cfg.whole_fields else ""


def above_0(peaks: Peaks) -> Peaks:
    """The peaks without those that are not above 0, which are missing then."""
    live = peaks.value > 0
    value = torch.where(live, peaks.value, -torch.inf)
    image, y, x = (torch.where(live, one, -1) for one in (peaks.image, peaks.y, peaks.x))
    return Peaks(value, image, y, x)


def checked_maps(maps: Any) -> dict[str, list[int]]:
    """The setting `maps` as a dictionary; DeconvError for what is none."""
    maps = {} if maps is None else maps
    if not isinstance(maps, dict):
        raise DeconvError(
            f"maps takes numbers for each layer, maps.conv5=[32,93], got {maps!r}; how many are "
            "shown is maps_each=, in Figure 2 grid="
        )
    for layer, numbers in maps.items():
        good = isinstance(numbers, list) and all(type(n) is int and n >= 0 for n in numbers)
        if not good or not numbers or len(set(numbers)) < len(numbers):
            raise DeconvError(
                f"maps.{layer} takes different numbers of maps such as [32,93], got {numbers}"
            )
    return {str(layer): numbers for layer, numbers in maps.items()}


def check_choice(choose: str, of_class: str | None, choices: Sequence[str] = CHOICES) -> None:
    """Raise DeconvError for an unknown choice, and unless a class is named where one is needed."""
    check_name("choice of maps", choose, choices)
    if (choose == "class") != (of_class is not None):
        raise DeconvError(
            "choose=class shows the maps most selective for a class: name it by of_class="
            if of_class is None
            else f"of_class={of_class} is for choose=class, not for choose={choose}"
        )


def named_maps(cfg: ShowsMaps, net: Network, layers: Sequence[str]) -> dict[str, list[int]]:
    """The maps that cfg names of these layers, in its order: layer as in `layers` -> numbers.

    Raises DeconvError for maps of a layer that is not among them, and for maps that do not exist.
    """
    points = {net.check_point(layer): layer for layer in layers}
    found = {}
    for layer, numbers in cfg.maps.items():
        point = net.check_point(layer)
        if point not in points:
            raise DeconvError(
                f"maps names {layer}, and the figure shows {', '.join(layers)}: add it to layers="
            )
        check_numbers(net, point, numbers, f"maps.{layer}")
        found[points[point]] = numbers
    return found


def check_numbers(net: Network, point: str, numbers: Sequence[int], setting: str) -> None:
    """Raise DeconvError for maps that a point does not have. setting: that names them."""
    count = maps_of(net, point)
    if wrong := [n for n in numbers if not 0 <= n < count]:
        raise DeconvError(f"{setting}: {point} has maps 0 to {count - 1}, not {wrong[0]}")


def maps_of(net: Network, point: str) -> int:
    """How many maps a point has, or units, where it is fully connected."""
    return net.calls.values[net.check_point(point)].shape[0]


def check_class(cfg: Any, it: Subject) -> None:
    """Raise DeconvError where of_class= is no class of the data, naming the nearest."""
    if cfg.of_class is not None:
        class_number(cfg.of_class, it.data.classes)


def choose_maps(
    cfg: Any, it: Subject, layer: str, peaks: Peaks, live: torch.Tensor, count: int
) -> torch.Tensor:
    """Choose up to `count` of the live maps (C bool) by cfg.choose."""
    if cfg.choose == "random":
        return random_maps(live, count, cfg.seed, layer)
    if cfg.choose == "strongest":
        return strongest_maps(peaks.value[:, 0], live, count)
    return selective_maps(peaks, images_of_class(it, cfg.of_class), live, count)


def images_of_class(it: Subject, name: str) -> torch.Tensor:
    """Which images of the split are of a class, N bool; of several labels one has to be it."""
    number, targets = class_number(name, it.data.classes), torch.as_tensor(it.data.targets)
    return targets == number if targets.dim() == 1 else targets[:, number] > 0


def choice_words(
    cfg: Any, named: Mapping[str, Sequence[int]], layers: Sequence[str], live: str
) -> str:
    """How the maps shown were chosen, for sidecar and caption. live: words for those to choose."""
    if len(named) == len(layers):
        return "those that were named"
    own = f"; of {', '.join(named)} those that were named" if named else ""
    return _chosen(cfg, live) + own


def _chosen(cfg: Any, live: str) -> str:
    return {
        "random": f"a random choice among those {live}",
        "strongest": f"those with the largest peaks among those {live}",
        "class": f"those {live} that have the most {cfg.of_class} among their strongest images",
    }[cfg.choose]
