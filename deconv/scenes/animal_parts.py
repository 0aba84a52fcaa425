"""Parts of animals. Each is drawn in its own frame, about [-1, 1] on both axes.

The same functions serve every class that has the part, and the clutter too.
"""

import numpy as np

from deconv.scenes.canvas import Pen
from deconv.scenes.kit import Kit
from deconv.scenes.materials import Material, mix, tone
from deconv.scenes.shapes import curve, ellipse, stroke


def eye(pen: Pen, kit: Kit, slit: float = 0.0, white: float = 0.0) -> None:
    """An eye about the origin, radius 1. slit: narrowness of the pupil; white: 0–1, share of white.

    The catch light sits where the main light is.
    """
    light = pen.layer.light
    lid = 1.0 - 0.35 * kit.sharp * slit
    pen.fill(ellipse(0, 0, 1.0, lid), kit.dark, bulge=0)
    if white > 0.3:
        pen.fill(ellipse(0, 0, 0.88, 0.86 * lid), Material(mix((0.92,) * 3, kit.iris, 0.1)), 0.3)
    radius = 0.86 - 0.24 * white
    pen.fill(ellipse(0, 0, radius, min(radius, 0.86 * lid)), Material(tone(kit.iris, 0.7)), 0.0)
    rim = ellipse(0, 0.14, radius * 0.72, radius * 0.6)
    pen.fill(rim, Material(tone(kit.iris, 1.3)), 0, opacity=0.45)
    pupil = 0.58 - 0.16 * white
    pen.fill(ellipse(0, 0, pupil * (1 - 0.72 * slit), pupil * 1.15), kit.dark.toned(0.6), 0)
    brow = curve(
        (-0.95, 0.0),
        (-0.6, -0.75 * lid),
        (0, -lid),
        (0.6, -0.75 * lid),
        (0.95, 0.0),
        (0, -0.42 * lid),
    )
    pen.fill(brow, kit.dark.toned(0.5), 0, opacity=0.45)
    x = 0.34 * light.x * (1 if pen.view.matrix[0, 0] > 0 else -1)
    pen.fill(ellipse(x, -0.32, 0.19, 0.17, count=12), Material((0.97, 0.97, 0.97)), 0)


def nose(pen: Pen, kit: Kit, width: float = 1.0) -> None:
    """A snout's tip: a wide rounded triangle with nostrils and a wet highlight."""
    w = width
    shape = curve(
        (0, -0.62),
        (0.75 * w, -0.55),
        (w, -0.1),
        (0.4 * w, 0.5),
        (0, 0.75),
        (-0.4 * w, 0.5),
        (-w, -0.1),
        (-0.75 * w, -0.55),
    )
    pen.fill(shape, kit.dark.toned(1.3), 0.35)
    for side in (-1, 1):
        hole = ellipse(side * 0.45 * w, 0.08, 0.2, 0.14, 0.5 * side, count=12)
        pen.fill(hole, kit.dark.toned(0.3), 0)
    shine = ellipse(0.25 * pen.layer.light.x, -0.36, 0.42 * w, 0.12, count=16)
    pen.fill(shine, Material((0.95, 0.95, 1.0)), 0, opacity=0.45)


def ear(pen: Pen, kit: Kit, floppy: float) -> None:
    """An ear rooted at the origin: up along -y when `floppy` is 0, hanging along +y when 1."""
    if floppy > 0.5:
        drop = 0.9 + 0.5 * floppy
        shape = curve(
            (-0.3, -0.15),
            (0.15, -0.45),
            (0.62, -0.2),
            (0.85, 0.5 * drop),
            (0.62, drop),
            (0.3, 0.85 * drop),
            (0.12, 0.3),
        )
        pen.fill(shape, kit.second.toned(0.9), 0.3, lift=0.7)
        fold = curve((0.2, -0.2), (0.5, -0.05), (0.62, 0.5 * drop), (0.42, 0.55 * drop))
        pen.fill(fold, kit.second.toned(0.7), 0.3, opacity=0.5)
        return
    tip = 1.25 - 0.3 * floppy
    shape = curve(
        (-0.48, 0.2), (-0.36, -0.5), (-0.02, -tip), (0.06, -tip), (0.4, -0.45), (0.5, 0.2)
    )
    pen.fill(shape, kit.body.toned(0.92), 0.25)
    inner = curve((-0.26, 0.05), (-0.18, -0.45), (0.02, -0.85 * tip), (0.22, -0.4), (0.28, 0.05))
    pen.fill(inner, Material(mix(kit.pale.colour, (0.75, 0.45, 0.42), 0.6)), 0.4)


