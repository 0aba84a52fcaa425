"""Any image classifier as a `Network`: the module itself runs, and hooks that exist during one call
read its values."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import nn
from torch.nn.parameter import is_lazy

from deconv.errors import DeconvError, some, unknown
from deconv.images import check_batch
from deconv.networks.calls import Calls, Value
from deconv.networks.entrance import Entrance, enter, in_words, logits_of
from deconv.networks.layer_numbers import numbered
from deconv.networks.network import Placed
from deconv.networks.preprocessing import Prepared, Preprocessing, colour, stored_side
from deconv.networks.probe import Fields
from deconv.networks.reader import Enough, Reader
from deconv.records import Box, Record, Values, checked
from deconv.rules.run import Run, evaluating

M = TypeVar("M")


@dataclass(frozen=True)
class _Entered:
    """What was found out about a module, valid while the signature of its submodules is this."""

    signature: tuple
    entrance: Entrance
    fields: Fields


class WrappedNet(Placed, Prepared, nn.Module):
    """An image classifier of any shape (residual sums, branches, functions, reused modules).

    Points are the outputs of its submodules by name ("layer1.0.conv1", "layer1") and of functions
    by the module that calls them ("layer1.0.add"). Repeated calls are numbered in running order:
    "layer1.0.relu:1", "layer1.0.relu:2". A number such as "20" that is no name is the 20th layer
    with weights.

    The module is not copied: it can be moved, cast, copied or edited, and results follow.

    Args:
        module: the classifier.
        name, recipe, input_px: as for `ChainNet`.
        divide_by: three numbers that images are divided by first, for weights trained on
            standardised images, so that images and projections stay in pixels.

    Raises:
        DeconvError: for a module that does not return logits N×classes, each row determined by its
            own image.
    """

    divide_by: torch.Tensor | None

    def __init__(
        self,
        module: nn.Module,
        name: str,
        input_px: int = 224,
        recipe: dict[str, Any] | None = None,
        divide_by: Iterable[float] | None = None,
    ) -> None:
        super().__init__()
        self.module = module
        self.name, self.input_px, self.recipe = name, input_px, recipe or {}
        self.register_buffer("divide_by", _scale(divide_by), persistent=False)
        self._entered: _Entered | None = None
        self._enter()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_entered": None}

    def _enter(self) -> _Entered:
        """Examine the module, again if its submodules have changed since."""
        signature = tuple(_signature(name, part) for name, part in self.module.named_modules())
        if self._entered is None or self._entered.signature != signature:
            entrance = enter(self.module, self.name, self.input_px, self._scaled)
            self._entered = _Entered(signature, entrance, Fields(self))
        return self._entered

    @property
    def calls(self) -> Calls:
        """What runs in one forward pass."""
        return self._enter().entrance.calls

    @property
    def points(self) -> tuple[str, ...]:
        """The names of all points, in running order."""
        return tuple(name for name, value in self.calls.values.items() if not value.why_not)

    @property
    def classes(self) -> int:
        """The number of logits."""
        return self._enter().entrance.classes

    @property
    def layers(self) -> tuple[str, ...]:
        """The convolutions and fully connected layers, in running order."""
        return tuple(
            name
            for name, value in self.calls.values.items()
            if not value.why_not and isinstance(self._module(value.key), nn.Conv2d | nn.Linear)
        )

    def _module(self, key: str) -> nn.Module | None:
        name = key.rpartition(":")[0]
        return None if name.endswith("()") else self.module.get_submodule(name)

    def module_of(self, layer: str) -> nn.Module:
        """Return the module of a layer with weights."""
        return self.module.get_submodule(self.calls.values[layer].key.rpartition(":")[0])

    def check_point(self, point: str | int) -> str:
        """Resolve the name of a point.

        Raises:
            DeconvError: for a name that matches none or several, with the nearest names.
        """
        point, values = str(point), self.calls.values
        found = values.get(point)
        if found is None and point.endswith(":1"):
            found, point = values.get(point[:-2]), point[:-2]
        if found is not None:
            if found.why_not:
                raise self._no_point(point, found.why_not)
            return point
        if calls := [name for name in values if name.rpartition(":")[0] == point]:
            raise DeconvError(
                f"{point} of {self.name} is called {len(calls)} times: name one of the calls, "
                f"{some(calls)}"
            )
        if point.isdecimal():
            return numbered(self.name, self.layers, point)
        ends = [name for name in self.points if name.endswith(f".{point}")]
        if len(ends) == 1:
            return ends[0]
        if ends:
            raise DeconvError(
                f"{point!r} fits {len(ends)} points of {self.name}: {some(ends)}. Name one of "
                "them in full"
            )
        name, colon, number = point.partition(":")
        if name in dict(self.module.named_modules(remove_duplicate=False)):
            return self._alias(name, colon + number)
        raise unknown(f"layer of {self.name}", point, self.points)

    def _alias(self, point: str, number: str) -> str:
        """Resolve a module's name that is no point, because it is an alias or does not run."""
        part = self.module.get_submodule(point)
        own = next(name for name, one in self.module.named_modules() if one is part)
        if own != point:
            return self.check_point(own + number)
        within = [name for name in self.points if name.startswith(f"{point}.")]
        if not within:
            raise self._no_point(point, "it does not run")
        raise self._no_point(point, f"its parts are called, not itself; the last is {within[-1]}")

    def _no_point(self, point: str, why: str) -> DeconvError:
        maps = [n for n in self.points if len(self.calls.values[n].shape) == 3]
        return DeconvError(
            f"{point} of {self.name} is no point to read: {why}. Maps: "
            f"{', '.join(maps[-6:]) or 'none'}"
        )

    def before(self, point: str) -> str | None:
        """Return the point of an activation's pre-activation z, or None."""
        index = self.calls.values[self.check_point(point)].index
        ran = self.calls.ran[index] if index is not None and index >= 0 else None
        if ran is None or not ran.activates or len(ran.inputs) != 1 or ran.inputs[0] < 0:
            return None
        below = self.calls.ran[ran.inputs[0]].point
        value = self.calls.values.get(below)
        return below if value is not None and not value.why_not else None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute logits N×classes of images N×3×H×W."""
        check_batch(images, self.name)
        return logits_of(self.module(self._scaled(images)), self._enter().entrance.ends_in)

    def _scaled(self, images: torch.Tensor) -> torch.Tensor:
        """Make the module's own input, a new tensor that the module may write into."""
        if self._entered is not None and not self._entered.entrance.channels_last:
            images = images.contiguous()
        return images.clone() if self.divide_by is None else images / self.divide_by.to(images)

    def record(
        self,
        images: torch.Tensor,
        layers: Iterable[str] = (),
        logits: bool = True,
        finite: bool = True,
    ) -> Record:
        """Run images in evaluation mode and record, as `ChainNet.record` does."""
        check_batch(images, self.name)
        asked = [layers] if isinstance(layers, str) else [str(layer) for layer in layers]
        images = images.to(self.device)
        values = self._values(asked)
        reader, answer = self._run(images, values, stop=bool(asked) and not logits)
        entrance = self._enter().entrance
        named = entrance.calls.names
        record = Record(
            images,
            Values({n: reader.values[v.key] for n, v in values.items()}, self.check_point),
            {named.get(key, key): switches for key, switches in reader.switches.items()},
            {named.get(key, key): plane for key, plane in reader.planes.items()},
            {named.get(key, key): pool for key, pool in reader.pools.items()},
            logits_of(answer, entrance.ends_in) if logits else None,
        )
        return checked(record, self.name) if finite else record

    def measure(
        self, images: torch.Tensor, measures: Mapping[str, Callable[[torch.Tensor], M]]
    ) -> dict[str, M]:
        """Run images and apply a function to each point's values, as `ChainNet.measure` does."""
        check_batch(images, self.name)
        values, found = self._values(measures), dict[str, M]()

        def read(key: str, value: torch.Tensor) -> None:
            found.update((n, measures[n](value)) for n in values if values[n].key == key)

        with torch.no_grad():
            self._run(images.to(self.device), values, stop=True, read=read, switches=False)
        return {name: found[name] for name in measures}

    def _values(self, points: Iterable[str]) -> dict[str, Value]:
        """Look up the values of points by their requested names."""
        calls = self.calls
        return {name: calls.values[self.check_point(name)] for name in points}

    def _run(
        self, images: torch.Tensor, values: dict[str, Value], **reading: Any
    ) -> tuple[Reader, Any]:
        """Run images in evaluation mode; reading: options of `Reader`. Return it and the output."""
        reader = Reader({value.key: value.after for value in values.values()}, **reading)
        run = Run(module=self.module, watch=reader.on_call, on_module=reader.on_module)
        follow = torch.is_grad_enabled() and images.requires_grad
        answer = None
        with torch.set_grad_enabled(follow), evaluating(self.module):
            try:
                with run:
                    answer = self.module(self._scaled(images))
            except Enough:
                pass
            except RuntimeError as error:
                if (words := in_words(error, self.name, images, self.input_px)) is None:
                    raise
                raise words from error
        if reader.waiting:
            missing = next(name for name, value in values.items() if value.key in reader.waiting)
            raise DeconvError(
                f"{missing} of {self.name} did not run for these images: its forward pass took "
                "another branch than it does for others"
            )
        return reader, answer

    def field(self, layer: str, y: int, x: int, image_size: tuple[int, int]) -> Box:
        """Probe a unit's receptive field, see `deconv.receptive_field`."""
        return self._enter().fields.box(self.check_point(layer), y, x, image_size)

    def interior(
        self, layer: str, axis: int, image_size: tuple[int, int] | None = None
    ) -> tuple[int, int, int]:
        """Probe (size, stride, start) of fields away from the borders.

        Raises:
            WholeImage: for fields that depend on the image's size.
        """
        size = image_size or (self.input_px, self.input_px)
        return self._enter().fields.law(self.check_point(layer), size)[axis]


