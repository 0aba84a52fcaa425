"""What every network of this library answers to, whether it is a chain or a wrapped module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol, runtime_checkable

import torch
from torch import nn

from deconv.networks.calls import Calls
from deconv.networks.preprocessing import Preprocessing
from deconv.records import Box, Record


@runtime_checkable
class Network(Protocol):
    """An image classifier whose values can be read.

    name: for messages. input_px: side of the square images that it is made for. recipe: arguments
    of `deconv.build` that make it again, {} for a wrapped module. preprocessing, class_names: None
    where they are not known. training: whether it is in training mode.
    """

    name: str
    input_px: int
    recipe: dict[str, Any]
    preprocessing: Preprocessing | None
    class_names: tuple[str, ...] | None
    training: bool

    @property
    def points(self) -> tuple[str, ...]:
        """The names of all points at which values can be read, in running order."""
        ...

    @property
    def layers(self) -> tuple[str, ...]:
        """The convolutions and fully connected layers, in running order."""
        ...

    @property
    def classes(self) -> int:
        """How many logits it answers with."""
        ...

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The type of its weights."""
        ...

    @property
    def calls(self) -> Calls:
        """What runs in one forward pass."""
        ...

    def check_point(self, point: str | int) -> str:
        """Find the name of a point. Raises DeconvError for one that is not there."""
        ...

    def before(self, point: str) -> str | None:
        """The point of the pre-activation z of an activation's point, None without one."""
        ...

    def module_of(self, layer: str) -> nn.Module:
        """The module of a layer with weights."""
        ...

    def record(
        self, images: torch.Tensor, layers: Iterable[str] = (), logits: bool = True
    ) -> Record:
        """Run images N×3×H×W and return what was asked for."""
        ...

    def field(self, layer: str, y: int, x: int, image_size: tuple[int, int]) -> Box:
        """The smallest box of pixels that holds what a unit depends on."""
        ...

    def interior(
        self, layer: str, axis: int, image_size: tuple[int, int] | None = None
    ) -> tuple[int, int, int]:
        """(size, stride, start) along an axis of units away from the borders."""
        ...

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Logits N×classes."""
        ...

    def eval(self) -> Network:
        """Itself, in evaluation mode."""
        ...

    def train(self, mode: bool = True) -> Network:
        """Itself, in training mode, or in evaluation mode for False."""
        ...

    def to(self, *args: Any, **kwargs: Any) -> Network:
        """Itself, moved or cast."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Its weights."""
        ...

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Its weights by name."""
        ...

    def load_state_dict(self, state_dict: dict[str, torch.Tensor]) -> object:
        """Take weights by name."""
        ...


class Placed(nn.Module):
    """Where a network's numbers are, and of what type: its parameters', or its buffers'."""

    @property
    def device(self) -> torch.device:
        """Where images go; the CPU for a network without parameters and buffers."""
        return self._some.device

    @property
    def dtype(self) -> torch.dtype:
        """The type of the images that it takes."""
        return self._some.dtype

    @property
    def _some(self) -> torch.Tensor:
        both = (*self.parameters(), *self.buffers())
        return next((one for one in both if one.is_floating_point()), torch.zeros(0))
