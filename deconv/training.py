"""Training: stochastic gradient descent with the filter renormalisation of §3, and its measures."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader
from tqdm import tqdm

from deconv.data.crops import CROPS, CentreCrops, EpochOrder, Squares, TrainingCrops
from deconv.errors import DeconvError, unknown
from deconv.evaluation import PRECISIONS, autocast, evaluate
from deconv.models import ChainNet
from deconv.snapshots import Snapshot, save_snapshot

PAPER_EPOCHS = (1, 2, 5, 10, 20, 30, 40, 64)
"""The snapshots of Figure 4."""


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are the paper's (§3); what it leaves open is marked.

    lr_drops: epochs after which the rate is multiplied by lr_factor. The paper lowers it by hand
        when the validation error stalls; factor and epochs are not stated.
    weight_decay: not in the paper.
    max_rms: a convolutional filter whose root mean square exceeds this is scaled back to it.
    crops: see `deconv.data.TrainingCrops`.
    precision: "bf16" runs under autocast; "auto" does so where that is fast.
    eval_every: epochs between validations (the last epoch always has one).
    snapshot_epochs: epochs whose snapshot is kept; the last one is always kept too.
    """

    epochs: int = 70
    batch_size: int = 128
    lr: float = 1e-2
    momentum: float = 0.9
    weight_decay: float = 0.0
    lr_drops: tuple[int, ...] = ()
    lr_factor: float = 0.1
    max_rms: float = 0.1
    crops: str = "ten"
    precision: str = "fp32"
    channels_last: bool = True
    eval_every: int = 1
    snapshot_epochs: tuple[int, ...] = PAPER_EPOCHS
    workers: int = 0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.precision not in PRECISIONS:
            raise unknown("precision", self.precision, PRECISIONS)
        if self.crops not in CROPS:
            raise unknown("way to crop", self.crops, CROPS)
        for names, kind, low in (
            (("epochs", "batch_size", "eval_every"), int, 1),
            (("workers", "seed"), int, 0),
            (("lr", "max_rms", "lr_factor"), float, 1e-30),
            (("momentum", "weight_decay"), float, 0),
        ):
            for name in names:
                value = getattr(self, name)
                if not isinstance(value, int if kind is int else int | float) or value < low:
                    least = "positive" if low else "0 or more"
                    raise DeconvError(f"{name} must be {least} ({kind.__name__}), got {value!r}")
        for name in ("lr_drops", "snapshot_epochs"):
            value = getattr(self, name)
            if not isinstance(value, tuple) or not all(isinstance(v, int) for v in value):
                raise DeconvError(f"{name} takes a list of epochs, got {value!r}")


@torch.no_grad()
def renormalise(net: nn.Module, max_rms: float = 0.1) -> dict[str, int]:
    """Scale every convolutional filter with an RMS over `max_rms` back to that RMS, in place (§3).

    RMS = sqrt(mean w²) over one filter's weights, not its L2 norm. Returns for each
    convolutional layer how many filters were scaled.
    """
    counts = {}
    for name, module in net.named_modules():
        if isinstance(module, nn.Conv2d):
            rms = module.weight.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
            over = rms > max_rms
            module.weight.mul_(torch.where(over, max_rms / rms, torch.ones_like(rms)))
            counts[name] = int(over.sum())
    return counts


