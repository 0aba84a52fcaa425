"""How each surface texture is made: tileable, (256, 256), once per process.

A recipe takes a generator and returns two float arrays: how far the surface's second colour shows,
in [0, 1], and how much lighter or darker it is, about [-1, 1].
"""

from collections.abc import Callable

import numpy as np

TILE_PX = 256
Fields = tuple[np.ndarray, np.ndarray]
Recipe = Callable[[np.random.Generator], Fields]
_Y, _X = np.mgrid[0:TILE_PX, 0:TILE_PX].astype(np.float32)


def _noise(
    rng: np.random.Generator, centre: float, width: float, stretch: float = 1.0, fall: float = 0.0
) -> np.ndarray:
    """Tileable noise around `centre` cycles per tile; `stretch` > 1 draws it out along y.

    `fall` > 0 gives the spectrum 1 / f^fall instead (cloud-like), and the band is ignored.
    """
    freq = np.fft.fftfreq(TILE_PX) * TILE_PX
    radius = np.hypot(freq[None, :], freq[:, None] * stretch)
    band = np.exp(-(((radius - centre) / width) ** 2))
    gain = 1 / np.maximum(radius, 1) ** fall if fall else band
    gain[0, 0] = 0
    spectrum = np.fft.fft2(rng.standard_normal((TILE_PX, TILE_PX))) * gain
    field = np.fft.ifft2(spectrum).real
    return np.clip(field / (2.2 * field.std()), -1.3, 1.3).astype(np.float32)


def _step(field: np.ndarray, at: float = 0.0, soft: float = 0.08) -> np.ndarray:
    return np.clip((field - at) / (2 * soft) + 0.5, 0, 1)


