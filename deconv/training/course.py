"""The course of one training: its snapshots at the ends of epochs, read one after the other."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path

import torch

from deconv.errors import DeconvError
from deconv.training.run_folder import snapshots
from deconv.training.snapshots import Snapshot, load_snapshot


def epoch_ends(folder: str | Path) -> dict[int, Path]:
    """Epoch -> the snapshot at its end, of those that a run's folder holds; 0 is untrained.

    Snapshots within epochs are left out. Raises DeconvError for a folder that is not there or
    holds none.
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
    """The last of some snapshots without weights, once all are read and found to belong together.

    paths: epoch -> file, at least one. One snapshot is in memory at a time. Worth its seconds
    before hours of work on all of them: raises DeconvError naming the one that is damaged, of
    another epoch than it says, or of another network or mean image than those before it.
    """
    kept: Snapshot | None = None
    for epoch, path in paths.items():
        snapshot = load_snapshot(path)
        if snapshot.epoch != epoch:
            raise DeconvError(f"{path} holds the end of epoch {snapshot.epoch}: rename it")
        if kept and (
            snapshot.settings() != kept.settings() or not torch.equal(snapshot.mean, kept.mean)
        ):
            raise DeconvError(
                f"{path} is of another training than the snapshots before it (another network or "
                "mean image): name a folder that holds one training"
            )
        kept = dataclasses.replace(snapshot, weights={}, optimizer=None)
        del snapshot  # or its weights would stay while the next ones are read
    assert kept is not None
    return kept
