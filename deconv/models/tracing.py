"""A module's forward pass as a list of named steps, each with its kind and what it takes in.

The names are module paths ("layer1.0.conv1"); an operation that is no module of its own is named
by where it stands ("layer1.0.add"), and what runs more than once is numbered ("layer1.0.relu_1").
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
import torchvision
from torch import fx, nn
from torch.nn.parameter import is_lazy
from torchvision.models.feature_extraction import NodePathTracer

from deconv.errors import DeconvError
from deconv.layers import ContrastNorm, Divide, Grey, LocalContrastNorm
from deconv.models.kinds import BATCH_NORM, NO_RULE, kind_of
from deconv.models.positions import sight
from deconv.models.sights import LAST, MAPS, Sight

OWN = (ContrastNorm, LocalContrastNorm, Divide, Grey)
"""Modules of this library that count as one operation, as those of PyTorch do."""


@dataclass(frozen=True)
class Step:
    """One operation on values that come from the image.

    name: unique. kind: AFFINE, …. inputs: names of the steps whose values it takes; "" is the
    image. module: the module, or one that stands for a function; None for sums and the like.
    sight: where its positions lie and what they look at. what: type or function, for messages.
    """

    name: str
    node: fx.Node
    kind: str
    inputs: tuple[str, ...]
    module: nn.Module | None
    sight: Sight
    shape: tuple[int, ...]
    what: str

    @property
    def channels_last(self) -> bool:
        """Whether its value is N×H×W×C."""
        return len(self.shape) == 4 and self.sight.at == LAST


_RESHAPES = {torch.flatten, torch.reshape, "flatten", "reshape", "view"}


def trace(module: nn.Module, images: torch.Tensor) -> tuple[fx.GraphModule, list[Step]]:
    """The module as a graph, and its steps in the order in which they run.

    images: a batch that it can take; one forward pass tells the shapes.
    Raises DeconvError for a module that cannot be traced, cannot take these images, or does not
    answer with logits N×classes.
    """
    tracer = NodePathTracer(leaf_modules=OWN)
    try:
        graph = tracer.trace(module)
    except Exception as error:
        raise DeconvError(
            f"{type(module).__name__} cannot be traced ({error}): its forward pass may branch on "
            "values; wrap the part of it that does not, or write it without such branches"
        ) from error
    whole = fx.GraphModule(tracer.root, graph)
    values = _run_once(whole, images)
    names = {node: str(name) for node, name in tracer.node_to_qualname.items()}
    steps: dict[fx.Node, Step] = {}
    image = next(node for node in graph.nodes if node.op == "placeholder")
    for node in graph.nodes:
        value = values.get(node)
        taken = [n for n in node.all_input_nodes if n in steps or n is image]
        if node.op not in ("call_module", "call_function", "call_method") or not taken:
            continue
        if isinstance(value, torch.Tensor | tuple | list) and not isinstance(value, torch.Size):
            steps[node] = _step(module, names[node], node, taken, steps, values)
    output = next(node for node in graph.nodes if node.op == "output").args[0]
    _check_output(type(module).__name__, output, values, steps)
    return whole, list(steps.values())


def check_weights(module: nn.Module, name: str) -> None:
    """Raise DeconvError for layers that get their weights when they first run."""
    for part in module.modules():
        if any(is_lazy(p) for p in part.parameters(recurse=False)):
            raise DeconvError(
                f"{name} has layers without weights yet ({type(part).__name__}): run one batch "
                "through it first"
            )


def _run_once(whole: fx.GraphModule, images: torch.Tensor) -> dict[fx.Node, Any]:
    runner = fx.Interpreter(whole, garbage_collect_values=False)
    try:
        with torch.no_grad():
            runner.run(images)
    except Exception as error:
        if channels := re.search(r"to have (\d+) channels, but got 3 channels", str(error)):
            raise DeconvError(
                f"the network takes {channels[1]} channel{'s' * (channels[1] != '1')}, and images "
                "here have 3 (RGB): put a module before it that makes them of three, such as "
                "deconv.layers.Grey for one"
            ) from error
        raise DeconvError(
            f"the network cannot take 3×{images.shape[-2]}×{images.shape[-1]} images: "
            f"{said(error)}. Name the side of its input with input_px, if that is why"
        ) from error
    return runner.env


def said(error: Exception) -> str:
    """What went wrong, without the dump of the graph that torch.fx adds."""
    return str(error).partition("\n\nWhile executing")[0]


def _check_output(name: str, output: Any, values: dict, steps: dict[fx.Node, Step]) -> None:
    if output not in steps or not isinstance(values[output], torch.Tensor):
        raise DeconvError(
            f"{name} does not answer with one tensor: wrap a module whose forward pass returns the "
            "logits alone"
        )
    if values[output].dim() != 2:
        shape = "×".join(map(str, values[output].shape))
        raise DeconvError(f"{name} answers with {shape}, not with logits N×classes")


def _step(
    root: nn.Module,
    name: str,
    node: fx.Node,
    taken: list[fx.Node],
    steps: dict[fx.Node, Step],
    values: dict[fx.Node, Any],
) -> Step:
    value = values[node]
    module = root.get_submodule(node.target) if node.op == "call_module" else _stand_in(node)
    shape = tuple(value.shape) if isinstance(value, torch.Tensor) else ()
    below = steps[taken[0]].shape if taken[0] in steps else ()
    if node.target in _RESHAPES and len(below) == 4 and shape == (below[0], math.prod(below[1:])):
        module = nn.Flatten()
    kind = kind_of(node, module, taken)
    inputs = [(values[n], steps[n].sight.at if n in steps else MAPS) for n in taken]
    function = "" if node.op == "call_module" else getattr(node.target, "__name__", node.target)
    found = sight(node, module, kind != NO_RULE, inputs, values)
    if kind == BATCH_NORM and found.whole:
        raise DeconvError(
            f"{name} normalises by the batch that an image happens to be in, also in evaluation: "
            "give it statistics of its own (track_running_stats=True)"
        )
    return Step(
        name=name,
        node=node,
        kind=kind,
        inputs=tuple(steps[n].name if n in steps else "" for n in taken),
        module=module,
        sight=found,
        shape=shape,
        what=function or type(module).__name__,
    )


def _stand_in(node: fx.Node) -> nn.Module | None:
    """A module that does what a function does, where there is one."""
    make = _STAND_INS.get(node.target)
    if make is None:
        return None
    try:
        return make(*node.args[1:], **{k: v for k, v in node.kwargs.items() if k != "input"})
    except TypeError:
        return None


def _relu(inplace: bool = False) -> nn.Module:
    return nn.ReLU()


def _max_pool(
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    dilation: Any = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> nn.Module | None:
    if return_indices:
        return None
    return nn.MaxPool2d(kernel_size, stride, padding, dilation, ceil_mode=ceil_mode)


def _mean(dim: Any = None, keepdim: bool = False) -> nn.Module | None:
    maps = isinstance(dim, tuple | list) and tuple(dim) in ((2, 3), (-2, -1))
    return nn.AdaptiveAvgPool2d(1) if maps and keepdim else None


def _dropout(p: float = 0.5, training: bool = False, inplace: bool = False) -> nn.Module:
    return nn.Identity()


_STAND_INS: dict[Any, Callable[..., nn.Module | None]] = {
    **dict.fromkeys((torch.relu, torch.relu_, F.relu, F.relu_, "relu", "relu_"), _relu),
    **dict.fromkeys((torch.mean, "mean"), _mean),
    F.relu6: lambda inplace=False: nn.ReLU6(),
    F.max_pool2d: _max_pool,
    torch.max_pool2d: _max_pool,
    F.avg_pool2d: nn.AvgPool2d,
    F.local_response_norm: nn.LocalResponseNorm,
    F.adaptive_avg_pool2d: nn.AdaptiveAvgPool2d,
    F.dropout: _dropout,
    torchvision.ops.stochastic_depth: lambda p, mode, training=False: nn.Identity(),
}
