"""Feature maps as pictures: white at zero, warm above it, blue below it."""

from __future__ import annotations

import numpy as np

# From zero to the end of the scale. Both ramps darken alike, so that grey prints keep magnitudes.
ABOVE = np.array([(255, 255, 255), (246, 170, 104), (213, 94, 0), (112, 36, 0)], float)
BELOW = np.array([(255, 255, 255), (134, 190, 226), (0, 114, 178), (0, 48, 92)], float)


def signed_map(values: np.ndarray, scale: float) -> np.ndarray:
    """Render a map h×w as h×w×3 uint8; values beyond ± scale saturate."""
    size = np.clip(np.abs(values) / scale, 0, 1) * (len(ABOVE) - 1)
    steps = np.arange(len(ABOVE))
    above, below = (
        np.stack([np.interp(size, steps, ramp[:, c]) for c in range(3)], axis=-1)
        for ramp in (ABOVE, BELOW)
    )
    return np.where((values < 0)[..., None], below, above).round().astype(np.uint8)
