"""Light: its direction and colour, how it models a surface, the shadow it casts."""

from dataclasses import dataclass

import cv2
import numpy as np

from deconv.scenes.textures import texture


@dataclass(frozen=True)
class Light:
    """One main light.

    x, y: unit vector in the image that points towards the light (y down, so y < 0 is from above);
    modelling: strength of the shading on round surfaces; shadow: darkness of cast shadows, 0–1;
    softness: blur of cast shadows as a share of the image; reach: length of the shadow as a share
    of the object's height.
    """

    x: float
    y: float
    modelling: float
    shadow: float
    softness: float
    reach: float

    @classmethod
    def draw(cls, rng: np.random.Generator) -> "Light":
        """A random light from above, the sides included."""
        angle = rng.uniform(-1.35, 1.35)
        harsh = rng.random()
        return cls(
            x=float(np.sin(angle)),
            y=float(-np.cos(angle)),
            modelling=0.45 + 0.55 * harsh,
            shadow=0.3 + 0.4 * harsh,
            softness=0.012 + 0.05 * (1 - harsh),
            reach=float(rng.uniform(0.25, 0.9)),
        )


def relief(mask: np.ndarray, radius_px: float, light: Light) -> np.ndarray:
    """Shading of a shape that is rounded within `radius_px` of its edge.

    mask: float32 (h, w), the covered share of each pixel. Returns float32 (h, w), about [-1, 1]:
    positive where the surface faces the light.
    """
    side = 2 * max(1, round(radius_px)) + 1
    height = cv2.blur(mask, (side, side), borderType=cv2.BORDER_REPLICATE)
    if side > 5:
        height = cv2.blur(height, (side // 2 | 1,) * 2, borderType=cv2.BORDER_REPLICATE)
    slope = np.float32(side / 8.0 * light.modelling)
    sobel = np.array([[-1, 0, 1], [-2, 0, 2], [-1, 0, 1]], np.float32)
    kernel = -(light.x * sobel + light.y * sobel.T) * slope
    return cv2.filter2D(height, -1, kernel, borderType=cv2.BORDER_REPLICATE)


def ground_shadow(silhouette: np.ndarray, base_y: float, light: Light) -> np.ndarray:
    """The silhouette laid down on the ground from the line `base_y` (pixels) on.

    silhouette: float32 (s, s) in [0, 1]. Returns the shade, float32 (s, s) in [0, 1].
    """
    size = len(silhouette)
    flat = 0.35 * light.reach
    lean = -light.x * light.reach
    matrix = np.array([[1, -lean, lean * base_y], [0, flat, base_y * (1 - flat)]], np.float32)
    laid = cv2.warpAffine(silhouette, matrix, (size, size))
    matrix = np.array([[1.02, 0, -0.01 * size], [0, 0.07, base_y * 0.93]], np.float32)
    contact = cv2.warpAffine(silhouette, matrix, (size, size))
    shade = np.maximum(laid * 0.8, contact)
    return cv2.GaussianBlur(shade, (0, 0), max(0.4, light.softness * size * 0.7))


def wall_shadow(silhouette: np.ndarray, light: Light) -> np.ndarray:
    """The silhouette's shadow on a wall close behind it; shapes as in `ground_shadow`."""
    size = len(silhouette)
    away = 0.12 * light.reach * size
    matrix = np.array([[1, 0, -light.x * away], [0, 1, -light.y * away]], np.float32)
    shade = cv2.warpAffine(silhouette, matrix, (size, size))
    return cv2.GaussianBlur(shade, (0, 0), max(0.5, light.softness * size))


def dapple(rng: np.random.Generator, size: int) -> np.ndarray:
    """Light that falls through leaves or past an edge, float32 (s, s, 1): a factor up to 1."""
    scale, angle, ox, oy, deep, edge = rng.random(6)
    source = texture("clouds")[3]  # a small copy: what casts the shadow is far away, so soft
    k = (5 + 22 * scale) / size
    c, s = np.cos(1.5 * angle) * k, np.sin(1.5 * angle) * k
    m = np.array([[c, -0.6 * s, len(source) * ox], [s, 0.6 * c, len(source) * oy]])
    field = cv2.warpAffine(
        source,
        m,
        (size, size),
        flags=cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_WRAP,
    )[..., :1]
    shade = np.clip((field - 0.45) * (1.5 + 3 * edge) + 0.5, 0, 1)
    return 1 - np.float32(0.15 + 0.35 * deep) * shade
