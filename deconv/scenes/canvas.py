"""What is painted on, a layer that knows which part owns which pixel, and the pen that paints."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from deconv.scenes.lighting import Light, relief
from deconv.scenes.materials import Material
from deconv.scenes.view import Box, View, coverage

COVERED = 0.4  # a part owns the pixels of which it covers at least this share


@dataclass
class Layer:
    """A picture on transparent ground with a record of which part owns which pixel.

    rgb: float32 (s, s, 3), premultiplied by alpha: float32 (s, s); silhouette: float32 (s, s), all
    that was painted, omitted parts too, so that leaving a part out changes no shadow on the
    background; owner: uint8 (s, s), 0 for nothing, 1 for what belongs to no part, then
    2 + index into `names`.
    """

    size_px: int
    light: Light
    omit: frozenset[str] = frozenset()
    names: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        size = self.size_px
        self.rgb = np.zeros((size, size, 3), np.float32)
        self.alpha = np.zeros((size, size), np.float32)
        self.silhouette = np.zeros((size, size), np.float32)
        self.owner = np.zeros((size, size), np.uint8)

    def parts(self) -> list[tuple[str, Box]]:
        """Names and boxes of all parts that own a pixel, in painting order."""
        found = []
        for index, name in enumerate(self.names):
            x, y, w, h = cv2.boundingRect((self.owner == index + 2).astype(np.uint8))
            if w:
                found.append((name, (y, x, y + h, x + w)))
        return found

    def box(self) -> Box:
        """The box of everything painted."""
        x, y, w, h = cv2.boundingRect(self.owner)
        return y, x, y + h, x + w

    def over(self, image: np.ndarray) -> np.ndarray:
        """This layer laid over `image`, float32 (s, s, 3)."""
        result = image * (1 - self.alpha)[..., None]
        result += self.rgb
        return result

    def model(self) -> None:
        """Rounds the whole of what is painted in the light, over and above its single shapes."""
        small = cv2.resize(self.silhouette, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        shade = relief(small, 0.05 * self.size_px, self.light)
        shade = cv2.resize(shade, (self.size_px, self.size_px), interpolation=cv2.INTER_LINEAR)
        self.rgb *= 1 + np.float32(0.55) * shade[..., None]


class Pen:
    """Paints outlines given in local units on a layer; `at` and `part` give derived pens."""

    __slots__ = ("ground", "layer", "owner", "view")

    def __init__(self, layer: Layer, view: View, ground: View | None = None, owner: int = 1):
        self.layer = layer
        self.view = view
        self.ground = view if ground is None else ground  # the frame that textures stick to
        self.owner = owner

    def at(
        self, x: float, y: float, sx: float = 1.0, sy: float | None = None, angle: float = 0.0
    ) -> "Pen":
        """A pen in a local frame at (x, y); see `View.at`."""
        return Pen(self.layer, self.view.at(x, y, sx, sy, angle), self.ground, self.owner)

    def part(self, name: str) -> "Pen":
        """A pen whose strokes belong to a new part `name`."""
        self.layer.names.append(name)
        return Pen(self.layer, self.view, self.ground, len(self.layer.names) + 1)

    def fill(
        self,
        outline: np.ndarray | Sequence[np.ndarray],
        material: Material,
        bulge: float = 0.2,
        opacity: float = 1.0,
        lift: float = 0.0,
        union: bool = False,
    ) -> None:
        """Paints the inside of one outline, or of several by the even-odd rule or as their union.

        bulge: how far from its edge the surface is rounded, as a share of the outline's smaller
        extent; 0 is flat. opacity: 0–1; below 0.5 the stroke owns no pixel. lift: darkness, 0–1,
        of the soft shadow that the shape throws on what the layer holds already.
        """
        outlines = [outline] if isinstance(outline, np.ndarray) else outline
        layer = self.layer
        cover = coverage([self.view.pixels(o) for o in outlines], layer.size_px, union)
        if cover is None:
            return
        (top, left, bottom, right), mask = cover
        where = (slice(top, bottom), slice(left, right))
        solid = mask >= COVERED
        if opacity >= 0.5:
            np.maximum(layer.silhouette[where], mask, out=layer.silhouette[where])
        if self.owner > 1 and layer.names[self.owner - 2] in layer.omit:
            return
        if lift:
            self._throw(cover[0], mask, lift)
        if opacity >= 0.5:
            layer.owner[where][solid] = self.owner
        colour = material.look(cover[0], self.ground.to_local)
        if bulge:
            colour = self._model(colour, mask, bulge, material.gloss)
        if opacity < 1:
            mask = mask * np.float32(opacity)
        target = layer.rgb[where]
        change = colour - target
        change *= mask[..., None]
        target += change
        alpha = layer.alpha[where]
        alpha += mask * (1 - alpha)

    def _model(
        self, colour: np.ndarray, mask: np.ndarray, bulge: float, gloss: float
    ) -> np.ndarray:
        """`colour` shaded and highlighted as a surface rounded towards the edge of `mask`."""
        shade = relief(mask, bulge * (min(mask.shape) - 2), self.layer.light)[..., None]
        colour = colour * (1 + np.float32(0.85) * shade)
        if gloss:
            colour += np.maximum(shade - np.float32(0.25), 0) * np.float32(gloss)
        return colour

    def _throw(self, box: Box, mask: np.ndarray, strength: float) -> None:
        """Darkens what is painted already, around `mask` and away from the light."""
        top, left, bottom, right = box
        size, light = self.layer.size_px, self.layer.light
        reach = max(1, round(0.03 * size))
        side = 2 * reach + 1
        above, below = min(3 * reach, top), min(3 * reach, size - bottom)
        before, after = min(3 * reach, left), min(3 * reach, size - right)
        wide = cv2.copyMakeBorder(mask, above, below, before, after, cv2.BORDER_CONSTANT, value=0)
        away = np.array([[1, 0, -light.x * reach], [0, 1, -light.y * reach]], np.float32)
        shade = cv2.blur(cv2.warpAffine(wide, away, wide.shape[::-1]), (side, side))
        where = (slice(top - above, bottom + below), slice(left - before, right + after))
        self.layer.rgb[where] *= 1 - np.float32(strength * light.shadow * 1.3) * shade[..., None]
