"""A network's own layers in the place of the paper's, where a command names none."""

from __future__ import annotations

from collections.abc import Sequence

from deconv.networks import Network
from deconv.networks.depths import last_hidden, spread_points

SETTINGS = ("layer", "layers")
NAMING = (*SETTINGS, "page", "maps")
"""Settings that name layers."""
CONVOLUTIONS = ("conv1", "conv2", "conv3", "conv4", "conv5")
HIDDEN = ("fc6", "fc7")


def are_the_papers(layers: Sequence[str]) -> bool:
    """Whether all layers bear names of the paper's network, as the settings' defaults do."""
    return bool(layers) and set(layers) <= {*CONVOLUTIONS, *HIDDEN}


def own_layers(net: Network, layers: Sequence[str]) -> list[str]:
    """Replace layers 1 to 5 by points spread over the convolutions, 6 and 7 by the last hidden one.

    A network of fewer convolutions has fewer points, so several layers may become one.
    """
    points = spread_points(net, len(CONVOLUTIONS))
    depth = (len(points) - 1) / (len(CONVOLUTIONS) - 1)
    own = [
        last_hidden(net) if name in HIDDEN else points[round(CONVOLUTIONS.index(name) * depth)]
        for name in layers
    ]
    return list(dict.fromkeys(own))
