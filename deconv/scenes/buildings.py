"""Things that stand: house, church, windmill, and the clock."""

import numpy as np

from deconv.scenes.animal_parts import leg
from deconv.scenes.canvas import Pen
from deconv.scenes.kit import draw_kit
from deconv.scenes.made_parts import dial, door, handle, lamp, roof, sail, window
from deconv.scenes.materials import WALLS, draw_material
from deconv.scenes.shapes import ellipse, polygon, rectangle, ring, stroke

_TILES = ("shingles", "shingles", "scales", "planks", "brick", "metal")


def house(pen: Pen, rng: np.random.Generator) -> None:
    """A house: front with windows and door, pitched roof, mostly a chimney and a side wing."""
    kit = draw_kit(rng, WALLS, 0.6)
    tiles = draw_material(rng, _TILES, scale=0.7)
    wide, eaves, pitch, tall = rng.uniform((0.62, -0.25, 0.15, 0.45), (0.85, 0.0, 0.9, 0.75))
    base, floors = 0.78, 1 + int(rng.random() < 0.5)
    if rng.random() < 0.7:
        x = rng.choice((-0.45, 0.4)) * wide
        pen.part("chimney").fill(
            rectangle(x - 0.09, eaves - tall - 0.1, x + 0.09, eaves), kit.second, 0.2
        )
    wall = pen.part("wall")
    wall.fill(rectangle(-wide, eaves - 0.02, wide, base), kit.body, 0.05)
    shade = rectangle(-wide, eaves, wide, eaves + 0.09)
    pen.fill(shade, kit.dark, 0, opacity=0.45)
    roof(pen.part("roof").at(0, eaves, wide, tall), tiles, pitch)
    if pitch > 0.7:
        window(pen.part("window").at(0, eaves - 0.3 * tall, 0.12), kit)
    place = rng.choice((-0.5, 0.0, 0.5)) * wide
    rise = (base - eaves) / floors
    columns = int(rng.integers(2, 4))
    for floor in range(floors):
        for k in range(columns):
            x = wide * (2 * (k + 0.5) / columns - 1)
            if floor == floors - 1 and abs(x - place) < 0.34:
                continue
            y = eaves + rise * (floor + 0.5)
            window(pen.part("window").at(x, y, 0.15, min(0.2, 0.36 * rise)), kit)
    high = min(0.3, 0.42 * rise)
    door(pen.part("door").at(place, base - high, 0.14, high), kit, kit.accent, 2)
    handle(pen.part("handle").at(place + 0.08, base - high, 0.035), kit)
    if rng.random() < 0.5:
        lamp(pen.part("lamp").at(place + 0.22, base - 1.7 * high, 0.05), kit, rng.random())


def church(pen: Pen, rng: np.random.Generator) -> None:
    """A church: nave, tower with a spire, arched windows and door, often a clock."""
    kit = draw_kit(rng, WALLS, 0.6)
    tiles = draw_material(rng, _TILES, scale=0.7)
    wide, head, spire, nave = rng.uniform((0.26, -0.45, 0.45, 0.05), (0.36, -0.15, 0.62, 0.25))
    base, at = 0.85, -0.42
    end = rng.uniform(0.65, 0.95)
    middle, half = (at + end) / 2, (end - at) / 2
    pen.part("wall").fill(rectangle(at, nave - 0.02, end, base), kit.body.toned(0.9), 0.05)
    roof(pen.part("roof").at(middle, nave, half, rng.uniform(0.25, 0.42)), tiles, 0.15)
    count = int(rng.integers(2, 4))
    for k in range(count):
        x = at + wide + (end - at - wide) * (k + 0.5) / count
        window(pen.part("window").at(x, (nave + base) / 2, 0.09, 0.2), kit)
    pen.part("tower").fill(rectangle(at - wide, head - 0.02, at + wide, base), kit.body, 0.08)
    roof(pen.part("roof").at(at, head, wide, spire), tiles.toned(0.9), rng.uniform(0.85, 1.0))
    if rng.random() < 0.7:
        cross = head - spire
        pen.fill(stroke([(at, cross - 0.16), (at, cross + 0.02)], 0.035), kit.metal, 0)
        pen.fill(stroke([(at - 0.06, cross - 0.1), (at + 0.06, cross - 0.1)], 0.035), kit.metal, 0)
    if rng.random() < 0.6:
        dial(pen.part("dial").at(at, head + 0.22, 0.17), kit, rng.uniform(0, 12))
    else:
        window(pen.part("window").at(at, head + 0.25, 0.1, 0.15), kit)
    if nave - head > 0.4:
        window(pen.part("window").at(at, head + 0.62, 0.08, 0.12), kit)
    door(pen.part("door").at(at, base - 0.2, 0.13, 0.2), kit, kit.accent, 1, True)
    handle(pen.part("handle").at(at + 0.07, base - 0.16, 0.03), kit)


