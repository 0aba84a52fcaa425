"""A look at a network while it is trained: its first filters, their RMS, and which maps are dead.

Look, save, then draw: `deconv.figures.training_page` draws what `load_watch` reads.
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
    """What one look at a network found.

    filters:    C×3×k×k float32, the weights of the first convolutional layer (0×3×0×0 without one).
    filter_rms: convolutional layer -> float32 sqrt(mean w²) of each filter, which §3 of the paper
                keeps at 0.1 or below.
    strongest:  layer -> float32, the largest activation of each map over all positions of all
                watched images; every layer of `net.layers` but the logits. 0: the map is dead.
    images:     how many images were watched.
    """

    filters: np.ndarray
    filter_rms: dict[str, np.ndarray]
    strongest: dict[str, np.ndarray]
    images: int

    def dead(self) -> dict[str, np.ndarray]:
        """Layer -> the numbers of the maps that none of the watched images brought above 0."""
        return {layer: np.flatnonzero(value <= 0) for layer, value in self.strongest.items()}


def watch(net: Network, batches: Iterable) -> Watch:
    """Run images up a network in evaluation mode and keep each map's largest activation.

    batches: yields preprocessed images in any form of `deconv.data.batches`. The network's training
    flag is as before when this ends, and memory is one batch and one number a map.
    Raises DeconvError if there is no image, or for NaN activations.
    """
    layers = list(net.layers[:-1])
    best: dict[str, torch.Tensor] = {}
    seen = 0
    for images, _ in walk(net, batches, channels_last=True):
        record = net.record(images, layers, logits=False)
        for layer, activation in record.activations.items():
            found = activation.transpose(0, 1).flatten(1).amax(dim=1).float()
            if found.isnan().any():
                raise DeconvError(f"{layer} of {net.name} holds NaN: look at its weights")
            best[layer] = torch.maximum(best[layer], found) if layer in best else found
        seen += len(images)
    convolutions = [(n, m) for n in net.layers if isinstance(m := net.module_of(n), nn.Conv2d)]
    weights = {name: stage.weight.detach().float().cpu() for name, stage in convolutions}
    return Watch(
        filters=next((w.numpy().copy() for w in weights.values()), np.zeros((0, 3, 0, 0), "f4")),
        filter_rms={n: w.square().mean(dim=(1, 2, 3)).sqrt().numpy() for n, w in weights.items()},
        strongest={layer: best[layer].cpu().numpy() for layer in layers},
        images=seen,
    )


def save_watch(path: str | Path, watched: Watch) -> Path:
    """Write a Watch as .npz, whole or not at all, with its SHA-256 in a file beside it.

    Keys: filters, images, filter_rms/<layer>, strongest/<layer>. The same Watch gives the same
    bytes.
    """
    arrays: dict[str, Any] = {"filters": watched.filters, "images": np.array(watched.images)}
    for field in ("filter_rms", "strongest"):
        arrays |= {f"{field}/{layer}": a for layer, a in getattr(watched, field).items()}
    content = io.BytesIO()
    np.savez_compressed(content, **arrays)
    return write_checked(path, lambda file: file.write(content.getvalue()))


def load_watch(path: str | Path) -> Watch:
    """Read what `save_watch` wrote. Raises DeconvError naming a missing, damaged or other file."""
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
