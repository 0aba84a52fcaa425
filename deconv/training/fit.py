"""The run itself: epochs of updates, validation, snapshots; from the start or from a snapshot."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset
from tqdm import tqdm

from deconv import distributed
from deconv.data.crops import Batches, CentreCrops, Squares, TenCrops, TrainingCrops
from deconv.dropout import dropout_keys, with_keys
from deconv.errors import DeconvError, Interrupted
from deconv.evaluation import Accuracy, autocast, evaluate
from deconv.models import ChainNet
from deconv.snapshots import Snapshot, load_weights
from deconv.training.recipe import Recipe
from deconv.training.renormalisation import conv_layers, rescale
from deconv.training.run_folder import keep, snapshots
from deconv.training.schedule import learning_rate

TEN_BATCH = 8
"""Images a batch when each is ten sub-crops."""


def _nothing(*_: object) -> None:
    """The hook that nobody set."""


@dataclass(frozen=True)
class Hooks:
    """What a run calls on its way, in process 0.

    epoch:    with the metrics of each finished epoch.
    snapshot: with each snapshot and its path, after it is written.
    stop:     asked after each update (in every process); true saves and ends the run.
    """

    epoch: Callable[[dict[str, Any]], None] = _nothing
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
        the last bit on a CPU, for any number of `recipe.workers`.
    Under torchrun (`deconv.distributed.group`) the processes divide each batch among them;
    process 0 writes. Snapshots: see `deconv.training.run_folder`; the first is the untrained
    network's. The metrics of an epoch: lr, train_loss, train_error, images_per_second, how many
    filters were renormalised (renormalised_<layer>), and where there was a validation val_loss,
    val_top1_error, val_top5_error, val_mean_class_accuracy; after the last epoch ten_crop_… too.
    Errors and accuracies are in percent.

    Returns the last snapshot. Raises DeconvError if the folder holds another run or the loss is
    not finite (before the update, naming the batch); Interrupted after a stop was asked for.
    """
    run = Run(net, train_data, val_data, mean, recipe, folder, config or {}, hooks or Hooks())
    if start is not None:
        run.restore(start)
    elif distributed.rank() == 0:
        if folder.is_dir() and snapshots(folder):
            raise DeconvError(
                f"{folder} already holds the snapshots of a run: go on with resume={folder}, or "
                "train in another folder"
            )
        run.save()
    while run.epoch < recipe.epochs:
        run.train_epoch()
        run.validate()
        run.save()
    net.eval()
    return run.snapshot()


