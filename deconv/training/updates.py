"""Optimizer steps: data loader, model wrapper, optimizer and filter renormalisation."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn
from torch._dynamo.exc import TorchDynamoException
from torch.nn.parallel import DistributedDataParallel
from torch.utils.data import DataLoader, Dataset

from deconv import distributed
from deconv.data.crops import Batches, Squares, TrainingCrops
from deconv.data.workers import isolate_worker
from deconv.errors import DeconvError
from deconv.networks import ChainNet
from deconv.networks.dropout import dropout_keys, with_keys
from deconv.training.evaluation import autocast
from deconv.training.recipe import Recipe
from deconv.training.renormalisation import conv_layers, rescale


class Updates:
    """Run optimizer steps; under torchrun each process handles its shard of the batch.

    Its state is that of the network and of `optimizer`. The caller holds the running sums of the
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
        self.counts = torch.zeros(len(self.convs), dtype=torch.int64, device=self.device)

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

        Raises:
            DeconvError: if the loss is not finite, before anything is changed.
        """
        batch = self.batches.batch(progress["step"])
        own = self.batches.shard(batch)
        images = images.to(self.device, memory_format=self.layout, non_blocking=True)
        target = target.to(self.device, non_blocking=True)
        logits = self._forward(own if len(own) else batch[:1], images)
        losses = F.cross_entropy(logits, target, reduction="none")[: len(own)]
        hits = (logits.argmax(1) == target)[: len(own)]
        loss, hit_count, stops = distributed.total(
            [losses.detach().sum().item(), hits.sum().item(), float(stop())]
        )
        if not math.isfinite(loss):
            bad = own[~losses.detach().isfinite().cpu().numpy()]
            raise DeconvError(self._not_finite(loss, bad.tolist(), progress["step"], rate))
        if smoothing := self.recipe.label_smoothing:
            losses = F.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)
            losses = losses[: len(own)]
        self.optimizer.zero_grad(set_to_none=True)
        # DistributedDataParallel averages over processes, whose shards may differ in size.
        (losses.sum() * (distributed.ranks() / len(batch))).backward()
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        self.optimizer.step()
        if self.recipe.max_rms is not None:
            self.counts += rescale(self.convs.values(), self.recipe.max_rms).to(self.device)
        progress["step"] += 1
        progress["loss"] += loss
        progress["hits"] += int(hit_count)
        progress["seen"] += len(batch)
        return stops > 0

    def _forward(self, indices: np.ndarray, images: torch.Tensor) -> torch.Tensor:
        keys = dropout_keys(self.recipe.seed, self.batches.epoch, torch.from_numpy(indices))
        with with_keys(self.net, keys), autocast(self.device, self.recipe.precision):
            return self.model(images).float()

    def flush_counts(self, progress: dict[str, Any]) -> None:
        """Move the counts of rescaled filters from the device to `progress`."""
        for name, count in zip(self.convs, self.counts.tolist(), strict=True):
            progress["renormalised"][name] += count
        self.counts.zero_()

    def _not_finite(self, loss: float, bad: list[int], step: int, rate: float) -> str:
        """Write the error message; a collective call. bad: images of this process's shard."""
        bad = sorted(index for shard in distributed.gather(bad) for index in shard)
        shown = ", ".join(map(str, bad[:8])) + (", …" if len(bad) > 8 else "")
        which = f"that of images {shown} of the training set" if bad else "the sum over the batch"
        return (
            f"the loss is {loss} in epoch {self.batches.epoch}, batch {step} ({which}): look at "
            f"the images if they are few; else train anew with a lower rate lr ({rate:g} here), "
            "which is locked when a run is resumed. This batch did not change the weights"
        )


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
