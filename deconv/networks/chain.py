"""A network that is a chain of named stages, and the record of one forward pass through it.

Stages are plain torch modules named conv1, relu1, pool1, norm1, conv2, …, flatten, fc6, relu6,
drop6, …, so that `state_dict` keys are conv1.weight, fc6.bias and so on. *Points* are the places
where values can be read:

    conv3    the feature map a = relu(z)         conv3:z  the pre-activation z
    pool1    after pooling                       norm1    after contrast normalisation
    fc6      relu of a fully connected layer     fc8      the logits
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import takewhile
from typing import Any, TypeVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from deconv.errors import DeconvError, unknown
from deconv.fields import Window, box_of, interior_field, support
from deconv.images import check_batch
from deconv.networks.calls import IMAGE, Calls, Ran, Value
from deconv.networks.layer_numbers import numbered
from deconv.networks.network import Placed
from deconv.networks.preprocessing import Prepared, Preprocessing, colour, stored_side
from deconv.pixels import Divide, Grey
from deconv.pooling import max_pool
from deconv.records import Box, Record, Values, checked
from deconv.rules import of_module
from deconv.rules.normalisation import CONTRAST
from deconv.rules.pooling import ADAPTIVE_AVERAGE, MAX_POOL
from deconv.rules.run import evaluating

M = TypeVar("M")


class ChainNet(Placed, Prepared, nn.Sequential):
    """An image classifier whose stages run one after another (ZFNet, AlexNet, VGG).

    Args:
        name: for messages and snapshots.
        stages: stage name -> module.
        recipe: the arguments of `deconv.build` that rebuild this network.
        input_px: side of the square images that it is made for.
    """

    def __init__(
        self,
        name: str,
        stages: OrderedDict[str, nn.Module],
        recipe: dict[str, Any],
        input_px: int,
    ) -> None:
        super().__init__(stages)
        for stage_name, stage in stages.items():
            padding = getattr(stage, "padding", 0)
            if getattr(stage, "padding_mode", "zeros") != "zeros" or isinstance(padding, str):
                raise DeconvError(
                    f"{stage_name} of {name}: a chain takes only convolutions padded with zeros by "
                    "a number of positions"
                )
        self.name, self.recipe, self.input_px = name, recipe, input_px
        self._points = _points(stages)

    @property
    def points(self) -> tuple[str, ...]:
        """The names of all points, in running order."""
        return tuple(self._points)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers with weights, in running order: conv1, …, fc8."""
        kinds = (nn.Conv2d, nn.Linear)
        return tuple(n for n, stage in self.named_children() if isinstance(stage, kinds))

    @property
    def classes(self) -> int:
        """The number of logits."""
        last = self.module_of(self.layers[-1])
        assert isinstance(last, nn.Linear)
        return last.out_features

    def stages_to(self, point: str) -> list[tuple[str, nn.Module]]:
        """List the stages from the image up to a point."""
        return list(self._modules.items())[: self._points[self.check_point(point)] + 1]

    def windows(self, layer: str) -> list[Window]:
        """List the sliding windows between the image and a point, for `deconv.fields`."""
        return [w for _, stage in self.stages_to(layer) if (w := window(stage)) is not None]

    def check_point(self, point: str | int) -> str:
        """Resolve a point's name, or the number n ≥ 1 of the n-th layer with weights.

        Raises:
            DeconvError: for an unknown point.
        """
        name = str(point)
        if name in self._points:
            return name
        if name.isdecimal():
            return numbered(self.name, self.layers, name)
        raise unknown(f"layer of {self.name}", name, self._points)

    def module_of(self, layer: str) -> nn.Module:
        """Return the stage of a layer with weights."""
        return self.get_submodule(layer)

    @property
    def calls(self) -> Calls:
        """What runs in one forward pass: the stages in order."""
        images = torch.zeros(1, 3, self.input_px, self.input_px, dtype=self.dtype)
        with torch.no_grad():
            record = self.record(images, finite=False)
        assert record.logits is not None
        stages = list(self.named_children())
        points = {i: point for point, i in self._points.items()}
        shapes = [record.shapes[name] for name, _ in stages[1:]]
        shapes.append(tuple(record.logits.shape[1:]))
        ran = tuple(
            Ran(
                name=name,
                point=points.get(i, name),
                operation=of_module(stage),
                what=type(stage).__name__,
                module=stage,
                inputs=(i - 1 if i else IMAGE,),
                shape=shape,
            )
            for i, ((name, stage), shape) in enumerate(zip(stages, shapes, strict=True))
        )
        values = {point: Value(point, "", i, ran[i].shape, "") for point, i in self._points.items()}
        return Calls(ran, values, {}, last=len(ran) - 1)

    def before(self, point: str) -> str | None:
        """Return the point of a rectified point's pre-activation z, or None."""
        z = f"{self.check_point(point)}:z"
        return z if z in self._points else None

    def support(self, layer: str, axis: int, unit: int, image_size: tuple[int, int]) -> np.ndarray:
        """Return the sorted pixels along an axis that a unit depends on, see `deconv.fields`."""
        axes = [window[axis] for window in self.windows(layer)]
        return support(axes, unit, image_size[axis])

    def field(self, layer: str, y: int, x: int, image_size: tuple[int, int]) -> Box:
        """Compute a unit's receptive field by arithmetic, see `deconv.receptive_field`."""
        return box_of(*(self.support(layer, a, (y, x)[a], image_size) for a in (0, 1)))

    def interior(
        self, layer: str, axis: int, image_size: tuple[int, int] | None = None
    ) -> tuple[int, int, int]:
        """Compute (size, stride, start) of fields away from the borders, see `deconv.fields`."""
        return interior_field([window[axis] for window in self.windows(layer)])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Compute logits N×classes of images N×3×H×W (RGB in 0…255 minus a mean).

        Raises:
            DeconvError: for a wrong type, channel count or size.
        """
        self._check(images, list(self._modules.items()))
        return super().forward(images)

    def record(
        self,
        images: torch.Tensor,
        layers: Iterable[str] = (),
        logits: bool = True,
        finite: bool = True,
    ) -> Record:
        """Run images in evaluation mode and record activations and the switches of every pool.

        Args:
            images: N×3×H×W, as for `forward`; gradients are tracked only if they require them.
            layers: points whose activations are kept.
            logits: False stops at the highest of these points.
            finite: False also records activations and logits that are NaN or infinite.

        Raises:
            DeconvError: for images that do not fit, for unknown points, and for values that are NaN
                or infinite.
        """
        check_batch(images, self.name)
        images = images.to(self.device)
        follow = torch.is_grad_enabled() and images.requires_grad
        with torch.set_grad_enabled(follow), evaluating(self):
            record = self._record(images, layers, logits)
        return checked(record, self.name) if finite else record

    def _record(self, images: torch.Tensor, layers: Iterable[str], logits: bool) -> Record:
        asked = [layers] if isinstance(layers, str) else [str(layer) for layer in layers]
        stages = max((self.stages_to(point) for point in asked), key=len, default=[])
        if logits or not asked:
            stages = list(self._modules.items())
        self._check(images, stages)
        activations: dict[str, torch.Tensor] = {}
        switches, shapes, pools = {}, {}, {}
        at = {point: self._points[self.check_point(point)] for point in asked}
        x = images
        for index, (stage_name, stage) in enumerate(stages):
            shapes[stage_name] = tuple(x.shape[1:])
            if isinstance(stage, nn.MaxPool2d):
                x, switches[stage_name] = max_pool(stage, x)
                pools[stage_name] = stage
            elif not isinstance(stage, nn.Dropout):
                # An in-place stage would overwrite z, or the images.
                x = stage(x.clone() if getattr(stage, "inplace", False) else x)
            activations |= {point: x for point in asked if at[point] == index}
        values = Values(activations, self.check_point)
        return Record(images, values, switches, shapes, pools, x if logits else None)

    def measure(
        self, images: torch.Tensor, measures: Mapping[str, Callable[[torch.Tensor], M]]
    ) -> dict[str, M]:
        """Run images in evaluation mode and apply a function to the values of each point.

        Unlike `record` it copies and keeps nothing: values exist only until the function returns.

        Args:
            images: N×3×H×W, as for `forward`.
            measures: point -> function of its values, N×C×h×w or N×C, which returns no view of
                them. The pass stops at the highest of these points.

        Returns:
            Point -> what its function returned.

        Raises:
            DeconvError: for images that do not fit, and for unknown points.
        """
        check_batch(images, self.name)
        x = images.to(self.device)
        at = {point: self._points[self.check_point(point)] for point in measures}
        stages = list(self._modules.items())[: max(at.values()) + 1]
        self._check(x, stages)
        found: dict[str, M] = {}
        of_filters = False
        with torch.no_grad(), evaluating(self):
            for index, (_, stage) in enumerate(stages):
                if of_filters and type(stage) is nn.ReLU:
                    x = F.relu_(x)  # nobody else holds z; several times faster than a new map
                else:
                    x = stage(x.clone() if getattr(stage, "inplace", False) else x)
                of_filters = isinstance(stage, nn.Conv2d | nn.Linear)
                found |= {point: measures[point](x) for point in at if at[point] == index}
        return {point: found[point] for point in measures}

    def _check(self, images: torch.Tensor, stages: list[tuple[str, nn.Module]]) -> None:
        """Raise DeconvError unless `images` fit `stages`."""
        check_batch(images, self.name)
        self._check_size(images, stages)
        weights = self.dtype
        if images.dtype != weights and not torch.is_autocast_enabled(images.device.type):
            raise DeconvError(
                f"{self.name} has {weights} weights and got {images.dtype} images: convert one"
            )

    def _check_size(self, images: torch.Tensor, stages: list[tuple[str, nn.Module]]) -> None:
        size = (images.shape[2], images.shape[3])
        # Shapes above a module that is not in the table are unknown.
        known = takewhile(lambda stage: of_module(stage[1]) is not None, stages)
        for stage_name, stage, below, above in stage_shapes(known, size):
            fits = takes(stage, below)
            if not fits and size == (self.input_px, self.input_px):
                raise DeconvError(
                    f"{stage_name} of {self.name} takes {stage.in_features} inputs, but the stages "
                    f"below it give {math.prod(below)}"
                )
            if not fits or min(above) < 1:
                got, side = "×".join(map(str, images.shape[1:])), self.input_px
                raise DeconvError(
                    f"{self.name} takes 3×{side}×{side} images, got {got}, which does not fit "
                    f"its {stage_name}: resize or crop, or build it with another input_px"
                )


def divided(
    stages: OrderedDict[str, nn.Module], std: Sequence[float] | None
) -> OrderedDict[str, nn.Module]:
    """Prepend a stage `scale` that divides by std, unless std is None or ones."""
    if std is None or set(std) == {1.0}:
        return stages
    return OrderedDict(scale=Divide(std), **stages)


def own_chain(
    stages: OrderedDict[str, nn.Module],
    recipe: dict[str, Any],
    input_px: int,
    mean: Sequence[float] | None,
    std: Sequence[float] | None,
) -> ChainNet:
    """Build a chain from its recipe and stages, with mean and std (0…255) if given."""
    recipe |= {k: list(v) for k, v in (("mean", mean), ("std", std)) if v is not None}
    net = ChainNet(recipe["name"], divided(stages, std), recipe, input_px)
    if mean is not None:
        net.preprocessing = Preprocessing(colour(mean), input_px, stored_side(input_px))
    return net


_POINTS_OF_THEIR_OWN = (MAX_POOL, ADAPTIVE_AVERAGE, CONTRAST)


def _points(stages: OrderedDict[str, nn.Module]) -> dict[str, int]:
    """Map each point to the index of the stage after which it is read."""
    points: dict[str, int] = {}
    layer = ""
    for index, (name, stage) in enumerate(stages.items()):
        if isinstance(stage, nn.Conv2d | nn.Linear):
            layer = name
            points[name] = points[f"{name}:z"] = index
        elif (operation := of_module(stage)) is not None and operation.activates:
            # A ReLU that does not directly follow its layer is a point of its own.
            points[layer if points.get(f"{layer}:z") == index - 1 else name] = index
        elif operation in _POINTS_OF_THEIR_OWN:
            points[name] = index
    if layer and points[layer] == points[f"{layer}:z"]:
        del points[f"{layer}:z"]  # the logits have no rectified twin
    return dict(sorted(points.items(), key=lambda item: item[1]))


def window(stage: nn.Module) -> Window | None:
    """Return the (rows, columns) window of a stage; None for a pointwise one.

    Raises:
        DeconvError: for a module type that is not in the table.
    """
    operation = of_module(stage)
    if operation is None:
        raise DeconvError(
            f"a chain has no rule for {type(stage).__name__}; build it from convolution, ReLU, "
            "max-pool, normalisation across maps, adaptive average pool and linear layers"
        )
    return None if operation.window is None else operation.window(stage)


Shape = tuple[int, int, int]
"""(maps, height, width)."""


def stage_shapes(
    stages: Iterable[tuple[str, nn.Module]], size: tuple[int, int]
) -> Iterator[tuple[str, nn.Module, Shape, Shape]]:
    """Yield (name, stage, shape below, shape above) of each stage, by arithmetic.

    size: (height, width) of the images. If they are too small, sides come out as 0 or less.
    """
    above = (3, *size)
    for name, stage in stages:
        below, sides = above, above[1:]
        if (axes := window(stage)) is not None:
            sides = (axes[0].output_size(sides[0]), axes[1].output_size(sides[1]))
        maps = 1 if isinstance(stage, Grey) else below[0]
        maps = getattr(stage, "out_channels", getattr(stage, "out_features", maps))
        above = (maps, *sides)
        yield name, stage, below, above


def takes(stage: nn.Module, below: Shape) -> bool:
    """Tell whether a stage, if it is a linear layer, fits the number of values below it."""
    return not isinstance(stage, nn.Linear) or math.prod(below) == stage.in_features
