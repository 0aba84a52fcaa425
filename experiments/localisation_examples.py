"""The maps that the page of projections shows: pictures, projections and boxes of some peaks.

In: a layer's scores and peaks, and the scenes with their boxes. Out: arrays named examples/<what>.
"""

from __future__ import annotations

import numpy as np
import torch
from omegaconf import DictConfig

from deconv.data import CentreCrops
from deconv.deconvnet.projection import project
from deconv.networks import ChainNet
from deconv.records import Peaks
from deconv.scenes import Scenes
from deconv.studies.localisation import CHANCE, OWN, in_crop

SHOWN_PEAKS = 3
"""Peaks of an example map that are drawn."""


def example_arrays(
    cfg: DictConfig,
    net: ChainNet,
    crops: CentreCrops,
    scenes: Scenes,
    layer: str,
    scores: dict[str, np.ndarray],
    maps: torch.Tensor,
    peaks: Peaks,
) -> dict[str, np.ndarray]:
    """What is drawn of a random choice of maps: pictures, projections, boxes of their peaks.

    The boxes of the part are padded to one number with boxes of no area.
    """
    parts = scores["parts"]
    random = np.random.default_rng((cfg.seed, 2)).permutation(np.flatnonzero(parts != ""))
    rows = np.sort(random[: cfg.examples])
    ranks = min(SHOWN_PEAKS, cfg.k)
    pictures, painted, objects, boxes = [], [], [], []
    for row in rows.tolist():
        for rank in range(ranks):
            image, y, x = (int(f[row, rank]) for f in (peaks.image, peaks.y, peaks.x))
            batch = crops[image][0][None].to(net.device)
            with torch.no_grad():
                record = net.record(batch, [layer], logits=False)
            unit = torch.tensor([[0, int(maps[row]), y, x]])
            painted.append(project(net, record, layer, unit, collisions=cfg.collisions)[0].cpu())
            pictures.append(crops.picture(image))
            scene = scenes.scene(image)
            clip = [in_crop(p.box, len(scene.image), net.input_px) for p in scene.parts
                    if p.name == parts[row]]  # fmt: skip
            objects.append(in_crop(scene.box, len(scene.image), net.input_px))
            boxes.append(clip)
    most = max(map(len, boxes), default=0)
    padded = np.zeros((len(boxes), max(most, 1), 4), int)
    for i, some in enumerate(boxes):
        padded[i, : len(some)] = np.array(some).reshape(-1, 4)
    shape = (len(rows), ranks)
    found = {
        "maps": maps.numpy()[rows],
        "parts": parts[rows],
        "energy": scores[f"part/{OWN}"][rows],
        "chance": scores[f"part/{CHANCE}"][rows],
        "picture": torch.stack(pictures).unflatten(0, shape).numpy(),
        "projection": torch.stack(painted).unflatten(0, shape).numpy(),
        "object_box": np.array(objects).reshape(*shape, 4),
        "part_boxes": padded.reshape(*shape, -1, 4),
    }
    return {f"examples/{name}": values for name, values in found.items()}
