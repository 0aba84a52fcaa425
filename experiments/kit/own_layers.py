"""A network's own layers in the place of the paper's, where a command names none."""

from __future__ import annotations

from collections.abc import Sequence

from deconv.networks import Network
from deconv.networks.depths import numbered_as_paper, paper_layers

SETTINGS = ("layer", "layers")
NAMING = (*SETTINGS, "page", "maps")
"""Settings that name layers."""
CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4", "conv5")
HIDDEN = ("fc6", "fc7")


def are_the_papers(layers: Sequence[str]) -> bool:
    """Whether all layers bear names of the paper's network, as the settings' defaults do."""
    return bool(layers) and set(layers) <= {*CONVOLUTIONS, *HIDDEN}


def own_layers(net: Network, layers: Sequence[str]) -> list[str]:
    """Replace layers of the paper's network by those that stand for them, see `paper_layers`.

    A network of fewer convolutions has fewer points, so several layers may become one.
    """
    if numbered_as_paper(net):
        return list(layers)
    own = paper_layers(net)
    numbers = ["7" if name in HIDDEN else name.removeprefix("conv") for name in layers]
    return list(dict.fromkeys(own[number] for number in numbers))