class Run:
    """A training in progress: the network, the optimizer, and how far they are."""

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
        self.device = next(net.parameters()).device
        self.details = {"mean": mean, "classes": list(train_data.classes), "config": config}
        self.batches = Batches(
            len(train_data),
            recipe.batch_size,
            recipe.seed,
            distributed.rank(),
            distributed.ranks(),
        )
        crops = TrainingCrops(train_data, mean, net.input_px, recipe.seed, recipe.crops)
        self.loader = self._loader(
            crops, batch_sampler=self.batches, persistent_workers=recipe.workers > 0
        )
        self.layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        net.to(memory_format=self.layout)
        self.model = self._wrapped(net)
        self.optimizer = _optimizer(net, recipe)
        self.convs = conv_layers(net)
        self.epoch, self.step, self.history = 0, 0, []
        self.progress: dict[str, Any] = {}
        self.images_per_second: float | None = None

    def _loader(self, data: Dataset, **options: Any) -> DataLoader:
        pin = self.device.type == "cuda"
        return DataLoader(data, num_workers=self.recipe.workers, pin_memory=pin, **options)

    def _wrapped(self, net: ChainNet) -> nn.Module:
        model: nn.Module = net
        if distributed.ranks() > 1:
            model = DistributedDataParallel(
                net, device_ids=[self.device.index] if self.device.type == "cuda" else None
            )
        return torch.compile(model) if self.recipe.compile else model

    def restore(self, start: Snapshot) -> None:
        """Become the run that wrote `start`."""
        load_weights(self.net, start.weights)
        self.optimizer.load_state_dict(copy.deepcopy(start.optimizer))
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
            optimizer=self.optimizer.state_dict(),
            metrics=dict(self.history[-1]) if self.history else {},
            history=[dict(row) for row in self.history],
            progress=copy.deepcopy(self.progress),
            **self.details,
        )

    def save(self) -> None:
        """Write a snapshot, in process 0."""
        if distributed.rank() > 0:
            return
        recipe, snapshot = self.recipe, self.snapshot()
        final = self.epoch == recipe.epochs or self.epoch in recipe.snapshot_epochs
        path = keep(
            self.folder,
            snapshot,
            recipe.snapshot_epochs,
            recipe.keep_last,
            plain=final and not self.progress,
        )
        self.hooks.snapshot(snapshot, path)

    def begin_epoch(self) -> None:
        """Make ready for the updates of the next epoch, or those that are left of it."""
        if not self.progress:
            scaled = {name: 0 for name in self.convs}
            self.progress = {"step": 0, "loss": 0.0, "hits": 0, "seen": 0, "renormalised": scaled}
        self.batches.epoch, self.batches.first = self.epoch + 1, self.progress["step"]
        self.counts = torch.zeros(len(self.convs), dtype=torch.int64, device=self.device)
        self.net.train()

    def train_epoch(self) -> None:
        """The updates of the next epoch, or those that are left of it."""
        self.begin_epoch()
        started, before = time.perf_counter(), self.progress["seen"]
        bar = tqdm(
            self.loader,
            f"epoch {self.epoch + 1}/{self.recipe.epochs}",
            total=self.batches.count,
            initial=self.batches.first,
            leave=False,
            disable=True if distributed.rank() else None,
        )
        for images, target in bar:
            stop = self.update(images, target)
            bar.set_postfix(loss=f"{self.progress['loss'] / self.progress['seen']:.3f}")
            due = self.recipe.save_steps and self.step % self.recipe.save_steps == 0
            if stop or due:
                self._count()
                self.save()
            if stop:
                self._interrupt()
        self._count()
        seen = self.progress["seen"] - before
        self.images_per_second = seen / (time.perf_counter() - started) if seen else None

    def _count(self) -> None:
        """Move the filters counted on the device over to `progress`."""
        for name, count in zip(self.convs, self.counts.tolist(), strict=True):
            self.progress["renormalised"][name] += count
        self.counts.zero_()

    def update(self, images: torch.Tensor, target: torch.Tensor) -> bool:
        """One update by this process's part of a batch; true if any was asked to stop."""
        recipe, progress, epoch = self.recipe, self.progress, self.epoch + 1
        batch = self.batches.batch(progress["step"])
        own = self.batches.part(batch)
        images = images.to(self.device, memory_format=self.layout, non_blocking=True)
        target = target.to(self.device, non_blocking=True)
        keys = dropout_keys(recipe.seed, epoch, torch.from_numpy(own if len(own) else batch[:1]))
        with with_keys(self.net, keys), autocast(self.device, recipe.precision):
            logits = self.model(images).float()
        losses = F.cross_entropy(logits, target, reduction="none")
        if not len(own):
            losses = losses * 0
        hits = (logits.argmax(1) == target)[: len(own)].sum()
        loss, hits, stop = distributed.total(
            [losses.detach().sum().item(), hits.item(), float(self.hooks.stop())]
        )
        if not math.isfinite(loss):
            raise DeconvError(self._not_finite(loss, epoch, batch))
        rate = learning_rate(recipe, epoch, self.history, progress["step"] / self.batches.count)
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        if recipe.label_smoothing:
            losses = F.cross_entropy(
                logits, target, reduction="none", label_smoothing=recipe.label_smoothing
            ) * (1 if len(own) else 0)
        self.optimizer.zero_grad(set_to_none=True)
        # DistributedDataParallel takes the mean over processes, which may have unequal parts.
        (losses.sum() * (distributed.ranks() / len(batch))).backward()
        self.optimizer.step()
        if recipe.max_rms is not None:
            self.counts += rescale(list(self.convs.values()), recipe.max_rms)
        self.step += 1
        progress["step"] += 1
        progress["loss"] += loss
        progress["hits"] += int(hits)
        progress["seen"] += len(batch)
        return stop > 0

    def _not_finite(self, loss: float, epoch: int, batch: np.ndarray) -> str:
        rate = learning_rate(self.recipe, epoch, self.history)
        shown = ", ".join(map(str, batch[:8])) + (", …" if len(batch) > 8 else "")
        return (
            f"the loss is {loss} in epoch {epoch}, batch {self.progress['step']} (images {shown} "
            f"of the training set): lower the learning rate ({rate:g}) or look at those images. "
            f"The weights were not touched; the snapshots before it are in {self.folder}"
        )

    def _interrupt(self) -> None:
        raise Interrupted(
            f"stopped in epoch {self.epoch + 1} after {self.progress['step']} of "
            f"{self.batches.count} updates, and saved: go on with resume={self.folder}"
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
                row |= _metrics("ten_crop", self._accuracy(TenCrops, TEN_BATCH))
        except _Stopped:
            self.save()
            self._interrupt()
        self.history.append(row)
        self.epoch, self.progress = epoch, {}
        if distributed.rank() == 0:
            self.hooks.epoch(row)

    def _accuracy(self, crops: type, batch_size: int) -> Accuracy:
        data = crops(self.val_data, self.mean, self.net.input_px)
        loader = self._loader(distributed.Share(data, batch_size), batch_size=batch_size)
        return evaluate(self.net, loader, self.recipe.precision, self._check_stop)

    def _check_stop(self) -> None:
        # Alone, one can stop at any batch; several processes meet again after the validation.
        if distributed.ranks() == 1 and self.hooks.stop():
            raise _Stopped


def _optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    options: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(net.parameters(), momentum=recipe.momentum, **options)
    # Unfused it reads and writes the weights of layers 6 and 7 some ten times an update.
    betas = (recipe.momentum, 0.999)
    return torch.optim.AdamW(net.parameters(), betas=betas, fused=True, **options)


def _metrics(prefix: str, accuracy: Accuracy) -> dict[str, float]:
    found = asdict(accuracy)
    return {
        f"{prefix}_top1_error": 100 - found["top1"],
        f"{prefix}_top5_error": 100 - found["top5"],
        f"{prefix}_mean_class_accuracy": found["mean_class"],
        f"{prefix}_loss": found["loss"],
    }


def _check_classes(net: ChainNet, train_data: Squares, val_data: Squares) -> None:
    if differing := sorted(set(train_data.classes) ^ set(val_data.classes)):
        raise DeconvError(
            f"training and validation have different classes: {', '.join(differing[:5])}"
        )
    outputs = net.get_submodule(net.layers[-1]).out_features
    if outputs < len(train_data.classes):
        raise DeconvError(f"{net.name} has {outputs} outputs for {len(train_data.classes)} classes")
