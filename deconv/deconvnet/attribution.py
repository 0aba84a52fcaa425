"""The deconvnet as an attribution method with captum's interface."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from deconv.deconvnet.projection import project
from deconv.errors import DeconvError
from deconv.networks import Network
from deconv.whole_number import whole_numbers


class Deconvnet:
    """Attribute one neuron of a layer to pixels (§2.1).

        Deconvnet(net, "conv5").attribute(images, neuron=(17, 6, 6))

    corresponds to captum's NeuronDeconvolution(model, layer).attribute(images, (17, 6, 6)), with
    three choices of the paper: the unit keeps its own activation (seed="one": 1), contrast
    normalisation is skipped, and max-pools are undone by switches under a collision policy.

    Args:
        net: from `deconv.build` or `deconv.wrap`.
        layer: one of its points.
        options: passed to `deconv.project`.

    Raises:
        DeconvError: for an unknown layer.
    """

    def __init__(self, net: Network, layer: str, **options: Any) -> None:
        self.net, self.layer, self.options = net, net.check_point(layer), options

    def attribute(
        self, images: torch.Tensor, neuron: int | Sequence[int] | Sequence[Sequence[int]]
    ) -> torch.Tensor:
        """Project the neuron in every image.

        Args:
            images: N×3×H×W, preprocessed.
            neuron: (map, y, x), or a map's number in a fully connected layer; or N of them, one
                per image.

        Returns:
            N×3×H×W.

        Raises:
            DeconvError: for a neuron outside the layer.
        """
        record = self.net.record(images, [self.layer], logits=False)
        neurons = whole_numbers(neuron, "neuron")
        each = [*neurons] if neurons.dim() == 2 else [neurons.flatten()] * len(images)
        if len(each) != len(images):
            raise DeconvError(
                f"{len(each)} neurons for {len(images)} images: give one, or one per image"
            )
        if len(each[0]) not in (1, 3):
            raise DeconvError(f"a neuron is (map, y, x) or a map's number, got {neuron}")
        rows = [[image, *[*one.tolist(), 0, 0][:3]] for image, one in enumerate(each)]
        return project(self.net, record, self.layer, torch.tensor(rows), **self.options)
