"""What belongs to no object: stray parts behind it, and things in front that hide some of it."""

import numpy as np

from deconv.scenes import animal_parts, made_parts, plant_parts
from deconv.scenes.canvas import Pen
from deconv.scenes.kit import Kit, draw_kit
from deconv.scenes.materials import Material, draw_material
from deconv.scenes.shapes import blob, polygon, rectangle, stroke
from deconv.scenes.textures import NAMES


def _stray_part(pen: Pen, kit: Kit, rng: np.random.Generator, kind: int) -> None:
    a, b = rng.random(2)
    match kind:
        case 0:
            animal_parts.eye(pen.at(0, 0, 0.4), kit, a, b)
        case 1:
            made_parts.wheel(pen, kit, 0.15 + 0.25 * a, 3 * b, a < 0.4)
        case 2:
            made_parts.window(pen.at(0, 0, 0.7, 0.5 + 0.5 * a), kit)
        case 3:
            plant_parts.petal(pen, kit.body, kit.sharp, kit.accent)
        case 4:
            animal_parts.fin(pen, kit.body, a, int(5 * b))
        case 5:
            animal_parts.wing(pen, kit.body, kit.second, a)
        case 6:
            plant_parts.leaf(pen, kit, kit.body)
        case 7:
            made_parts.sail(pen, kit.body, a)
        case 8:
            made_parts.door(pen.at(0, 0, 0.5, 1.0), kit, kit.body, 1 + int(2 * a), b < 0.3)
        case 9:
            made_parts.lamp(pen.at(0, 0, 0.4), kit, a)
        case 10:
            animal_parts.ear(pen, kit, a)
        case 11:
            animal_parts.tail(pen, kit.body, a)
        case 12:
            made_parts.roof(pen, kit.body, a)
        case 13:
            animal_parts.beak(pen.at(0, 0, 0.6), kit)
        case 14:
            made_parts.dial(pen.at(0, 0, 0.6), kit, 12 * a)
        case _:
            animal_parts.nose(pen.at(0, 0, 0.5), kit)


STRAY_KINDS = 16


def _stray_shape(pen: Pen, rng: np.random.Generator) -> None:
    material = draw_material(rng, NAMES, scale=0.6)
    kind, a = rng.random(2)
    if kind < 0.35:
        pen.fill(blob(rng, 0, 0, 1.0, 0.4 + 0.6 * a, 0.25), material, 0.3)
    elif kind < 0.6:
        pen.fill(rectangle(-1, -0.3 - 0.5 * a, 1, 0.3 + 0.5 * a, 0.2 * a), material, 0.12)
    elif kind < 0.8:
        pen.fill(polygon((-1, 0.6), (1, 0.5 + 0.3 * a), (0.2 - a, -0.8)), material, 0.15)
    else:
        pen.fill(stroke([(-1.2, 0.2), (0, -0.3 * a), (1.2, 0)], 0.25, 0.12), material, 0.4)


def scatter(pen: Pen, rng: np.random.Generator, crowd: float, horizon: float) -> None:
    """Stray parts and shapes, most of them on the ground below `horizon`.

    pen: in the image's unit square; crowd: 0–1.
    """
    for _ in range(int(crowd * 7 * rng.random() + 0.5)):
        x, y, size, turn, kind, lying = rng.random(6)
        if lying < 0.6:
            y = horizon - 0.06 + (1.05 - horizon) * y
        there = pen.at(1.1 * x - 0.05, y, 0.05 + 0.11 * size, angle=1.2 * (turn - 0.5))
        there.ground = there.view
        if kind < 0.62:
            kit = draw_kit(rng, NAMES)
            _stray_part(there, kit, rng, int(kind / 0.62 * STRAY_KINDS))
        else:
            _stray_shape(there, rng)


def _float_by(pen: Pen, rng: np.random.Generator, centre: tuple[float, float], half: float) -> None:
    """One to three stray parts over the object's rim; arguments as for `foreground`."""
    for _ in range(int(rng.integers(1, 4))):
        turn, reach, size, angle, which = rng.random(5)
        far = half * (0.95 + 0.4 * reach)
        there = pen.at(
            centre[0] + far * np.cos(2 * np.pi * turn),
            centre[1] + far * np.sin(2 * np.pi * turn),
            0.05 + 0.06 * size,
            angle=1.5 * (angle - 0.5),
        )
        there.ground = there.view
        _stray_part(there, draw_kit(rng, NAMES), rng, int(which * STRAY_KINDS))


def _blades(pen: Pen, rng: np.random.Generator, y: float, half: float) -> None:
    """Grass from below, up to the lower part of an object about the height `y`."""
    material = draw_material(rng, ("grass", "plaster", "fur"), scale=1.0)
    top = y + half * rng.uniform(0.75, 1.0)
    for k in range(int(rng.integers(14, 34))):
        foot, lean, rise = rng.uniform((-0.05, -0.12, -0.04), (1.05, 0.12, 0.14))
        tip = (foot + lean, max(top - rise, y + 0.62 * half))
        blade = stroke(
            [(foot, 1.15), ((foot + tip[0]) / 2 + 0.3 * lean, (tip[1] + 1.1) / 2), tip],
            0.028,
            0.003,
        )
        pen.fill(blade, material.toned(0.65 + 0.6 * (k % 5) / 5), 0.3)


def foreground(
    pen: Pen, rng: np.random.Generator, centre: tuple[float, float], half: float
) -> None:
    """Grass, poles, leaves and stray parts in front of the object about `centre`.

    centre (x, y) and the object's reach `half` are in shares of the image. All but the grass keep
    clear of the object's inner half, grass stays below its middle, so that what hides an object
    leaves most of it in sight, a face's eyes and nose above all.
    """
    kind = rng.random()
    x, y = centre
    if rng.random() < 0.4:
        _float_by(pen, rng, centre, half)
    if kind < 0.3:
        _blades(pen, rng, y, half)
    elif kind < 0.6:
        pole = draw_material(rng, ("metal", "wood", "paint", "planks"), scale=1.0)
        for side in (-1, 1):
            if rng.random() < 0.55:
                at = x + side * half * rng.uniform(0.62, 1.3)
                lean, width = rng.uniform((-0.03, 0.012), (0.03, 0.05))
                pen.fill(stroke([(at, -0.1), (at + lean, 1.1)], width), pole, 0.4)
    else:
        kit = draw_kit(rng, ("foliage", "plaster", "fur"), 1.0)
        for _ in range(int(rng.integers(3, 10))):
            turn, reach, size, angle, shade = rng.random(5)
            around, far = 2 * np.pi * turn, half * (0.95 + 0.5 * reach)
            there = pen.at(
                x + far * np.cos(around),
                y + far * np.sin(around),
                0.06 + 0.08 * size,
                angle=6 * angle,
            )
            plant_parts.leaf(there.at(0, 0.5), kit, _shaded(kit.body, shade))


def _shaded(material: Material, shade: float) -> Material:
    return material.toned(0.7 + 0.5 * shade)
