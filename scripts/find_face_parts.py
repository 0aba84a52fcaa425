"""Write the boxes of eyes and nose of people's faces, for experiments.table1_correspondence.

    pip install --no-deps facenet-pytorch && pip install requests
    python scripts/find_face_parts.py <folder of images> --out faces.json --sheet faces.jpg

The MTCNN of facenet-pytorch (its small weights come with the package) gives one point for each
eye and the nose's tip. Boxes are put around the points in units of the distance d between the
eyes: eyes 0.62 d wide and 0.44 d tall; the nose 0.62 d wide, from 0.42 d above its tip to 0.2 d
below. The object is the detector's box of the face. Only images with exactly one certain face seen
from the front are kept: eyes on a level within 15°, the nose's tip between them; images are tried
in a random order, always the same. Look at the sheet before you rely on the boxes.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from deconv.data.folders import images_in
from deconv.data.text_files import json_text
from deconv.images import read_rgb

EYE, NOSE = (0.22, 0.31, 0.22, 0.31), (0.42, 0.31, 0.2, 0.31)
"""Above, left, below and right of the point, in distances between the eyes."""
CERTAIN, LEVEL_DEG = 0.99, 15.0
COLOURS = {"left_eye": "red", "right_eye": "lime", "nose": "yellow", "object": "cyan"}


def boxes_of(face: np.ndarray, points: np.ndarray, size: tuple[int, int]) -> dict | None:
    """Boxes by name from a face box (left, top, right, bottom) and five points (x, y).

    points: left eye, right eye, nose, left and right corner of the mouth, of the image. size:
    width and height. None for a face that is tilted or turned, or whose boxes leave the image.
    """
    left, right, nose = points[:3]
    apart = float(np.linalg.norm(right - left))
    tilt = np.degrees(np.arctan2(right[1] - left[1], right[0] - left[0]))
    across = (nose[0] - left[0]) / (right[0] - left[0])
    if abs(tilt) > LEVEL_DEG or not 0.3 < across < 0.7:
        return None
    found = {
        "left_eye": _around(left, EYE, apart),
        "right_eye": _around(right, EYE, apart),
        "nose": _around(nose, NOSE, apart),
    }
    width, height = size
    if any(t < 0 or x < 0 or b > height or r > width for t, x, b, r in found.values()):
        return None
    x0, y0, x1, y1 = (round(float(v)) for v in face)
    found["object"] = [max(y0, 0), max(x0, 0), min(y1, height), min(x1, width)]
    return found


def _around(point: np.ndarray, extents: tuple[float, ...], unit: float) -> list[int]:
    above, left, below, right = (extent * unit for extent in extents)
    x, y = point
    return [round(float(v)) for v in (y - above, x - left, y + below, x + right)]


def sheet(found: dict[str, dict], folder: Path, path: Path, most: int = 48) -> None:
    """Draw the first images with their boxes, for inspection."""
    tiles = []
    for name, boxes in list(found.items())[:most]:
        image = read_rgb(folder / name)
        pen = ImageDraw.Draw(image)
        for part, colour in COLOURS.items():
            top, left, bottom, right = boxes[part]
            pen.rectangle((left, top, right - 1, bottom - 1), outline=colour, width=2)
        tiles.append(image.resize((160, 160)))
    page = Image.new("RGB", (160 * 8, 160 * -(-len(tiles) // 8)))
    for number, one in enumerate(tiles):
        page.paste(one, (160 * (number % 8), 160 * (number // 8)))
    page.save(path)


def main() -> None:
    """Detect, select and write the boxes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="images of people, one face each")
    parser.add_argument("--out", type=Path, default=Path("faces.json"))
    parser.add_argument("--sheet", type=Path, help="a picture of the boxes, to look at")
    parser.add_argument("--most", type=int, default=60, help="images kept")
    parser.add_argument("--class", dest="kind", default="", help="the class of all of them")
    arguments = parser.parse_args()
    images = [Path(path) for path in images_in(arguments.folder, nested=False)]
    if not images:
        sys.exit(f"error: there is no image in {arguments.folder}")
    try:
        from facenet_pytorch import MTCNN
    except ImportError as error:
        sys.exit(f"error: {error}; pip install --no-deps facenet-pytorch && pip install requests")
    detector, found = MTCNN(keep_all=True), {}
    # Neighbours in a folder often show the same person: a random order, the same each time.
    for number in np.random.default_rng(0).permutation(len(images)):
        if len(found) == arguments.most:
            break
        path = images[number]
        image = read_rgb(path)
        faces, certain, points = detector.detect(image, landmarks=True)
        sure = [] if faces is None else [i for i, c in enumerate(certain) if c and c > CERTAIN]
        if len(sure) == 1 and (boxes := boxes_of(faces[sure[0]], points[sure[0]], image.size)):
            found[path.name] = boxes
    if not found:
        sys.exit(f"error: no face seen from the front in {len(images)} images")
    if arguments.sheet:
        sheet(found, arguments.folder, arguments.sheet)
    start = arguments.out.resolve().parent
    entries = {
        os.path.relpath(arguments.folder / name, start): boxes
        | ({"class": arguments.kind} if arguments.kind else {})
        for name, boxes in found.items()
    }
    arguments.out.write_text(json_text(entries, indent=1) + "\n", encoding="utf-8")
    print(f"{len(found)} of the images in {arguments.folder} -> {arguments.out}")


if __name__ == "__main__":
    main()