def wrap(
    module: nn.Module,
    name: str | None = None,
    input_px: int | None = None,
    normalize: tuple[Sequence[float], Sequence[float]] | None = None,
) -> WrappedNet:
    """Wrap any image classifier, to mine, project, occlude and measure it.

    Args:
        module: maps N×3×H×W to logits N×classes; not copied.
        name: for messages; None for the module's type.
        input_px: side of the square images that it is made for; None: from timm's default_cfg if
            the module has one, else 224.
        normalize: (mean, std), three numbers in 0…1 each, for a module that expects
            (pixels / 255 − mean) / std. The network then takes pixels 0…255 minus 255 · mean,
            divides them itself, and projects to pixels. None: images are passed as you prepare
            them.

    Returns:
        The network; `net.module` is the module.

    Raises:
        DeconvError: as `WrappedNet`.
    """
    if not isinstance(module, nn.Module):
        raise DeconvError(f"wrap takes a torch.nn.Module, not {type(module).__name__}")
    config = getattr(module, "default_cfg", None)
    side = input_px or (config.get("input_size", [224])[-1] if isinstance(config, dict) else 224)
    name = name or type(module).__name__
    if normalize is None:
        return WrappedNet(module, name, side)
    mean, std = ([255 * n for n in three] for three in _fractions(normalize))
    net = WrappedNet(module, name, side, None, std)
    net.preprocessing = Preprocessing(colour(mean), side, stored_side(side))
    return net


