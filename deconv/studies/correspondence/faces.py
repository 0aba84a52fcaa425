"""Frontal faces with boxes of eyes and nose, and the masks that hide them.

From the built-in scenes, where boxes are exact, or from image files with a JSON file of boxes:

    {"dog.jpg": {"left_eye": [top, left, bottom, right], "right_eye": […], "nose": […],
                 "object": […], "class": "dog"}, …}

in pixels of the stored file. "object" (where random masks may lie; default the whole image) and
"class" are optional. Paths are relative to the JSON file or to `root`. Left and right are those of
the image.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from deconv.data.text_files import read_text
from deconv.errors import DeconvError, unknown
from deconv.images import read_rgb, square
from deconv.records import Box
from deconv.scenes import CLASSES, Scene, render
from deconv.scenes.scene import class_of
from deconv.studies.boxes import (
    centre_box,
    centred_box,
    common_masks,
    inside,
    random_boxes,
    square_box,
)

PARTS = ("right_eye", "left_eye", "nose")
"""In the order of Table 1."""
MASKS = ("same", "box")
SEARCH = 100
"""Most scenes of a class searched for each usable one."""
SEEN_LEVELS = 8
"""A pixel shows a part if omitting the part changes it by more than this, of 255."""


@dataclass(frozen=True)
class Face:
    """One face. square: 3×S×S uint8, as stored. kind: its class, "" if unknown.

    parts: boxes of PARTS; within: where random masks may lie; both inside the centre crop, in its
    pixels.
    """

    name: str
    kind: str
    square: torch.Tensor
    parts: Mapping[str, Box]
    within: Box


def scene_faces(
    kind: str,
    count: int,
    seed: int,
    side_px: int,
    crop_px: int,
    smallest_px: int = 1,
    seen: float = 0.4,
) -> list[Face]:
    """Find the first `count` scenes of a class that show both eyes and a nose.

    Scenes must also have room for a random mask.

    Args:
        kind: the class; scenes (seed, 0), (seed, 1) … are searched.
        smallest_px: least side of the three boxes.
        seen: least share of each box in which the part is visible, not behind grass or leaves.

    Raises:
        DeconvError: for an unknown class, and if SEARCH × count scenes hold too few faces.
    """
    if kind not in CLASSES:
        raise unknown("class", kind, CLASSES)
    found: list[Face] = []
    looked, index = 0, -1
    while len(found) < count and looked < SEARCH * count:
        index += 1
        if class_of(seed, index) != CLASSES.index(kind):
            continue
        looked += 1
        scene = render(seed, index, side_px)
        face = _scene_face(scene, f"{kind} {index}", crop_px)
        if face is None or min(_sides(face.parts)) < smallest_px:
            continue
        if all(_seen(scene, seed, index, part) >= seen for part in PARTS):
            found.append(face)
    if len(found) < count:
        raise DeconvError(
            f"{len(found)} of {looked} scenes of {kind!r} show {', '.join(PARTS)} within the "
            f"middle {crop_px} px, each at least {smallest_px} px tall and wide; {count} are "
            "wanted: take classes=['dog face'], fewer faces, or smaller parts (smallest)"
        )
    return found


def _scene_face(scene: Scene, name: str, crop_px: int) -> Face | None:
    """The face of a scene if each part exists once, inside the crop, with room for random masks."""
    stored_px = len(scene.image)
    counted = Counter(part.name for part in scene.parts)
    if any(counted[part] != 1 for part in PARTS):
        return None
    boxes = {part.name: centre_box(part.box, stored_px, crop_px) for part in scene.parts}
    parts = {name: boxes[name] for name in PARTS}
    if not all(inside(box, crop_px, crop_px) for box in parts.values()):
        return None
    top, left, bottom, right = centre_box(scene.box, stored_px, crop_px)
    within = max(top, 0), max(left, 0), min(bottom, crop_px), min(right, crop_px)
    pixels = torch.from_numpy(scene.image).permute(2, 0, 1).contiguous()
    face = Face(name, CLASSES[scene.label], pixels, parts, within)
    return face if _room(face, crop_px) else None


def _seen(scene: Scene, seed: int, index: int, part: str) -> float:
    """The share of a part's box whose pixels change if the part is omitted."""
    without = render(seed, index, len(scene.image), omit=frozenset([part])).image
    top, left, bottom, right = next(p.box for p in scene.parts if p.name == part)
    change = np.abs(scene.image.astype(int) - without)[top:bottom, left:right].max(axis=2)
    return float((change > SEEN_LEVELS).mean())


def file_faces(
    path: str | Path,
    side_px: int,
    crop_px: int,
    root: str | Path | None = None,
    kinds: Sequence[str] = (),
) -> list[Face]:
    """Read the faces of a JSON file of boxes (see above), in its order.

    Args:
        side_px: side of the stored square, that of the network's mean image.
        crop_px: side of the network's input.
        root: folder of the images; None for the file's.
        kinds: read only these classes; () for all.

    Raises:
        DeconvError: naming the image and box, for invalid JSON, a missing image, a part that is
            missing, unknown, empty, outside the image or the crop; and for a class without images.
    """
    path = Path(path)
    try:
        entries = json.loads(read_text(path, "file of boxes"))
    except json.JSONDecodeError as error:
        raise DeconvError(f"{path} is not JSON: {error}") from error
    if not isinstance(entries, dict) or not entries:
        raise DeconvError(f'{path} needs the form {{"image.jpg": {{"left_eye": [t,l,b,r], …}}, …}}')
    root = path.parent if root is None else Path(root)
    faces = [
        _file_face(path, root, name, entry, side_px, crop_px) for name, entry in entries.items()
    ]
    for kind in kinds:
        if kind not in {face.kind for face in faces}:
            raise DeconvError(f"{path} has no image of class {kind!r}")
    return [face for face in faces if not kinds or face.kind in kinds]


