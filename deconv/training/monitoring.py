"""Monitor a network during training: first-layer filters, filter RMS and dead feature maps.

`deconv.figures.training_page` draws what `save_watch` writes.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from deconv.atomic_files import write_checked
from deconv.data.batches import walk
from deconv.errors import DeconvError
from deconv.networks import Network


@dataclass(frozen=True)
class Watch:
    """Measurements of a network at one step.

    Attributes:
        filters: C×3×k×k float32, weights of the first convolutional layer (0×3×0×0 without one).
        filter_rms: convolutional layer -> float32 sqrt(mean w²) of each filter; §3 keeps it ≤ 0.1.
        strongest: layer -> float32, each map's largest activation over all positions of all images,
            for every layer of `net.layers` but the logits. 0: the map is dead.
        images: number of images.
    """

    filters: np.ndarray
    filter_rms: dict[str, np.ndarray]
    strongest: dict[str, np.ndarray]
    images: int

    def dead(self) -> dict[str, np.ndarray]:
        """Map each layer to the indices of its maps that are never above 0."""
        return {layer: np.flatnonzero(value <= 0) for layer, value in self.strongest.items()}


def watch(net: Network, batches: Iterable) -> Watch:
    """Measure the filters, and each map's largest activation over images in evaluation mode.

    The training flag is restored. Memory: one batch and one number per map.

    Args:
        batches: yields preprocessed images in any form of `deconv.data.batches`.

    Raises:
        DeconvError: if there is no image, or for activations that are NaN or infinite.
    """
    layers = list(net.layers[:-1])
    best: dict[str, torch.Tensor] = {}
    seen = 0
    for images, _ in walk(net, batches, channels_last=True):
        record = net.record(images, layers, logits=False)
        for layer, activation in record.activations.items():
            found = activation.transpose(0, 1).flatten(1).amax(dim=1).float()
            best[layer] = torch.maximum(best[layer], found) if layer in best else found
        seen += len(images)
    weights = {
        name: module.weight.detach().float().cpu()
        for name in net.layers
        if isinstance(module := net.module_of(name), nn.Conv2d)
    }
    return Watch(
        filters=next((w.numpy().copy() for w in weights.values()), np.zeros((0, 3, 0, 0), "f4")),
        filter_rms={n: w.square().mean(dim=(1, 2, 3)).sqrt().numpy() for n, w in weights.items()},
        strongest={layer: best[layer].cpu().numpy() for layer in layers},
        images=seen,
    )


def save_watch(path: str | Path, watched: Watch) -> Path:
    """Write a Watch as .npz, atomically, with its SHA-256 in a file beside it.

    Keys: filters, images, filter_rms/<layer>, strongest/<layer>. The bytes are deterministic.
    """
    arrays: dict[str, Any] = {"filters": watched.filters, "images": np.array(watched.images)}
    for field in ("filter_rms", "strongest"):
        arrays |= {f"{field}/{layer}": a for layer, a in getattr(watched, field).items()}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return write_checked(path, lambda file: file.write(content.getvalue()))


def load_watch(path: str | Path) -> Watch:
    """Read a file of `save_watch`; DeconvError if it is missing, damaged or another file."""
    path = Path(path)
    if not path.is_file():
        raise DeconvError(f"there is no saved look at {path}; save_watch writes one")
    try:
        with np.load(path, allow_pickle=False) as content:
            arrays = dict(content)
        groups: dict[str, dict[str, np.ndarray]] = {"filter_rms": {}, "strongest": {}}
        for key, array in arrays.items():
            field, _, layer = key.partition("/")
            if layer:
                groups[field][layer] = array
        return Watch(filters=arrays["filters"], images=int(arrays["images"]), **groups)
    except (OSError, ValueError, KeyError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise DeconvError(f"cannot read {path}: it is damaged, or not from save_watch") from error
