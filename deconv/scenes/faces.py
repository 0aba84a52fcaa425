"""Animals seen from the front. `left_eye` is the eye on the left of the image, not the animal's."""

import numpy as np

from deconv.scenes.animal_parts import beak, ear, eye, leg, nose, wing
from deconv.scenes.canvas import Pen
from deconv.scenes.kit import Kit, draw_kit
from deconv.scenes.materials import COATS, Material, mix
from deconv.scenes.shapes import curve, ellipse, path, stroke


def _side_name(pen: Pen, x: float) -> str:
    """The name of the eye at local (x, 0), by where it comes to lie in the image."""
    here, middle = pen.view.pixels(np.array([[x, 0], [0, 0]], np.float32))[:, 0]
    return "left_eye" if here < middle else "right_eye"


def _eyes(pen: Pen, kit: Kit, x: float, y: float, r: float, slit: float, white: float) -> None:
    tilt = 0.25 * slit
    for side in (-1, 1):
        there = pen.part(_side_name(pen, side * x))
        eye(there.at(side * x, y, r, r, side * tilt), kit, slit, white)


def _bust(pen: Pen, kit: Kit, rng: np.random.Generator) -> None:
    """Neck and shoulders, running out of sight below."""
    wide, drop = rng.uniform(0.55, 0.85), rng.uniform(0.95, 1.15)
    shape = curve(
        (-0.4, 0.3),
        (0.4, 0.3),
        (0.85 * wide, 0.85),
        (wide, drop),
        (0, drop + 0.06),
        (-wide, drop),
        (-0.85 * wide, 0.85),
    )
    pen.part("body").fill(shape, kit.body.toned(0.8), 0.3)
    if rng.random() < 0.35:
        collar = stroke(path((-0.45, 0.62), (0, 0.8), (0.45, 0.62)), 0.13)
        pen.fill(collar, kit.accent, 0.4)


def _whiskers(pen: Pen, kit: Kit, x: float, y: float, length: float) -> None:
    hairs = []
    for side in (-1, 1):
        for k in range(3):
            end = (side * (x + length), y + 0.16 * (k - 1) + 0.04)
            mid = (side * (x + 0.5 * length), y + 0.09 * (k - 1) - 0.02)
            hairs.append(stroke([(side * x, y + 0.05 * (k - 1)), mid, end], 0.025, 0.008))
    for hair in hairs:
        pen.fill(hair, Material(mix(kit.pale.colour, (1, 1, 1), 0.5)), 0, opacity=0.8)


def _markings(pen: Pen, kit: Kit, rng: np.random.Generator, eye_x: float) -> None:
    """A blaze down the forehead, or a patch about one eye or both, or none."""
    kind, side = rng.random(), rng.choice((-1, 1))
    if kind < 0.3:
        blaze = curve(
            (-0.1, -0.75), (0.1, -0.75), (0.13, -0.2), (0.24, 0.3), (-0.24, 0.3), (-0.13, -0.2)
        )
        pen.fill(blaze, kit.accent, 0.1)
    elif kind < 0.65:
        for s in (side,) if kind < 0.5 else (-1, 1):
            pen.fill(ellipse(s * eye_x, -0.14, 0.27, 0.32, 0.3 * s), kit.second, 0.1)


def _turned(pen: Pen, rng: np.random.Generator) -> Pen:
    """A pen for the features of a head that is turned and nods a little: they all shift."""
    aside, nod = rng.uniform((-0.16, -0.07), (0.16, 0.07))
    return pen.at(aside, nod, 1 - 0.6 * abs(aside), 1.0)


def _dog_muzzle(pen: Pen, kit: Kit, rng: np.random.Generator, long: float, jowl: float) -> None:
    """Muzzle, lips and sometimes a tongue. long: extra length; jowl: extra width."""
    mouth_y = 0.52 + long
    if rng.random() < 0.4:
        tongue = curve(
            (-0.14, mouth_y),
            (0.14, mouth_y),
            (0.15, mouth_y + 0.3),
            (0, mouth_y + 0.42),
            (-0.15, mouth_y + 0.3),
        )
        pen.fill(tongue, Material(mix((0.85, 0.4, 0.42), kit.iris, 0.2), gloss=0.6), 0.4)
    muzzle = curve(
        (0, -0.02),
        (0.24, 0.12),
        (0.36 + jowl, 0.42 + long),
        (0.2, 0.62 + long),
        (0, 0.55 + long),
        (-0.2, 0.62 + long),
        (-0.36 - jowl, 0.42 + long),
        (-0.24, 0.12),
    )
    pen.part("muzzle").fill(muzzle, kit.accent, 0.4, lift=0.4)
    for side in (-1, 1):
        lip = path((0, 0.34 + long), (side * 0.08, 0.5 + long), (side * 0.3, 0.46 + long))
        pen.fill(stroke(lip, 0.05, 0.03), kit.dark, 0)


