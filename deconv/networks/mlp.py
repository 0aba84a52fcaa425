"""A small fully connected network, whose first weights are pictures of the input's own shape."""

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
"""Of the network as it stands; neither is in the paper, which has no such network."""
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
    """Make pixels minus the mean, divided by 64, go through fc1 and fc2 with ReLU to fc3's logits.

    Args:
        name: "mlp".
        num_classes: None for 1000.
        input_px: side of the square input; None for 32, that of CIFAR (28: MNIST's).
        fc_width: units of fc1 and of fc2; None for 128.
        grey: the image is made grey first, so that a row of fc1 is one picture of
            input_px×input_px; else three.
        init: "he" (the default) or "paper", see `deconv.networks.zfnet.init_weights`.
        mean: three numbers in 0…255 that images have subtracted; None where it is not known.
        std: three numbers to divide by in place of 64.

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
    with torch.random.fork_rng(devices=[]):  # the first weights are drawn again below
        for number in (1, 2):
            stages[f"fc{number}"] = nn.Linear(features, width)
            stages[f"relu{number}"] = nn.ReLU()
            features = width
        stages["fc3"] = nn.Linear(features, recipe["num_classes"])
    net = own_chain(stages, recipe, side, mean, std)
    init_weights(net, init or "he")
    return net
