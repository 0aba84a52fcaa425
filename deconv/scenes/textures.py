"""A bank of tileable surface textures, made once per process from a fixed seed.

A texture is float32 (256, 256, 2): channel 0 mixes a surface's two colours and lies in [0, 1],
channel 1 lightens or darkens it and lies in about [-1, 1]. Each is kept with smaller copies, so
that it can be shown at any scale without aliasing.
"""

from functools import cache

import cv2
import numpy as np

from deconv.scenes.texture_recipes import RECIPES, TILE_PX

LEVELS = 5
_BANK_SEED = 20131112

NAMES: tuple[str, ...] = tuple(RECIPES)


@cache
def texture(name: str) -> tuple[np.ndarray, ...]:
    """The texture `name` (one of `NAMES`), then its copies of half the size each, `LEVELS` in all.

    Each is float32 (n, n, 2), n = 256, 128, …; treat them as read-only.
    """
    rng = np.random.default_rng((_BANK_SEED, NAMES.index(name)))
    level: np.ndarray = np.ascontiguousarray(np.stack(RECIPES[name](rng), 2).astype(np.float32))
    levels = [level]
    for _ in range(LEVELS - 1):
        level = cv2.resize(level, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        levels.append(level)
    return tuple(levels)


@cache
def grain() -> np.ndarray:
    """White noise for the sensor, float32 (512, 512, 3) with mean 0 and deviation 1; read-only."""
    rng = np.random.default_rng((_BANK_SEED, 9999))
    return rng.standard_normal((2 * TILE_PX, 2 * TILE_PX, 3), dtype=np.float32)
