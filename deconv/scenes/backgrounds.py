"""What stands behind the object. Drawn without knowing the class: only where the ground begins."""

from collections.abc import Callable

import numpy as np

from deconv.scenes.canvas import Layer, Pen
from deconv.scenes.lighting import Light
from deconv.scenes.materials import Material, draw_material, mix, random_colour, tone
from deconv.scenes.planes import GROUNDS, WALLPAPERS, below, covering, ground_plane, sky, whole_view
from deconv.scenes.shapes import blob, curve, ellipse, polygon, rectangle, stroke


def landscape(rng: np.random.Generator, size: int, horizon: float, light: Light) -> np.ndarray:
    """Sky, hills or a tree line, open ground."""
    image = sky(rng, size)
    haze = image.mean((0, 1))
    layer = Layer(size, light)
    pen = Pen(layer, whole_view(size))
    for k in range(int(rng.integers(0, 4))):
        rise = rng.uniform(0.02, 0.28, 7) * (1 - 0.25 * k)
        ridge = [(x, horizon - r) for x, r in zip(np.linspace(-0.2, 1.2, 7), rise, strict=True)]
        far = draw_material(rng, ("foliage", "grass", "plaster", "cobble"), scale=2.0)
        far = Material(
            mix(far.colour, tuple(haze), 0.55 - 0.15 * k),
            mix(far.second, tuple(haze), 0.55 - 0.15 * k),
            far.texture,
            far.scale,
            far.angle,
            far.offset,
            far.strength,
        )
        pen.fill(curve(*ridge, (1.4, horizon + 0.3), (-0.4, horizon + 0.3)), far, 0.06)
    return below(layer.over(image), ground_plane(rng, size, horizon, haze), horizon)


def room(rng: np.random.Generator, size: int, horizon: float, light: Light) -> np.ndarray:
    """A wall, a skirting board, a floor or table, light falling in from the side."""
    wall, material = covering(rng, size, WALLPAPERS, 1.4)
    fall = np.linspace(-1, 1, size, dtype=np.float32)
    wall *= (1 + np.float32(0.45 * light.x) * fall)[None, :, None]
    haze = np.array(material.colour, np.float32)
    image = below(wall, ground_plane(rng, size, horizon - 0.25, haze), horizon)
    layer = Layer(size, light)
    pen = Pen(layer, whole_view(size))
    if rng.random() < 0.5:
        board = rng.uniform(0.02, 0.06)
        trim = draw_material(rng, ("wood", "paint", "plaster"), scale=1.0)
        pen.fill(rectangle(-0.1, horizon - board, 1.1, horizon), trim, 0.3)
    if rng.random() < 0.45:
        x, w, y = rng.uniform(-0.1, 0.8), rng.uniform(0.15, 0.4), rng.uniform(-0.1, 0.3)
        lean = 0.25 * light.x
        patch = polygon((x, y), (x + w, y), (x + w - lean, y + 0.6), (x - lean, y + 0.6))
        pen.fill(patch, Material((1.0, 0.96, 0.86)), 0, opacity=0.28)
    return layer.over(image)


def surface(rng: np.random.Generator, size: int, horizon: float, light: Light) -> np.ndarray:
    """A flat surface close behind: a wall, cloth, planks, sand."""
    image, _ = covering(rng, size, GROUNDS + WALLPAPERS, 1.1)
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    image *= (1 + 0.3 * light.x * axis)[None, :, None] * (1 + 0.3 * light.y * axis)[:, None, None]
    return image


def thicket(rng: np.random.Generator, size: int, horizon: float, light: Light) -> np.ndarray:
    """Leaves and branches near by, or the soft discs of lights and leaves far out of focus."""
    image, _ = covering(rng, size, ("foliage", "grass", "clouds", "fur_patches"), 1.0)
    image *= np.float32(0.7)
    layer = Layer(size, light)
    pen = Pen(layer, whole_view(size))
    tints = [draw_material(rng, ("foliage", "plaster", "fur"), scale=2.0) for _ in range(3)]
    opacity = rng.uniform(0.25, 0.95)
    for _ in range(int(rng.integers(6, 22))):
        x, y, r, squeeze, turn = rng.random(5)
        shape = ellipse(
            1.2 * x - 0.1,
            1.2 * y - 0.1,
            0.03 + 0.1 * r,
            (0.03 + 0.1 * r) * (0.4 + 0.6 * squeeze),
            3 * turn,
        )
        pen.fill(shape, tints[int(3 * turn)].toned(0.6 + 0.7 * squeeze), 0.25, opacity)
    for _ in range(int(rng.integers(0, 4))):
        a, b = rng.uniform(-0.2, 1.2, (2, 2))
        pen.fill(stroke([a, (a + b) / 2 + 0.05, b], 0.04, 0.01), tints[0].toned(0.5), 0.4)
    return layer.over(image)


def street(rng: np.random.Generator, size: int, horizon: float, light: Light) -> np.ndarray:
    """House fronts side by side with rows of dark openings, and a road."""
    image = sky(rng, size)
    haze = image.mean((0, 1))
    layer = Layer(size, light)
    pen = Pen(layer, whole_view(size))
    x = rng.uniform(-0.3, 0.0)
    while x < 1.0:
        width, top = rng.uniform(0.18, 0.5), horizon - rng.uniform(0.15, 0.75)
        front = draw_material(rng, ("brick", "plaster", "planks", "cobble", "stripes"), scale=1.6)
        pen.fill(rectangle(x, top, x + width, horizon + 0.02), front, 0.03)
        columns, rows = (int(n) for n in rng.integers(1, 5, 2))
        hole, tall = Material(tone(random_colour(rng), 0.45)), rng.uniform(0.3, 0.6)
        step, rise = width / columns, (horizon - top) / rows
        holes = [
            rectangle(
                x + step * (i + 0.3),
                top + rise * (j + 0.2),
                x + step * (i + 0.75),
                top + rise * (j + 0.2 + tall),
            )
            for i in range(columns)
            for j in range(rows)
        ]
        pen.fill(holes, hole, 0)
        x += width
    return below(layer.over(image), ground_plane(rng, size, horizon, haze), horizon)


def open_sky(rng: np.random.Generator, size: int, horizon: float, light: Light) -> np.ndarray:
    """Nothing but sky, with a few dark or bright clouds."""
    image = sky(rng, size)
    layer = Layer(size, light)
    pen = Pen(layer, whole_view(size))
    for _ in range(int(rng.integers(0, 4))):
        x, y, r = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.1, 0.3)
        cloud = Material((0.95, 0.95, 0.97), (0.7, 0.72, 0.8), "clouds", 1.5)
        pen.fill(blob(rng, x, y, r, 0.45 * r, 0.3), cloud, 0.4, 0.6)
    return layer.over(image)


Backdrop = Callable[[np.random.Generator, int, float, Light], np.ndarray]
# (backdrop, share of the scenes, whether it has a ground to throw a shadow on)
BACKDROPS: tuple[tuple[Backdrop, float, bool], ...] = (
    (landscape, 0.30, True),
    (room, 0.20, True),
    (street, 0.15, True),
    (surface, 0.15, False),
    (thicket, 0.13, False),
    (open_sky, 0.07, False),
)
