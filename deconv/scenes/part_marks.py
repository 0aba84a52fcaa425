"""Multi-label marks of the parts in built-in scenes, in PASCAL VOC's scheme (Table 6)."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Dataset

from deconv.atomic_files import damage, write_checked
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
"""A part shorter than this fraction of the image side in the centre crop is IGNORED."""
CROP_SHARE = 224 / 256
"""§3: side of the centre crop as a fraction of the image's."""


def part_marks(scene: Scene) -> list[int]:
    """Mark each of PARTS in a scene; stray parts around the object do not count.

    Parts that are too small or cut off are IGNORED, like VOC's difficult objects.
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
    """Data set of marks, so that loader workers draw scenes in parallel."""

    def __init__(self, scenes: Scenes) -> None:
        self.scenes = scenes

    def __len__(self) -> int:
        return len(self.scenes)

    def __getitem__(self, index: int) -> list[int]:
        return part_marks(self.scenes.scene(index))


def scene_parts(
    scenes: Scenes, squares: Squares, folder: str | Path | None = None, workers: int = 0
) -> MultiLabel:
    """Pair scenes with the marks of their parts.

    Args:
        squares: the same scenes, drawn or cached.
        folder: cache of the marks, which take as long as drawing the images; None: no cache.
    """
    path = None if folder is None else Path(folder) / f"{scenes.cache_key()}-parts.npy"
    wrong = None if path is None else damage(path)
    if path is not None and wrong is None:
        marks = np.load(path)
    else:
        if path is not None and path.exists():
            warnings.warn(f"{path} is damaged ({wrong}); writing it again", stacklevel=2)
        loader = DataLoader(_Marks(scenes), 64, num_workers=workers, collate_fn=np.array)
        marks = np.concatenate(list(loader)).astype(np.int8)
        if path is not None:
            write_checked(path, lambda file: np.save(file, marks))
    return MultiLabel(squares, torch.from_numpy(marks), PARTS)
