"""Example maps for a page: images, projections and boxes of their strongest units."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from deconv.data import CentreCrops
from deconv.mining.peak_views import project_peaks
from deconv.networks import Network
from deconv.records import Peaks
from deconv.scenes import Scenes
from deconv.studies.boxes import in_crop
from deconv.studies.localisation.scores import CHANCE, OWN

SHOWN_PEAKS = 3
"""Peaks drawn of an example map."""


def boxed_examples(
    net: Network,
    crops: CentreCrops,
    scenes: Scenes,
    layer: str,
    peaks: Peaks,
    scores: Mapping[str, np.ndarray],
    count: int,
    seed: int,
    **options: Any,
) -> dict[str, np.ndarray]:
    """Choose up to `count` scored maps that prefer a part at random; collect arrays for a page.

    Args:
        peaks: C×k, of the images that the maps were scored on.
        scores: of `score_maps`.
        options: those of `project`.

    Returns:
        maps, parts, energy, chance (M); picture, projection (M×k×3×c×c); object_box (M×k×4);
        part_boxes (M×k×n×4), padded with empty boxes.
    """
    parts = scores["parts"]
    random = np.random.default_rng((seed, 2)).permutation(np.flatnonzero(parts != ""))
    rows = np.sort(random[:count])
    maps = scores["maps"][rows]
    shown = Peaks(*(field[:, :SHOWN_PEAKS] for field in vars(peaks).values()))
    painted = project_peaks(net, crops, layer, shown, torch.from_numpy(maps), **options)
    images = shown.image[maps].flatten().tolist()
    ranks = shown.image.shape[1]
    objects, boxes = [], []
    for image, part in zip(images, np.repeat(parts[rows], ranks), strict=True):
        scene = scenes.scene(image)
        sides = len(scene.image), net.input_px
        objects.append(in_crop(scene.box, *sides))
        boxes.append([in_crop(p.box, *sides) for p in scene.parts if p.name == part])
    padded = np.zeros((len(boxes), max(1, *map(len, boxes)), 4), int)
    for i, some in enumerate(boxes):
        padded[i, : len(some)] = np.array(some).reshape(-1, 4)
    shape = (len(rows), ranks)
    return {
        "maps": maps,
        "parts": parts[rows],
        "energy": scores[f"part/{OWN}"][rows],
        "chance": scores[f"part/{CHANCE}"][rows],
        "picture": torch.stack([crops.picture(i) for i in images]).unflatten(0, shape).numpy(),
        "projection": painted.unflatten(0, shape).numpy(),
        "object_box": np.array(objects).reshape(*shape, 4),
        "part_boxes": padded.reshape(*shape, -1, 4),
    }
