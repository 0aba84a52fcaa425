"""Things that roll: car, bus, bicycle. They look towards +x."""

import numpy as np

from deconv.scenes.canvas import Pen
from deconv.scenes.kit import Kit, draw_kit
from deconv.scenes.made_parts import door, handle, lamp, seat, wheel, window
from deconv.scenes.materials import SHELLS, Material, mix
from deconv.scenes.shapes import curve, ellipse, path, polygon, rectangle, stroke


def _pane(pen: Pen, kit: Kit, outline: np.ndarray) -> None:
    """A window of any outline (a car's), with the same glass and streak as the upright ones."""
    (x0, y0), (x1, y1) = outline.min(0), outline.max(0)
    pen.fill(outline, Material(mix(kit.glass, (0.05, 0.06, 0.08), 0.3)), 0)
    middle, lean = (x0 + x1) / 2, 0.3 * (y1 - y0)
    streak = polygon(
        (middle - lean, y1 - 0.04),
        (middle, y0 + 0.05),
        (middle + 0.1, y0 + 0.05),
        (middle - lean + 0.1, y1 - 0.04),
    )
    pen.fill(streak, Material(mix(kit.glass, (0.95, 0.97, 1.0), 0.6)), 0, opacity=0.49)


def _car_cabin(pen: Pen, kit: Kit, top: float, rear: float, front: float) -> None:
    cabin = curve(
        (rear - 0.12, -0.06),
        (rear + 0.08, top + 0.06),
        (rear + 0.25, top),
        (front - 0.28, top),
        (front - 0.12, top + 0.05),
        (front + 0.16, -0.06),
    )
    pen.fill(cabin, kit.body, 0.2)
    middle = (rear + front) / 2
    y0, y1 = top + 0.08, -0.07
    _pane(
        pen.part("window"),
        kit,
        polygon((rear + 0.02, y1), (rear + 0.17, y0), (middle - 0.03, y0), (middle - 0.03, y1)),
    )
    _pane(
        pen.part("window"),
        kit,
        polygon((middle + 0.03, y0), (front - 0.2, y0), (front + 0.04, y1), (middle + 0.03, y1)),
    )


def car(pen: Pen, rng: np.random.Generator) -> None:
    """A car in profile: saloon, hatchback or estate by where its cabin ends."""
    kit = draw_kit(rng, SHELLS, 0.4)
    top, rear, front, radius = rng.uniform((-0.55, -0.85, 0.3, 0.2), (-0.36, -0.4, 0.5, 0.27))
    sill, hood, tyre, turn = rng.uniform((0.26, -0.02, 0.28, 0), (0.34, 0.08, 0.42, 3))
    pen.fill(rectangle(-0.8, 0.2, 0.8, sill + 0.08), kit.dark.toned(0.5), 0)
    _car_cabin(pen, kit, top, rear, front)
    body = curve(
        (-0.98, 0.0),
        (-0.9, -0.1),
        (-0.5, -0.1),
        (0.3, -0.1),
        (0.8, hood - 0.04),
        (0.98, 0.1),
        (1.0, sill - 0.06),
        (0.9, sill),
        (0, sill + 0.02),
        (-0.9, sill),
        (-1.0, sill - 0.06),
    )
    pen.part("body").fill(body, kit.body, 0.25)
    if rng.random() < 0.5:
        pen.fill(rectangle(-0.97, 0.1, 0.97, 0.15), kit.second, 0)
    middle = (rear + front) / 2
    split = [
        stroke([(x, -0.08), (x + d, sill - 0.02)], 0.022)
        for x, d in ((rear + 0.1, 0.08), (middle, 0.0), (front + 0.02, -0.06))
    ]
    grip_y = 0.02
    shut = polygon(
        (middle, -0.09), (front + 0.02, -0.09), (front - 0.04, sill - 0.02), (middle, sill - 0.02)
    )
    pen.part("door").fill(shut, kit.body.toned(1.04), 0.05)
    pen.fill(split, kit.body.toned(0.35), 0)
    for x in (middle - 0.12, front - 0.16):
        handle(pen.part("handle").at(x, grip_y, 0.06), kit)
    lamp(pen.part("lamp").at(0.92, 0.1, 0.075), kit, rng.random())
    pen.fill(rectangle(-1.0, 0.02, -0.93, 0.12), Material((0.75, 0.12, 0.1)), 0.2)
    for x in (-0.58, 0.6):
        arch = ellipse(x, sill, radius * 1.22)
        pen.fill(arch, kit.dark.toned(0.4), 0)
        wheel(pen.part("wheel").at(x, sill + 0.04, radius), kit, tyre, turn)


