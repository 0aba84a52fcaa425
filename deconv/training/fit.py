"""The training loop: epochs of updates, validation and snapshots, from scratch or resumed."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from deconv import distributed
from deconv.data.crops import CentreCrops, Squares
from deconv.data.workers import worker_deaths
from deconv.errors import DeconvError, Interrupted, some
from deconv.networks import ChainNet
from deconv.training.evaluation import TEST_CROPS, Accuracy, evaluate
from deconv.training.recipe import Recipe
from deconv.training.run_folder import (
    check_room,
    check_unused,
    most_kept,
    rotate,
    save_rotating,
    snapshot_name,
)
from deconv.training.schedule import learning_rate
from deconv.training.snapshots import Snapshot, load_weights
from deconv.training.updates import Updates, loader


def _ignore(*_: object) -> None:
    """Default hook."""


@dataclass(frozen=True)
class Hooks:
    """Callbacks of a run, in process 0 except `stop`.

    Attributes:
        epoch: called with the metrics of each finished epoch.
        update: called after each update with the epoch, the update's number in it, the epoch's
            number of updates, and the epoch's mean loss so far.
        snapshot: called with each snapshot and its path once it is written. On resuming it is
            called again for the snapshot resumed from, in case the run died before or in that call.
        skipped: called with the indices of training images that are left out for the first time,
            being unreadable.
        stop: polled after each update in every process; if true, the run saves and ends.
    """

    epoch: Callable[[dict[str, Any]], None] = _ignore
    update: Callable[[int, int, int, float], None] = _ignore
    snapshot: Callable[[Snapshot, Path], None] = _ignore
    stop: Callable[[], bool] = lambda: False
    skipped: Callable[[list[int]], None] = _ignore


class _Stopped(Exception):
    """The stop hook returned true during validation."""


def fit(
    net: ChainNet,
    train_data: Squares,
    val_data: Squares,
    mean: torch.Tensor,
    recipe: Recipe,
    folder: Path,
    config: dict[str, Any] | None = None,
    hooks: Hooks | None = None,
    start: Snapshot | None = None,
) -> Snapshot:
    """Train `net` on its current device, writing snapshots to `folder`.

    Under torchrun (`deconv.distributed.group`) the processes split each batch and process 0
    writes, also after the last update of an epoch. The first snapshot is of the untrained network.

    Metrics of an epoch: lr, train_loss, train_error, images_per_second, the number of filters
    renormalised (renormalised_<layer>); where it was validated val_loss, val_top1_error,
    val_top5_error, val_mean_class_accuracy; after the last epoch the same as ten_crop_….
    Errors and accuracies are in percent. Also skipped_images, if any were.

    Args:
        train_data, val_data: data sets of uint8 squares.
        mean: 3×S×S training mean.
        config: plain data to store in the snapshots.
        start: snapshot of this run to resume from. Resuming is bit-exact on a CPU of the same
            kind with the same PyTorch and number of threads, for any `recipe.workers`.

    Returns:
        The last snapshot.

    Raises:
        DeconvError: if the folder holds another run; if a loss, gradient, weight or answer is not
            finite (names the batch; nothing is saved after it); or if a loading worker died.
        Interrupted: after `hooks.stop` returned true and the run was saved.
    """
    run = _Run(net, train_data, val_data, mean, recipe, folder, config or {}, hooks or Hooks())
    with worker_deaths(f"go on with resume={folder}"):
        if start is not None:
            run.restore(start)
        elif distributed.rank() == 0:
            check_unused(folder)
        if distributed.rank() == 0:
            run.check_room()
        if start is None:
            run.save()
        while run.epoch < recipe.epochs:
            run.train_epoch()
            run.validate()
            run.save()
    net.eval()
    return run.snapshot()


@dataclass
class _Run:
    """A training in progress."""

    net: ChainNet
    train_data: Squares
    val_data: Squares
    mean: torch.Tensor
    recipe: Recipe
    folder: Path
    config: dict[str, Any]
    hooks: Hooks
    epoch: int = 0
    step: int = 0
    history: list[dict[str, Any]] = field(default_factory=list)
    progress: dict[str, Any] = field(default_factory=dict)
    images_per_second: float | None = None

    def __post_init__(self) -> None:
        check_classes(self.train_data, self.val_data)
        if self.net.classes < (classes := len(self.train_data.classes)):
            raise DeconvError(
                f"{self.net.name} has {self.net.classes} outputs for {classes} classes"
            )
        self.updates = Updates(self.net, self.train_data, self.mean, self.recipe)

    def restore(self, start: Snapshot) -> None:
        """Load the state of `start` and finish saving it, should the run have died doing so."""
        load_weights(self.net, start.weights)
        assert start.optimizer is not None
        self.updates.optimizer.load_state_dict(copy.deepcopy(start.optimizer))
        self.epoch, self.step = start.epoch, start.step
        self.history = [dict(row) for row in start.history]
        self.progress = copy.deepcopy(start.progress)
        # A library user may resume in another folder than the one `start` was saved in.
        path = self.folder / snapshot_name(start)
        if distributed.rank() == 0 and path.exists():
            rotate(self.folder, start, *self._retention())
            self.hooks.snapshot(start, path)

    def snapshot(self) -> Snapshot:
        """Copy the current state."""
        weights = {
            name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, value in self.net.state_dict().items()
        }
        return Snapshot(
            recipe=self.net.recipe,
            weights=weights,
            mean=self.mean,
            classes=list(self.train_data.classes),
            epoch=self.epoch,
            step=self.step,
            optimizer=self.updates.optimizer.state_dict(),
            config=self.config,
            metrics=dict(self.history[-1]) if self.history else {},
            history=[dict(row) for row in self.history],
            progress=copy.deepcopy(self.progress),
        )

    def check_room(self) -> None:
        """Raise DeconvError unless the disk has room for all snapshots that will be there."""
        recipe = self.recipe
        weights = sum(v.numel() * v.element_size() for v in self.net.state_dict().values())
        moments = 2 if recipe.optimizer == "adamw" else int(recipe.momentum > 0)
        mean = self.mean.numel() * self.mean.element_size()
        counts = most_kept(recipe.epochs, recipe.snapshot_epochs, recipe.keep_last)
        check_room(self.folder, counts, weights, weights * (1 + moments) + mean)

    def save(self) -> None:
        """Write a snapshot, in process 0."""
        if distributed.rank() == 0:
            snapshot = self.snapshot()
            path = save_rotating(self.folder, snapshot, *self._retention())
            self.hooks.snapshot(snapshot, path)

    def _retention(self) -> tuple[tuple[int, ...], int, bool]:
        """The last three arguments of `rotate`."""
        recipe = self.recipe
        permanent = self.epoch == recipe.epochs or self.epoch in recipe.snapshot_epochs
        return recipe.snapshot_epochs, recipe.keep_last, permanent and not self.progress

    def train_epoch(self) -> None:
        """Run the updates of the next epoch, or what is left of it."""
        recipe, epoch, batches = self.recipe, self.epoch + 1, self.updates.batches
        self.progress = self.progress or self.updates.new_progress()
        self.updates.start_epoch(epoch, self.progress)
        started, before = time.perf_counter(), self.progress["seen"]
        bar = tqdm(
            self.updates.loader,
            f"epoch {epoch}/{recipe.epochs}",
            total=batches.count,
            initial=batches.first,
            leave=False,
            disable=True if distributed.rank() else None,
        )
        for images, target in bar:
            rate = learning_rate(recipe, epoch, self.history, self.progress["step"] / batches.count)
            stop = self.updates.update(self.progress, rate, images, target, self.hooks.stop)
            self.step += 1
            loss = self.progress["loss"] / self.progress["seen"]
            bar.set_postfix(loss=f"{loss:.3f}")
            if distributed.rank() == 0:
                if self.updates.newly_skipped:
                    self.hooks.skipped(self.updates.newly_skipped)
                self.hooks.update(epoch, self.progress["step"], batches.count, loss)
            # Several processes cannot stop during the validation that follows, so save before it.
            due = distributed.ranks() > 1 and self.progress["step"] == batches.count
            if stop or due or (recipe.save_steps and self.step % recipe.save_steps == 0):
                self.updates.settle(self.progress)
                self.save()
            if stop:
                raise self._interrupted()
        self.updates.settle(self.progress)
        seen = self.progress["seen"] - before
        self.images_per_second = seen / (time.perf_counter() - started) if seen else None

    def _interrupted(self) -> Interrupted:
        return Interrupted(
            f"stopped in epoch {self.epoch + 1} after {self.progress['step']} of "
            f"{self.updates.batches.count} updates, and saved: go on with resume={self.folder}"
        )

    def validate(self) -> None:
        """Close the epoch: validate where due and append its metrics to the history."""
        recipe, progress, epoch = self.recipe, self.progress, self.epoch + 1
        row = {
            "epoch": epoch,
            "lr": learning_rate(recipe, epoch, self.history),
            "train_loss": progress["loss"] / progress["seen"],
            "train_error": 100 - 100 * progress["hits"] / progress["seen"],
            "images_per_second": self.images_per_second,
        }
        row |= {f"renormalised_{name}": n for name, n in progress["renormalised"].items()}
        if "skipped" in progress:
            row["skipped_images"] = progress["skipped"]
        try:
            if epoch % recipe.eval_every == 0 or epoch == recipe.epochs:
                row |= _metrics("val", self._accuracy(CentreCrops, recipe.batch_size))
            if epoch == recipe.epochs and recipe.test_crops == "ten":
                row |= _metrics("ten_crop", self._accuracy(*TEST_CROPS["ten"]))
        except _Stopped:
            self.save()
            raise self._interrupted() from None
        self.history.append(row)
        self.epoch, self.progress = epoch, {}
        if distributed.rank() == 0:
            self.hooks.epoch(row)

    def _accuracy(self, crops: type, batch_size: int) -> Accuracy:
        data = crops(self.val_data, self.mean, self.net.input_px)
        share = distributed.Share(data, batch_size)
        batches = loader(share, self.recipe, self.updates.device, batch_size=batch_size)
        return evaluate(self.net, batches, self.recipe.precision, self._check_stop)

    def _check_stop(self) -> None:
        # A single process can stop at any batch; several only synchronise after the validation.
        if distributed.ranks() == 1 and self.hooks.stop():
            raise _Stopped


def _metrics(prefix: str, accuracy: Accuracy) -> dict[str, float]:
    return {
        f"{prefix}_top1_error": 100 - accuracy.top1,
        f"{prefix}_top5_error": 100 - accuracy.top5,
        f"{prefix}_mean_class_accuracy": accuracy.mean_class,
        f"{prefix}_loss": accuracy.loss,
    }


def check_classes(train_data: Squares, val_data: Squares) -> None:
    """Raise DeconvError unless both have the same two or more classes, none without an image."""
    if isinstance(train_data.targets, torch.Tensor) and train_data.targets.dim() > 1:
        raise DeconvError("these images have several labels each; training takes one an image")
    classes, validated = list(train_data.classes), list(val_data.classes)
    if only := [name for name in classes if name not in validated]:
        raise DeconvError(f"the validation images lack the classes {some(only)}: add them")
    if only := [name for name in validated if name not in classes]:
        raise DeconvError(f"the training images lack the classes {some(only)} of the validation")
    if classes != validated:
        raise DeconvError("training and validation have the same classes in another order")
    if len(classes) < 2:
        raise DeconvError(f"there is 1 class, {classes[0]}: training tells two or more apart")
    for which, data in (("training", train_data), ("validation", val_data)):
        counts = torch.bincount(torch.as_tensor(data.targets), minlength=len(classes)).tolist()
        if none := [name for name, count in zip(classes, counts, strict=True) if not count]:
            raise DeconvError(
                f"there is no {which} image of the classes {some(none)}: each needs one to train "
                "on and another to validate on; add images, or remove the classes"
            )
