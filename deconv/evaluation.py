"""How good a network is on a labelled data set."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain

import torch
from torch import nn
from torch.utils.data import DataLoader

from deconv.distributed import Share, gather
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


def evaluate(
    net: ChainNet,
    loader: DataLoader,
    precision: str = "fp32",
    on_batch: Callable[[], None] = lambda: None,
) -> Accuracy:
    """Top-1, top-5 and mean per-class accuracy (percent) and loss over batches (images, labels).

    images: N×3×H×W; or N×10×3×H×W sub-crops of each image, over which the probabilities are
        averaged.
    loader: over a `deconv.distributed.Share` of a data set each process runs its part and all get
        the result for the whole, the same to the last bit for any number of processes.
    on_batch: called before each batch; what it raises ends the evaluation.
    """
    device = next(net.parameters()).device
    # Numbers, not tensors: small tensors that stay would keep malloc from using the large blocks
    # between them again.
    columns: tuple[list[float], ...] = ([], [], [], [])
    with evaluation(net), autocast(device, precision):
        for images, target in loader:
            on_batch()
            found = _judge(net, images.to(device), target.to(device))
            for column, values in zip(columns, found, strict=True):
                column += values.tolist()
    if isinstance(getattr(loader, "dataset", None), Share):
        columns = tuple(list(chain(*parts)) for parts in zip(*gather(columns), strict=True))
    if not columns[0]:
        raise DeconvError("the validation set is empty")
    hit, five, loss, label = (torch.tensor(column, dtype=torch.float64) for column in columns)
    per_class = [hit[label == c].mean() for c in label.unique()]
    return Accuracy(
        top1=100 * hit.mean().item(),
        top5=100 * five.mean().item(),
        mean_class=100 * torch.stack(per_class).mean().item(),
        loss=loss.mean().item(),
    )


def _judge(
    net: nn.Module, images: torch.Tensor, target: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """For each image: whether the label is first, among the first five, the loss, the label."""
    scores = net(images.flatten(0, -4)).float().log_softmax(1)
    if images.dim() == 5:
        crops = images.shape[1]
        scores = scores.unflatten(0, (-1, crops)).logsumexp(1) - math.log(crops)
    best = scores.topk(min(5, scores.shape[1])).indices
    loss = -scores.gather(1, target[:, None])[:, 0]
    hits = best[:, 0] == target, (best == target[:, None]).any(1)
    return *(hit.double() for hit in hits), loss.double(), target


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
