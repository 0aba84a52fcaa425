"""Another unit in a unit's place: of a random other map of its layer that is active there."""

from __future__ import annotations

import numpy as np
import torch

SAME_POSITION, OWN_PEAK = "same position", "own peak"
PLACES = (SAME_POSITION, OWN_PEAK)
"""Where the other map's unit stands: where the first one stood, or where that map is strongest."""


def other_units(
    values: torch.Tensor, units: torch.Tensor, place: str, random: np.random.Generator
) -> tuple[torch.Tensor, torch.Tensor]:
    """A unit of another map for each unit, and whether there is one.

    values: N×C×h×w or N×C, the activations of the layer. units: K×4 (image, map, y, x).
    place: of PLACES. The map is drawn among those above 0 at the place. Returns K×4 and K bool;
    where no other map is above 0, the unit itself.
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
