"""The run itself: epochs of updates, validation, snapshots; from the start or from a snapshot."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from deconv import distributed
from deconv.data.crops import CentreCrops, Squares
from deconv.errors import DeconvError, Interrupted
from deconv.networks import ChainNet
from deconv.training.evaluation import TEST_CROPS, Accuracy, evaluate
from deconv.training.recipe import Recipe
from deconv.training.run_folder import check_unused, keep, settle, snapshot_name
from deconv.training.schedule import learning_rate
from deconv.training.snapshots import Snapshot, load_weights
from deconv.training.updates import Updates, loader


def _nothing(*_: object) -> None:
    """The hook that nobody set."""


@dataclass(frozen=True)
class Hooks:
    """What a run calls on its way, in process 0.

    epoch:    with the metrics of each finished epoch.
    update:   after each update, with its epoch, its number in it, the epoch's number of updates,
              and the mean loss of the epoch so far.
    snapshot: with each snapshot and its path, after it is written; again with the one that a run
              goes on from, as the run may have ended before or within the first call.
    stop:     asked after each update (in every process); true saves and ends the run.
    """

    epoch: Callable[[dict[str, Any]], None] = _nothing
    update: Callable[[int, int, int, float], None] = _nothing
    snapshot: Callable[[Snapshot, Path], None] = _nothing
    stop: Callable[[], bool] = lambda: False


class _Stopped(Exception):
    """Validation was asked to stop."""


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
    """Train `net` where it lies (its device) and leave snapshots in `folder`.

    train_data, val_data: data sets of uint8 squares. mean: their 3×S×S training mean.
    start: a snapshot of this run to go on from; the result is that of a run without a stop, to
        the last bit on a CPU of the same kind, with the same PyTorch and as many threads, for
        any number of `recipe.workers`.
    Under torchrun (`deconv.distributed.group`) the processes divide each batch among them;
    process 0 writes, also after the last update of an epoch. Snapshots: see
    `deconv.training.run_folder`; the first is the untrained network's. The metrics of an epoch:
    lr, train_loss, train_error, images_per_second, how many filters were renormalised
    (renormalised_<layer>), and where there was a validation val_loss, val_top1_error,
    val_top5_error, val_mean_class_accuracy; after the last epoch ten_crop_… too.
    Errors and accuracies are in percent.

    Returns the last snapshot. Raises DeconvError if the folder holds another run or the loss is
    not finite (before the update, naming the batch); Interrupted after a stop was asked for.
    """
    run = _Run(net, train_data, val_data, mean, recipe, folder, config or {}, hooks or Hooks())
    if start is not None:
        run.restore(start)
        run.settle(start)
    elif distributed.rank() == 0:
        check_unused(folder)
        run.save()
    while run.epoch < recipe.epochs:
        run.train_epoch()
        run.validate()
        run.save()
    net.eval()
    return run.snapshot()


class _Run:
    """A training in progress: its updates, and how far they are."""

    def __init__(
        self,
        net: ChainNet,
        train_data: Squares,
        val_data: Squares,
        mean: torch.Tensor,
        recipe: Recipe,
        folder: Path,
        config: dict[str, Any],
        hooks: Hooks,
    ) -> None:
        _check_classes(net, train_data, val_data)
        self.net, self.recipe, self.folder, self.hooks = net, recipe, folder, hooks
        self.val_data, self.mean = val_data, mean
        self.details: dict[str, Any] = {
            "mean": mean,
            "classes": list(train_data.classes),
            "config": config,
        }
        self.updates = Updates(net, train_data, mean, recipe)
        self.epoch, self.step = 0, 0
        self.history: list[dict[str, Any]] = []
        self.progress: dict[str, Any] = {}
        self.images_per_second: float | None = None

    def restore(self, start: Snapshot) -> None:
        """Become the run that wrote `start`."""
        load_weights(self.net, start.weights)
        assert start.optimizer is not None
        self.updates.optimizer.load_state_dict(copy.deepcopy(start.optimizer))
        self.epoch, self.step = start.epoch, start.step
        self.history = [dict(row) for row in start.history]
        self.progress = copy.deepcopy(start.progress)

    def snapshot(self) -> Snapshot:
        """All of it, as it is now."""
        weights = {
            name: value.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, value in self.net.state_dict().items()
        }
        return Snapshot(
            recipe=self.net.recipe,
            weights=weights,
            epoch=self.epoch,
            step=self.step,
            optimizer=self.updates.optimizer.state_dict(),
            metrics=dict(self.history[-1]) if self.history else {},
            history=[dict(row) for row in self.history],
            progress=copy.deepcopy(self.progress),
            **self.details,
        )

    def save(self) -> None:
        """Write a snapshot, in process 0."""
        if distributed.rank() > 0:
            return
        snapshot = self.snapshot()
        path = keep(self.folder, snapshot, *self._wishes())
        self.hooks.snapshot(snapshot, path)

    def settle(self, start: Snapshot) -> None:
        """Finish the saving of `start`, in process 0, should the run have ended in it."""
        # A library user may go on in another folder than the one that `start` was saved in.
        path = self.folder / snapshot_name(start)
        if distributed.rank() == 0 and path.exists():
            settle(self.folder, start, *self._wishes())
            self.hooks.snapshot(start, path)

    def _wishes(self) -> tuple[tuple[int, ...], int, bool]:
        """What `keep` is to keep: epochs, how many of the newest, and whether plain weights too."""
        recipe = self.recipe
        stays = self.epoch == recipe.epochs or self.epoch in recipe.snapshot_epochs
        return recipe.snapshot_epochs, recipe.keep_last, stays and not self.progress

    def train_epoch(self) -> None:
        """The updates of the next epoch, or those that are left of it."""
        recipe, epoch, batches = self.recipe, self.epoch + 1, self.updates.batches
        self.progress = self.progress or self.updates.new_progress()
        self.updates.begin(epoch, self.progress)
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
            part = self.progress["step"] / batches.count
            rate = learning_rate(recipe, epoch, self.history, part)
            stop = self.updates.update(self.progress, rate, images, target, self.hooks.stop)
            self.step += 1
            loss = self.progress["loss"] / self.progress["seen"]
            bar.set_postfix(loss=f"{loss:.3f}")
            if distributed.rank() == 0:
                self.hooks.update(epoch, self.progress["step"], batches.count, loss)
            # Several processes cannot stop within the validation that follows.
            due = distributed.ranks() > 1 and self.progress["step"] == batches.count
            if stop or due or (recipe.save_steps and self.step % recipe.save_steps == 0):
                self.updates.count(self.progress)
                self.save()
            if stop:
                self._interrupt()
        self.updates.count(self.progress)
        seen = self.progress["seen"] - before
        self.images_per_second = seen / (time.perf_counter() - started) if seen else None

    def _interrupt(self) -> None:
        raise Interrupted(
            f"stopped in epoch {self.epoch + 1} after {self.progress['step']} of "
            f"{self.updates.batches.count} updates, and saved: go on with resume={self.folder}"
        )

    def validate(self) -> None:
        """Close the epoch: its metrics, with a validation where one is due."""
        recipe, progress, epoch = self.recipe, self.progress, self.epoch + 1
        row = {
            "epoch": epoch,
            "lr": learning_rate(recipe, epoch, self.history),
            "train_loss": progress["loss"] / progress["seen"],
            "train_error": 100 - 100 * progress["hits"] / progress["seen"],
            "images_per_second": self.images_per_second,
        }
        row |= {f"renormalised_{name}": n for name, n in progress["renormalised"].items()}
        try:
            if epoch % recipe.eval_every == 0 or epoch == recipe.epochs:
                row |= _metrics("val", self._accuracy(CentreCrops, recipe.batch_size))
            if epoch == recipe.epochs and recipe.test_crops == "ten":
                row |= _metrics("ten_crop", self._accuracy(*TEST_CROPS["ten"]))
        except _Stopped:
            self.save()
            self._interrupt()
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
        # Alone, one can stop at any batch; several processes meet again after the validation.
        if distributed.ranks() == 1 and self.hooks.stop():
            raise _Stopped


def _metrics(prefix: str, accuracy: Accuracy) -> dict[str, float]:
    found = asdict(accuracy)
    return {
        f"{prefix}_top1_error": 100 - found["top1"],
        f"{prefix}_top5_error": 100 - found["top5"],
        f"{prefix}_mean_class_accuracy": found["mean_class"],
        f"{prefix}_loss": found["loss"],
    }


def _check_classes(net: ChainNet, train_data: Squares, val_data: Squares) -> None:
    if isinstance(train_data.targets, torch.Tensor) and train_data.targets.dim() > 1:
        raise DeconvError("these images have several labels each; training takes one an image")
    if list(train_data.classes) != list(val_data.classes):
        differing = sorted(set(train_data.classes) ^ set(val_data.classes))[:5]
        raise DeconvError(
            "training and validation have different classes: "
            f"{', '.join(differing) or 'the same in another order'}"
        )
    if net.classes < len(train_data.classes):
        raise DeconvError(
            f"{net.name} has {net.classes} outputs for {len(train_data.classes)} classes"
        )