def bus(pen: Pen, rng: np.random.Generator) -> None:
    """A bus in profile, one or two decks, with a row of windows and a door."""
    kit = draw_kit(rng, SHELLS, 0.4)
    top, count, radius = rng.uniform(-0.62, -0.45), int(rng.integers(3, 6)), rng.uniform(0.15, 0.19)
    decks, sill, turn = 1 + int(rng.random() < 0.3), 0.36, rng.uniform(0, 3)
    if decks == 2:
        top -= 0.22
    pen.fill(rectangle(-0.85, 0.2, 0.85, sill + 0.07), kit.dark.toned(0.5), 0)
    hull = rectangle(-1.0, top, 1.0, sill, rng.uniform(0.06, 0.16))
    pen.part("body").fill(hull, kit.body, 0.12)
    if rng.random() < 0.7:
        y = rng.uniform(0.08, 0.2)
        pen.fill(rectangle(-0.99, y, 0.99, y + 0.1), kit.second, 0)
    door_x = 0.8 if rng.random() < 0.6 else -0.05
    step = 1.9 / (count + 1)
    for deck in range(decks):
        y = top + 0.27 + deck * 0.42
        for k in range(count + 1):
            x = -0.95 + step * (k + 0.5)
            if deck == decks - 1 and abs(x - door_x) < 0.12 + step / 2:
                continue
            window(pen.part("window").at(x, y, step * 0.43, 0.155), kit, 0.1)
    entry = pen.part("door").at(door_x, 0.02 if decks == 1 else 0.08, 0.11, 0.29)
    door(entry, kit, kit.accent, 2)
    handle(pen.part("handle").at(door_x + 0.05, 0.08, 0.03, 0.05, np.pi / 2), kit)
    lamp(pen.part("lamp").at(0.94, 0.24, 0.05), kit, rng.random())
    for x in (-0.62, 0.52):
        pen.fill(ellipse(x, sill, radius * 1.2), kit.dark.toned(0.4), 0)
        wheel(pen.part("wheel").at(x, sill + 0.02, radius), kit, 0.36, turn)


def bicycle(pen: Pen, rng: np.random.Generator) -> None:
    """A bicycle in profile: two open wheels, frame, seat, handlebar, lamp."""
    kit = draw_kit(rng, SHELLS, 0.4)
    radius, high, thick, turn = rng.uniform((0.38, -0.42, 0.06, 0), (0.46, -0.3, 0.1, 3))
    rear, front, axle = -0.56, 0.58, 0.3
    for x in (rear, front):
        wheel(pen.part("wheel").at(x, axle, radius), kit, rng.uniform(0.09, 0.16), turn, True)
    crank, neck, post = (-0.08, 0.34), (0.42, high), (-0.26, high + 0.04)
    frame = pen.part("frame")
    tubes = ((rear, axle), post), ((rear, axle), crank), (post, crank), (crank, neck), (post, neck)
    for a, b in tubes:
        frame.fill(stroke([a, b], thick), kit.body, 0.4)
    grip = (0.36, high - 0.2)
    frame.fill(stroke([grip, neck, (front, axle)], thick), kit.body, 0.4)
    pen.fill(ellipse(*crank, 0.12), kit.metal.toned(0.8), 0.2)
    a = turn * 2
    pen.fill(
        stroke([crank, (crank[0] + 0.18 * np.cos(a), crank[1] + 0.18 * np.sin(a))], 0.05),
        kit.dark,
        0.3,
    )
    pen.fill(stroke([post, (post[0] - 0.04, high - 0.14)], thick * 0.8), kit.metal, 0.3)
    seat(pen.part("seat").at(post[0] - 0.04, high - 0.16, 0.2), kit)
    if rng.random() < 0.5:
        bar = path(
            grip,
            (grip[0] + 0.2, grip[1] - 0.04),
            (grip[0] + 0.24, grip[1] + 0.12),
            (grip[0] + 0.08, grip[1] + 0.16),
        )
        pen.part("handle").fill(stroke(bar, 0.07), kit.dark.toned(1.5), 0.3)
    else:
        handle(pen.part("handle").at(grip[0] - 0.02, grip[1], 0.2, 0.14, -0.3), kit)
    if rng.random() < 0.7:
        lamp(pen.part("lamp").at(neck[0] + 0.12, neck[1] - 0.02, 0.08), kit, rng.random())
