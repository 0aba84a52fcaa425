"""Any image classifier as a network of this library: traced, its points named by module."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import fx, nn

from deconv.errors import DeconvError, unknown
from deconv.geometry import AnyAxis, WholeImage
from deconv.images import check_batch
from deconv.layers import max_pool
from deconv.models.kinds import NO_RULE, POOL, RECTIFY
from deconv.models.layer_numbers import numbered
from deconv.models.sights import MAPS
from deconv.models.tracing import Step, check_weights, said, trace
from deconv.types import Record


class GraphNet(nn.Module):
    """A traced image classifier (residual sums, branches, functional ReLUs and all).

    Points are the outputs of its modules and functions, by name: "layer1.0.conv1" is the value of
    that convolution before any normalisation or ReLU, "layer1.0.relu" the one after. A container
    such as "layer1" stands for the last step in it, a number such as "20", if nothing has it for a
    name, for the 20th layer with weights.

    module: the classifier; it is neither copied nor changed. name, recipe, input_px: as for
    `ChainNet`. divide_by: three numbers that images are divided by first, for weights that were
    trained on standardised images, so that images and projections stay in pixels.
    """

    def __init__(
        self,
        module: nn.Module,
        name: str,
        input_px: int = 224,
        recipe: dict[str, object] | None = None,
        divide_by: Iterable[float] | None = None,
    ) -> None:
        super().__init__()
        self.module = module
        self.name, self.input_px, self.recipe = name, input_px, recipe or {}
        self.register_buffer("divide_by", _scale(divide_by), persistent=False)
        check_weights(module, name)
        weights = next(module.parameters(), torch.zeros(1))
        probe = weights.new_zeros(1, 3, input_px, input_px)
        with _evaluating(module):
            graph, steps = trace(module, probe)
        # Not as a submodule: it shares its parts with `module`, and they would count twice.
        object.__setattr__(self, "_graph", graph)
        self.steps: dict[str, Step] = {step.name: step for step in steps}

    @property
    def points(self) -> tuple[str, ...]:
        """The names of all points at which maps or vectors can be read, in running order."""
        return tuple(n for n, s in self.steps.items() if _readable(s))

    @property
    def classes(self) -> int:
        """How many logits it answers with."""
        return next(reversed(self.steps.values())).shape[1]

    @property
    def layers(self) -> tuple[str, ...]:
        """The convolutions and fully connected layers, in running order."""
        kinds = (nn.Conv2d, nn.Linear)
        return tuple(n for n in self.points if isinstance(self.steps[n].module, kinds))

    def check_point(self, point: str | int) -> str:
        """The step that a point's name stands for; a number that is no name is the n-th layer
        with weights, from 1 (see `deconv.models.layer_numbers`: down-sampling ones count too).

        Raises DeconvError for a name that matches none, or several, naming the nearest.
        """
        point = str(point)
        if point in self.steps:
            if not _readable(self.steps[point]):
                raise self._no_point(point, self.steps[point])
            return point
        points = self.points
        within = [name for name in points if name.startswith(f"{point}.")]
        if point.isdecimal() and not within:
            return numbered(self.name, self.layers, point)
        if within:
            return within[-1]
        ends = [name for name in points if name.endswith(f".{point}")]
        if len(ends) == 1:
            return ends[0]
        if ends:
            raise DeconvError(
                f"{point!r} fits {len(ends)} points of {self.name}: {', '.join(ends[:6])}"
                f"{', …' if len(ends) > 6 else ''}. Name one of them in full"
            )
        for name in reversed(self.steps):
            if name.startswith(f"{point}.") or name.endswith(f".{point}"):
                raise self._no_point(point, self.steps[name])
        raise unknown(f"layer of {self.name}", point, points)

    def _no_point(self, point: str, step: Step) -> DeconvError:
        shape = "×".join(map(str, step.shape))
        value = f"its value has shape {shape}" if shape else "its value is several tensors"
        if len(step.shape) == 3:
            value = f"its values are tokens {shape}, no maps with rows and columns"
        maps = [name for name in self.points if len(self.steps[name].shape) == 4]
        shown = ", ".join(maps[-6:]) or "none"
        return DeconvError(f"{point} of {self.name} is no point to read: {value}. Maps: {shown}")

    def before(self, point: str) -> str | None:
        """The point of the pre-activation z of a rectified point, None where there is none."""
        step = self.steps[self.check_point(point)]
        if step.kind not in (RECTIFY, NO_RULE) or len(step.inputs) != 1:
            return None
        below = step.inputs[0]
        return below if below in self.steps and _readable(self.steps[below]) else None

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Logits N×classes of preprocessed images N×3×H×W."""
        check_batch(images, self.name)
        return self.module(self._scaled(images))

    def _scaled(self, images: torch.Tensor) -> torch.Tensor:
        return images if self.divide_by is None else images / self.divide_by

    def record(
        self, images: torch.Tensor, layers: Iterable[str] = (), logits: bool = True
    ) -> Record:
        """Run `images` and return what was asked for as values, as `ChainNet.record` does.

        In evaluation mode, whatever the mode of the module; shapes are of each step's first input.
        """
        check_batch(images, self.name)
        asked = [layers] if isinstance(layers, str) else list(layers)
        wanted = {name: self.check_point(name) for name in asked}
        last = None if logits or not asked else set(wanted.values())
        follow = torch.is_grad_enabled() and images.requires_grad
        with torch.set_grad_enabled(follow), _evaluating(self.module):
            values, switches, shapes, answer = self._run(images, set(wanted.values()), last)
        activations = {name: values[step] for name, step in wanted.items()}
        return Record(images, activations, switches, shapes, answer if logits else None)

    def _run(
        self, images: torch.Tensor, wanted: set[str], stop_after: set[str] | None
    ) -> tuple[dict, dict, dict, torch.Tensor | None]:
        """Values, switches, input shapes and logits of one forward pass, step by step."""
        runner = fx.Interpreter(self._graph)
        runner.args_iter = iter([self._scaled(images)])
        by_node = {step.node: step for step in self.steps.values()}
        values, switches, shapes = {}, {}, {}
        waiting = set(stop_after) if stop_after is not None else None
        for node in self._graph.graph.nodes:
            if node.op == "output":
                return values, switches, shapes, runner.env[node.args[0]]
            step = by_node.get(node)
            if step is not None:
                first = runner.env[next(n for n in node.all_input_nodes if n in runner.env)]
                if isinstance(first, torch.Tensor):
                    shapes[step.name] = tuple(first.shape[1:])
                if step.kind == POOL and step.module is not None:
                    switches[step.name] = max_pool(step.module, first.detach())[1]
            try:
                runner.env[node] = runner.run_node(node)
            except RuntimeError as error:
                raise DeconvError(
                    f"{self.name} cannot take {'×'.join(map(str, images.shape[1:]))} images: "
                    f"{said(error)}; it was made for {self.input_px} px"
                ) from error
            if step is not None and step.name in wanted:
                # A copy: an operation in place may come next and overwrite it.
                values[step.name] = runner.env[node].clone()
                if waiting is not None:
                    waiting.discard(step.name)
                    if not waiting:
                        break
            for used in runner.user_to_last_uses.get(node, ()):
                runner.env.pop(used, None)
        return values, switches, shapes, None

    def steps_to(self, point: str) -> list[Step]:
        """The steps that a point depends on, itself included, in running order."""
        needed, stack = set(), [self.check_point(point)]
        while stack:
            name = stack.pop()
            if name and name not in needed:
                needed.add(name)
                stack += self.steps[name].inputs
        return [step for name, step in self.steps.items() if name in needed]

    def stages_to(self, point: str) -> list[tuple[str, nn.Module]]:
        """The modules from the image up to a point, if they follow one another as a chain.

        Raises DeconvError where the graph branches or holds what no module stands for.
        """
        steps, before, stages = self.steps_to(point), "", []
        for step in steps:
            if step.inputs != (before,) or step.module is None or step.channels_last:
                raise DeconvError(
                    f"{self.name} is no chain of modules up to {point} (at {step.name}, "
                    f"{step.what}): use engine='vjp'"
                )
            stages.append((step.name, step.module))
            before = step.name
        return stages

    def without_rule(self, point: str) -> list[tuple[str, str]]:
        """(name, kind) of what a point depends on and the deconvnet has no rule for."""
        return [(s.name, s.what) for s in self.steps_to(point) if s.kind == NO_RULE]

    def support(self, layer: str, axis: int, unit: int, image_size: tuple[int, int]) -> np.ndarray:
        """The sorted pixels along an axis that a unit depends on, over all paths of the graph."""
        steps = self.steps_to(layer)
        axes, size = _axes(steps, axis), {"": image_size[axis]}
        for step in steps:
            own = axes[step.name]
            below = max(size[name] for name in step.inputs)
            size[step.name] = below if own is None else own.output_size(below)
        last = steps[-1].name
        if min(size.values()) < 1:
            raise DeconvError(f"images of {image_size[axis]} px are too small for {layer}")
        if not 0 <= unit < size[last]:
            raise DeconvError(f"unit {unit} is outside its map, which has {size[last]} positions")
        seen: dict[str, np.ndarray] = {last: np.array([unit])}
        for step in reversed(steps):
            positions = seen.pop(step.name)
            own = axes[step.name]
            for below in dict.fromkeys(step.inputs):
                if own is not None:
                    reached = own.seen(positions, size[below])
                else:  # what has one position is spread over all
                    reached = positions if size[below] > 1 else np.array([0])
                seen[below] = np.union1d(seen[below], reached) if below in seen else reached
        return seen[""]

    def interior(self, layer: str, axis: int) -> tuple[int, int, int]:
        """(size, stride, start) of units away from the borders, over all paths of the graph."""
        spans = {"": (0, 0, 1)}  # a unit i sees i·stride + low … i·stride + high
        steps = self.steps_to(layer)
        axes = _axes(steps, axis)
        for step in steps:
            lows, highs, strides = zip(*(spans[name] for name in step.inputs), strict=True)
            low, high, stride = min(lows), max(highs), max(strides)
            own = axes[step.name]
            if own is not None:
                if not hasattr(own, "kernel"):
                    raise WholeImage(f"a field through {step.name} depends on the image's size")
                low -= own.padding * stride
                high += ((own.kernel - 1) * own.dilation - own.padding) * stride
                stride *= own.stride
            spans[step.name] = (low, high, stride)
        low, high, stride = spans[self.check_point(layer)]
        return high - low + 1, stride, low