def _fractions(normalize: Sequence[Sequence[float]]) -> tuple[list[float], list[float]]:
    """Check (mean, std)."""
    try:
        mean, std = ([float(n) for n in three] for three in normalize)
    except (TypeError, ValueError):
        mean, std = [], []
    if len(mean) != 3 or len(std) != 3 or not all(0 <= n <= 1 for n in (*mean, *std)) or 0 in std:
        raise DeconvError(
            f"normalize takes (mean, std), three numbers in 0…1 each, std above 0: got {normalize}"
        )
    return mean, std


def _signature(name: str, part: nn.Module) -> tuple:
    """Identify a submodule by itself, its settings and its weights' shapes, which edits change."""
    weights = part._parameters.values()
    sizes = tuple(None if p is None or is_lazy(p) else p.shape for p in weights)
    return name, id(part), sizes, part.extra_repr()


def _scale(divide_by: Iterable[float] | None) -> torch.Tensor | None:
    """1×3×1×1 of three numbers above 0, None for None."""
    if divide_by is None:
        return None
    scale = torch.tensor([float(n) for n in divide_by])
    if scale.shape != (3,) or not (scale > 0).all():
        raise DeconvError(
            f"divide_by takes three numbers above 0, one a colour, got {scale.tolist()}"
        )
    return scale.view(1, 3, 1, 1)
