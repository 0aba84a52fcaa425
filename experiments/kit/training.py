"""A training as an experiment: from a configuration, or on from where a run stopped."""

from __future__ import annotations

import contextlib
import dataclasses
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from deconv import distributed
from deconv.data import SPLITS, Squares, mean_image
from deconv.data.class_names import shown_names
from deconv.errors import DeconvError, UnreadableImage
from deconv.training import (
    Hooks,
    Recipe,
    check_classes,
    check_unused,
    fit,
    lock_folder,
    newest_intact,
    recipe_dict,
    rename_damaged,
    writing,
)
from deconv.training.snapshots import Snapshot, is_code, load_snapshot
from experiments.kit import provenance
from experiments.kit.inputs import (
    build_network,
    cached,
    data_name,
    data_settings,
    device,
    log,
    recipe_of,
    stored_side_px,
    uncached,
    workers,
)
from experiments.kit.printed import top1
from experiments.kit.provenance import changes, circumstances, device_kind, write_table, write_text
from experiments.kit.resume import go_on
from experiments.kit.signals import on_signals
from experiments.kit.watching import tensorboard, watcher

IMAGENET_MEAN, IMAGENET_STD = (123.7, 116.3, 103.5), (58.4, 57.1, 57.4)
"""Of red, green and blue over ImageNet, in 0…255."""


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
    opened = [uncached(cfg, split, side) for split in SPLITS]
    check_classes(*opened)  # before hours of caching
    train_data, val_data = (cached(cfg, *pair) for pair in zip(SPLITS, opened, strict=True))
    if start is None:
        state_input(cfg)
        net = build_network(cfg, len(train_data.classes))
    else:  # `go_on` has asked whether code may run
        net = dataclasses.replace(start, trusted=True).network()
    net = net.to(device(cfg))
    log(
        f"training {net.name} on {cfg.data.name}: {len(train_data)} images of "
        f"{len(train_data.classes)} classes, {len(val_data)} to validate, {recipe.epochs} epochs"
    )
    config = _config(cfg, recipe, train_data, val_data)
    rows: list[dict[str, Any]] = []
    if start is None:
        mean = mean_image(train_data, workers(cfg))
    else:
        _check_same_data(start, config, train_data.classes, cfg.get("changed_data", False))
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
    hooks = Hooks(on_epoch, now_and_then(), draw, lambda: stop["asked"], teller(train_data))
    return fit(net, train_data, val_data, mean, recipe, folder, config, hooks, start)


def state_input(cfg: DictConfig) -> None:
    """Say how a network of one's own (file:…) takes its images, where cfg.model does not.

    The mean is then that of the training images. What PyTorch draws first weights for are inputs of
    deviation 1, so the network divides as ImageNet's do, unless model.std says otherwise.
    """
    if is_code(cfg.model.name) and None in (cfg.model.mean, cfg.model.std):
        divides = cfg.model.std is None
        cfg.model.mean = cfg.model.mean or list(IMAGENET_MEAN)
        cfg.model.std = cfg.model.std or list(IMAGENET_STD)
        if divides:
            log(
                f"note: the network divides its images, pixels minus the training mean, by "
                f"{list(cfg.model.std)}: model.std=[1,1,1] divides by nothing, as the paper does"
            )


def _config(cfg: DictConfig, recipe: Recipe, data: Squares, val_data: Squares) -> dict[str, Any]:
    """What a snapshot remembers of its experiment."""
    settings = OmegaConf.to_container(cfg, resolve=True)
    if "changed_data" in settings:  # allowed once, not for good
        settings["changed_data"] = False
    return {
        "data": cfg.data.name,
        "training_images": len(data),
        "data_fingerprint": data.fingerprint(),
        "val_fingerprint": val_data.fingerprint(),
        "contents": {"train": data.contents(), "val": val_data.contents()},
        "data_settings": data_settings(cfg),
        "train": recipe_dict(recipe),
        "settings": settings | {"resume": None},
        "starts": [circumstances() | {"device": device_kind(device(cfg))}],
    }


def _check_same_data(
    start: Snapshot, config: dict[str, Any], classes: Sequence[str], changed: bool
) -> None:
    """Raise DeconvError where a run would go on with other data; changed: whether that is meant.

    Left out is what a snapshot of an older version does not say.
    """
    differing = []
    for images, split, key in (
        ("training images", "train", "data_fingerprint"),
        ("validation images", "val", "val_fingerprint"),
    ):
        before, now = (
            (one.get(key), one.get("contents", {}).get(split)) for one in (start.config, config)
        )
        if any(old not in (None, new) for old, new in zip(before, now, strict=True)):
            texts = ["-".join(filter(None, hashes)) for hashes in (now, before)]
            differing.append(f"the {images} ({texts[0]}, in the run {texts[1]})")
    names = shown_names(classes)
    pairs = enumerate(zip_longest(names, start.classes, fillvalue="none"))
    labels = [f"label {i} is {new}, in the run {old}" for i, (new, old) in pairs if new != old]
    differing += labels[:1]
    if not differing:
        return
    words = f"the data set is not that of the run: {'; '.join(differing)}"
    if len(names) != len(start.classes):
        raise DeconvError(f"{words}. Restore it, or train anew without resume")
    if not changed:
        raise DeconvError(
            f"{words}. Restore it, say where it is by data.root=, or, if the change is meant, add "
            "changed_data=true"
        )
    log(f"note: {words}")


def _check_same(start: Snapshot, config: dict[str, Any], recipe: Recipe) -> None:
    if start.epoch > recipe.epochs:
        raise DeconvError(
            f"train.epochs={recipe.epochs}, but the run has {start.epoch} finished epochs"
        )
    if found := changes(start.config["starts"][-1], config["starts"][-1]):
        log(
            f"note: going on with {', '.join(found)}; the last bits will differ from a run "
            "without a stop, as sums may be taken in another order"
        )


def teller(data: Squares) -> Callable[[list[int]], None]:
    """A hook that logs why images are skipped."""

    def tell(indices: list[int]) -> None:
        for index in indices:
            log(f"skipped: {_unreadable(data, index)}")

    return tell


def _unreadable(data: Squares, index: int) -> str:
    """What reading an image once more says."""
    try:
        data[index]
    except UnreadableImage as error:
        return str(error)
    return f"training image {index}, which can be read now"


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
    text = f"epoch {row['epoch']}/{epochs}: loss {row['train_loss']:.3f}, error while training "
    text += f"{row['train_error']:.1f} %"
    if "val_top1_error" in row:
        text += f", validation {top1(row['val_top1_error'])}"
    if "ten_crop_top1_error" in row:
        text += f", {top1(row['ten_crop_top1_error'], 'ten')}"
    if "skipped_images" in row:
        text += f", {row['skipped_images']} unreadable images skipped"
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