def windmill(pen: Pen, rng: np.random.Generator) -> None:
    """A windmill: tapering tower, cap, four cloth sails on crossed masts."""
    kit = draw_kit(rng, WALLS, 0.6)
    foot, top, hub, turn = rng.uniform((0.36, 0.2, -0.36, 0.0), (0.5, 0.28, -0.26, np.pi / 2))
    head = hub - 0.02
    tower = polygon((-foot, 0.95), (foot, 0.95), (top, head), (-top, head))
    pen.part("tower").fill(tower, kit.body, 0.35)
    cap = draw_material(rng, _TILES, scale=0.7)
    roof(pen.part("roof").at(0, head, top * 1.05, rng.uniform(0.22, 0.34)), cap, 0.6)
    for y in np.linspace(head + 0.35, 0.35, int(rng.integers(1, 3))):
        window(pen.part("window").at(0.05, y, 0.08, 0.1), kit)
    door(pen.part("door").at(0, 0.75, 0.12, 0.2), kit, kit.accent, 1, kit.arched)
    length = rng.uniform(0.72, 0.88)
    cloth = kit.second if rng.random() < 0.5 else kit.pale
    for k in range(4):
        there = pen.at(0, hub + 0.06, length, length, turn + k * np.pi / 2)
        arm = there.part("mast")
        arm.fill(stroke([(0, 0), (0, 1.03)], 0.06, 0.045), kit.accent.toned(0.6), 0.3)
        sail(there.part("sail").at(0.02, 0.22, 0.42, 0.78), cloth, 0.3)
    pen.fill(ellipse(0, hub + 0.06, 0.07), kit.metal.toned(0.7), 0.4)


def clock(pen: Pen, rng: np.random.Generator) -> None:
    """An alarm clock on two legs with a loop handle, or a clock in a case on the wall."""
    kit = draw_kit(rng, ("paint", "metal", "wood", "marble", "plaster", "stripes"), 0.5)
    hour, radius = rng.uniform(0, 12), rng.uniform(0.62, 0.74)
    marks = 12 if rng.random() < 0.6 else 4
    if rng.random() < 0.6:
        for side in (-1, 1):
            leg(pen.part("leg").at(side * 0.38, 0.5, side * 0.7, 0.42, -0.5 * side), kit.metal, 0.3)
            bell = ellipse(side * 0.42, -0.66, 0.26, 0.2, 0.6 * side)
            pen.fill(bell, kit.second, 0.4)
        handle(pen.part("handle").at(0, -0.72, 0.3), kit, 0.8)
        pen.part("body").fill(ring(0, 0, radius + 0.1, radius - 0.12, 36), kit.body, 0.08)
    elif rng.random() < 0.5:
        case = rectangle(-0.85, -0.85, 0.85, 0.85, 0.2)
        pen.part("body").fill(case, kit.body, 0.12)
    else:
        pen.part("body").fill(ellipse(0, 0, 0.92, count=36), kit.body, 0.15)
    dial(pen.part("dial").at(0, 0, radius), kit, hour, marks)
