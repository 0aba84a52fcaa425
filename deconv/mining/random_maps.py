"""Random subsets of a layer's maps, as shown in the paper's Figures 2 and 4."""

from __future__ import annotations

import numpy as np
import torch


def random_maps(live: torch.Tensor, count: int, seed: int, layer: str) -> torch.Tensor:
    """Draw up to `count` of the live maps (C bool) and sort them by number.

    Layer name and `seed` seed the draw together, so that layers draw independently.
    """
    numbers = live.nonzero().flatten()
    random = np.random.default_rng((seed, *layer.encode()))
    return numbers[np.sort(random.permutation(len(numbers))[:count])]


def live_maps_first(live: torch.Tensor, count: int, seed: int, layer: str) -> torch.Tensor:
    """Draw `count` maps and sort them by number; dead maps are drawn only if too few are live."""
    order = np.random.default_rng((seed, *layer.encode())).permutation(len(live))
    order = order[np.argsort(~live.numpy()[order], kind="stable")]
    return torch.from_numpy(np.sort(order[:count]))
