"""The library's data types: the record of a forward pass and the peaks found by mining."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from deconv.errors import DeconvError
from deconv.finite import check_finite
from deconv.whole_number import whole_numbers

Box = tuple[int, int, int, int]
"""Half-open (top, left, bottom, right) in pixels."""


class Values(dict[str, torch.Tensor]):
    """Values by requested point name; every other name of the same point finds them too.

    resolve: maps any name of a point to the network's own; raises DeconvError.
    """

    def __init__(self, named: Mapping[str, torch.Tensor], resolve: Callable[[str], str]) -> None:
        super().__init__(named)
        self._requested = {resolve(name): name for name in named}
        self._resolve = resolve

    def to(self, device: torch.device) -> Values:
        """Move all values to a device."""
        return Values({name: value.to(device) for name, value in self.items()}, self._resolve)

    def __missing__(self, name: str) -> torch.Tensor:
        requested = self._requested.get(self._resolve(name))
        if requested is None:
            raise KeyError(name)
        return self[requested]

    def __contains__(self, name: object) -> bool:
        try:
            return super().__contains__(name) or self._resolve(str(name)) in self._requested
        except DeconvError:
            return False

    def get(self, name: str, default: Any = None) -> Any:
        """Look up the values of a point by any of its names."""
        try:
            return self[name]
        except (KeyError, DeconvError):
            return default


@dataclass(frozen=True)
class Record:
    """What `net.record` saw in one forward pass; plain tensors, no state is left on the modules.

    images:      N×3×H×W, the preprocessed batch itself.
    activations: point name -> N×C×h×w (convolutional) or N×C (fully connected), by any name of a
                 requested point.
    switches:    pool name -> N×C×h×w int64, the flat position y·W+x in the pool's input of each
                 window's maximum (§2.1).
    shapes:      stage name -> shape of that stage's input without the batch axis.
    pools:       pool name -> its window, a torch.nn.MaxPool2d.
    logits:      N×classes before the softmax; None if the pass stopped below them.
    """

    images: torch.Tensor
    activations: Values
    switches: dict[str, torch.Tensor]
    shapes: dict[str, tuple[int, ...]]
    pools: dict[str, nn.MaxPool2d]
    logits: torch.Tensor | None

    def to(self, device: torch.device) -> Record:
        """Move everything to a device."""
        return replace(
            self,
            images=self.images.to(device),
            activations=self.activations.to(device),
            switches={name: switches.to(device) for name, switches in self.switches.items()},
            logits=None if self.logits is None else self.logits.to(device),
        )


def checked(record: Record, name: str) -> Record:
    """Return the record of the network `name`; DeconvError for values that are NaN or infinite."""
    for point, values in record.activations.items():
        check_finite(values.detach(), f"{point} of {name}")
    if record.logits is not None:
        check_finite(record.logits.detach(), f"the output of {name}")
    return record


@dataclass(frozen=True)
class Peaks:
    """The k strongest units of each of C maps, at most one per image and map; all C×k, best first.

    value: activation; -inf if missing, because the data set has fewer than k images.
    image: int64 position in the data set; -1 if missing.
    y, x:  int64 position in the map (0 in fully connected layers); -1 if missing.
    """

    value: torch.Tensor
    image: torch.Tensor
    y: torch.Tensor
    x: torch.Tensor

    def units(self, maps: Sequence[int] | torch.Tensor) -> torch.Tensor:
        """List the peaks of some maps as rows for `deconv.project`, best first within each map.

        Args:
            maps: M numbers.

        Returns:
            K×4 int64 (image, map, y, x) without missing peaks; `image` is the position in the data
            set that was mined.

        Raises:
            DeconvError: for a map that does not exist.
        """
        maps, count = whole_numbers(maps, "maps").to(self.image.device), len(self.value)
        if maps.dim() != 1 or not len(maps):
            raise DeconvError(f"maps takes a list of maps, got {maps.tolist()}")
        if wrong := [m for m in maps.tolist() if not 0 <= m < count]:
            raise DeconvError(f"there are maps 0 to {count - 1}, no map {wrong[0]}")
        image = self.image[maps]
        number = maps[:, None].expand_as(image)
        rows = torch.stack([image, number, self.y[maps], self.x[maps]], dim=2).flatten(0, 1)
        return rows[rows[:, 0] >= 0]