def _cells(rng: np.random.Generator, count: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Voronoi cells on the torus: distance to the nearest seed, to the border, and a cell value."""
    distance = np.empty((count, TILE_PX, TILE_PX), np.float32)
    for k, (cx, cy) in enumerate(rng.uniform(0, TILE_PX, (count, 2))):
        dx, dy = np.abs(_X - cx), np.abs(_Y - cy)
        distance[k] = np.hypot(np.minimum(dx, TILE_PX - dx), np.minimum(dy, TILE_PX - dy))
    nearest = distance.argmin(0)
    two = np.partition(distance, 1, 0)[:2]
    return two[0], two[1] - two[0], rng.uniform(0, 1, count).astype(np.float32)[nearest]


def _rows(width: float, height: float, shift: float = 0.5) -> tuple[np.ndarray, ...]:
    """A running bond: position within the unit, in [0, 1), and the unit's row and column."""
    row = np.floor(_Y / height)
    x = _X / width + shift * (row % 2)
    column = np.floor(x) % (TILE_PX / width)
    return x - np.floor(x), _Y / height - row, row, column


def _unit_value(rng: np.random.Generator, row: np.ndarray, column: np.ndarray) -> np.ndarray:
    table = rng.uniform(-1, 1, (64, 64)).astype(np.float32)
    return table[row.astype(int) % 64, column.astype(int) % 64]


def _plaster(rng: np.random.Generator) -> Fields:
    return _step(_noise(rng, 0, 1, fall=1.6), 0.2, 0.8) * 0.5, _noise(rng, 0, 1, fall=0.9) * 0.5


def _clouds(rng: np.random.Generator) -> Fields:
    field = _noise(rng, 0, 1, fall=1.7)
    return _step(field, 0.1, 0.45), _noise(rng, 0, 1, fall=1.5) * 0.4


def _hair(rng: np.random.Generator) -> np.ndarray:
    return _noise(rng, 26, 16, stretch=6) * 0.7 + _noise(rng, 0, 1, fall=1.2) * 0.35


def _fur(rng: np.random.Generator) -> Fields:
    return _step(_noise(rng, 0, 1, fall=1.8), 0.25, 0.6), _hair(rng)


def _fur_spots(rng: np.random.Generator) -> Fields:
    field = _noise(rng, 6, 1.5) + 0.25 * _noise(rng, 30, 15, stretch=4)
    return _step(field, 0.28, 0.12), _hair(rng)


def _fur_stripes(rng: np.random.Generator) -> Fields:
    bend = _noise(rng, 3, 1.5) * 1.6 + _noise(rng, 20, 10, stretch=3) * 0.4
    return _step(np.sin(2 * np.pi * 7 * _X / TILE_PX + bend), 0.15, 0.25), _hair(rng)


def _fur_patches(rng: np.random.Generator) -> Fields:
    field = _noise(rng, 2.2, 1.0) + 0.2 * _noise(rng, 25, 12, stretch=4)
    return _step(field, 0.05, 0.08), _hair(rng)


def _scales(rng: np.random.Generator) -> Fields:
    x, y, row, column = _rows(16, 16)
    arc = np.hypot(x - 0.5, (y - 0.1) * 0.9)
    value = _unit_value(rng, row, column)
    return np.clip(0.35 + 0.35 * value + _step(arc, 0.55, 0.1) * 0.5, 0, 1), 0.45 - arc * 1.3


def _feathers(rng: np.random.Generator) -> Fields:
    x, y, row, column = _rows(16, 32)
    arc = np.hypot((x - 0.5) * 1.2, y * 0.8)
    barbs = _noise(rng, 40, 20, stretch=3) * 0.4
    mix = np.clip(_step(arc, 0.6, 0.15) + 0.2 * _unit_value(rng, row, column), 0, 1)
    return mix, 0.35 - arc * 0.8 + barbs


def _brick(rng: np.random.Generator) -> Fields:
    x, y, row, column = _rows(32, 16)
    edge = np.minimum(np.minimum(x, 1 - x) * 32, np.minimum(y, 1 - y) * 16)
    face = _step(edge, 1.4, 0.5)
    lum = face * (0.35 * _unit_value(rng, row, column) + 0.35 * _noise(rng, 0, 1, fall=0.8))
    return (1 - face) * 0.9, lum + (1 - face) * -0.15


def _shingles(rng: np.random.Generator) -> Fields:
    x, y, row, column = _rows(16, 16)
    gap = _step(np.minimum(x, 1 - x) * 16, 0.8, 0.4)
    lum = 0.4 * _unit_value(rng, row, column) + 0.5 * (0.4 - y) - 0.5 * (1 - gap)
    return np.clip(0.3 * _unit_value(rng, row, column), 0, 1), lum + 0.2 * _noise(rng, 30, 20)


def _planks(rng: np.random.Generator) -> Fields:
    x, _, _, _ = _rows(32, 256, 0.0)
    column = np.floor(_X / 32)
    gap = _step(np.minimum(x, 1 - x) * 32, 1.2, 0.5)
    grain = _noise(rng, 18, 12, stretch=10)
    lum = 0.3 * _unit_value(rng, column * 0, column) + 0.4 * grain - 0.8 * (1 - gap)
    return np.clip(0.3 + 0.4 * grain, 0, 1), lum


def _wood(rng: np.random.Generator) -> Fields:
    rings = np.sin(2 * np.pi * 9 * _X / TILE_PX + 3.5 * _noise(rng, 0, 1, stretch=3, fall=2.2))
    return np.clip(0.5 + 0.4 * rings, 0, 1), 0.35 * rings + 0.4 * _noise(rng, 30, 20, stretch=10)


def _grass(rng: np.random.Generator) -> Fields:
    blades = _noise(rng, 22, 12, stretch=4) + 0.6 * _noise(rng, 45, 20, stretch=3)
    return _step(_noise(rng, 0, 1, fall=1.4), 0, 0.6), np.clip(blades, -1, 1)


def _foliage(rng: np.random.Generator) -> Fields:
    near, edge, value = _cells(rng, 150)
    lum = 0.9 * (value - 0.5) + 0.6 - near / 12 - 0.5 * (1 - _step(edge, 2, 1))
    return np.clip(value * 0.8 + 0.2 * _noise(rng, 5, 3), 0, 1), lum + 0.4 * _noise(rng, 5, 3)


def _cobble(rng: np.random.Generator) -> Fields:
    near, edge, value = _cells(rng, 70)
    face = _step(edge, 3, 1.5)
    return (1 - face) * 0.9, face * (0.6 * value - near / 30) + 0.3 * _noise(rng, 0, 1, fall=0.8)


def _water(rng: np.random.Generator) -> Fields:
    swell = _noise(rng, 9, 5, stretch=0.28) + 0.5 * _noise(rng, 24, 10, stretch=0.35)
    return _step(swell, 0.45, 0.35), np.clip(swell * 0.8, -1, 1)


def _metal(rng: np.random.Generator) -> Fields:
    return _step(_noise(rng, 0, 1, fall=2), 0.3, 0.9) * 0.6, _noise(rng, 30, 25, stretch=14) * 0.4


def _paint(rng: np.random.Generator) -> Fields:
    return _step(_noise(rng, 0, 1, fall=2), 0.3, 1.2) * 0.3, _noise(rng, 0, 1, fall=1.3) * 0.15


def _sand(rng: np.random.Generator) -> Fields:
    return _step(_noise(rng, 60, 40), 0.5, 0.5), 0.6 * _noise(rng, 50, 40) + 0.3 * _water(rng)[1]


def _weave(rng: np.random.Generator) -> Fields:
    thread = np.sin(2 * np.pi * 32 * _X / TILE_PX) * np.sin(2 * np.pi * 32 * _Y / TILE_PX)
    return _step(np.sin(2 * np.pi * 4 * _X / TILE_PX), 0.4, 0.1), 0.5 * thread


def _stripes(rng: np.random.Generator) -> Fields:
    return _step(np.sin(2 * np.pi * 8 * _X / TILE_PX), 0, 0.1), _noise(rng, 0, 1, fall=1.2) * 0.3


def _checks(rng: np.random.Generator) -> Fields:
    side = np.sin(2 * np.pi * 4 * _X / TILE_PX) * np.sin(2 * np.pi * 4 * _Y / TILE_PX)
    return _step(side, 0, 0.04), _noise(rng, 0, 1, fall=1.1) * 0.35


def _dots(rng: np.random.Generator) -> Fields:
    x, y, _, _ = _rows(32, 32)
    return 1 - _step(np.hypot(x - 0.5, y - 0.5), 0.27, 0.03), _noise(rng, 0, 1, fall=1.2) * 0.3


def _marble(rng: np.random.Generator) -> Fields:
    vein = np.abs(_noise(rng, 0, 1, fall=1.6) + 0.15 * _noise(rng, 0, 1, fall=0.9))
    return 1 - _step(vein, 0.08, 0.1), _noise(rng, 0, 1, fall=1.6) * 0.5


RECIPES: dict[str, Recipe] = {
    recipe.__name__[1:]: recipe
    for recipe in (
        _plaster,
        _clouds,
        _fur,
        _fur_spots,
        _fur_stripes,
        _fur_patches,
        _scales,
        _feathers,
        _brick,
        _shingles,
        _planks,
        _wood,
        _grass,
        _foliage,
        _cobble,
        _water,
        _metal,
        _paint,
        _sand,
        _weave,
        _stripes,
        _checks,
        _dots,
        _marble,
    )
}