def beak(pen: Pen, kit: Kit, length: float = 1.0) -> None:
    """A beak pointing along +x, its root from (0, -0.5) to (0, 0.5)."""
    upper = curve(
        (-0.15, -0.5), (0.35 * length, -0.42), (length, 0.12), (0.5 * length, 0.1), (-0.1, 0.1)
    )
    lower = curve(
        (-0.1, 0.08),
        (0.45 * length, 0.08),
        (0.8 * length, 0.14),
        (0.3 * length, 0.38),
        (-0.12, 0.42),
    )
    pen.fill(lower, kit.metal.toned(0.7), 0.3)
    pen.fill(upper, kit.metal, 0.35, lift=0.5)
    pen.fill(ellipse(0.22 * length, -0.16, 0.1, 0.05, count=10), kit.dark, 0)


def wing(pen: Pen, material: Material, tip: Material, sharp: float, feathers: int = 5) -> None:
    """A wing rooted at the origin, spread along +x, its hind edge (feather tips) towards +y."""
    hang = 0.85 - 0.3 * sharp
    edge = []
    for k in range(feathers):
        t = k / max(1, feathers - 1)
        edge += [(1.0 - 0.75 * t, hang * (0.25 + 0.75 * t**0.7)), (0.88 - 0.75 * t, 0.28 * hang)]
    shape = curve(
        (-0.12, -0.12),
        (0.35, -0.32),
        (0.8, -0.3),
        (1.15 + 0.25 * sharp, 0.02),
        *edge[:-1],
        (-0.1, 0.35),
        steps=4,
    )
    pen.fill(shape, tip, 0.15, lift=0.6)
    covert = curve(
        (-0.12, -0.12),
        (0.35, -0.32),
        (0.8, -0.3),
        (1.02, 0.0),
        (0.6, 0.22),
        (0.1, 0.36),
        (-0.12, 0.22),
    )
    pen.fill(covert, material, 0.25, lift=0.3)


def fin(pen: Pen, material: Material, sharp: float, rays: int = 4) -> None:
    """A fin standing on the base from (-0.6, 0) to (0.6, 0), swept back towards +x, height 1."""
    lean = 0.35 + 0.5 * sharp
    shape = curve(
        (-0.6, 0.06),
        (-0.3, -0.5),
        (lean * 0.6, -0.95),
        (lean + 0.25, -1.0),
        (0.55 + 0.3 * lean, -0.45),
        (0.62, 0.06),
        steps=4,
    )
    pen.fill(shape, material, 0.2)
    if rays:
        lines = [
            stroke([(t, 0), (t * 0.8 + lean * 0.7, -0.85)], 0.05, 0.02)
            for t in np.linspace(-0.35, 0.45, rays)
        ]
        pen.fill(lines, material.toned(0.6), 0, opacity=0.49)


def leg(pen: Pen, material: Material, foot: float = 0.4) -> None:
    """A thin leg from the origin down to (0, 1) with toes (or a stand's foot) of length `foot`."""
    pen.fill(stroke([(0, 0), (0.06, 0.5), (0, 1.0)], 0.2, 0.13), material, 0.3)
    if foot:
        toes = [
            stroke([(0, 0.92), (foot * reach, 1.05)], 0.15, 0.07) for reach in (-0.6, 0.35, 1.0)
        ]
        for toe in toes:
            pen.fill(toe, material.toned(0.85), 0.3)


def tail(pen: Pen, material: Material, fork: float) -> None:
    """A tail fan from the origin along +x, length 1; `fork` 0–1 notches its end."""
    shape = curve(
        (-0.05, -0.16),
        (0.45, -0.32),
        (1.0, -0.62),
        (1.05 - 0.45 * fork, 0.0),
        (1.0, 0.62),
        (0.45, 0.32),
        (-0.05, 0.16),
        steps=5,
    )
    pen.fill(shape, material, 0.2)
    lines = [stroke([(0.15, y * 0.2), (0.85, y)], 0.05, 0.03) for y in (-0.4, -0.15, 0.15, 0.4)]
    pen.fill(lines, material.toned(0.65), 0, opacity=0.49)
