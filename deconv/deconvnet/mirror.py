"""The deconvnet as an explicit mirror of the chain (§2.1): one way down for each kind of stage, the
`mirror` of its entry in the table (`deconv.rules`).

From the chosen point to the pixels: contrast normalisation is skipped, pooling is undone by that
image's switches, the top-down signal is rectified, and the forward filters are applied
transposed, without biases. The final pixels are not rectified.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from deconv.networks import ChainNet, Network
from deconv.records import Record
from deconv.rules import Below, of_module


@dataclass(frozen=True)
class Step:
    """One operation of the way down and what it leaves.

    stage: name of the mirrored stage; of the first step the point at which the way begins.
    operation: one of OPERATIONS. signal: K×C×h×w or K×C below the stage, after the operation.
    """

    stage: str
    operation: str
    signal: torch.Tensor

    def energy(self) -> torch.Tensor:
        """The sum of squares of each of the K signals; 0 where nothing is left of it."""
        return self.signal.flatten(1).square().sum(dim=1)


def refusal(net: Network, layer: str) -> str:
    """Why the mirror cannot go down from a layer, in words; "" if it can."""
    if not isinstance(net, ChainNet):
        return f"{net.name} is no chain of stages, which the mirror needs: use engine='vjp'"
    for name, stage in net.stages_to(layer):
        operation = of_module(stage)
        if operation is None or operation.mirror is None:
            kind = type(stage).__name__
            return f"the mirror has no way down through {kind} ({name}); use engine='vjp'"
        if isinstance(stage, nn.Flatten) and (stage.start_dim, stage.end_dim) != (1, -1):
            return f"the mirror has no way down through Flatten of some dimensions alone ({name})"
    return ""


OPERATIONS = ("seed", "unpool", "rectify", "filter", "scale", "spread", "reshape", "skip")
"""The kept unit alone; then by kind of stage: max-pool, ReLU, convolution, linear layer or greying,
batch normalisation or division, average pool, flattening, and what is passed unchanged (contrast
normalisation, dropout)."""


def mirror_steps(
    net: ChainNet,
    record: Record,
    layer: str,
    image: torch.Tensor,
    seed: torch.Tensor,
    collisions: str = "sum",
) -> Iterator[Step]:
    """`mirror` one operation at a time: the seed itself, then the signal below each stage."""
    yield Step(layer, "seed", seed)
    signal = seed
    for name, stage in reversed(net.stages_to(layer)):
        switches = record.switches[name][image] if name in record.switches else None
        operation = of_module(stage)
        below = Below(record.shapes[name], switches, collisions)
        assert operation is not None  # see `refusal`
        assert operation.mirror is not None
        signal = operation.mirror(stage, signal, below)
        yield Step(name, operation.name, signal)


def mirror(
    net: ChainNet,
    record: Record,
    layer: str,
    image: torch.Tensor,
    seed: torch.Tensor,
    collisions: str = "sum",
) -> torch.Tensor:
    """Send `seed` (K×C×h×w or K×C, at the point `layer`) down to pixels: K×3×H×W.

    image: K row numbers of `record`, whose switches each signal uses.
    """
    signal = seed
    for step in mirror_steps(net, record, layer, image, seed, collisions):
        signal = step.signal
    return signal
