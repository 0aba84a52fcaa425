"""Figure 4's pictures: the strongest units of the maps shown, projected at every snapshot.

In: the snapshots, the crops that were mined and the peaks found at each. Out: arrays a layer, maps
by snapshots, and facts about each snapshot for the sidecar.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from deconv.data import CentreCrops
from deconv.fields import unclipped_field
from deconv.mining.peak_views import peak_views
from deconv.networks import ChainNet
from deconv.records import Peaks
from deconv.studies.evolution import PeaksOverTime
from deconv.training.snapshots import load_snapshot, weights_hash
from experiments.kit.facts import measure_collisions
from experiments.kit.inputs import device, log


def project_course(
    cfg: DictConfig,
    paths: dict[int, Path],
    crops: CentreCrops,
    course: PeaksOverTime,
    maps: dict[str, torch.Tensor],
) -> tuple[ChainNet, dict[str, np.ndarray], list[dict[str, Any]]]:
    """The last network, <layer>/<field> of every PeakViews as M×T×…, facts about each snapshot."""
    columns: dict[str, list[dict[str, np.ndarray]]] = {layer: [] for layer in maps}
    net, steps = None, []
    for (epoch, path), peaks in zip(paths.items(), course, strict=True):
        net = None  # one network at a time
        snapshot = load_snapshot(path, cfg.model.name)
        net = snapshot.network().to(device(cfg))
        log(f"projecting the strongest units of {path.name}")
        for layer, chosen in maps.items():
            columns[layer].append(
                snapshot_column(net, crops, layer, peaks[layer], chosen, cfg.collisions)
            )
        facts = {"epoch": epoch, "file": path.name, "weights_sha256": weights_hash(net)}
        facts |= {"collision_rate": measure_collisions(net, crops), "metrics": snapshot.metrics}
        steps.append(facts)
    arrays = {
        f"{layer}/{name}": np.stack([part[name] for part in parts], axis=1)
        for layer, parts in columns.items()
        for name in parts[0]
    }
    return net, arrays, steps


def snapshot_column(
    net: ChainNet, crops: CentreCrops, layer: str, peaks: Peaks, maps: torch.Tensor, policy: str
) -> dict[str, np.ndarray]:
    """One snapshot of M maps: M×… of every field of PeakViews, blank where a map is dead."""
    side = net.input_px
    top, left, bottom, right = unclipped_field(net, layer, 0, 0, (side, side))
    canvas, count = (bottom - top, right - left), len(maps)
    out = {
        "value": np.zeros(count, np.float32),
        **{name: np.full(count, -1) for name in ("image", "y", "x")},
        "box": np.zeros((count, 4), int),
        "offset": np.zeros((count, 2), int),
        "projection": np.zeros((count, 3, *canvas), np.float32),
        "patch": np.zeros((count, 3, *canvas), np.uint8),
        "inside": np.zeros((count, *canvas), bool),
    }
    strongest = Peaks(*(field[:, :1] for field in vars(peaks).values()))
    live = (strongest.value[maps, 0] > 0).nonzero().flatten()
    if len(live):
        views = peak_views(
            net, crops, layer, strongest, maps[live], crops.picture, collisions=policy
        )
        for name, values in out.items():
            values[live.numpy()] = getattr(views, name)[:, 0].numpy()
    return out
