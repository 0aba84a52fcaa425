"""Things that grow: flower and tree."""

import numpy as np

from deconv.scenes.canvas import Pen
from deconv.scenes.kit import draw_kit
from deconv.scenes.materials import LEAVES, Material, draw_material
from deconv.scenes.plant_parts import leaf, petal, stem
from deconv.scenes.shapes import blob, curve, ellipse, polygon


def flower(pen: Pen, rng: np.random.Generator) -> None:
    """A flower from the front: one or two rings of petals, a centre, stem and leaves."""
    kit = draw_kit(rng, LEAVES, 0.8)
    count, bend, x, y = int(rng.integers(5, 13)), rng.uniform(-0.3, 0.3), *rng.uniform(-0.1, 0.1, 2)
    y -= 0.3
    stem(pen.part("stem").at(x, y, 1.0, 1.3), kit.second, bend, 0.07)
    for side in (-1, 1):
        if rng.random() < 0.8:
            there = pen.part("leaf").at(x + bend * 0.7, 0.55 + 0.12 * side, 0.62, 0.62, 1.1 * side)
            leaf(there, kit, kit.second)
    reach, squash = rng.uniform(0.55, 0.68), rng.uniform(0.75, 1.0)
    wide = min(1.6, 6.5 / count) * reach
    bloom = pen.at(x, y, 1.0, squash)
    double = rng.random() < 0.4
    for ring in range(1 + double):
        for k in range(count):
            turn = 2 * np.pi * (k + 0.5 * ring) / count + bend
            size = 1 - 0.32 * ring
            shade = 0.82 + 0.3 * rng.random()
            there = bloom.part("petal").at(0, 0, wide * size, reach * size, turn)
            petal(there, kit.body.turned(turn).toned(shade), kit.sharp, kit.accent)
    heart = rng.uniform(0.14, 0.24)
    core = Material(kit.accent.colour, kit.dark.colour, "dots", 1.2, gloss=0.2)
    bloom.part("centre").fill(ellipse(0, 0, heart), core, 0.4)


def _branches(pen: Pen, wood: Material, top: float) -> None:
    trunk = curve(
        (-0.16, 1.0),
        (-0.09, 0.55),
        (-0.08, top + 0.25),
        (-0.34, top - 0.12),
        (-0.04, top + 0.12),
        (0.06, top - 0.3),
        (0.08, top + 0.12),
        (0.36, top - 0.1),
        (0.1, top + 0.3),
        (0.1, 0.55),
        (0.18, 1.0),
        steps=3,
    )
    pen.part("trunk").fill(trunk, wood, 0.3)


def tree(pen: Pen, rng: np.random.Generator) -> None:
    """A tree: broad-leaved with a crown of clumps, or a conifer of stacked skirts."""
    kit = draw_kit(rng, LEAVES, 0.9)
    wood = draw_material(rng, ("wood", "planks", "fur", "plaster"), scale=0.8)
    top = rng.uniform(0.1, 0.35)
    _branches(pen, wood, top)
    if rng.random() < 0.3:
        tiers, wide = int(rng.integers(3, 6)), rng.uniform(0.5, 0.7)
        crown = pen.part("crown")
        for k in range(tiers):
            w, low = wide * (1 - 0.75 * k / tiers), 0.62 - 1.25 * k / tiers
            high = low - 2.2 / tiers
            edge = [(w * (1 - 2 * i / 6), low + 0.06 * (i % 2)) for i in range(7)]
            crown.fill(
                polygon((0, max(high, -1.05)), *edge), kit.body.toned(0.8 + 0.1 * k), 0.2, lift=0.8
            )
        return
    crown = pen.part("crown")
    clumps = int(rng.integers(5, 9))
    tips = rng.random((clumps + 1, 14, 4))
    for k in range(clumps + 1):
        turn, r = 2 * np.pi * k / clumps + rng.uniform(-0.3, 0.3), rng.uniform(0.28, 0.4)
        x, y = 0.45 * np.cos(turn), -0.3 + 0.38 * np.sin(turn)
        if k == clumps:
            x, y, r = 0.0, -0.35, 0.42
        shade = 0.72 - 0.3 * (y + 0.3) + 0.2 * rng.random()
        crown.fill(blob(rng, x, y, r, r * 0.85, 0.2, 18), kit.body.toned(shade), 0.3, lift=0.7)
        dabs = [
            ellipse(x + r * (2 * a - 1), y + r * (1.6 * b - 0.9), 0.03 + 0.05 * c, 0.03, 3 * d, 8)
            for a, b, c, d in tips[k]
        ]
        crown.fill(dabs[:7], kit.body.toned(shade * 1.3), 0, union=True)
        crown.fill(dabs[7:], kit.body.toned(shade * 0.6), 0, union=True)
    if rng.random() < 0.6:
        for x, y, turn in rng.uniform((-0.7, -0.75, -3), (0.7, 0.15, 3), (9, 3)):
            leaf(pen.part("leaf").at(x, y, 0.16, 0.2, turn), kit, kit.body.toned(1.15))
    if rng.random() < 0.35:
        fruit = [(x, y) for x, y in rng.uniform((-0.6, -0.7), (0.6, 0.1), (8, 2))]
        for x, y in fruit:
            pen.fill(ellipse(x, y, 0.06, count=12), Material(kit.accent.colour, gloss=0.6), 0.4)
