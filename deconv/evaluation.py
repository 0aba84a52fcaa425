"""How good a network is on a labelled data set."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

from deconv.errors import DeconvError
from deconv.models import ChainNet

PRECISIONS = ("fp32", "bf16", "auto")


@dataclass(frozen=True)
class Accuracy:
    """Results on a data set, in percent. `mean_class` is the mean of the per-class accuracies."""

    top1: float
    top5: float
    mean_class: float
    loss: float


@contextlib.contextmanager
def evaluation(net: nn.Module) -> Iterator[None]:
    """Evaluation mode without gradients; the training flag is as before when it ends."""
    was_training = net.training
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        net.train(was_training)


def evaluate(net: ChainNet, loader: DataLoader, precision: str = "fp32") -> Accuracy:
    """Top-1, top-5 and mean per-class accuracy (percent) and loss over batches (images, labels)."""
    device = next(net.parameters()).device
    hits, fives, labels, losses = [], [], [], []
    with evaluation(net), autocast(device, precision):
        for images, target in loader:
            logits = net(images.to(device)).float()
            target = target.to(device)
            best = logits.topk(min(5, logits.shape[1])).indices
            hits.append((best[:, 0] == target).cpu())
            fives.append((best == target[:, None]).any(1).cpu())
            losses.append(F.cross_entropy(logits, target, reduction="none").cpu())
            labels.append(target.cpu())
    if not labels:
        raise DeconvError("the validation set is empty")
    hit, label = torch.cat(hits).double(), torch.cat(labels)
    per_class = [hit[label == c].mean() for c in label.unique()]
    return Accuracy(
        top1=100 * hit.mean().item(),
        top5=100 * torch.cat(fives).double().mean().item(),
        mean_class=100 * torch.stack(per_class).mean().item(),
        loss=torch.cat(losses).double().mean().item(),
    )


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """bfloat16 autocast for "bf16", nothing for "fp32"; "auto" takes bf16 where it is fast."""
    if precision == "fp32" or (precision == "auto" and not _fast_bf16(device)):
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def _fast_bf16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 matrices itself; emulation is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
