"""Animals seen from the side or from above: bird, fish, butterfly. Side views look towards +x."""

import numpy as np

from deconv.scenes.animal_parts import beak, eye, fin, leg, tail, wing
from deconv.scenes.canvas import Pen
from deconv.scenes.kit import draw_kit
from deconv.scenes.materials import COATS, LEAVES
from deconv.scenes.plant_parts import petal
from deconv.scenes.shapes import curve, ellipse, path, stroke


def bird(pen: Pen, rng: np.random.Generator) -> None:
    """A songbird in profile, its wing folded or raised."""
    kit = draw_kit(rng, ("feathers", "feathers", "fur", "plaster", "scales"), 0.7)
    plump, fan, droop, head_r = rng.uniform((0.34, 0.45, -0.25, 0.23), (0.46, 0.75, 0.35, 0.3))
    raised = rng.random() < 0.4
    if raised:
        far = pen.part("wing").at(-0.05, -0.25, 0.85, 0.7, -1.2)
        wing(far, kit.second.toned(0.7), kit.second.toned(0.5), kit.sharp)
    tail(pen.part("tail").at(-0.5, 0.02, -fan, 0.28, -droop), kit.second.toned(0.85), rng.random())
    for x in (-0.02, 0.2):
        leg(pen.part("leg").at(x, plump - 0.02, 0.42, 0.4), kit.metal, 0.6)
    body = curve(
        (-0.62, 0.0),
        (-0.3, -plump * 0.75),
        (0.2, -plump),
        (0.5, -0.35),
        (0.58, 0.0),
        (0.35, plump * 0.85),
        (-0.1, plump),
        (-0.45, plump * 0.6),
    )
    pen.part("body").fill(body, kit.body, 0.4)
    belly = curve((0.5, -0.1), (0.5, 0.1), (0.25, plump * 0.9), (-0.2, plump * 0.9), (0.15, 0.15))
    pen.fill(belly, kit.accent, 0.3)
    hx, hy = 0.5, -0.42
    beak(pen.part("beak").at(hx + 0.8 * head_r, hy, 0.2 + 0.2 * rng.random(), 0.2), kit)
    pen.part("head").fill(
        ellipse(hx, hy, head_r, head_r * 0.95), kit.body.toned(1.05), 0.4, lift=0.4
    )
    if rng.random() < 0.4:
        cap = curve(
            (hx - head_r, hy),
            (hx - 0.5 * head_r, hy - head_r),
            (hx + 0.6 * head_r, hy - 0.8 * head_r),
            (hx + 0.7 * head_r, hy - 0.2 * head_r),
        )
        pen.fill(cap, kit.second, 0.3)
    eye(pen.part("eye").at(hx + 0.35 * head_r, hy - 0.1 * head_r, 0.3 * head_r), kit)
    turn = rng.uniform(-1.3, -0.7) if raised else rng.uniform(0.0, 0.35)
    near = pen.part("wing").at(0.28, -0.12, -0.85, 0.6 if raised else 0.42, -turn)
    wing(near, kit.second, kit.second.toned(0.7), kit.sharp)


def fish(pen: Pen, rng: np.random.Generator) -> None:
    """A fish in profile."""
    kit = draw_kit(rng, ("scales", "scales", "stripes", "plaster", "fur_stripes", "dots"), 0.7)
    deep, long, fork, snout = rng.uniform((0.28, 0.7, 0.2, 0.0), (0.55, 0.85, 0.9, 0.12))
    tail(pen.part("tail").at(-0.62 * long, 0, -0.5, 0.62), kit.second, fork)
    back = pen.part("fin").at(-0.02, -0.75 * deep, -0.5, rng.uniform(0.3, 0.5))
    fin(back, kit.second, kit.sharp, 5)
    under = pen.part("fin").at(-0.15, 0.7 * deep, -0.3, -rng.uniform(0.25, 0.4))
    fin(under, kit.second.toned(0.8), kit.sharp, 3)
    body = curve(
        (long + snout, 0.02),
        (0.62 * long, -0.6 * deep),
        (0.1, -deep),
        (-0.4 * long, -0.6 * deep),
        (-0.75 * long, -0.12),
        (-0.75 * long, 0.12),
        (-0.4 * long, 0.6 * deep),
        (0.1, deep),
        (0.62 * long, 0.6 * deep),
    )
    pen.part("body").fill(body, kit.body, 0.45)
    gill = path((0.32 * long, -0.55 * deep), (0.22 * long, 0.0), (0.34 * long, 0.55 * deep))
    pen.fill(stroke(gill, 0.05, 0.03), kit.body.toned(0.5), 0, opacity=0.49)
    for k in range(int(rng.integers(0, 4))):
        x = 0.1 - 0.25 * k
        band = curve(
            (x, -0.8 * deep),
            (x + 0.1, -0.8 * deep),
            (x + 0.14, 0),
            (x + 0.08, 0.8 * deep),
            (x, 0.8 * deep),
            (x + 0.04, 0),
        )
        pen.fill(band, kit.accent, 0)
    side = pen.part("fin").at(0.2, 0.22 * deep, -0.2, 0.3, 1.9)
    fin(side, kit.second.toned(1.1), kit.sharp, 3)
    eye(pen.part("eye").at(0.62 * long, -0.2 * deep, 0.11), kit, 0.0, 0.6)
    lip = path((long + snout, 0.05), (0.9 * long, 0.14 * deep), (0.8 * long, 0.16 * deep))
    pen.fill(stroke(lip, 0.045, 0.02), kit.dark, 0)


def butterfly(pen: Pen, rng: np.random.Generator) -> None:
    """A butterfly from above, four spotted wings of the petals' shape."""
    kit = draw_kit(rng, (*COATS, *LEAVES), 0.8)
    upper, lower, lift, fold = rng.uniform((0.9, 0.6, 0.75, 0.72), (1.15, 0.85, 1.15, 1.0))
    spots = rng.random() < 0.7
    for side in (-1, 1):
        for length, turn, material in ((lower, lift + 1.15, kit.second), (upper, lift, kit.body)):
            there = pen.part("wing").at(
                side * 0.04, 0.0, side * fold * length * 1.35, length, side * turn
            )
            petal(there, material, kit.sharp * 0.6, kit.accent)
            edge = [ellipse(x, -0.84, 0.05, count=10) for x in (-0.14, 0.02, 0.18)]
            if spots:
                there.fill(ellipse(0.02, -0.58, 0.13, 0.12, count=16), kit.dark, 0)
                there.fill(ellipse(0.02, -0.58, 0.06, 0.055, count=12), kit.pale, 0)
            there.fill(edge, kit.pale, 0, opacity=0.9)
    body = curve(
        (0, -0.4),
        (0.08, -0.25),
        (0.06, 0.1),
        (0.05, 0.5),
        (0, 0.62),
        (-0.05, 0.5),
        (-0.06, 0.1),
        (-0.08, -0.25),
    )
    for side in (-1, 1):
        feeler = path((0, -0.36), (side * 0.12, -0.6), (side * 0.3, -0.8))
        pen.part("antenna").fill(stroke(feeler, 0.035, 0.025), kit.dark, 0)
        pen.fill(ellipse(side * 0.3, -0.8, 0.035, count=10), kit.dark, 0)
    pen.part("body").fill(body, kit.dark.toned(2.0), 0.4)
    for side in (-1, 1):
        eye(pen.part("eye").at(side * 0.06, -0.37, 0.05), kit)