def fit(
    net: ChainNet,
    train_data: Squares,
    val_data: Squares,
    mean: torch.Tensor,
    recipe: Recipe,
    folder: Path,
    config: dict[str, object] | None = None,
    on_epoch: Callable[[dict[str, float]], None] = lambda row: None,
) -> Snapshot:
    """Train `net` where it lies (its device) and leave snapshots in `folder`.

    train_data, val_data: data sets of uint8 squares. mean: their 3×S×S training mean.
    Snapshots: epoch_000.pt (untrained), epoch_NNN.pt for `recipe.snapshot_epochs`, last.pt.
    on_epoch: called after each epoch with its numbers (errors in percent, images per second,
    filters renormalised); a row without validation has none of the val_… keys.
    Returns the last snapshot. Raises DeconvError, naming the batch, if the loss is not finite.
    """
    if differing := sorted(set(train_data.classes) ^ set(val_data.classes)):
        raise DeconvError(
            f"training and validation have different classes: {', '.join(differing[:5])}"
        )
    outputs = net.get_submodule(net.layers[-1]).out_features
    if outputs < len(train_data.classes):
        raise DeconvError(f"{net.name} has {outputs} outputs for {len(train_data.classes)} classes")
    order = EpochOrder(train_data, recipe.seed)
    crops = TrainingCrops(train_data, mean, net.input_px, recipe.seed, recipe.crops)
    options = {"num_workers": recipe.workers, "batch_size": recipe.batch_size}
    options["persistent_workers"] = recipe.workers > 0
    loader = DataLoader(crops, sampler=order, **options)
    val_loader = DataLoader(CentreCrops(val_data, mean, net.input_px), **options)
    if recipe.channels_last:
        net.to(memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(
        net.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay
    )
    details = {"mean": mean, "classes": list(train_data.classes), "config": config or {}}
    snapshot = _snapshot(net, None, details, 0, 0, {})
    save_snapshot(folder / "epoch_000.pt", snapshot)
    torch.manual_seed(recipe.seed)  # dropout
    for epoch in range(1, recipe.epochs + 1):
        order.epoch = epoch
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(recipe, epoch)
        row = _epoch(net, loader, optimizer, recipe, epoch)
        if epoch % recipe.eval_every == 0 or epoch == recipe.epochs:
            accuracy = evaluate(net, val_loader, recipe.precision)
            row |= {"val_top1_error": 100 - accuracy.top1, "val_top5_error": 100 - accuracy.top5}
            row |= {"val_mean_class_accuracy": accuracy.mean_class, "val_loss": accuracy.loss}
        snapshot = _snapshot(net, optimizer, details, epoch, epoch * len(loader), row)
        save_snapshot(folder / "last.pt", snapshot)
        if epoch in recipe.snapshot_epochs or epoch == recipe.epochs:
            light = replace(snapshot, optimizer=None)  # half the size, for figures
            save_snapshot(folder / f"epoch_{epoch:03d}.pt", light)
        on_epoch(row)
    net.eval()
    return snapshot


def learning_rate(recipe: Recipe, epoch: int) -> float:
    """The rate during an epoch (the first is 1)."""
    return recipe.lr * recipe.lr_factor ** sum(epoch > drop for drop in recipe.lr_drops)


def _epoch(
    net: ChainNet, loader: DataLoader, optimizer: torch.optim.SGD, recipe: Recipe, epoch: int
) -> dict[str, float]:
    device = next(net.parameters()).device
    net.train()
    started = time.perf_counter()
    loss_sum, hits, seen = 0.0, 0, 0
    scaled = {name: 0 for name, m in net.named_modules() if isinstance(m, nn.Conv2d)}
    bar = tqdm(loader, f"epoch {epoch}/{recipe.epochs}", leave=False, disable=None)
    for step, (images, target) in enumerate(bar):
        layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        images, target = images.to(device, memory_format=layout), target.to(device)
        with autocast(device, recipe.precision):
            logits = net(images).float()
        loss = F.cross_entropy(logits, target)
        if not math.isfinite(loss.item()):
            raise DeconvError(
                f"the loss is {loss.item()} in epoch {epoch}, batch {step}: lower the learning "
                f"rate ({learning_rate(recipe, epoch):g}) or look at the images of that batch"
            )
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        for name, count in renormalise(net, recipe.max_rms).items():
            scaled[name] += count
        loss_sum += loss.item() * len(target)
        hits += int((logits.argmax(1) == target).sum())
        seen += len(target)
        bar.set_postfix(loss=f"{loss_sum / seen:.3f}")
    seconds = time.perf_counter() - started
    row = {"epoch": epoch, "lr": learning_rate(recipe, epoch), "train_loss": loss_sum / seen}
    row |= {"train_error": 100 - 100 * hits / seen, "images_per_second": seen / seconds}
    return row | {f"renormalised_{name}": count for name, count in scaled.items()}


def _snapshot(
    net: ChainNet,
    optimizer: torch.optim.SGD | None,
    details: dict[str, object],
    epoch: int,
    step: int,
    metrics: dict[str, float],
) -> Snapshot:
    return Snapshot(
        recipe=net.recipe,
        weights={
            k: v.detach().cpu().clone(memory_format=torch.contiguous_format)
            for k, v in net.state_dict().items()
        },
        epoch=epoch,
        step=step,
        optimizer=None if optimizer is None else optimizer.state_dict(),
        metrics=metrics,
        **details,
    )


def recipe_dict(recipe: Recipe) -> dict[str, object]:
    """The recipe as plain data, for a snapshot."""
    return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(recipe).items()}