def dog(pen: Pen, rng: np.random.Generator) -> None:
    """A dog's face: long muzzle, mostly hanging ears, now and then a tongue."""
    kit = draw_kit(rng, COATS, 0.7)
    _bust(pen, kit, rng)
    long, wide, jowl, eye_x = rng.uniform((0.0, 0.9, 0.0, 0.28), (0.2, 1.1, 0.12, 0.36))
    floppy = rng.uniform(0.55, 1.0) if rng.random() < 0.7 else rng.uniform(0.0, 0.45)
    hang, size = floppy > 0.5, rng.uniform(0.55, 0.8)
    if not hang:
        for side in (-1, 1):
            ear(pen.part("ear").at(side * 0.42, -0.5, side * size, size, side * 0.35), kit, floppy)
    head = curve(
        (0, -0.72),
        (0.45 * wide, -0.6),
        (0.64 * wide, -0.15),
        (0.5 * wide, 0.3),
        (0.36 + jowl, 0.66 + long),
        (0, 0.8 + long),
        (-0.36 - jowl, 0.66 + long),
        (-0.5 * wide, 0.3),
        (-0.64 * wide, -0.15),
        (-0.45 * wide, -0.6),
    )
    pen.part("head").fill(head, kit.body, 0.4, lift=0.9)
    features = _turned(pen, rng)
    _markings(features, kit, rng, eye_x)
    if hang:
        for side in (-1, 1):
            ear(pen.part("ear").at(side * 0.38, -0.42, side * size, size, side * 0.1), kit, floppy)
    _dog_muzzle(features, kit, rng, long, jowl)
    _eyes(features, kit, eye_x, -0.14, rng.uniform(0.12, 0.16), 0.0, 0.35 * rng.random())
    nose(features.part("nose").at(0, 0.2 + 0.6 * long, 0.22), kit)


def cat(pen: Pen, rng: np.random.Generator) -> None:
    """A cat's face: wide and short, upright ears, large eyes, whiskers."""
    kit = draw_kit(rng, COATS, 0.7)
    _bust(pen, kit, rng)
    wide, size, apart, eye_x = rng.uniform((0.95, 0.6, 0.4, 0.3), (1.15, 0.85, 0.5, 0.37))
    tilt = rng.uniform(0.15, 0.5)
    for side in (-1, 1):
        ear(pen.part("ear").at(side * apart, -0.38, side * size, size, side * tilt), kit, 0.0)
    head = curve(
        (0, -0.58),
        (0.4 * wide, -0.55),
        (0.7 * wide, -0.08),
        (0.64 * wide, 0.32),
        (0.3, 0.62),
        (0, 0.68),
        (-0.3, 0.62),
        (-0.64 * wide, 0.32),
        (-0.7 * wide, -0.08),
        (-0.4 * wide, -0.55),
    )
    pen.part("head").fill(head, kit.body, 0.4, lift=0.9)
    pen = _turned(pen, rng)
    _markings(pen, kit, rng, eye_x)
    for side in (-1, 1):
        cheek = ellipse(side * 0.15, 0.36, 0.2, 0.17)
        pen.fill(cheek, kit.accent, 0.4)
    pen.part("muzzle").fill(ellipse(0, 0.5, 0.14, 0.12), kit.accent.toned(0.9), 0.4)
    for side in (-1, 1):
        lip = path((0, 0.26), (side * 0.03, 0.4), (side * 0.22, 0.42))
        pen.fill(stroke(lip, 0.045, 0.02), kit.dark, 0)
    slit = rng.uniform(0.55, 1.0) if rng.random() < 0.65 else rng.uniform(0.0, 0.4)
    _eyes(pen, kit, eye_x, -0.06, rng.uniform(0.16, 0.22), slit, 0.0)
    nose(pen.part("nose").at(0, 0.2, 0.12, 0.1), kit)
    _whiskers(pen, kit, 0.25, 0.36, rng.uniform(0.45, 0.75))


def owl(pen: Pen, rng: np.random.Generator) -> None:
    """An owl: round eyes in discs of feathers, beak, folded wings, feet on a perch."""
    kit = draw_kit(rng, ("feathers", "feathers", "fur_spots", "scales", "fur"), 0.8)
    wide, tall = rng.uniform(0.5, 0.65), rng.uniform(0.8, 0.95)
    if rng.random() < 0.7:
        perch = stroke([(-1.1, tall + 0.05), (0, tall + 0.1), (1.1, tall + 0.03)], 0.14, 0.1)
        pen.fill(perch, kit.second.toned(0.6), 0.4)
    tufts = rng.random() < 0.6
    body = curve(
        (0, -0.85),
        (0.8 * wide, -0.7),
        (wide, -0.1),
        (0.95 * wide, 0.5),
        (0, tall),
        (-0.95 * wide, 0.5),
        (-wide, -0.1),
        (-0.8 * wide, -0.7),
    )
    if tufts:
        for side in (-1, 1):
            there = pen.part("ear").at(side * 0.75 * wide, -0.62, side * 0.4, 0.45, side * 0.5)
            ear(there, kit, 0.0)
    pen.part("body").fill(body, kit.body, 0.4)
    pen.fill(ellipse(0, 0.3, 0.7 * wide, 0.48), kit.accent, 0.25)
    spread = rng.uniform(0.0, 0.7) if rng.random() < 0.4 else 0.0
    for side in (-1, 1):
        there = pen.part("wing").at(
            side * 0.72 * wide, -0.25, side * 0.95, 0.6, side * (1.25 - spread)
        )
        wing(there, kit.second, kit.second.toned(0.7), kit.sharp)
    for side in (-1, 1):
        leg(pen.part("leg").at(side * 0.2, tall - 0.12, side * 0.3, 0.25), kit.metal, 0.6)
    eye_x, r = rng.uniform(0.23, 0.28), rng.uniform(0.16, 0.21)
    for side in (-1, 1):
        pen.fill(ellipse(side * eye_x, -0.42, 0.3, 0.32, 0.3 * side), kit.accent.toned(1.15), 0.2)
    _eyes(pen, kit, eye_x, -0.42, r, 0.0, 0.0)
    beak(pen.part("beak").at(0, -0.32, 0.3, 0.24, np.pi / 2), kit)
