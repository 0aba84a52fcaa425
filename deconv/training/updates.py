"""Optimizer steps: data loader, model wrapper, optimizer and filter renormalisation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from deconv import distributed
from deconv.data.crops import Batches, Squares, TrainingCrops
from deconv.data.skipping import SKIPPED
from deconv.data.workers import isolate_worker
from deconv.errors import DeconvError
from deconv.networks import ChainNet
from deconv.networks.dropout import dropout_keys, seeded_by, with_keys
from deconv.training.evaluation import autocast
from deconv.training.recipe import Recipe
from deconv.training.renormalisation import conv_layers, rescale


class Updates:
    """Run optimizer steps; under torchrun each process handles its shard of the batch.

    `newly_skipped` are training images that the last update was the first to skip, unreadable. Its
    state is that of the network and of `optimizer`. The caller holds the running sums of the
    epoch in `progress`, plain data (see `new_progress`).
    """

    def __init__(self, net: ChainNet, data: Squares, mean: torch.Tensor, recipe: Recipe) -> None:
        self.net, self.recipe = net, recipe
        self.device = next(net.parameters()).device
        self.batches = Batches(
            len(data), recipe.batch_size, recipe.seed, distributed.rank(), distributed.ranks()
        )
        self.loader = loader(
            TrainingCrops(data, mean, net.input_px, recipe.seed, recipe.crops),
            recipe,
            self.device,
            batch_sampler=self.batches,
            persistent_workers=recipe.workers > 0,
        )
        self.layout = torch.channels_last if recipe.channels_last else torch.contiguous_format
        net.to(memory_format=self.layout)
        self.model = _wrap(net, recipe, self.device)
        self.optimizer = _optimizer(net, recipe)
        self.convs = conv_layers(net)
        self.skipped: set[int] = set()
        self.newly_skipped: list[int] = []
        self.counts = torch.zeros(len(self.convs), dtype=torch.int64, device=self.device)
        self._unchecked: _Taken | None = None

    def new_progress(self) -> dict[str, Any]:
        """Return zeroed sums over the updates of an epoch, all processes together."""
        scaled = dict.fromkeys(self.convs, 0)
        return {"step": 0, "loss": 0.0, "hits": 0, "seen": 0, "renormalised": scaled}

    def start_epoch(self, epoch: int, progress: dict[str, Any]) -> None:
        """Point `loader` at the remaining batches of an epoch (counted from 1)."""
        self.batches.epoch, self.batches.first = epoch, progress["step"]
        self.net.train()

    def update(
        self,
        progress: dict[str, Any],
        rate: float,
        images: torch.Tensor,
        target: torch.Tensor,
        stop: Callable[[], bool] = lambda: False,
    ) -> bool:
        """Take one optimizer step and add its sums to `progress`.

        Args:
            rate: learning rate.
            images, target: the loader's next batch.

        Returns:
            Whether `stop` returned true in any process.

        The device is waited for once, before the weights are changed; what this step makes of them
        is checked in the next one, or by `settle`.

        Raises:
            DeconvError: if the loss or a gradient is not finite, or no image can be read, before
                anything is changed; or if the step before made weights that are not finite.
        """
        self.newly_skipped = []
        batch = self.batches.batch(progress["step"])
        own = self.batches.shard(batch)
        own, images, target, skipped = _without_skipped(own, images, target)
        images = images.to(self.device, memory_format=self.layout, non_blocking=True)
        target = target.to(self.device, non_blocking=True)
        logits = self._forward(own if len(own) else batch[:1], images)
        losses = F.cross_entropy(logits, target, reduction="none")[: len(own)]
        hits = (logits.argmax(1) == target)[: len(own)]
        stops, seen = distributed.total([float(stop()), float(len(own))])
        if seen < len(batch):
            self._note_skipped(skipped, int(seen), progress)
        trained = losses
        if smoothing := self.recipe.label_smoothing:
            trained = F.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)
            trained = trained[: len(own)]
        self.optimizer.zero_grad(set_to_none=True)
        # DistributedDataParallel averages over processes, whose shards may differ in size.
        (trained.sum() * (distributed.ranks() / seen)).backward()
        taken = _Taken(own, progress["step"], rate)
        loss, hit_count = self._check(taken, losses.detach(), hits)
        self._step(rate)
        self._unchecked = taken
        progress["step"] += 1
        progress["loss"] += loss
        progress["hits"] += int(hit_count)
        progress["seen"] += int(seen)
        return stops > 0

    def _check(
        self, taken: _Taken, losses: torch.Tensor, hits: torch.Tensor
    ) -> tuple[float, float]:
        """Check the weights of the step before and the loss and gradients of this one.

        Returns:
            The sums of losses and of hits, over all processes.
        """
        gradients = {name: p.grad for name, p in self.net.named_parameters() if p.grad is not None}
        weights = self._weights()
        sums = [losses.sum().double(), hits.sum().double(), *_sums(weights), *_sums(gradients)]
        values = torch.stack(sums).tolist()  # one transfer from the device for all
        loss, hit_count = distributed.total(values[:2])
        values, end = values[2:], len(weights)
        self._check_weights(weights, values[:end])
        if not math.isfinite(loss):
            bad = taken.own[~losses.isfinite().cpu().numpy()]
            raise self._not_finite(f"the loss is {loss}", taken, bad)
        if name := _not_finite(gradients, values[end:]):
            raise self._not_finite(f"the gradient of {name} is not finite", taken)
        return loss, hit_count

    def _weights(self) -> dict[str, torch.Tensor]:
        """The weights, if a step changed them since they were checked."""
        return dict(self.net.named_parameters()) if self._unchecked else {}

    def _check_weights(self, weights: Mapping[str, torch.Tensor], sums: Sequence[float]) -> None:
        if name := _not_finite(weights, sums):
            assert self._unchecked is not None
            what = f"{name} is no longer finite after the update"
            raise self._not_finite(what, self._unchecked, changed=True)
        self._unchecked = None

    def _step(self, rate: float) -> None:
        """Apply the gradients, which are the same in all processes, as are then the weights."""
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        if self.recipe.max_rms is not None:
            self.counts += rescale(self.convs.values(), self.recipe.max_rms).to(self.device)

    def _note_skipped(self, own: list[int], seen: int, progress: dict[str, Any]) -> None:
        """Count the skipped images of a batch; a collective call. own: of this process's shard."""
        if not seen:
            raise DeconvError(
                f"none of the images of epoch {self.batches.epoch}, batch {progress['step']} can "
                "be read: is their folder still there?"
            )
        skipped = [index for shard in distributed.gather(own) for index in shard]
        progress["skipped"] = progress.get("skipped", 0) + len(skipped)
        self.newly_skipped = sorted(set(skipped) - self.skipped)
        self.skipped.update(skipped)

    def _forward(self, indices: np.ndarray, images: torch.Tensor) -> torch.Tensor:
        keys = dropout_keys(self.recipe.seed, self.batches.epoch, torch.from_numpy(indices))
        seeded = seeded_by(keys, self.device)
        with with_keys(self.net, keys), seeded, autocast(self.device, self.recipe.precision):
            return self.model(images).float()

    def settle(self, progress: dict[str, Any]) -> None:
        """Finish the last update: check its weights, move the counts of rescaled filters.

        To be called before the weights are saved or used otherwise.

        Raises:
            DeconvError: if the update made weights that are not finite.
        """
        if weights := self._weights():
            self._check_weights(weights, torch.stack(_sums(weights)).tolist())
        for name, count in zip(self.convs, self.counts.tolist(), strict=True):
            progress["renormalised"][name] += count
        self.counts.zero_()

    def _not_finite(
        self, what: str, taken: _Taken, bad: np.ndarray | None = None, changed: bool = False
    ) -> DeconvError:
        """Make the error; a collective call.

        Args:
            bad: images of this process's shard; None: all of them.
            changed: whether the batch has already changed the weights.
        """
        own = (taken.own if bad is None else bad).tolist()
        images = sorted(index for shard in distributed.gather(own) for index in shard)
        shown = ", ".join(map(str, images[:8])) + (", …" if len(images) > 8 else "")
        which = f"that of images {shown} of the training set" if images else "the batch's sum"
        end = "The snapshots are from before it" if changed else "It did not change the weights"
        return DeconvError(
            f"{what} in epoch {self.batches.epoch}, batch {taken.step} ({which}): look at the "
            f"images if they are few; else train anew with a lower rate lr ({taken.rate:g} here), "
            f"which is locked when a run is resumed. {end}"
        )


