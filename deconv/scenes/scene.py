"""Photo-like scenes of objects composed of shared parts, a pure function of (seed, index).

Each scene shows one object of `CLASSES` on a background independent of the class, among stray
parts, under random light, sometimes partly occluded. All classes share one palette and their parts
(wheels, windows, eyes, wings, petals …), so neither a colour nor a single part reveals the class.
The boxes of the object and its parts are exact.

Left and right (`left_eye`, `right_eye`) are the image's, not the animal's.
"""

import hashlib
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np
import torch
from torch.utils.data import Dataset

from deconv.errors import DeconvError
from deconv.scenes.backgrounds import BACKDROPS
from deconv.scenes.canvas import Layer, Pen
from deconv.scenes.clutter import foreground, scatter
from deconv.scenes.exposure import Exposure
from deconv.scenes.lighting import Light, dapple, ground_shadow, wall_shadow
from deconv.scenes.objects import OBJECTS
from deconv.scenes.planes import whole_view
from deconv.scenes.view import Box, View
from deconv.whole_number import whole_number

VERSION = 2  # raise whenever the pictures change: it invalidates caches
MIN_PX = 32
CLASSES: tuple[str, ...] = tuple(OBJECTS)


@dataclass(frozen=True)
class Part:
    """A named part and its box, half-open (top, left, bottom, right) in pixels."""

    name: str
    box: Box


@dataclass(frozen=True)
class Scene:
    """One picture with its ground truth.

    A box bounds the pixels that the part covers by at least two fifths after all transforms,
    clipped to the image, where no other part of the same object hides them. Foreground occluders
    (grass, poles, leaves, stray parts) do not change boxes. A part without such a pixel (outside
    the image, behind another part, too small at this size) is omitted.

    Attributes:
        image: uint8 (size, size, 3), RGB.
        box: the object's; part boxes lie inside it.
        parts: in painting order; a part that occurs several times is listed each time.
    """

    image: np.ndarray
    label: int
    box: Box
    parts: tuple[Part, ...]


def class_of(seed: int, index: int) -> int:
    """Return the label of a scene; each block of `len(CLASSES)` scenes has every class once."""
    block, place = divmod(index, len(CLASSES))
    return int(np.random.default_rng((seed, block, 1)).permutation(len(CLASSES))[place])


def _place(rng: np.random.Generator, size_px: int) -> tuple[View, tuple[float, float], float]:
    """Draw the object's view, centre (x, y) and half extent, both as fractions of the image."""
    half = 0.45 - 0.26 * rng.random() ** 1.3
    room = max(0.0, 0.56 - half)
    x, y = 0.5 + rng.uniform(-1, 1, 2) * room
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    stretch, turn = rng.uniform(0.85, 1.17), float(np.clip(rng.normal(0, 0.15), -0.45, 0.45))
    tip, yaw = rng.uniform(-0.22, 0.22, 2)
    placed = whole_view(size_px).at(x, y, mirror * half, half * stretch, turn)
    lens = np.array([[1, 0, 0], [0, 1, 0], [yaw, tip, 1]])
    return View(placed.matrix @ lens), (float(x), float(y)), float(half)


def _backdrop(
    rng: np.random.Generator, size_px: int, horizon: float, light: Light
) -> tuple[np.ndarray, bool]:
    """Draw the background, float32 (s, s, 3); also return whether it has a ground."""
    shares = [share for _, share, _ in BACKDROPS]
    draw, _, grounded = BACKDROPS[int(rng.choice(len(BACKDROPS), p=shares))]
    image = draw(rng, size_px, horizon, light)
    layer = Layer(size_px, light)
    scatter(Pen(layer, whole_view(size_px)), rng, rng.random(), horizon)
    return layer.over(image), grounded


def _defocus(image: np.ndarray, share: float) -> np.ndarray:
    """Blur by `share` of the image size, as behind the plane of focus."""
    sigma = share * len(image)
    return cv2.GaussianBlur(image, (0, 0), sigma) if sigma > 0.3 else image


def _shadowed(
    image: np.ndarray, silhouette: np.ndarray, base: float | None, light: Light
) -> np.ndarray:
    """Cast the object's shadow on the ground from row `base`, or on a wall (None)."""
    if base is None:
        shade = wall_shadow(silhouette, light)
    else:
        shade = ground_shadow(silhouette, base, light)
    return image * (1 - np.float32(light.shadow) * shade[..., None])


