"""Surfaces: two colours, a texture that mixes them, and a gloss. No class owns a colour."""

import colorsys
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np

from deconv.scenes.texture_recipes import TILE_PX
from deconv.scenes.textures import LEVELS, NAMES, texture

Colour = tuple[float, float, float]

COATS = ("fur", "fur_spots", "fur_stripes", "fur_patches", "feathers", "scales", "plaster")
SHELLS = ("paint", "metal", "paint", "metal", "stripes", "checks", "planks", "marble")
WALLS = ("brick", "planks", "plaster", "cobble", "shingles", "wood", "marble", "checks")
LEAVES = ("foliage", "grass", "plaster", "fur", "fur_spots", "marble", "wood")


def random_colour(rng: np.random.Generator) -> Colour:
    """An RGB colour in [0, 1] from the one wide palette of all classes and backgrounds.

    Half are muted earth, stone and foliage tones, as in photographs; the rest has any hue.
    """
    kind, hue, sat, value = rng.random(4)
    if kind < 0.4:
        return colorsys.hsv_to_rgb(0.03 + 0.13 * hue, 0.1 + 0.45 * sat, 0.2 + 0.7 * value)
    if kind < 0.55:
        return colorsys.hsv_to_rgb(hue, 0.1 * sat, 0.1 + 0.85 * value)
    return colorsys.hsv_to_rgb(hue, 0.15 + 0.6 * sat, 0.22 + 0.68 * value)


def mix(a: Colour, b: Colour, share: float) -> Colour:
    """`a` and `b` mixed: 0 gives a, 1 gives b."""
    red, green, blue = (x + share * (y - x) for x, y in zip(a, b, strict=True))
    return red, green, blue


def tone(colour: Colour, factor: float) -> Colour:
    """The colour lightened (factor > 1) or darkened (factor < 1)."""
    red, green, blue = (min(1.0, x * factor) for x in colour)
    return red, green, blue


@dataclass(frozen=True)
class Material:
    """A surface. Without `texture` it is plain `colour`.

    scale: textures per local unit of the object; angle: radians; offset: texels; strength: how
    much the texture lightens and darkens, 0–1; gloss: strength of the highlight, 0–1.
    """

    colour: Colour
    second: Colour = (0.0, 0.0, 0.0)
    texture: str | None = None
    scale: float = 1.0
    angle: float = 0.0
    offset: tuple[float, float] = (0.0, 0.0)
    strength: float = 0.35
    gloss: float = 0.1

    def turned(self, angle: float) -> "Material":
        """The same material with its texture turned by `angle` radians."""
        return replace(self, angle=self.angle + angle)

    def toned(self, factor: float) -> "Material":
        """The same material, lighter or darker."""
        return replace(self, colour=tone(self.colour, factor), second=tone(self.second, factor))

    def look(self, box: tuple[int, int, int, int], to_local: tuple[float, ...]) -> np.ndarray:
        """The surface's own colour on the pixels of `box`, float32 (h, w, 3) or (1, 1, 3).

        to_local: the affine (a, b, c, d, x0, y0) from pixels to local units:
        x = a·px + b·py + x0, y = c·px + d·py + y0.
        """
        if self.texture is None:
            return np.array(self.colour, np.float32).reshape(1, 1, 3)
        top, left, bottom, right = box
        a, b, c, d, x0, y0 = to_local
        texels = TILE_PX * self.scale
        step = texels * math.sqrt(abs(a * d - b * c))
        level = min(max(int(math.log2(max(step, 1e-6)) + 0.5), 0), LEVELS - 1)
        k = texels / 2**level
        co, si = math.cos(self.angle) * k, math.sin(self.angle) * k
        m00, m01 = co * a + si * c, co * b + si * d
        m10, m11 = co * c - si * a, co * d - si * b
        ox = co * x0 + si * y0 + self.offset[0] / 2**level + m00 * left + m01 * top
        oy = co * y0 - si * x0 + self.offset[1] / 2**level + m10 * left + m11 * top
        source = texture(self.texture)[level]
        side = len(source)
        warp = np.array([[m00, m01, ox % side], [m10, m11, oy % side]])
        two = cv2.warpAffine(
            source,
            warp,
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_WRAP,
        )
        first = np.array(self.colour, np.float32)
        span = np.array(self.second, np.float32) - first
        look = two[..., :1] * span + first
        look *= two[..., 1:] * np.float32(self.strength) + np.float32(1)
        return look


def draw_material(
    rng: np.random.Generator,
    textures: Sequence[str] = NAMES,
    colour: Colour | None = None,
    scale: float = 0.6,
) -> Material:
    """A random material with one of `textures`; now and then with any texture at all.

    The odd one out (a checked cat, a furry car) keeps texture alone from naming the class.
    """
    stray, pick, size, angle, ox, oy, strength, gloss = rng.random(8)
    names = NAMES if stray < 0.25 else textures
    first = random_colour(rng) if colour is None else colour
    second = mix(random_colour(rng), first, 0.35)
    return Material(
        first,
        second,
        names[int(pick * len(names))],
        scale * 1.8 ** (2 * size - 1),
        (angle - 0.5) * 0.5,
        (ox * TILE_PX, oy * TILE_PX),
        0.25 + 0.35 * strength,
        0.5 * gloss,
    )
