"""Mining in parts whose peaks are kept on disk, so that a killed command goes on where it was."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import Subset

from deconv import distributed
from deconv.atomic_files import write_whole
from deconv.data import CentreCrops
from deconv.errors import DeconvError
from deconv.mining.top_activations import CHUNK, merge, top_activations
from deconv.networks import Network
from deconv.records import Peaks
from experiments.kit.inputs import log
from experiments.kit.subject import Subject

PART = 128 * CHUNK
"""Images after which peaks are kept: whole chunks, so that parts change no bit."""


def mine_in_parts(
    it: Subject, net: Network, crops: CentreCrops, layers: Sequence[str], k: int, path: Path
) -> dict[str, Peaks]:
    """Find the k strongest peaks as `top_activations` does; all processes ask together.

    path: an .npz file that holds what is found so far; written by process 0.
    """
    done, best = distributed.from_first(_read(path) if distributed.rank() == 0 else None)
    if done:
        log(f"{path.name} holds the peaks of {done} images")
    while done < len(crops):
        end = min(done + PART, len(crops))
        part = Subset(crops, range(done, end))
        log(f"mining images {done} to {end - 1} of {len(crops)}")
        found = top_activations(net, it.loader(part), layers, k=k)
        for layer, peaks in found.items():
            image = torch.where(peaks.image < 0, -1, peaks.image + done)
            now = Peaks(peaks.value, image, peaks.y, peaks.x)
            best[layer] = merge(best[layer], now, k) if layer in best else now
        done = end
        if distributed.rank() == 0:
            _write(path, done, best)
    return best


def _write(path: Path, done: int, best: dict[str, Peaks]) -> None:
    arrays = {
        f"{i}/{name}": field.numpy()
        for i, peaks in enumerate(best.values())
        for name, field in vars(peaks).items()
    }
    file = io.BytesIO()
    np.savez(file, done=done, layers=np.array(list(best)), **arrays)
    write_whole(path, file.getvalue())


def _read(path: Path) -> tuple[int, dict[str, Peaks]]:
    if not path.is_file():
        return 0, {}
    try:
        with np.load(path) as file:
            names = ("value", "image", "y", "x")
            best = {
                str(layer): Peaks(*(torch.from_numpy(file[f"{i}/{name}"]) for name in names))
                for i, layer in enumerate(file["layers"])
            }
            return int(file["done"]), best
    except (OSError, ValueError, KeyError, EOFError) as error:
        raise DeconvError(
            f"{path} is damaged ({error}): delete it, and it is mined again"
        ) from error