def _check_size(size_px: int) -> None:
    if size_px < MIN_PX:
        raise DeconvError(f"{size_px=} is too small to show the parts; use {MIN_PX} or more")


def render(
    seed: int, index: int, size_px: int = 128, *, omit: frozenset[str] = frozenset()
) -> Scene:
    """Draw scene (seed, index), deterministically for one version of NumPy and OpenCV.

    Args:
        size_px: 32 or more; every size shows the same scene.
        omit: names of parts not to paint; their boxes are omitted. All else stays, including the
            shadow on the background; only soft shade that such a part casts on the object goes.

    Raises:
        DeconvError: for a negative seed or index, or a size below 32.
    """
    if seed < 0 or index < 0:
        raise DeconvError(f"seed and index must not be negative, got {seed=}, {index=}")
    _check_size(size_px)
    label = class_of(seed, index)
    rng = np.random.default_rng((seed, index))
    # One generator per stage, so that draws in one stage do not shift the others.
    stage, behind, paint, front = rng.spawn(4)
    light = Light.draw(stage)
    view, centre, half = _place(stage, size_px)
    horizon = float(np.clip(centre[1] + half * stage.uniform(0.1, 0.8), 0.3, 0.85))
    exposure = Exposure.draw(stage, light)
    depth, hidden, leafy, misty = stage.random(4)
    dapples = dapple(stage, size_px)
    image, grounded = _backdrop(behind, size_px, horizon, light)
    haze = image.mean((0, 1))
    image = _defocus(image, max(0.0, 1.5 * depth - 0.6) * 0.025)

    layer = Layer(size_px, light, frozenset(omit))
    OBJECTS[CLASSES[label]](Pen(layer, view), paint)
    layer.model()
    base = (centre[1] + half * 0.9) * size_px if grounded else None
    image = layer.over(_shadowed(image, layer.silhouette, base, light))
    if hidden < 0.65:
        near = Layer(size_px, light)
        foreground(Pen(near, whole_view(size_px)), front, centre, half)
        image = near.over(image)
    if leafy < 0.3:
        image *= dapples
    veil = np.float32(max(0.0, 1.6 * misty - 1.1))
    image = image * (1 - veil) + veil * haze
    parts = tuple(Part(name, where) for name, where in layer.parts())
    return Scene(exposure.develop(image), label, layer.box(), parts)


@lru_cache(maxsize=1000)
def _drawn(seed: int, index: int, size_px: int) -> Scene:
    """The scenes drawn last, read-only: an experiment asks for most of them several times."""
    scene = render(seed, index, size_px)
    scene.image.setflags(write=False)
    return scene


class Scenes(Dataset):
    """Data set of `length` scenes of one seed; item i is (3×size×size uint8, label)."""

    def __init__(self, length: int, seed: int, size_px: int = 128) -> None:
        """Raises DeconvError for length < 1, a negative seed, or a size below 32."""
        if length < 1:
            raise DeconvError(f"{length=}: a data set needs at least one scene")
        if seed < 0:
            raise DeconvError(f"{seed=} must not be negative; use 0, 1, 2 … for the splits")
        _check_size(size_px)
        self.length, self.seed, self.size_px = length, seed, size_px
        self.classes = CLASSES
        self.targets = [class_of(seed, i) for i in range(length)]

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, i: int) -> tuple[torch.Tensor, int]:
        scene = self.scene(i)
        return torch.tensor(scene.image).permute(2, 0, 1).contiguous(), scene.label

    def scene(self, i: int) -> Scene:
        """Draw scene i with its boxes; IndexError outside 0 … length - 1."""
        i = whole_number(i, "a data set")
        if not 0 <= i < self.length:
            raise IndexError(f"scene {i} of {self.length}: use 0 to {self.length - 1}")
        return _drawn(self.seed, i, self.size_px)

    def contents(self) -> str:
        """Return the version of OpenCV, which draws."""
        return f"cv{cv2.__version__}"

    def cache_key(self) -> str:
        """Return the fingerprint and who draws."""
        return f"{self.fingerprint()}-{self.contents()}"

    def fingerprint(self) -> str:
        """Return 12 hex digits that change whenever the pictures do."""
        key = f"{VERSION}/{self.seed}/{self.length}/{self.size_px}"
        return hashlib.sha256(key.encode()).hexdigest()[:12]
