"""Write an atlas: its pictures part by part, then its pages, then its name."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deconv.atlas.contents import NINE, Contents, Pictures, live
from deconv.atlas.folder import WORK, is_finished, unfinished
from deconv.atlas.pages import write_pages
from deconv.atlas.sprites import FACES, encoded, extras, faces, sprite, unit_tiles
from deconv.atomic_files import write_whole
from deconv.data.text_files import json_text

PICTURES_KEPT = 64

Draw = Callable[[int, int, list[int]], Pictures]
"""(number of a snapshot, number of a layer, maps with a peak) -> their pictures."""
Source = Callable[[int], torch.Tensor]
"""Number of an image -> 3×H×W uint8."""


def write_atlas(
    final: str | Path,
    contents: Contents,
    draw: Draw,
    source: Source,
    inputs: Mapping[str, Any],
    say: Callable[[str], None] = print,
) -> dict[str, float]:
    """Write an atlas into a folder that appears when it is whole.

    After a kill the same call goes on; files that are there are not made again. The same inputs
    give the same bytes.

    Args:
        final: the folder; beside it `<final>.unfinished` is written.
        draw: see `Draw`; asked for at most FACES maps at a time, snapshot by snapshot.
        source: the images as they are shown.
        inputs: plain data that decides what the atlas holds: an unfinished one is gone on with
            only by the same.
        say: takes lines of progress.

    Returns:
        units drawn, pages, files and bytes of the atlas, and the seconds that it took, see `took`.

    Raises:
        DeconvError: for a folder that cannot be used, see `unfinished`.
    """
    final = Path(final)
    if is_finished(final, inputs):
        say(f"{final} is whole already")
        return {}
    seen = lru_cache(maxsize=PICTURES_KEPT)(source)
    with unfinished(final, inputs) as place:
        begun = clock()
        units = sum(_draw_part(place, contents, part, draw, seen, say) for part in _parts(contents))
        drawn = clock()
        say(f"pages of {sum(layer.maps for layer in contents.layers)} maps")
        pages = write_pages(place, contents, seen)
        written = clock()
    files = [path for path in final.rglob("*") if path.is_file()]
    return {
        "units": units,
        "pages": pages,
        "files": len(files),
        "bytes": sum(path.stat().st_size for path in files),
        **took("pictures", begun, drawn),
        **took("pages", drawn, written),
    }


Moment = tuple[float, float]
"""Seconds on the wall, and of this process's processors."""


def clock() -> Moment:
    """Return now."""
    return time.perf_counter(), time.process_time()


def took(what: str, begun: Moment, ended: Moment) -> dict[str, float]:
    """Name the seconds between two moments: those of processors do not grow with other work."""
    wall, cpu = (round(end - begin, 2) for begin, end in zip(begun, ended, strict=True))
    return {f"{what}_s": wall, f"{what}_cpu_s": cpu}


Part = tuple[int, int, int]
"""Numbers of a snapshot, a layer, and a run of FACES maps in it."""


def _parts(contents: Contents) -> Iterator[Part]:
    for snapshot in range(len(contents.snapshots)):
        for number, layer in enumerate(contents.layers):
            for first in range(0, layer.maps, FACES):
                yield snapshot, number, first // FACES


def _draw_part(
    place: Path,
    contents: Contents,
    part: Part,
    draw: Draw,
    source: Source,
    say: Callable[[str], None],
) -> int:
    """Write the sprites of a run of maps; return how many, 0 where they are there."""
    snapshot, number, run = part
    layer, slug = contents.layers[number], contents.slugs[number]
    done = place / WORK / f"{slug}.{snapshot}.{run}.json"
    if done.is_file():
        return 0
    peaks = live(layer.peaks[snapshot], NINE)
    maps = list(range(run * FACES, min(layer.maps, (run + 1) * FACES)))
    some = [m for m in maps if peaks.image[m, 0] >= 0]
    end = suffix(contents, snapshot)
    say(f"pictures of {layer.title}, maps {maps[0]} to {maps[-1]}{_of(contents, snapshot)}")
    boxes: dict[str, Any] = {}
    extra = 0
    if some:
        pictures = draw(snapshot, number, some)
        extra = extras(pictures, contents.sources)
        side, own = contents.tile_px, source if contents.sources else None
        boxes = {str(m): pictures.views.box[row].tolist() for row, m in enumerate(some)}
        sprites = [sprite(unit_tiles(pictures, row, side, own), side) for row in range(len(some))]
        where = place / "layers" / slug

        def save(m: int, pixels: np.ndarray) -> None:
            write_whole(where / f"{m}{end}.webp", encoded(pixels))

        with ThreadPoolExecutor() as pool:  # codec and disk take most of the time, without Python
            list(pool.map(save, some, sprites))
        kinds = {"faces": False, "patches": True} if contents.sources else {"faces": False}
        for name, patches in kinds.items():
            pixels = faces(
                pictures, [m - maps[0] for m in some], len(maps), contents.face_px, patches
            )
            write_whole(where / f"{name}-{run}{end}.webp", encoded(pixels))
    names = [*pictures.others, *["cover"] * (extra > len(pictures.others))] if some else []
    write_whole(done, json_text({"boxes": boxes, "extras": names}).encode())
    return len(maps)


def suffix(contents: Contents, snapshot: int) -> str:
    """What the names of an earlier snapshot's pictures end with."""
    return "" if snapshot == len(contents.snapshots) - 1 else f".s{snapshot}"


def _of(contents: Contents, snapshot: int) -> str:
    label = contents.snapshots[snapshot]
    return f" ({label})" if label else ""