def wrap(
    module: nn.Module,
    name: str | None = None,
    input_px: int = 224,
    divide_by: Iterable[float] | None = None,
) -> GraphNet:
    """Any image classifier as a network to mine, project, occlude and measure.

    module: takes N×3×H×W and answers with logits N×classes; kept as it is, not copied.
    input_px: side of the square images that it is made for.
    divide_by: three numbers to divide images by first. None: images go in as you prepare them.
        With it, images and projections are pixels minus a mean, in about ±128 (see
        `deconv.models.graph.GraphNet`).
    Raises DeconvError for a module that cannot be traced or does not answer with logits.
    """
    return GraphNet(module, name or type(module).__name__, input_px, None, divide_by)


def _readable(step: Step) -> bool:
    """Whether a step's value is maps N×C×H×W or vectors N×C."""
    return len(step.shape) == 2 or (len(step.shape) == 4 and step.sight.at == MAPS)


def _axes(steps: list[Step], axis: int) -> dict[str, AnyAxis | None]:
    """The window of each step along an axis, None where every position stands for itself.

    Raises DeconvError where one is not known, WholeImage where one looks at the whole map.
    """
    for step in steps:
        if step.sight.why:
            raise DeconvError(
                f"the receptive field through {step.name} ({step.what}) is not known: "
                f"{step.sight.why}; choose a layer below it"
            )
    for step in steps:
        if step.sight.whole:
            raise WholeImage(f"{step.name} normalises over the whole image")
    return {step.name: step.sight.axes[axis] for step in steps}


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


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every submodule's mode is as before when it ends."""
    training = [m for m in module.modules() if m.training]
    module.eval()
    try:
        yield
    finally:
        for m in training:
            m.training = True


__all__ = ["GraphNet", "wrap"]
