"""The built-in scenes under marks of their parts, as PASCAL marks objects (Table 6)."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from deconv.atomic_files import whole
from deconv.data import MultiLabel, Squares
from deconv.data.average_precision import ABSENT, IGNORED, PRESENT
from deconv.errors import DeconvError
from deconv.scenes.scene import Scene, Scenes

_WORDS = """
antenna beak body centre chimney crown dial door ear eye fin frame handle head hull lamp leaf
left_eye leg mast muzzle nose petal right_eye roof sail seat stem tail tower trunk wall wheel window
wing
"""
PARTS = tuple(_WORDS.split())
"""The names of the parts that the objects of the built-in scenes have."""

LEAST_SHARE = 0.06
"""Of the image's side: a part that is nowhere this long inside the centre crop is too small."""
CROP_SHARE = 224 / 256
"""§3: the centre crop's side."""


def part_marks(scene: Scene) -> list[int]:
    """The marks of PARTS in a scene: of its object's parts, not of stray ones around it.

    IGNORED, as VOC's difficult objects are: parts that are there but too small or cut off.
    """
    side = scene.image.shape[0]
    edge = side * (1 - CROP_SHARE) / 2
    longest: dict[str, float] = {}
    for part in scene.parts:
        top, left, bottom, right = (min(max(v, edge), side - edge) for v in part.box)
        extent = max(bottom - top, right - left) if bottom > top and right > left else 0.0
        longest[part.name] = max(longest.get(part.name, 0.0), extent)
    if strange := longest.keys() - set(PARTS):
        raise DeconvError(f"a scene has parts without a mark: {', '.join(sorted(strange))}")
    return [
        ABSENT
        if name not in longest
        else PRESENT
        if longest[name] >= LEAST_SHARE * side
        else IGNORED
        for name in PARTS
    ]


class _Marks(Dataset):
    """The marks of scenes, for several processes to draw at once."""

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> list[int]:
        return part_marks(self.scenes.scene(index))


def scene_parts(
    scenes: Scenes, squares: Squares, folder: str | Path | None = None, workers: int = 0
) -> MultiLabel:
    """Scenes under the marks of their parts.

    squares: the same scenes, drawn or cached. folder: where the marks are kept, as drawing them
    takes as long as drawing the images; None keeps nothing.
    """
    path = None if folder is None else Path(folder) / f"{scenes.cache_key()}-parts.npy"
    if path is not None and path.exists():
        marks = np.load(path)
    else:
        loader = DataLoader(_Marks(scenes), 64, num_workers=workers, collate_fn=np.array)
        marks = np.concatenate(list(loader)).astype(np.int8)
        if path is not None:
            with whole(path) as temporary, temporary.open("wb") as file:
                np.save(file, marks)
    return MultiLabel(squares, torch.from_numpy(marks), PARTS)
