"""The end-of-epoch snapshots of one training."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch

from deconv.errors import DeconvError
from deconv.training.run_folder import snapshots
from deconv.training.snapshots import Snapshot, load_snapshot


def epoch_ends(folder: str | Path) -> dict[int, Path]:
    """Map each epoch to the snapshot at its end in a run's folder; 0 is untrained.

    Raises:
        DeconvError: if the folder is missing or has no such snapshot.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise DeconvError(
            f"there is no run folder {folder}: name the folder of a training, which "
            "experiments.train prints last"
        )
    ends = {int(p.stem.split("_")[1]): p for p in snapshots(folder) if "_step_" not in p.stem}
    if not ends:
        raise DeconvError(
            f"{folder} holds no epoch_NNN.pt, so it is not the folder of a training: name one "
            "that experiments.train printed"
        )
    return ends


def same_training(paths: Mapping[int, Path]) -> Snapshot:
    """Check that snapshots are intact and belong to one training; return the last.

    Worth its seconds before hours of work on them. One snapshot is in memory at a time.

    Args:
        paths: epoch -> file, at least one.

    Returns:
        The last snapshot, without weights and optimizer.

    Raises:
        DeconvError: naming a snapshot that is damaged, of another epoch than its name says, or of
            another network or mean image than those before it.
    """
    last: Snapshot | None = None
    for epoch, path in paths.items():
        snapshot = load_snapshot(path)
        if snapshot.epoch != epoch:
            raise DeconvError(f"{path} holds the end of epoch {snapshot.epoch}: rename it")
        if last and (
            snapshot.settings() != last.settings() or not torch.equal(snapshot.mean, last.mean)
        ):
            raise DeconvError(
                f"{path} is of another training than the snapshots before it (another network or "
                "mean image): name a folder that holds one training"
            )
        last = dataclasses.replace(snapshot, weights={}, optimizer=None)
        del snapshot  # frees its weights before the next ones are read
    assert last is not None
    return last
