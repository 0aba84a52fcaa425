"""The interface of every network of this library, chain or wrapped module."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Protocol, TypeVar, runtime_checkable

import torch
from torch import nn

from deconv.networks.calls import Calls
from deconv.networks.preprocessing import Preprocessing
from deconv.records import Box, Record

M = TypeVar("M")


@runtime_checkable
class Network(Protocol):
    """An image classifier whose intermediate values can be read.

    name: for messages. input_px: side of the square images that it is made for. recipe: arguments
    of `deconv.build` that rebuild it, {} for a wrapped module. preprocessing, class_names: None if
    unknown. training: whether it is in training mode.
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
        """The number of logits."""
        ...

    @property
    def device(self) -> torch.device:
        """The device of its weights."""
        ...

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its weights."""
        ...

    @property
    def calls(self) -> Calls:
        """What runs in one forward pass."""
        ...

    def check_point(self, point: str | int) -> str:
        """Resolve the name of a point. Raises DeconvError for an unknown one."""
        ...

    def before(self, point: str) -> str | None:
        """Return the point of an activation's pre-activation z, or None."""
        ...

    def module_of(self, layer: str) -> nn.Module:
        """Return the module of a layer with weights."""
        ...

    def record(
        self,
        images: torch.Tensor,
        layers: Iterable[str] = (),
        logits: bool = True,
        finite: bool = True,
    ) -> Record:
        """Run images N×3×H×W and record activations, switches and logits.

        Raises DeconvError for values that are NaN or infinite unless finite=False.
        """
        ...

    def measure(
        self, images: torch.Tensor, measures: Mapping[str, Callable[[torch.Tensor], M]]
    ) -> dict[str, M]:
        """Run images and apply a function to the values of each point, none of which is kept."""
        ...

    def field(self, layer: str, y: int, x: int, image_size: tuple[int, int]) -> Box:
        """Return the smallest box of pixels that a unit depends on."""
        ...

    def interior(
        self, layer: str, axis: int, image_size: tuple[int, int] | None = None
    ) -> tuple[int, int, int]:
        """Return (size, stride, start) of fields along an axis, away from the borders."""
        ...

    def __call__(self, images: torch.Tensor) -> torch.Tensor:
        """Compute logits N×classes."""
        ...

    def eval(self) -> Network:
        """Switch to evaluation mode."""
        ...

    def train(self, mode: bool = True) -> Network:
        """Switch to training mode, or to evaluation mode for False."""
        ...

    def to(self, *args: Any, **kwargs: Any) -> Network:
        """Move or cast the network."""
        ...

    def parameters(self) -> Iterator[nn.Parameter]:
        """Iterate over its weights."""
        ...

    def named_parameters(self) -> Iterator[tuple[str, nn.Parameter]]:
        """Iterate over its weights with their names in `state_dict`."""
        ...

    def state_dict(self) -> dict[str, torch.Tensor]:
        """Return its weights by name."""
        ...

    def load_state_dict(self, state_dict: dict[str, torch.Tensor]) -> object:
        """Load weights by name."""
        ...


def inner_module(net: Network) -> nn.Module:
    """Return the module whose submodules bear the names of the network's points."""
    module = getattr(net, "module", net)
    assert isinstance(module, nn.Module)
    return module


class Placed(nn.Module):
    """A module that knows the device and dtype of its parameters or, without any, its buffers."""

    @property
    def device(self) -> torch.device:
        """The device of its weights; the CPU without any."""
        return self._first_weight.device

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of its weights, which images have to have."""
        return self._first_weight.dtype

    @property
    def _first_weight(self) -> torch.Tensor:
        both = (*self.parameters(), *self.buffers())
        return next((one for one in both if one.is_floating_point()), torch.zeros(0))
