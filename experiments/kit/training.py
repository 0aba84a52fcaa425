"""A training as an experiment: from a configuration, or on from where a run stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from deconv import distributed
from deconv.data import Squares, mean_image
from deconv.errors import DeconvError
from deconv.training import (
    Hooks,
    Recipe,
    check_unused,
    fit,
    lock_folder,
    newest_intact,
    recipe_dict,
    rename_damaged,
    writing,
)
from deconv.training.snapshots import Snapshot, load_snapshot
from experiments.kit import provenance
from experiments.kit.inputs import (
    build_network,
    data_name,
    data_settings,
    device,
    log,
    recipe_of,
    squares,
    stored_side_px,
    workers,
)
from experiments.kit.provenance import changes, circumstances, device_kind, write_table, write_text
from experiments.kit.resume import go_on
from experiments.kit.signals import on_signals
from experiments.kit.watching import tensorboard, watcher


def train_network(
    cfg: DictConfig, folder: Path, overrides: Sequence[str] | None = None
) -> Snapshot:
    """Train cfg.model on cfg.data by cfg.train; snapshots and metrics.csv go to `folder`.

    With cfg.resume it goes on from the newest snapshot of `folder` that is intact, by the
    configuration saved there. overrides: what was asked to be otherwise then, as `key=value`;
    None: the command's own arguments.
    """
    if overrides is None:
        overrides = provenance.overrides()
    with contextlib.ExitStack() as stack:
        if distributed.rank() == 0:
            stack.enter_context(lock_folder(folder))
        stop = stack.enter_context(stop_signals())
        path = start = None
        if cfg.get("resume"):
            cfg, path, start = _resumed(cfg, folder, overrides)
        elif distributed.rank() == 0:
            check_unused(folder)
        return _train(cfg, folder, path, start, stop)


def _resumed(
    cfg: DictConfig, folder: Path, overrides: Sequence[str]
) -> tuple[DictConfig, Path, Snapshot]:
    """The configuration and the snapshot to go on with; every process reads the same one."""
    if distributed.rank() == 0:
        path, start = newest_intact(folder, log)
        distributed.from_first(path)
    else:
        path = distributed.from_first(None)
        start = load_snapshot(path)
    starts = start.config.get("starts") or [{}]
    commit = starts[-1].get("commit", "unknown")
    cfg = go_on(start.config.get("settings", {}), cfg, overrides, commit=commit)
    log(f"going on from {path.name}: {start.epoch} epochs and {_within(start)} updates are done")
    return cfg, path, start


def _within(start: Snapshot) -> int:
    return start.progress.get("step", 0)


def _train(
    cfg: DictConfig,
    folder: Path,
    path: Path | None,
    start: Snapshot | None,
    stop: dict[str, bool],
) -> Snapshot:
    """Train by cfg, on from `start` (which lies at `path`) if there is one."""
    recipe = recipe_of(cfg)
    side = stored_side_px(cfg, start)
    train_data, val_data = (squares(cfg, split, side) for split in ("train", "val"))
    if start is None:
        net = build_network(cfg, len(train_data.classes))
    else:  # `go_on` has asked whether code may run
        net = dataclasses.replace(start, trusted=True).network()
    net = net.to(device(cfg))
    log(
        f"training {net.name} on {cfg.data.name}: {len(train_data)} images of "
        f"{len(train_data.classes)} classes, {len(val_data)} to validate, {recipe.epochs} epochs"
    )
    config = _config(cfg, recipe, train_data)
    rows: list[dict[str, Any]] = []
    if start is None:
        mean = mean_image(train_data, workers(cfg))
    else:
        _check_same(start, config, recipe)
        mean, rows = start.mean, [dict(row) for row in start.history]
        config["starts"] = start.config.get("starts", []) + config["starts"]

    draw = watcher(
        net,
        val_data,
        mean,
        recipe,
        folder,
        data_name(cfg),
        cfg.get("pictures", "none"),
        cfg.get("watch_images", 64),
    )
    board = tensorboard(folder, len(rows)) if distributed.rank() == 0 else None

    def on_epoch(row: dict[str, Any]) -> None:
        rows.append(row)
        with writing(folder / "metrics.csv"):
            write_table(folder / "metrics.csv", rows)
        board(row)
        log(line(row, recipe.epochs))

    if distributed.rank() == 0:
        if start is not None:
            rename_damaged(folder, path)
            with writing(folder / "metrics.csv"):
                write_table(folder / "metrics.csv", rows)
        with writing(folder / "config.yaml"):
            settings = OmegaConf.to_yaml(cfg, resolve=True)
            write_text(folder / "config.yaml", settings)
    hooks = Hooks(on_epoch, now_and_then(), draw, lambda: stop["asked"])
    return fit(net, train_data, val_data, mean, recipe, folder, config, hooks, start)


def _config(cfg: DictConfig, recipe: Recipe, data: Squares) -> dict[str, Any]:
    """What a snapshot remembers of its experiment."""
    settings = OmegaConf.to_container(cfg, resolve=True)
    return {
        "data": cfg.data.name,
        "training_images": len(data),
        "data_fingerprint": data.fingerprint(),
        "data_settings": data_settings(cfg),
        "train": recipe_dict(recipe),
        "settings": settings | {"resume": None},
        "starts": [circumstances() | {"device": device_kind(device(cfg))}],
    }


def _check_same(start: Snapshot, config: dict[str, Any], recipe: Recipe) -> None:
    before, now = start.config["data_fingerprint"], config["data_fingerprint"]
    if before != now:
        raise DeconvError(
            f"the training images are not those of the run (fingerprint {now}, of the run "
            f"{before}): set data.root to where they are"
        )
    if start.epoch > recipe.epochs:
        raise DeconvError(
            f"train.epochs={recipe.epochs}, but the run has {start.epoch} finished epochs"
        )
    if found := changes(start.config["starts"][-1], config["starts"][-1]):
        log(
            f"note: going on with {', '.join(found)}; the last bits will differ from a run "
            "without a stop, as sums may be taken in another order"
        )


def now_and_then(seconds: float = 300.0) -> Callable[[int, int, int, float], None]:
    """A hook that logs a line within long epochs, where no terminal shows a bar."""
    last = time.monotonic()

    def write(epoch: int, step: int, steps: int, loss: float) -> None:
        nonlocal last
        if time.monotonic() - last >= seconds and not sys.stderr.isatty():
            last = time.monotonic()
            log(f"epoch {epoch}, update {step}/{steps}: loss {loss:.3f}")

    return write


def line(row: dict[str, Any], epochs: int) -> str:
    """One epoch for people."""
    text = f"epoch {row['epoch']}/{epochs}: loss {row['train_loss']:.3f}, error: training "
    text += f"{row['train_error']:.1f} %"
    if "val_top1_error" in row:
        text += f", validation {row['val_top1_error']:.1f} %"
    if "ten_crop_top1_error" in row:
        text += f", with ten crops {row['ten_crop_top1_error']:.1f} %"
    speed = row["images_per_second"]
    return text + (f" ({speed:.0f} images/s)" if speed else "")


@contextlib.contextmanager
def stop_signals() -> Iterator[dict[str, bool]]:
    """Within it the first of SIGNALS sets "asked"; a second one acts as it would without."""
    asked = {"asked": False}

    def note(number: int, before: Any) -> None:
        asked["asked"] = True
        signal.signal(number, before)

    with on_signals(note):
        yield asked
