"""A small fully connected network, whose first weights are pictures of the input's own shape."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from deconv.errors import DeconvError
from deconv.layers import Divide, Grey
from deconv.models.chain import ChainNet

INPUT_PX, WIDTH = 32, 128
"""Of the network as it stands; neither is in the paper, which has no such network."""
DIVIDE_BY = 64.0
"""About the standard deviation of photographs minus their mean image, in pixel values."""


def mlp(
    num_classes: int,
    recipe: dict[str, object],
    input_px: int | None = None,
    fc_width: int | None = None,
    grey: bool = False,
) -> ChainNet:
    """Pixels minus the mean, divided by 64, through fc1 and fc2 with ReLU to the logits of fc3.

    grey: the image is made grey first, so that a row of fc1 is one picture of input_px×input_px
    (28 px: the shape of MNIST and Fashion-MNIST); else three (32 px: that of CIFAR).
    fc_width: units of fc1 and of fc2. PyTorch's default weights; `build` draws them again.
    Raises DeconvError for sizes that are not positive.
    """
    side = INPUT_PX if input_px is None else input_px
    width = WIDTH if fc_width is None else fc_width
    if min(side, width) < 1:
        raise DeconvError(f"sizes must be positive: {input_px=}, {fc_width=}")
    stages: OrderedDict[str, nn.Module] = OrderedDict()
    if grey:
        stages["grey"] = Grey()
    stages["scale"] = Divide(DIVIDE_BY)
    stages["flatten"] = nn.Flatten()
    features = side * side * (1 if grey else 3)
    for number in (1, 2):
        stages[f"fc{number}"] = nn.Linear(features, width)
        stages[f"relu{number}"] = nn.ReLU()
        features = width
    stages["fc3"] = nn.Linear(features, num_classes)
    return ChainNet("mlp", stages, recipe, side)
