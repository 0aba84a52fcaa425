"""Features of the images of a data set, kept in files for further runs where a folder is named."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader, Subset

from deconv.atomic_files import whole
from deconv.data import CentreCrops
from deconv.networks import Network
from deconv.studies.probes.features import Reduction, extract
from deconv.training.snapshots import is_code, weights_hash

BATCH = 32


def features_of(
    net: Network,
    crops: CentreCrops,
    points: Sequence[str],
    reduction: Reduction,
    needed: Sequence[int],
    workers: int = 0,
    folder: str | Path | None = None,
) -> tuple[dict[str, torch.Tensor], Sequence[int]]:
    """Extract features in one pass, or read what an earlier run kept.

    Args:
        needed: the images that are, in order.
        folder: of all images a file a point, named by a hash of weights, network, images, their
            preprocessing and `reduction`. None, or a network of a user's code, which may change:
            nothing is kept.

    Returns:
        Point -> N×D float32 on the CPU, from a file memory-mapped; and the numbers of the images.
    """
    files: dict[str, Path] = {}
    if folder is not None and not is_code(net.recipe.get("name", "file:")):
        needed = range(len(crops))
        about = f"{weights_hash(net)} {net.recipe} {net.input_px} {crops.data.cache_key()}"
        mean = crops.mean.contiguous().numpy().tobytes()
        for point in points:
            words = f"{about} {point} {reduction}".encode()
            digest = hashlib.sha256(words + mean).hexdigest()[:16]
            files[point] = Path(folder) / f"features_{digest}.npy"
    missing = [point for point in points if not (point in files and files[point].is_file())]
    found = {}
    if missing:
        loader = DataLoader(Subset(crops, needed), batch_size=BATCH, num_workers=workers)
        found = extract(net, loader, missing, reduction)
    for point, path in files.items():
        if point in found:
            with whole(path) as temporary, temporary.open("wb") as file:
                np.save(file, found[point].numpy())
        found[point] = torch.from_numpy(np.load(path, mmap_mode="c"))
    return found, needed
