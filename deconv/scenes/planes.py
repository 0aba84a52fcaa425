"""What fills a whole image: a flat covering, the sky, the ground in perspective."""

import math

import cv2
import numpy as np

from deconv.scenes.materials import Material, draw_material, mix, random_colour, tone
from deconv.scenes.texture_recipes import TILE_PX
from deconv.scenes.textures import LEVELS, texture
from deconv.scenes.view import View

GROUNDS = (
    "grass",
    "sand",
    "cobble",
    "water",
    "plaster",
    "checks",
    "planks",
    "brick",
    "wood",
    "foliage",
    "weave",
    "marble",
)
WALLPAPERS = (
    "plaster",
    "brick",
    "planks",
    "stripes",
    "dots",
    "weave",
    "wood",
    "marble",
    "foliage",
    "cobble",
    "clouds",
    "shingles",
    "checks",
)


def whole_view(size_px: int) -> View:
    """The view in which the image is the unit square, (0, 0) top left and (1, 1) bottom right."""
    return View(np.diag([float(size_px), float(size_px), 1.0]))


def _ramp(size: int, top: tuple, bottom: tuple) -> np.ndarray:
    t = np.linspace(0, 1, size, dtype=np.float32)[:, None, None]
    ramp = np.array(top, np.float32) * (1 - t) + np.array(bottom, np.float32) * t
    return np.repeat(ramp.astype(np.float32), size, 1)


def covering(
    rng: np.random.Generator, size: int, names: tuple[str, ...], scale: float
) -> tuple[np.ndarray, Material]:
    material = draw_material(rng, names, scale=scale)
    view = whole_view(size)
    return np.ascontiguousarray(material.look((0, 0, size, size), view.to_local)), material


def sky(rng: np.random.Generator, size: int) -> np.ndarray:
    high, haze, cloud = random_colour(rng), random_colour(rng), rng.random()
    high = mix(high, (0.35, 0.55, 0.85), 0.45)
    image = _ramp(size, high, mix(tone(haze, 1.2), (0.9, 0.9, 0.88), 0.55))
    stretch, ox, oy = 1 + rng.random(), *rng.integers(0, TILE_PX, 2)
    m = np.array([[150 * stretch / size, 0, ox], [0, 260 * stretch / size, oy]])
    cover = cv2.warpAffine(
        texture("clouds")[0],
        m,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )
    amount = cover[..., :1] * np.float32(0.9 * cloud)
    bright = np.float32(0.9) + 0.15 * cover[..., 1:]
    return image * (1 - amount) + bright * amount


def ground_plane(
    rng: np.random.Generator,
    size: int,
    horizon: float,
    haze: np.ndarray,
    names: tuple[str, ...] = GROUNDS,
) -> np.ndarray:
    """A plane in perspective below `horizon` (share of the height); rows above it are junk."""
    material = draw_material(rng, names, scale=1.0)
    turn, near = rng.uniform(-0.7, 0.7), rng.uniform(0.9, 2.2)
    # The level by the image size: detail finer than the pixels would only flicker.
    source = texture(material.texture)[min(LEVELS - 1, max(0, round(math.log2(TILE_PX / size))))]
    h, c, s = horizon * size, np.cos(turn), np.sin(turn)
    depth = 0.7 * near * len(source)
    # Pixel (x, y) sees the plane at (x - size/2, size) / (y - h): the pinhole's own projection.
    eye = np.array([[1, 0, -size / 2], [0, 0, size], [0, 1, -h]])
    plane = np.diag([depth, depth, 1]) @ np.array([[c, -s, 4], [s, c, 4], [0, 0, 1]]) @ eye
    two = cv2.warpPerspective(
        source,
        plane,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )
    rows = (np.arange(size, dtype=np.float32) + 0.5) / size
    far = np.clip((rows - horizon) / max(0.05, 1 - horizon), 0, 1)[:, None, None]
    clear = np.minimum(1, far * 2.2)  # detail drowns in haze (and does not alias) far away
    first, second = np.array(material.colour, np.float32), np.array(material.second, np.float32)
    look = first + (second - first) * (two[..., :1] * clear + 0.3 * (1 - clear))
    look *= 1 + two[..., 1:] * clear * np.float32(material.strength)
    veil = np.float32(0.6) * (1 - far) ** 2
    return look * (1 - veil) + haze * veil


def below(image: np.ndarray, ground: np.ndarray, horizon: float) -> np.ndarray:
    rows = np.arange(len(image), dtype=np.float32)[:, None, None]
    share = np.clip(rows - horizon * len(image) + 0.5, 0, 1)
    return image * (1 - share) + ground * share
