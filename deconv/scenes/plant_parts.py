"""Parts of plants; the petal is a butterfly's wing as well. Own frames, about [-1, 1]."""

from deconv.scenes.canvas import Pen
from deconv.scenes.kit import Kit
from deconv.scenes.materials import Material
from deconv.scenes.shapes import curve, path, polygon, stroke


def petal(pen: Pen, material: Material, sharp: float, vein: Material | None = None) -> None:
    """A petal (or one lobe of a butterfly's wing) from the origin along -y, length 1."""
    wide = 0.42 - 0.14 * sharp
    tip = [(0.0, -1.0)] if sharp > 0.5 else [(0.16, -0.97), (0.0, -0.93), (-0.16, -0.97)]
    shape = curve(
        (0.04, 0.05),
        (0.6 * wide, -0.35),
        (wide, -0.7),
        *tip,
        (-wide, -0.7),
        (-0.6 * wide, -0.35),
        (-0.04, 0.05),
        steps=4,
    )
    pen.fill(shape, material, 0.3, lift=0.3)
    if vein is not None:
        mark = curve((0.03, 0.0), (0.35 * wide, -0.4), (0.0, -0.72), (-0.35 * wide, -0.4))
        pen.fill(mark, vein, 0, opacity=0.48)


def leaf(pen: Pen, kit: Kit, material: Material) -> None:
    """A leaf from the origin along -y, length 1, with its midrib."""
    wide = 0.38 - 0.16 * kit.sharp
    shape = curve(
        (0, 0.03),
        (0.7 * wide, -0.2),
        (wide, -0.45),
        (0.45 * wide, -0.8),
        (0, -1.05),
        (-0.45 * wide, -0.8),
        (-wide, -0.45),
        (-0.7 * wide, -0.2),
        steps=4,
    )
    pen.fill(shape, material, 0.25)
    half = polygon((0, 0), (0.9 * wide, -0.45), (0, -1.0))
    pen.fill(half, material.toned(0.72), 0, opacity=0.49)
    rib = stroke([(0, 0.02), (0, -0.95)], 0.06, 0.015)
    pen.fill(rib, material.toned(1.35), 0, opacity=0.49)


def stem(pen: Pen, material: Material, bend: float, width: float = 0.08) -> None:
    """A stem from the origin down to (0, 1), bowed sideways by `bend`."""
    line = path((0, 0), (bend, 0.35), (bend * 0.8, 0.7), (0, 1.0))
    pen.fill(stroke(line, width, width * 1.4), material, 0.4)