def _file_face(path: Path, root: Path, name: str, entry: Any, side_px: int, crop_px: int) -> Face:
    if not isinstance(entry, dict):
        raise DeconvError(f"{name} in {path} needs boxes by name: {', '.join(PARTS)}")
    known = (*PARTS, "object", "class")
    for key in entry:
        if key not in known:
            raise unknown(f"part of {name} in {path}", key, known)
    if missing := [part for part in PARTS if part not in entry]:
        raise DeconvError(f"{name} in {path} has no box of {', '.join(missing)}")
    image = read_rgb(root / name)
    boxes = {}
    for part in (*PARTS, *(["object"] if "object" in entry else [])):
        box = _checked(entry[part], f"{part} of {name} in {path}")
        if not inside(box, image.height, image.width):
            raise DeconvError(
                f"{part} of {name} in {path}: {list(box)} is not a box within the image's "
                f"{image.height} rows and {image.width} columns; boxes are [top,left,bottom,right]"
            )
        there = square_box(box, image.width, image.height, side_px)
        boxes[part] = centre_box(there, side_px, crop_px)
    for part in PARTS:
        if not inside(boxes[part], crop_px, crop_px):
            raise DeconvError(
                f"{part} of {name} in {path} lies outside the part of the image that the network "
                f"sees (the middle {crop_px} of {side_px} px): crop the file around the face"
            )
    top, left, bottom, right = boxes.get("object", (0, 0, crop_px, crop_px))
    within = max(top, 0), max(left, 0), min(bottom, crop_px), min(right, crop_px)
    kind = entry.get("class", "")
    if not isinstance(kind, str):
        raise DeconvError(f"class of {name} in {path} is a name, got {kind!r}")
    parts = {part: boxes[part] for part in PARTS}
    face = Face(name, kind, square(image, side_px), parts, within)
    if not _room(face, crop_px):
        raise DeconvError(
            f"{name} in {path} has no room for a random mask beside its eyes and nose: make "
            "'object' larger, or leave it out"
        )
    return face


def _checked(box: Any, what: str) -> Box:
    whole = isinstance(box, list) and all(type(edge) is int for edge in box)
    if not whole or len(box) != 4:
        raise DeconvError(f"{what} takes four whole numbers [top,left,bottom,right], got {box!r}")
    return tuple(box)


def _sides(parts: Mapping[str, Box]) -> list[int]:
    return [s for top, left, bottom, right in parts.values() for s in (bottom - top, right - left)]


def part_masks(face: Face, crop_px: int, mask: str = "same") -> dict[str, Box]:
    """Mask a face's parts.

    mask: "same" for masks all as tall and as wide as the largest part; "box" for the parts' boxes.
    """
    if mask not in MASKS:
        raise unknown("mask", mask, MASKS)
    return common_masks(face.parts, crop_px) if mask == "same" else dict(face.parts)


def random_masks(
    face: Face, crop_px: int, count: int, random: np.random.Generator, mask: str = "same"
) -> list[Box]:
    """Draw `count` masks of an eye mask's size inside `within` that overlap no part's mask."""
    masks = part_masks(face, crop_px, mask)
    eyes = [masks[name] for name in PARTS if name.endswith("eye")]
    height = round(np.mean([bottom - top for top, _, bottom, _ in eyes]))
    width = round(np.mean([right - left for _, left, _, right in eyes]))
    return random_boxes(height, width, face.within, masks.values(), count, random)


def _room(face: Face, crop_px: int) -> bool:
    """Whether a random mask fits, even at the largest mask size."""
    return bool(random_masks(face, crop_px, 1, np.random.default_rng(0), "same"))


def borrowed_masks(
    faces: Sequence[Face], crop_px: int, random: np.random.Generator, mask: str = "same"
) -> list[dict[str, Box]]:
    """Place masks of each face's part sizes where *another* face of its class has the parts.

    A control: typical positions of parts, but not this face's. Faces borrow along a random cycle,
    so that each face's positions are used once.
    """
    found: list[dict[str, Box]] = [{} for _ in faces]
    for kind in dict.fromkeys(face.kind for face in faces):
        ring = random.permutation([i for i, face in enumerate(faces) if face.kind == kind])
        for own, other in zip(ring, np.roll(ring, 1), strict=True):
            for name, (top, left, bottom, right) in part_masks(faces[own], crop_px, mask).items():
                there = faces[other].parts[name]
                found[own][name] = centred_box(bottom - top, right - left, there, crop_px)
    return found


def draws(
    kinds: Sequence[str], size: int, count: int, random: np.random.Generator
) -> list[list[int]]:
    """Draw `count` random sets of `size` different images, each of one class; classes take turns.

    kinds: the class of each image.
    """
    members = {kind: [i for i, k in enumerate(kinds) if k == kind] for kind in dict.fromkeys(kinds)}
    for kind, own in members.items():
        if len(own) < size:
            raise DeconvError(
                f"{len(own)} images{f' of {kind!r}' if kind else ''} are too few for groups of "
                f"{size}: give more, or a smaller group"
            )
    turns = islice((k for _ in range(count) for k in members), count)
    return [sorted(random.choice(members[k], size, replace=False).tolist()) for k in turns]
