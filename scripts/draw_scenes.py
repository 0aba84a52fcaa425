"""A contact sheet of the built-in scenes, for the README: docs/scenes.jpg.

    python scripts/draw_scenes.py [<file>]

Each class three times in a row; the third time with the boxes of the object and its parts.
"""

from __future__ import annotations

import sys

import numpy as np
from PIL import Image, ImageDraw

from deconv.figures import block
from deconv.scenes import CLASSES, Scene, render

SIDE_PX, SEED, PER_CLASS, COLUMNS = 128, 1, 3, 9


def boxed(scene: Scene) -> np.ndarray:
    """The image with the object's box in yellow and its parts' in red."""
    image = Image.fromarray(scene.image)
    pen = ImageDraw.Draw(image)
    boxes = [(part.box, "red") for part in scene.parts] + [(scene.box, "yellow")]
    for (top, left, bottom, right), colour in boxes:
        pen.rectangle((left, top, right - 1, bottom - 1), outline=colour)
    return np.array(image)


def main(path: str = "docs/scenes.jpg") -> None:
    """Draw the sheet into a file."""
    found: dict[int, list[Scene]] = {label: [] for label in range(len(CLASSES))}
    for index in range(PER_CLASS * len(CLASSES)):
        scene = render(SEED, index, SIDE_PX)
        found[scene.label].append(scene)
    tiles = []
    for scenes in found.values():
        tiles += [scene.image for scene in scenes[:-1]] + [boxed(scenes[-1])]
    Image.fromarray(block(tiles, COLUMNS, gap=2)).save(path, quality=88)
    print(path)


if __name__ == "__main__":
    main(*sys.argv[1:2])
