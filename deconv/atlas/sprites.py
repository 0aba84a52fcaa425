"""Pictures of an atlas: tiles side by side in one file, so that a page asks for few."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence

import numpy as np
import torch
from PIL import Image

from deconv.atlas.contents import NINE, Pictures
from deconv.figures.drawing import grey_centred
from deconv.figures.drawing import tile as resized

FACES_ACROSS, FACES = 6, 24
"""Faces in a row of a sprite, and in a sprite."""
QUALITY = 80
COVER = np.array((213, 94, 0))
"""RGB of what an activation owes to a place: vermilion, from Okabe and Ito's palette."""

Tile = np.ndarray | None
"""side×side×4 uint8, transparent outside the image; None: nothing is there."""


def tile(pixels: np.ndarray, inside: np.ndarray | None, side: int) -> np.ndarray:
    """Resize h×w×3 uint8 to a tile, transparent where `inside` (h×w bool) is False."""
    out = np.full((side, side, 4), 255, np.uint8)
    out[:, :, :3] = resized(pixels, None, side)
    if inside is not None and not inside.all():
        mask = Image.fromarray(inside.astype(np.uint8) * 255).resize((side, side))
        out[:, :, 3] = np.where(np.asarray(mask) < 128, 0, 255)
    return out


def encoded(pixels: np.ndarray) -> bytes:
    """Encode h×w×4 uint8 as WebP."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", quality=QUALITY, method=2)
    return file.getvalue()


def sprite(rows: Sequence[Sequence[Tile]], side: int) -> np.ndarray:
    """Lay tiles in rows without gaps; None and what is missing stay transparent."""
    across = max(map(len, rows))
    out = np.zeros((len(rows) * side, across * side, 4), np.uint8)
    for i, row in enumerate(rows):
        for j, one in enumerate(row):
            if one is not None:
                out[i * side : (i + 1) * side, j * side : (j + 1) * side] = one
    return out


def columns(sources: bool) -> int:
    """Tiles in a row of a unit's sprite: projections, then patches, then whole images."""
    return 9 if sources else 3


def unit_tiles(
    pictures: Pictures, row: int, side: int, source: Callable[[int], torch.Tensor] | None
) -> list[list[Tile]]:
    """The tiles of one unit: three blocks of three by three, then what else there is of it.

    source: image -> 3×H×W uint8; None: projections alone.
    """
    views = pictures.views
    projections: list[Tile] = [None] * NINE
    patches, wholes = list(projections), list(projections)
    for rank, image in enumerate(views.image[row].tolist()):
        if image < 0:
            continue
        inside = views.inside[row, rank].numpy()
        painted = grey_centred(views.projection[row, rank].float().numpy())
        projections[rank] = tile(painted, inside, side)
        if source is not None:
            patch = views.patch[row, rank].numpy().transpose(1, 2, 0)
            patches[rank] = tile(patch, inside, side)
            whole = source(image).numpy().transpose(1, 2, 0)
            wholes[rank] = tile(whole, None, side)
    blocks = (projections, patches, wholes) if source is not None else (projections,)
    rows = [[one for block in blocks for one in block[i : i + 3]] for i in (0, 3, 6)]
    extra = extra_tiles(pictures, row, side, source is not None)
    return [*rows, extra] if extra else rows


def extra_tiles(pictures: Pictures, row: int, side: int, sources: bool) -> list[Tile]:
    """Other methods' pictures of the strongest peak, then what covering it shows."""
    views = pictures.views
    if views.image[row, 0] < 0:
        return [None] * extras(pictures, sources)
    inside = views.inside[row, 0].numpy()
    tiles: list[Tile] = [
        tile(grey_centred(painted[row].float().numpy()), inside, side)
        for painted in pictures.others.values()
    ]
    if pictures.covered is not None and sources:
        patch = tile(views.patch[row, 0].numpy().transpose(1, 2, 0), inside, side)
        tiles.append(cover(patch, pictures.covered[row].numpy()))
    return tiles


def extras(pictures: Pictures, sources: bool) -> int:
    """The number of `extra_tiles`."""
    return len(pictures.others) + (pictures.covered is not None and sources)


def cover(patch: np.ndarray, lost: np.ndarray) -> np.ndarray:
    """Tint a tile, made grey, where the activation is lost. lost: r×c in 0…1."""
    share = Image.fromarray(lost.clip(0, 1).astype(np.float32))
    alpha = np.asarray(share.resize(patch.shape[:2], Image.Resampling.BILINEAR))[:, :, None] * 0.85
    grey = patch[:, :, :3].mean(axis=2, keepdims=True)
    tinted = (grey * (1 - alpha) + COVER * alpha).round().clip(0, 255).astype(np.uint8)
    return np.concatenate([tinted, patch[:, :, 3:]], axis=2)


def faces(
    pictures: Pictures, places: Sequence[int], count: int, side: int, patches: bool = False
) -> np.ndarray:
    """The strongest projection, or patch, of each map at its place among `count`."""
    views = pictures.views
    tiles: list[Tile] = [None] * count
    for row, place in enumerate(places):
        if patches:
            pixels = views.patch[row, 0].numpy().transpose(1, 2, 0)
        else:
            pixels = grey_centred(views.projection[row, 0].float().numpy())
        tiles[place] = tile(pixels, views.inside[row, 0].numpy(), side)
    return sprite(in_rows(tiles), side)


def in_rows(tiles: Sequence[Tile]) -> list[list[Tile]]:
    """FACES_ACROSS tiles a row, the last one filled up with None."""
    every = [*tiles, *[None] * (-len(tiles) % FACES_ACROSS)]
    return [every[i : i + FACES_ACROSS] for i in range(0, len(every), FACES_ACROSS)]


def face_of(file: bytes, number: int, side: int) -> np.ndarray:
    """Cut one face out of an encoded sprite."""
    row, column = divmod(number, FACES_ACROSS)
    box = (column, row, column + 1, row + 1)
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image.convert("RGBA").crop(tuple(side * edge for edge in box)))
