"""Materials and style parameters shared by all parts of one object."""

from dataclasses import dataclass

import numpy as np

from deconv.scenes.materials import Colour, Material, draw_material, mix, random_colour, tone


@dataclass(frozen=True)
class Kit:
    """What an object is made of. Drawn once an object, so that its windows look alike.

    body, second, accent: the large surfaces; dark: tyres, pupils, noses; metal: rims and rods;
    pale: frames, eye whites, dials; glass: window panes; iris: eyes and lamps; slit: narrowness of
    pupils, 0–1; spokes: of a wheel; arched, bars: of windows; sharp: pointedness of petals,
    leaves and wings, 0–1.
    """

    body: Material
    second: Material
    accent: Material
    dark: Material
    metal: Material
    pale: Material
    glass: Colour
    iris: Colour
    slit: float
    spokes: int
    arched: bool
    bars: int
    sharp: float


def draw_kit(rng: np.random.Generator, textures: tuple[str, ...], scale: float = 0.6) -> Kit:
    """Draw a kit whose large surfaces mostly have one of `textures`."""
    body = draw_material(rng, textures, scale=scale)
    second = draw_material(rng, textures, scale=scale)
    accent = draw_material(rng, textures, scale=scale)
    night, shine, cream, sky, slit, sharp = rng.random(6)
    return Kit(
        body=body,
        second=second,
        accent=accent,
        dark=Material(mix((0.04 + 0.14 * night,) * 3, random_colour(rng), 0.12), gloss=0.5),
        metal=Material(mix((0.45 + 0.4 * shine,) * 3, random_colour(rng), 0.4), gloss=0.8),
        pale=Material(mix((0.6 + 0.35 * cream,) * 3, random_colour(rng), 0.35), gloss=0.3),
        glass=mix((0.1 + 0.5 * sky,) * 3, random_colour(rng), 0.5),
        iris=tone(random_colour(rng), 1.15),
        slit=float(slit),
        spokes=int(rng.integers(4, 10)),
        arched=bool(rng.random() < 0.3),
        bars=int(rng.integers(0, 3)),
        sharp=float(sharp),
    )
