"""A network that is a chain of named stages, and the record of one forward pass through it.

Stages are plain torch modules, named conv1, relu1, pool1, norm1, conv2, …, flatten, fc6, relu6,
drop6, …; `state_dict` keys are therefore conv1.weight, fc6.bias and so on. *Points* are the
places where values can be read:

    conv3    the feature map a = relu(z)         conv3:z  the pre-activation z
    pool1    after pooling                       norm1    after contrast normalisation
    fc6      relu of a fully connected layer     fc8      the logits (nothing follows them)
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import torch
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
from deconv.records import Box, Record, Values
from deconv.rules import of_module
from deconv.rules.normalisation import CONTRAST
from deconv.rules.pooling import ADAPTIVE_AVERAGE, MAX_POOL
from deconv.rules.run import evaluating


class ChainNet(Placed, Prepared, nn.Sequential):
    """An image classifier whose stages follow one another (ZFNet, AlexNet, VGG).

    name: for messages and snapshots. stages: stage name -> module.
    recipe: the arguments of `deconv.build` that make this network again.
    input_px: the side of the square images it was made for.
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
                    f"{stage_name} of {name}: a chain takes convolutions padded with zeros by a "
                    "number of positions"
                )
        self.name, self.recipe, self.input_px = name, recipe, input_px
        self._points = _points(stages)

    @property
    def points(self) -> tuple[str, ...]:
        """The names of all points at which values can be read, in the order of the chain."""
        return tuple(self._points)

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers with weights in order: conv1, …, fc8."""
        kinds = (nn.Conv2d, nn.Linear)
        return tuple(n for n, stage in self.named_children() if isinstance(stage, kinds))

    @property
    def classes(self) -> int:
        """How many logits it answers with."""
        last = self.module_of(self.layers[-1])
        assert isinstance(last, nn.Linear)
        return last.out_features

    def stages_to(self, point: str) -> list[tuple[str, nn.Module]]:
        """The stages from the image up to a point. Raises DeconvError for an unknown point."""
        return list(self._modules.items())[: self._points[self.check_point(point)] + 1]

    def windows(self, layer: str) -> list[Window]:
        """The sliding windows between the image and a point, for `deconv.fields`."""
        return [w for _, stage in self.stages_to(layer) if (w := window(stage)) is not None]

    def check_point(self, point: str | int) -> str:
        """The point's name; a number that is no name is the n-th layer with weights, from 1 (see
        `deconv.networks.layer_numbers`). Raises DeconvError for an unknown one."""
        name = str(point)
        if name not in self._points and name.isdecimal():
            return numbered(self.name, self.layers, name)
        if name not in self._points:
            raise unknown(f"layer of {self.name}", name, self._points)
        return name

    def module_of(self, layer: str) -> nn.Module:
        """The stage of a layer with weights."""
        return self.get_submodule(layer)

    @property
    def calls(self) -> Calls:
        """What runs in one forward pass: the stages one after the other."""
        images = torch.zeros(1, 3, self.input_px, self.input_px, dtype=self.dtype)
        with torch.no_grad():
            record = self.record(images)
        assert record.logits is not None
        stages, read = list(self.named_children()), {i: point for point, i in self._points.items()}
        taken = [record.shapes[name] for name, _ in stages]
        shapes = [*taken[1:], tuple(record.logits.shape[1:])]
        ran = tuple(
            Ran(
                name=name,
                point=read.get(i, name),
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
        """The point of the pre-activation z of a rectified point, None where there is none."""
        z = f"{self.check_point(point)}:z"
        return z if z in self._points else None

    def support(self, layer: str, axis: int, unit: int, image_size: tuple[int, int]) -> np.ndarray:
        """The sorted pixels along an axis that a unit depends on, see `deconv.fields`."""
        axes = [window[axis] for window in self.windows(layer)]
        return support(axes, unit, image_size[axis])

    def field(self, layer: str, y: int, x: int, image_size: tuple[int, int]) -> Box:
        """The smallest box of pixels that holds all that a unit depends on, by arithmetic."""
        return box_of(*(self.support(layer, a, (y, x)[a], image_size) for a in (0, 1)))

    def interior(
        self, layer: str, axis: int, image_size: tuple[int, int] | None = None
    ) -> tuple[int, int, int]:
        """(size, stride, start) of units away from the borders, see `deconv.fields`."""
        return interior_field([window[axis] for window in self.windows(layer)])

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits N×classes of preprocessed images N×3×H×W (RGB, about ±128, mean subtracted).

        Raises DeconvError for a wrong type, channel count or size.
        """
        self._check(images, list(self._modules.items()))
        return super().forward(images)

    def record(
        self, images: torch.Tensor, layers: Iterable[str] = (), logits: bool = True
    ) -> Record:
        """Run images up the chain and record what was asked for, with the switches of every pool.

        In evaluation mode; dropout is never applied. For training there is `forward`.

        Args:
            images: N×3×H×W, as for `forward`; gradients are followed only if they require them.
            layers: points to keep the activations of.
            logits: False stops at the highest of them.

        Returns:
            The record.

        Raises:
            DeconvError: for images that do not fit and unknown points.
        """
        check_batch(images, self.name)
        images = images.to(self.device)
        follow = torch.is_grad_enabled() and images.requires_grad
        with torch.set_grad_enabled(follow), evaluating(self):
            return self._record(images, layers, logits)

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
                # A stage that works in place would overwrite z, or the images.
                x = stage(x.clone() if getattr(stage, "inplace", False) else x)
            activations |= {point: x for point in asked if at[point] == index}
        values = Values(activations, self.check_point)
        return Record(images, values, switches, shapes, pools, x if logits else None)

    def _check(self, images: torch.Tensor, stages: list[tuple[str, nn.Module]]) -> None:
        """Raise DeconvError unless `images` can travel through `stages`."""
        check_batch(images, self.name)
        self._check_size(images, stages)
        weights = self.dtype
        if images.dtype != weights and not torch.is_autocast_enabled(images.device.type):
            raise DeconvError(
                f"{self.name} has {weights} weights and got {images.dtype} images: convert one"
            )

    def _check_size(self, images: torch.Tensor, stages: list[tuple[str, nn.Module]]) -> None:
        size = (images.shape[2], images.shape[3])
        # Of a foreign module's output nothing is known.
        known = takewhile(lambda stage: of_module(stage[1]) is not None, stages)
        for stage_name, stage, below, above in stage_shapes(known, size):
            fits = takes(stage, below)
            if not fits and size == (self.input_px, self.input_px):
                raise DeconvError(
                    f"{stage_name} of {self.name} takes {stage.in_features} inputs, which is not "
                    "what the stages below it give"
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
    """Put a stage `scale` that divides by std first; none for None and for ones."""
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
    """Make a chain of this library's, whose recipe names it, with a mean and std if it is told."""
    recipe |= {k: list(v) for k, v in (("mean", mean), ("std", std)) if v is not None}
    net = ChainNet(recipe["name"], divided(stages, std), recipe, input_px)
    if mean is not None:
        net.preprocessing = Preprocessing(colour(mean), input_px, stored_side(input_px))
    return net


_POINTS_OF_THEIR_OWN = (MAX_POOL, ADAPTIVE_AVERAGE, CONTRAST)


def _points(stages: OrderedDict[str, nn.Module]) -> dict[str, int]:
    """Point name -> index of the stage after which it is read."""
    points: dict[str, int] = {}
    layer = ""
    for index, (name, stage) in enumerate(stages.items()):
        if isinstance(stage, nn.Conv2d | nn.Linear):
            layer = name
            points[name] = points[f"{name}:z"] = index
        elif (operation := of_module(stage)) is not None and operation.activates:
            # Elsewhere than right behind its layer a ReLU is a point of its own.
            points[layer if points.get(f"{layer}:z") == index - 1 else name] = index
        elif operation in _POINTS_OF_THEIR_OWN:
            points[name] = index
    if layer and points[layer] == points[f"{layer}:z"]:
        del points[f"{layer}:z"]  # the logits have no rectified twin
    return dict(sorted(points.items(), key=lambda item: item[1]))


def window(stage: nn.Module) -> Window | None:
    """The (rows, columns) window of a stage, None where every position stands for itself.

    Raises DeconvError for a kind of module that is not in the table.
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
    """Yield each stage with its name and the shapes below and above it, by arithmetic.

    size: (height, width) of the images. Where they are too small, sides come out as 0 or less.
    Raises DeconvError for a kind of module that is not in the table.
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
    """Whether a stage has as many inputs as what is below it has values, if it counts them."""
    return not isinstance(stage, nn.Linear) or math.prod(below) == stage.in_features
