"""Parts of things that people make. Each is drawn in its own frame, about [-1, 1] on both axes."""

import math

import numpy as np

from deconv.scenes.canvas import Pen
from deconv.scenes.kit import Kit
from deconv.scenes.materials import Material, mix, tone
from deconv.scenes.shapes import curve, ellipse, path, polygon, rectangle, ring, stroke


def wheel(pen: Pen, kit: Kit, tyre: float, turn: float, see_through: bool = False) -> None:
    """A wheel of radius 1 about the origin. tyre: its share of the radius; turn: of the spokes."""
    if see_through:
        pen.fill(ring(0, 0, 1.0, 1 - tyre), kit.dark.toned(1.4), 0.1)
        pen.fill(ring(0, 0, 1 - tyre, 1 - 1.6 * tyre), kit.metal, 0)
    else:
        pen.fill(ellipse(0, 0, 1.0), kit.dark.toned(1.3), 0.15)
        pen.fill(ellipse(0, 0, 1 - tyre), kit.dark.toned(0.6), 0)
        pen.fill(ring(0, 0, 1 - tyre, 0.82 - tyre), kit.metal, 0.1)
    count = kit.spokes + (5 if see_through else 0)
    width, outer = (0.035, 1 - tyre) if see_through else (0.16, 0.9 - tyre)
    spokes = []
    for angle in turn + 2 * np.pi * np.arange(count) / count:
        c, s = math.cos(angle), math.sin(angle)
        spokes.append(stroke([(0.14 * c, 0.14 * s), (outer * c, outer * s)], width))
    pen.fill(spokes, kit.metal, 0, 1.0)
    pen.fill(ellipse(0, 0, 0.17, count=14), kit.metal.toned(1.1), 0.4)


def window(pen: Pen, kit: Kit, frame: float = 0.14) -> None:
    """A window filling [-1, 1]²: frame, pane with the sky's reflection, glazing bars."""
    arch = kit.arched

    def outline(inset: float) -> np.ndarray:
        e = 1 - inset
        if not arch:
            return rectangle(-e, -e, e, e, 0.12)
        top = [(e * math.cos(a), -0.2 + (0.2 - e) * math.sin(a)) for a in np.linspace(0, np.pi, 9)]
        return polygon((-e, e), (e, e), *top)

    pen.fill(outline(0.0), kit.pale, 0.1)
    pen.fill(outline(frame), Material(kit.glass), 0)
    shade = polygon((-0.8, -0.3), (0.8, -0.3), (0.8, -0.8), (-0.8, -0.8))
    pen.fill(shade, Material(tone(kit.glass, 0.4)), 0, opacity=0.45)
    streak = polygon((-0.75, 0.75), (-0.1, -0.7), (0.35, -0.7), (-0.3, 0.75))
    pen.fill(streak, Material(mix(kit.glass, (0.95, 0.97, 1.0), 0.6)), 0, opacity=0.49)
    if kit.bars:
        pen.fill(rectangle(-0.06, -0.9, 0.06, 0.9), kit.pale, 0)
    if kit.bars > 1:
        pen.fill(rectangle(-0.9, -0.1, 0.9, 0.02), kit.pale, 0)


def handle(pen: Pen, kit: Kit, bow: float = 0.0) -> None:
    """A grip from (-1, 0) to (1, 0); `bow` > 0 bends it into a loop towards -y."""
    if bow > 0.05:
        line = path((-1, 0), (-0.7, -bow * 0.8), (0, -bow), (0.7, -bow * 0.8), (1, 0))
        pen.fill(stroke(line, 0.3), kit.metal, 0.3)
    else:
        pen.fill(rectangle(-1, -0.28, 1, 0.28, 0.25), kit.metal, 0.4)


def door(pen: Pen, kit: Kit, material: Material, panels: int = 2, arched: bool = False) -> None:
    """A door filling [-1, 1]², with a frame and raised or glazed panels; the handle is apart."""
    if arched:
        arch = [(math.cos(a), -0.5 - 0.5 * math.sin(a)) for a in np.linspace(0, np.pi, 9)]
        pen.fill(polygon((-1, 1), (1, 1), *arch), kit.pale, 0.08)
        pen.fill(
            polygon((-0.8, 1), (0.8, 1), *[(0.8 * x, y + 0.12) for x, y in arch]), material, 0.1
        )
        return
    pen.fill(rectangle(-1, -1, 1, 1, 0.08), kit.pale, 0.08)
    pen.fill(rectangle(-0.84, -0.92, 0.84, 1.0), material, 0.06)
    for k in range(panels):
        top = -0.78 + k * 1.7 / panels
        panel = rectangle(-0.55, top, 0.55, top + 1.35 / panels)
        glazed = k == 0 and kit.bars
        pen.fill(panel, Material(kit.glass) if glazed else material.toned(0.7), 0.1)


