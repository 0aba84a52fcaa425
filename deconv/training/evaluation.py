"""Accuracy and loss of networks and ensembles on a labelled data set."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch.utils.data import DataLoader

from deconv.data.batches import labelled
from deconv.data.crops import CentreCrops, TenCrops
from deconv.distributed import Share, gather_shares, share_of
from deconv.errors import DeconvError
from deconv.finite import check_finite
from deconv.networks import Network

PRECISIONS = ("fp32", "bf16", "auto")

TEST_CROPS = {"ten": (TenCrops, 8), "centre": (CentreCrops, 32)}
"""Crops of test images -> (data set of crops, images per batch)."""


@dataclass(frozen=True)
class Accuracy:
    """Accuracies in percent (`mean_class`: the mean of the per-class accuracies) and mean loss."""

    top1: float
    top5: float
    mean_class: float
    loss: float


def two_standard_errors(images: int, *shares: float) -> float:
    """Compute two standard errors of a proportion, or of the difference of two (all in percent).

    images: number of images behind each proportion.
    """
    return 200 * (sum(share / 100 * (1 - share / 100) for share in shares) / images) ** 0.5


@contextlib.contextmanager
def evaluation(net: Network) -> Iterator[None]:
    """Enter evaluation mode without gradients; restore the training flag afterwards."""
    was_training = net.training
    net.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        net.train(was_training)


def evaluate(
    net: Network,
    loader: DataLoader,
    precision: str = "fp32",
    on_batch: Callable[[], None] = lambda: None,
) -> Accuracy:
    """Evaluate a network on batches (images, labels).

    Args:
        loader: images are N×3×H×W, or N×10×3×H×W sub-crops whose probabilities are averaged. Over
            a `deconv.distributed.Share` each process runs its shard and all return the result for
            the whole data set, bit-exact for any number of processes.
        on_batch: called before each batch; what it raises ends the evaluation.

    Raises:
        DeconvError: for logits that are NaN or infinite; names the image.
    """
    batches = (([images], target) for images, target in labelled(net, loader))
    columns = _evaluate([net], batches, [[0]], precision, on_batch, share_of(loader))
    return _accuracies(gather_shares(loader, columns))[0]


def evaluate_ensembles(
    nets: Sequence[Network],
    loader: DataLoader,
    members: Sequence[Sequence[int]],
    precision: str = "fp32",
    on_batch: Callable[[], None] = lambda: None,
) -> list[Accuracy]:
    """Evaluate ensembles (averaged probabilities) in one pass over the images.

    Args:
        nets: networks with the same classes; input sizes and means may differ.
        loader: yields (a list with each network's images as for `evaluate`, labels); see
            `deconv.data.TenCropsOfEach`. Works with shares as `evaluate` does.
        members: for each ensemble the indices of its networks in `nets`. Probabilities are averaged
            with equal weights over networks and sub-crops.

    Raises:
        DeconvError: for an empty ensemble, an index that is not in `nets`, and logits that are NaN
            or infinite.
    """
    for numbers in members:
        if not numbers or not set(numbers) <= set(range(len(nets))):
            raise DeconvError(
                f"an ensemble names networks by 0…{len(nets) - 1}, at least one; got {numbers}"
            )
    columns = _evaluate(nets, loader, members, precision, on_batch, share_of(loader))
    return _accuracies(gather_shares(loader, columns))


Columns = Sequence[list[float]]
"""Per image: top-1 hit, top-5 hit, loss, label."""


def _evaluate(
    nets: Sequence[Network],
    batches: Iterable[tuple[Sequence[torch.Tensor], torch.Tensor]],
    members: Sequence[Sequence[int]],
    precision: str,
    on_batch: Callable[[], None],
    share: Share | None,
) -> list[Columns]:
    """Collect the Columns of each ensemble."""
    device = next(nets[0].parameters()).device
    # Python floats: many small live tensors fragment the heap.
    found: list[Columns] = [([], [], [], []) for _ in members]
    seen = 0 if share is None else share.first
    with contextlib.ExitStack() as stack:
        for net in nets:
            stack.enter_context(evaluation(net))
        stack.enter_context(autocast(device, precision))
        for views, target in batches:
            on_batch()
            target = target.to(device)
            scores = [_scores(n, v.to(device), seen) for n, v in zip(nets, views, strict=True)]
            seen += len(target)
            for columns, numbers in zip(found, members, strict=True):
                batch = _columns(_average([scores[number] for number in numbers]), target)
                for column, values in zip(columns, batch, strict=True):
                    column += values.tolist()
    return found


def _accuracies(parts: Sequence[list[Columns]]) -> list[Accuracy]:
    """Merge the Columns of consecutive shards into one Accuracy per ensemble."""
    return [_accuracy(shards) for shards in zip(*parts, strict=True)]


def _accuracy(shards: Sequence[Columns]) -> Accuracy:
    hit, five, loss, label = (
        torch.tensor(list(chain(*column)), dtype=torch.float64)
        for column in zip(*shards, strict=True)
    )
    if not len(hit):
        raise DeconvError("the validation set is empty")
    per_class = [hit[label == c].mean() for c in label.unique()]
    return Accuracy(
        top1=100 * hit.mean().item(),
        top5=100 * five.mean().item(),
        mean_class=100 * torch.stack(per_class).mean().item(),
        loss=loss.mean().item(),
    )


def _scores(net: Network, images: torch.Tensor, first: int) -> torch.Tensor:
    """Compute log probabilities, N×classes, averaged over sub-crops if there are any.

    first: number of the first image in the data set.
    """
    views = images.flatten(0, -4)
    if images.dim() > 4 and views.device.type == "cpu":
        # Pools and 1×1 convolutions of many crops take half the time.
        views = views.contiguous(memory_format=torch.channels_last)
    logits = net(views).float()
    check_finite(
        logits.reshape(len(images), -1), f"the output of {net.name}", first, "the data set"
    )
    scores = logits.log_softmax(1)
    return scores if images.dim() < 5 else _mean(scores.unflatten(0, (-1, images.shape[1])))


def _average(scores: Sequence[torch.Tensor]) -> torch.Tensor:
    """Average the networks' probabilities; those of a single network stay bit-exact."""
    return scores[0] if len(scores) == 1 else _mean(torch.stack(list(scores), 1))


def _mean(scores: torch.Tensor) -> torch.Tensor:
    """Average K probabilities in log space: N×K×classes -> N×classes."""
    return scores.logsumexp(1) - math.log(scores.shape[1])


def _columns(scores: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Compute the four Columns of a batch."""
    best = scores.topk(min(5, scores.shape[1])).indices
    loss = -scores.gather(1, target[:, None])[:, 0]
    hits = best[:, 0] == target, (best == target[:, None]).any(1)
    return *(hit.double() for hit in hits), loss.double(), target


def autocast(device: torch.device, precision: str) -> contextlib.AbstractContextManager:
    """Autocast to bfloat16 for "bf16", not for "fp32"; for "auto" where bfloat16 is fast."""
    if precision == "fp32" or (precision == "auto" and not _fast_bf16(device)):
        return contextlib.nullcontext()
    return torch.autocast(device.type, dtype=torch.bfloat16)


def _fast_bf16(device: torch.device) -> bool:
    """Whether the hardware multiplies bfloat16 matrices; emulation is slower than fp32."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    probes = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, probe, lambda: False)() for probe in probes)
