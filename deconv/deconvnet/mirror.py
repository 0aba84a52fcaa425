"""The deconvnet of a chain as an explicit mirror (§2.1), stage by stage from a point to the pixels.

Each stage is undone by the `mirror` of its entry in the table (`deconv.rules`): unpooling puts the
signal at that image's switches, the top-down signal is rectified, the forward filters are applied
transposed and without biases, and contrast normalisation is skipped. The final pixels are not
rectified.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from deconv.networks import ChainNet, Network
from deconv.records import Record
from deconv.rules import Below, of_module

OPERATIONS = ("seed", "unpool", "rectify", "filter", "scale", "spread", "reshape", "skip")
"""The seeded unit itself; then by kind of stage: max-pool, ReLU, convolution, linear layer or
greyscale, batch normalisation or division, average pool, flattening, and what is passed unchanged
(contrast normalisation, dropout)."""


@dataclass(frozen=True)
class Step:
    """One operation on the way down and the signal that it leaves.

    stage: name of the mirrored stage; for the first step the point at which the way down begins.
    operation: one of OPERATIONS. signal: K×C×h×w or K×C below the stage, after the operation.
    """

    stage: str
    operation: str
    signal: torch.Tensor

    def energy(self) -> torch.Tensor:
        """Sum the squares of each of the K signals."""
        return self.signal.flatten(1).square().sum(dim=1)


def refusal(net: Network, layer: str) -> str:
    """Say why the mirror cannot go down from a layer; "" if it can."""
    if not isinstance(net, ChainNet):
        return f"{net.name} is no chain of stages, which the mirror needs: use engine='vjp'"
    for name, stage in net.stages_to(layer):
        operation = of_module(stage)
        if operation is None or operation.mirror is None:
            kind = type(stage).__name__
            return f"the mirror has no way down through {kind} ({name}); use engine='vjp'"
        if isinstance(stage, nn.Flatten) and (stage.start_dim, stage.end_dim) != (1, -1):
            return f"the mirror cannot undo a Flatten of only some dimensions ({name})"
    return ""


@torch.no_grad()
def mirror_steps(
    net: ChainNet,
    record: Record,
    layer: str,
    image: torch.Tensor,
    seed: torch.Tensor,
    collisions: str = "sum",
) -> Iterator[Step]:
    """Yield the steps of `mirror`: the seed itself, then the signal below each stage."""
    yield Step(layer, "seed", seed)
    signal = seed
    for name, stage in reversed(net.stages_to(layer)):
        switches = record.switches[name][image] if name in record.switches else None
        operation = of_module(stage)
        assert operation is not None  # see `refusal`
        assert operation.mirror is not None
        signal = operation.mirror(stage, signal, Below(record.shapes[name], switches, collisions))
        yield Step(name, operation.name, signal)


def mirror(
    net: ChainNet,
    record: Record,
    layer: str,
    image: torch.Tensor,
    seed: torch.Tensor,
    collisions: str = "sum",
) -> torch.Tensor:
    """Send a signal from the point `layer` down to pixels: K×3×H×W.

    Args:
        image: K rows of `record`, whose switches the signals use.
        seed: K×C×h×w or K×C.
        collisions: see `deconv.pooling.unpool`.
    """
    signal = seed
    for step in mirror_steps(net, record, layer, image, seed, collisions):
        signal = step.signal
    return signal
