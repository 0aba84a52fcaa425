"""A small fully connected network, whose first weights can be viewed as images."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn

from deconv.errors import DeconvError
from deconv.networks.chain import ChainNet, own_chain
from deconv.networks.zfnet import init_weights
from deconv.pixels import Divide, Grey

INPUT_PX, WIDTH = 32, 128
"""Defaults; the paper has no such network."""
DIVIDE_BY = 64.0
"""About the standard deviation of photographs minus their mean image, in pixel values."""


def mlp(
    name: str,
    num_classes: int | None = None,
    *,
    input_px: int | None = None,
    fc_width: int | None = None,
    grey: bool = False,
    init: str | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
) -> ChainNet:
    """Build an mlp: pixels minus a mean, divided by 64, then fc1, fc2 (with ReLU) and fc3.

    Args:
        name: "mlp".
        num_classes: None for 1000.
        input_px: side of the square input; None for 32 as in CIFAR (MNIST: 28).
        fc_width: units of fc1 and of fc2; None for 128.
        grey: whether images are converted to greyscale first, so that a row of fc1 is one picture
            of input_px×input_px rather than three.
        init: "he" (the default) or "paper", see `deconv.networks.zfnet.init_weights`.
        mean: three numbers in 0…255 that are subtracted from images; None if unknown.
        std: three numbers to divide by instead of 64.

    Raises:
        DeconvError: for sizes that are not positive.
    """
    side = INPUT_PX if input_px is None else input_px
    width = WIDTH if fc_width is None else fc_width
    if min(side, width) < 1:
        raise DeconvError(f"sizes must be positive: {input_px=}, {fc_width=}")
    recipe: dict[str, Any] = {"name": name, "num_classes": num_classes or 1000, "init": init}
    recipe |= {"grey": grey, "input_px": input_px, "fc_width": fc_width}
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    if grey:
        stages["grey"] = Grey()
    if std is None:
        stages["scale"] = Divide(DIVIDE_BY)
    stages["flatten"] = nn.Flatten()
    features = side * side * (1 if grey else 3)
    with torch.random.fork_rng(devices=[]):  # PyTorch's default weights are overwritten below
        for number in (1, 2):
            stages[f"fc{number}"] = nn.Linear(features, width)
            stages[f"relu{number}"] = nn.ReLU()
            features = width
        stages["fc3"] = nn.Linear(features, recipe["num_classes"])
    net = own_chain(stages, recipe, side, mean, std)
    init_weights(net, init or "he")
    return net
