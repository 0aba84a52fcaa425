"""What others do: the peers that `scripts/bench` measures this library beside.

Each is written as its users would write it, on the module alone, images in the default layout.
"""

from __future__ import annotations

import heapq
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from captum.attr import NeuronDeconvolution, Occlusion
from torch import nn

from deconv.networks import ChainNet
from deconv.normalisation import ContrastNorm
from deconv.training.evaluation import autocast


def stock(net: ChainNet) -> nn.Sequential:
    """Return the same network made of PyTorch's own modules, with the same weights."""
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    for name, stage in net.named_children():
        if isinstance(stage, ContrastNorm):
            alpha = stage.alpha * stage.size
            stage = nn.LocalResponseNorm(stage.size, alpha=alpha, beta=stage.beta, k=stage.k)
        elif isinstance(stage, nn.Dropout):
            stage = nn.Dropout(stage.p)
        stages[name] = stage
    return nn.Sequential(stages)


def projections(
    module: nn.Module,
    layer: nn.Module,
    units: torch.Tensor,
    values: torch.Tensor,
    images: torch.Tensor,
    at_once: int = 1,
) -> torch.Tensor:
    """Project units with captum's NeuronDeconvolution, K×3×H×W.

    Its picture is that of a unit of value 1, so it is multiplied by the unit's value.

    Args:
        units: K×4 (image, map, y, x). values: their K activations.
        at_once: units in a batch, each with its image.
    """
    method, pictures = NeuronDeconvolution(module, layer), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of its hooks
        for some in units.split(at_once):
            batch, (maps, y, x) = images[some[:, 0]], some[:, 1:].T
            chosen: Any = partial(_values, maps=maps, y=y, x=x)
            if at_once == 1:
                chosen = tuple(some[0, 1:].tolist())
            pictures.append(method.attribute(batch, chosen))
    return torch.cat(pictures).detach() * values[:, None, None, None]


def _values(
    out: torch.Tensor, maps: torch.Tensor, y: torch.Tensor, x: torch.Tensor
) -> torch.Tensor:
    return out[torch.arange(len(out)), maps, y, x]


Heap = list[tuple[float, int, int, int]]
"""(value, −image, y, x), the weakest first."""


@torch.no_grad()
def mine(
    module: nn.Module, layers: Sequence[nn.Module], images: torch.Tensor, k: int = 9
) -> list[list[Heap]]:
    """Track the k strongest units of each map of some layers, one image at a time."""
    outputs: dict[nn.Module, torch.Tensor] = {}
    handles = [
        layer.register_forward_hook(lambda layer, _, out: outputs.__setitem__(layer, out))
        for layer in layers
    ]
    heaps: list[list[Heap]] = [[] for _ in layers]
    for number, image in enumerate(images):
        module(image[None])
        for tracked, layer in zip(heaps, layers, strict=True):
            maps = outputs[layer][0]
            tracked += [[] for _ in range(len(maps) - len(tracked))]
            best, at = maps.flatten(1).max(dim=1)
            places = zip(best.tolist(), at.tolist(), strict=True)
            for heap, (value, place) in zip(tracked, places, strict=True):
                entry = (value, -number, *divmod(place, maps.shape[2]))
                if len(heap) < k:
                    heapq.heappush(heap, entry)
                else:
                    heapq.heappushpop(heap, entry)
    for handle in handles:
        handle.remove()
    return heaps


@torch.no_grad()
def forward(module: nn.Module, batches: Iterable[torch.Tensor]) -> None:
    """Run batches and keep nothing."""
    for batch in batches:
        module(batch)


def occlusion(
    module: nn.Module,
    image: torch.Tensor,
    target: int,
    size_px: int,
    stride_px: int,
    at_once: int = 1,
) -> torch.Tensor:
    """Occlude with captum's Occlusion; `at_once` is its perturbations_per_eval."""
    with torch.no_grad():
        return Occlusion(lambda images: module(images).softmax(dim=1)).attribute(
            image[None],
            sliding_window_shapes=(3, size_px, size_px),
            strides=(3, stride_px, stride_px),
            target=target,
            perturbations_per_eval=at_once,
        )


def occlusion_positions(image_px: int, size_px: int, stride_px: int) -> int:
    """Count captum's squares: one more an axis than fit, if they do not end at the border."""
    return (-(-(image_px - size_px) // stride_px) + 1) ** 2


def training_step(
    net: nn.Module, images: torch.Tensor, target: torch.Tensor, precision: str
) -> Callable[[], None]:
    """Make the step of torchvision's references/classification/train.py, measures included."""
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=1e-4)
    criterion = nn.CrossEntropyLoss()
    net.train()

    def step() -> None:
        with autocast(images.device, precision):
            output = net(images)
            loss = criterion(output, target)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.inference_mode():
            correct = output.topk(5, 1).indices.t().eq(target[None])
            for k in (1, 5):
                correct[:k].flatten().sum(dtype=torch.float32).item()
        loss.item()

    return step