def lamp(pen: Pen, kit: Kit, lit: float) -> None:
    """A round lamp of radius 1 in a bright rim; `lit` 0–1 adds a glow around it."""
    if lit > 0.6:
        warm = mix((1.0, 0.95, 0.8), kit.iris, 0.2)
        for radius, opacity in ((1.9, 0.12), (1.5, 0.2)):
            pen.fill(ellipse(0, 0, radius), Material(warm), 0, opacity=opacity)
    pen.fill(ellipse(0, 0, 1.0), kit.metal, 0.2)
    glass = mix(mix(kit.iris, (1.0, 0.98, 0.9), 0.5), (1.0, 1.0, 0.95), lit * 0.6)
    pen.fill(ellipse(0, 0, 0.74), Material(glass, gloss=0.8), 0.4)
    pen.fill(ellipse(-0.15, -0.25, 0.25, 0.18, count=12), Material((1, 1, 1)), 0, opacity=0.49)


def dial(pen: Pen, kit: Kit, hour: float, marks: int = 12) -> None:
    """A clock face of radius 1; `hour` in [0, 12) sets both hands."""
    pen.fill(ellipse(0, 0, 1.0, count=32), kit.metal, 0.12)
    pen.fill(ellipse(0, 0, 0.86, count=32), kit.pale, 0.06)
    ticks = []
    for k in range(marks):
        c, s = math.cos(2 * math.pi * k / marks), math.sin(2 * math.pi * k / marks)
        long = 0.62 if k % 3 == 0 else 0.7
        ticks.append(
            stroke([(long * c, long * s), (0.8 * c, 0.8 * s)], 0.09 if k % 3 == 0 else 0.05)
        )
    pen.fill(ticks, kit.dark, 0)
    for turn, length, width in ((hour / 12, 0.45, 0.11), (hour % 1, 0.7, 0.07)):
        a = 2 * math.pi * turn - math.pi / 2
        c, s = math.cos(a), math.sin(a)
        hand = stroke([(-0.14 * c, -0.14 * s), (length * c, length * s)], width * 1.3, width * 0.6)
        pen.fill(hand, kit.dark, 0)
    pen.fill(ellipse(0, 0, 0.08, count=12), kit.accent, 0.3)


def roof(pen: Pen, material: Material, pitch: float) -> None:
    """A roof over [-1, 1] from the eaves at y = 0 up to y = -1; pitch 1 is a spire or gable."""
    ridge = 1 - pitch
    shape = polygon((-1.12, 0.05), (-ridge, -1.0), (ridge, -1.0), (1.12, 0.05))
    pen.fill(shape, material, 0.12, lift=0.8)
    eaves = polygon((-1.12, 0.05), (-1.1, -0.04), (1.1, -0.04), (1.12, 0.05))
    pen.fill(eaves, material.toned(0.55), 0)


def sail(pen: Pen, material: Material, belly: float) -> None:
    """A sail with its mast side from (0, 0) down to (0, 1), its foot to (0.75, 1), bellied out."""
    shape = curve(
        (0, 0),
        (0.3 + 0.18 * belly, 0.45),
        (0.72, 0.95),
        (0.4, 0.98 + 0.04 * belly),
        (0.0, 1.0),
        (0.02, 0.5),
        steps=6,
    )
    pen.fill(shape, material, 0.3)
    for y in (0.45, 0.7):
        seam = stroke([(0.02, y), (y * 0.78, y + 0.03)], 0.012)
        pen.fill(seam, material.toned(0.6), 0, opacity=0.49)


def mast(pen: Pen, kit: Kit, width: float = 0.06) -> None:
    """An upright pole from (0, 0) down to (0, 1)."""
    pen.fill(stroke([(0, 0), (0, 1)], width * 0.8, width), kit.second.toned(0.8), 0.4)


def seat(pen: Pen, kit: Kit) -> None:
    """A saddle about the origin, its nose towards +x."""
    shape = curve(
        (-1, -0.25), (-0.6, -0.42), (0.2, -0.2), (1, -0.15), (0.9, 0.12), (0, 0.2), (-0.7, 0.35)
    )
    pen.fill(shape, kit.dark.toned(1.6), 0.3)
