"""The units that are checked, and their replacements from other maps that are active."""

from __future__ import annotations

import numpy as np
import torch

from deconv.errors import DeconvError
from deconv.records import Peaks

SAME_POSITION, OWN_PEAK = "same position", "own peak"
PLACES = (SAME_POSITION, OWN_PEAK)
"""Position of the other map's unit: the original unit's, or the other map's peak."""


def strongest_units(maxima: Peaks, layer: str, count: int, k: int, seed: int) -> torch.Tensor:
    """Choose the strongest unit of up to `count` random maps that are above 0 on k images.

    Args:
        maxima: C×N, a map's strongest unit on each image.

    Returns:
        K×4 (image, map, y, x).

    Raises:
        DeconvError: for fewer than two such maps.
    """
    live = (maxima.value.sort(dim=1, descending=True).values[:, :k] > 0).all(dim=1)
    numbers = live.nonzero().flatten()
    if len(numbers) < 2:
        raise DeconvError(
            f"{layer} has {len(numbers)} maps that are above 0 on {k} images: train longer, "
            "take more images or a smaller k"
        )
    random = np.random.default_rng((seed, *layer.encode()))
    maps = numbers[random.permutation(len(numbers))[:count]]
    at = maxima.value[maps].argmax(dim=1)
    image, y, x = (field[maps, at] for field in (maxima.image, maxima.y, maxima.x))
    return torch.stack([image, maps, y, x], dim=1)


def other_units(
    values: torch.Tensor, units: torch.Tensor, place: str, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """Replace each unit by one of a random other map that is above 0 at the place.

    Args:
        values: N×C×h×w or N×C, the layer's activations.
        units: K×4 (image, map, y, x).
        place: one of PLACES.

    Returns:
        K×4, and K bool: False where no other map is above 0 and the unit stays.
    """
    maps = values if values.dim() == 4 else values[:, :, None, None]
    out, found = units.clone(), torch.zeros(len(units), dtype=torch.bool)
    for i, (image, number, y, x) in enumerate(units.tolist()):
        of_image = maps[image]
        strength = of_image[:, y, x] if place == SAME_POSITION else of_image.amax((1, 2))
        active = (strength > 0).nonzero().flatten().tolist()
        if others := [m for m in active if m != number]:
            other = others[int(random.integers(len(others)))]
            if place == OWN_PEAK:
                y, x = divmod(int(of_image[other].argmax()), of_image.shape[-1])
            out[i], found[i] = torch.tensor([image, other, y, x]), True
    return out, found
