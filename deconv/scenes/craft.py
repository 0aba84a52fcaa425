"""Things that sail and fly: sail boat and aeroplane. They look towards +x."""

import numpy as np

from deconv.scenes.animal_parts import fin
from deconv.scenes.canvas import Pen
from deconv.scenes.kit import Kit, draw_kit
from deconv.scenes.made_parts import door, mast, sail, wheel, window
from deconv.scenes.materials import SHELLS, Material
from deconv.scenes.shapes import curve, ellipse, polygon, rectangle, stroke


def sail_boat(pen: Pen, rng: np.random.Generator) -> None:
    """A boat with a mast, a main sail, mostly a jib, and port holes or a cabin."""
    kit = draw_kit(rng, ("planks", "wood", "paint", "stripes", "weave", "plaster"), 0.6)
    at, top, deck, belly = rng.uniform((-0.15, -1.0, 0.42, 0.0), (0.15, -0.85, 0.52, 1.0))
    foot = deck - rng.uniform(0.08, 0.18)
    mast(pen.part("mast").at(at, top - 0.04, 1.0, deck - top + 0.06), kit, 0.055)
    tall = foot - top - 0.05
    sail(pen.part("sail").at(at - 0.04, top + 0.05, -1.0, tall), kit.accent, belly)
    if rng.random() < 0.75:
        jib = pen.part("sail").at(at + 0.05, top + 0.15, rng.uniform(0.75, 1.0), tall * 0.86)
        sail(jib, kit.second, belly)
    pen.fill(stroke([(at + 0.04, foot + 0.02), (at - 0.8, foot + 0.04)], 0.045), kit.second, 0.3)
    cabin = rng.random() < 0.5
    if cabin:
        pen.fill(rectangle(-0.42, deck - 0.16, 0.3, deck + 0.1, 0.05), kit.second.toned(1.1), 0.15)
        for x in (-0.25, 0.1):
            window(pen.part("window").at(x, deck - 0.04, 0.11, 0.075), kit)
    hull = curve(
        (-0.85, deck - 0.02),
        (-0.4, deck + 0.04),
        (0.4, deck + 0.03),
        (1.0, deck - 0.1),
        (0.82, deck + 0.25),
        (0.5, deck + 0.42),
        (-0.5, deck + 0.42),
        (-0.78, deck + 0.25),
    )
    pen.part("hull").fill(hull, kit.body.turned(np.pi / 2), 0.3)
    pen.fill(
        polygon(
            (-0.84, deck + 0.06), (0.95, deck + 0.02), (0.92, deck + 0.09), (-0.82, deck + 0.13)
        ),
        kit.accent,
        0,
    )
    if not cabin:
        for x in (-0.4, 0.0, 0.4):
            there = pen.part("window").at(x, deck + 0.23, 0.07)
            there.fill(ellipse(0, 0, 1.0), kit.metal, 0.2)
            there.fill(ellipse(0, 0, 0.68), Material(kit.glass), 0)


def _openings(pen: Pen, kit: Kit, count: int, fat: float) -> None:
    """An aeroplane's row of `count` windows, its cockpit and door; fat: the hull's half height."""
    for k in range(count):
        x = 0.5 - 0.95 * k / count
        window(pen.part("window").at(x, -0.32 * fat - 0.02, 0.045, 0.06), kit)
    cockpit = polygon(
        (0.68, -0.75 * fat), (0.84, -0.6 * fat), (0.92, -0.2 * fat), (0.7, -0.25 * fat)
    )
    pen.part("window").fill(cockpit, Material(kit.glass, gloss=0.6), 0.2)
    door(pen.part("door").at(0.6, 0.1 * fat, 0.05, 0.75 * fat), kit, kit.body.toned(0.9), 0)


def aeroplane(pen: Pen, rng: np.random.Generator) -> None:
    """An aeroplane in profile: hull, windows, wings, tail fin, mostly wheels or a propeller."""
    kit = draw_kit(rng, SHELLS, 0.4)
    fat, count, sweep = rng.uniform(0.17, 0.25), int(rng.integers(4, 8)), rng.uniform(0.15, 0.55)
    far = curve(
        (0.2, -0.05), (0.02, -0.06), (-0.3 - sweep * 0.5, -0.52), (-0.15 - sweep * 0.5, -0.52)
    )
    pen.part("wing").fill(far, kit.second.toned(0.65), 0.2)
    fin(
        pen.part("fin").at(-0.78, -0.6 * fat, -0.26, rng.uniform(0.42, 0.6)),
        kit.accent,
        kit.sharp,
        0,
    )
    for x in (0.62, -0.1) if rng.random() < 0.6 else ():
        pen.fill(stroke([(x, fat * 0.6), (x, fat + 0.16)], 0.05), kit.metal, 0.2)
        wheel(pen.part("wheel").at(x, fat + 0.17, 0.1), kit, 0.4, 0.0)
    hull = curve(
        (1.0, 0.06),
        (0.88, -0.6 * fat),
        (0.55, -fat),
        (-0.4, -0.95 * fat),
        (-1.0, -0.75 * fat),
        (-0.98, -0.45 * fat),
        (-0.4, 0.75 * fat),
        (0.55, fat),
        (0.9, 0.7 * fat),
    )
    pen.part("body").fill(hull, kit.body, 0.4)
    if rng.random() < 0.6:
        belt = curve(
            (0.93, 0.06), (0.4, 0.02), (-0.8, -0.5 * fat), (-0.8, -0.3 * fat), (0.4, 0.4 * fat)
        )
        pen.fill(belt, kit.second, 0)
    _openings(pen, kit, count, fat)
    stab = curve((-0.7, -0.3 * fat), (-0.95, -0.28 * fat), (-1.12, 0.1), (-0.98, 0.12))
    pen.part("wing").fill(stab, kit.second.toned(0.9), 0.3)
    near = curve(
        (0.25, 0.25 * fat), (-0.12, 0.3 * fat), (-0.42 - sweep, 0.72), (-0.2 - sweep, 0.74)
    )
    pen.part("wing").fill(near, kit.second, 0.25, lift=0.7)
    _engine(pen, kit, rng.random())


def _engine(pen: Pen, kit: Kit, engine: float) -> None:
    """A pod under the wing, a turning propeller, or (above 0.85) a glider's nothing."""
    if engine < 0.6:
        pod = curve((0.2, 0.32), (0.18, 0.46), (-0.12, 0.46), (-0.2, 0.38), (-0.12, 0.3))
        pen.fill(pod, kit.metal, 0.4)
    elif engine < 0.85:
        pen.fill(ellipse(1.02, 0.05, 0.04, 0.36), kit.metal.toned(0.8), 0, opacity=0.49)
        pen.fill(ellipse(1.0, 0.05, 0.07, 0.07), kit.dark, 0.4)