@dataclass(frozen=True)
class _Taken:
    """An update, for messages. own: images of this process's shard of its batch."""

    own: np.ndarray
    step: int
    rate: float


def _sums(tensors: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    """The sum of each tensor, on its device."""
    return [tensor.detach().sum().double() for tensor in tensors.values()]


def _not_finite(tensors: Mapping[str, torch.Tensor], sums: Sequence[float]) -> str:
    """Return the name of the first tensor with a value that is NaN or infinite; "" if none has.

    sums: of the tensors; one may overflow where no value is infinite.
    """
    suspects = [name for name, total in zip(tensors, sums, strict=True) if not math.isfinite(total)]
    return next((name for name in suspects if not tensors[name].isfinite().all()), "")


def _without_skipped(
    own: np.ndarray, images: torch.Tensor, target: torch.Tensor
) -> tuple[np.ndarray, torch.Tensor, torch.Tensor, list[int]]:
    """Drop the images that are SKIPPED from a shard; the last are their indices.

    If none is left, one stays in place of an empty shard, see `Batches`.
    """
    kept = target != SKIPPED
    if kept.all() or not len(own):
        return own, images, target, []
    mask = kept.numpy()
    if not kept.any():
        return own[:0], images[:1], torch.zeros_like(target[:1]), own.tolist()
    return own[mask], images[kept], target[kept], own[~mask].tolist()


def loader(data: Dataset, recipe: Recipe, device: torch.device, **options: Any) -> DataLoader:
    """Make a DataLoader with the recipe's workers."""
    options |= {"num_workers": recipe.workers, "worker_init_fn": isolate_worker}
    return DataLoader(data, pin_memory=device.type == "cuda", **options)


def _wrap(net: ChainNet, recipe: Recipe, device: torch.device) -> Callable[..., torch.Tensor]:
    model: nn.Module = net
    if distributed.ranks() > 1:
        devices = [device.index] if device.type == "cuda" else None
        # Otherwise it regroups the gradients after the first update, and three or more processes
        # then sum them in another order than a resumed run does.
        model = DistributedDataParallel(net, device_ids=devices, find_unused_parameters=True)
        warnings.filterwarnings("ignore", message="find_unused_parameters=True was specified")
    return _compiled(model) if recipe.compile else model


def _compiled(model: nn.Module) -> Callable[..., torch.Tensor]:
    """Compile a network at its first call; DeconvError where this machine cannot."""
    from torch._dynamo.exc import TorchDynamoException

    compiled = torch.compile(model)

    def run(*arguments: Any) -> torch.Tensor:
        try:
            return compiled(*arguments)
        except TorchDynamoException as error:
            reason = str(error).strip().partition("\n")[0]
            raise DeconvError(
                f"compile=True, but the network cannot be compiled here ({reason}): install a C++ "
                "compiler, or name yours in the variable CXX, or train anew with compile=False"
            ) from error

    return run


def _optimizer(net: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    options: dict[str, Any] = {"lr": recipe.lr, "weight_decay": recipe.weight_decay}
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(net.parameters(), momentum=recipe.momentum, **options)
    # Unfused it reads and writes the weights of layers 6 and 7 some ten times an update.
    betas = (recipe.momentum, 0.999)
    return torch.optim.AdamW(net.parameters(), betas=betas, fused=True, **options)
