"""What lets a run be judged while it runs: a page of pictures, and TensorBoard if it is there."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from torch.utils.data import DataLoader, Subset

from deconv import figures
from deconv.atomic_files import unique
from deconv.data import CentreCrops, Squares
from deconv.errors import unknown
from deconv.networks import ChainNet
from deconv.training import Recipe
from deconv.training.monitoring import load_watch, save_watch, watch
from deconv.training.snapshots import Snapshot
from experiments.kit.inputs import log

PICTURES = ("each", "kept", "none")


def watcher(
    net: ChainNet,
    val_data: Squares,
    mean: Any,
    recipe: Recipe,
    folder: Path,
    data_name: str,
    pictures: str = "kept",
    images: int = 64,
) -> Callable[[Snapshot, Path], None]:
    """A hook that draws folder/watch/epoch_NNN.png at each snapshot at the end of an epoch.

    A page that is there already stays as it is.
    pictures: "each" of them, only those that are "kept" for good, or "none".
    images: how many validation images, evenly spaced, dead maps are looked for on.
    """
    if pictures not in PICTURES:
        raise unknown("choice of pictures", pictures, PICTURES)
    crops = CentreCrops(val_data, mean, net.input_px)
    chosen = np.linspace(0, len(crops) - 1, min(images, len(crops))).round().astype(int)
    loader = DataLoader(Subset(crops, chosen.tolist()), batch_size=16)
    kept = {0, *recipe.snapshot_epochs, recipe.epochs}

    def draw(snapshot: Snapshot, path: Path) -> None:
        skipped = pictures == "kept" and snapshot.epoch not in kept
        there = folder / "watch"
        drawn = there / f"{path.stem}.png"
        if snapshot.progress or skipped or pictures == "none" or drawn.exists():
            return
        try:
            write(snapshot, there, path.stem)
        except Exception as error:  # whatever it is, the run is worth more than its pictures
            log(f"note: {drawn} was not drawn ({error}); the run goes on")

    def write(snapshot: Snapshot, there: Path, stem: str) -> None:
        saved = save_watch(there / f"{stem}.npz", watch(net, loader))
        page = figures.training_page(
            snapshot.history,
            load_watch(saved),
            f"{net.name} on {data_name}",
            f"after epoch {snapshot.epoch} of {recipe.epochs}; {len(chosen)} of {len(crops)} "
            "validation images watched",
            snapshot_epochs=recipe.snapshot_epochs,
            max_rms=recipe.max_rms,
            updates_per_epoch=snapshot.step // snapshot.epoch if snapshot.epoch else None,
        )
        name = f".{stem}.{unique()}"
        half = there / f"{name}.png"
        try:
            with figures.look(figures.Look(formats=["png"], dpi=150)):  # for a screen
                figures.save(page, there, name)
            os.replace(half, there / f"{stem}.png")
        finally:
            half.unlink(missing_ok=True)

    return draw


def tensorboard(folder: Path, finished: int) -> Callable[[dict[str, Any]], None]:
    """A hook that writes each epoch's metrics for TensorBoard; does nothing where it is missing.

    Where it fails, a line says so, and nothing more is written for it.

    finished: epochs that are done; what an interrupted run wrote beyond them is taken back.
    """
    if importlib.util.find_spec("tensorboard") is None:
        return lambda row: None
    writer: Any = None
    failed = False

    def hook(row: dict[str, Any]) -> None:
        nonlocal failed
        if not failed:
            try:
                write(row)
            except Exception as error:  # also of its installation; the run is worth more
                failed = True
                log(f"note: nothing more is written for TensorBoard ({error}); the run goes on")

    def write(row: dict[str, Any]) -> None:
        nonlocal writer
        if writer is None:
            from torch.utils.tensorboard import SummaryWriter

            purge = finished + 1 if finished else None
            writer = SummaryWriter(folder / "tensorboard", purge_step=purge)
        for name, value in row.items():
            if name != "epoch" and value is not None:
                group = "renormalised" if name.startswith("renormalised_") else "metrics"
                writer.add_scalar(
                    f"{group}/{name.removeprefix('renormalised_')}", value, row["epoch"]
                )
        writer.flush()

    return hook
