"""How good a network is on a labelled data set."""

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
from deconv.distributed import gather_shares
from deconv.errors import DeconvError
from deconv.networks import Network

PRECISIONS = ("fp32", "bf16", "auto")

TEST_CROPS = {"ten": (TenCrops, 8), "centre": (CentreCrops, 32)}
"""Way to crop test images -> (its data set, images a batch)."""


@dataclass(frozen=True)
class Accuracy:
    """Results on a data set, in percent. `mean_class` is the mean of the per-class accuracies."""

    top1: float
    top5: float
    mean_class: float
    loss: float


def two_standard_errors(images: int, *shares: float) -> float:
    """Return two standard errors of a share, or of the difference of two, over so many images each.

    Shares and result are in percent.
    """
    return 200 * (sum(share / 100 * (1 - share / 100) for share in shares) / images) ** 0.5


@contextlib.contextmanager
def evaluation(net: Network) -> Iterator[None]:
    """Evaluation mode without gradients; the training flag is as before when it ends."""
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
    """Top-1, top-5 and mean per-class accuracy (percent) and loss over batches (images, labels).

    images: N×3×H×W; or N×10×3×H×W sub-crops of each image, over which the probabilities are
        averaged.
    loader: over a `deconv.distributed.Share` of a data set each process runs its part and all get
        the result for the whole, the same to the last bit for any number of processes.
    on_batch: called before each batch; what it raises ends the evaluation.
    """
    alone = (([images], target) for images, target in labelled(net, loader))
    found = _evaluate([net], alone, [[0]], precision, on_batch)
    return _accuracies(gather_shares(loader, found))[0]


def evaluate_ensembles(
    nets: Sequence[Network],
    loader: DataLoader,
    members: Sequence[Sequence[int]],
    precision: str = "fp32",
    on_batch: Callable[[], None] = lambda: None,
) -> list[Accuracy]:
    """What `evaluate` finds for averages of networks, in one pass over the images.

    nets: of the same classes; each may want images of its own size and mean.
    loader: yields (a list with one tensor a network, as `evaluate` takes them, and labels); see
        `deconv.data.TenCropsOfEach`. Shares work as there.
    members: for each ensemble, the numbers of its networks in `nets`. Its probabilities are the
        mean over them, and over the sub-crops of each: all count alike.
    Raises DeconvError for an ensemble without a network or with one that is not in `nets`.
    """
    for numbers in members:
        if not numbers or not set(numbers) <= set(range(len(nets))):
            raise DeconvError(
                f"an ensemble names networks by 0…{len(nets) - 1}, at least one; got {numbers}"
            )
    found = _evaluate(nets, loader, members, precision, on_batch)
    return _accuracies(gather_shares(loader, found))


Columns = Sequence[list[float]]
"""For each image: whether the label is first, among the first five, the loss, the label."""


def _evaluate(
    nets: Sequence[Network],
    batches: Iterable[tuple[Sequence[torch.Tensor], torch.Tensor]],
    members: Sequence[Sequence[int]],
    precision: str,
    on_batch: Callable[[], None],
) -> list[Columns]:
    """Judge every image by each ensemble."""
    device = next(nets[0].parameters()).device
    # Numbers, not tensors: small tensors that stay would keep malloc from using the large blocks
    # between them again.
    found: list[Columns] = [([], [], [], []) for _ in members]
    with contextlib.ExitStack() as stack:
        for net in nets:
            stack.enter_context(evaluation(net))
        stack.enter_context(autocast(device, precision))
        for views, target in batches:
            on_batch()
            target = target.to(device)
            scores = [_scores(n, v.to(device)) for n, v in zip(nets, views, strict=True)]
            for columns, numbers in zip(found, members, strict=True):
                judged = _judge(_averaged([scores[number] for number in numbers]), target)
                for column, values in zip(columns, judged, strict=True):
                    column += values.tolist()
    return found


def _accuracies(parts: Sequence[list[Columns]]) -> list[Accuracy]:
    """One Accuracy an ensemble. parts: the Columns of consecutive parts of the images."""
    return [_accuracy(one) for one in zip(*parts, strict=True)]


def _accuracy(parts: Sequence[Columns]) -> Accuracy:
    hit, five, loss, label = (
        torch.tensor(list(chain(*columns)), dtype=torch.float64)
        for columns in zip(*parts, strict=True)
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


def _scores(net: Network, images: torch.Tensor) -> torch.Tensor:
    """Logarithms of the probabilities, averaged over the sub-crops if there are any: N×classes."""
    scores = net(images.flatten(0, -4)).float().log_softmax(1)
    return scores if images.dim() < 5 else _mean(scores.unflatten(0, (-1, images.shape[1])))


def _averaged(scores: Sequence[torch.Tensor]) -> torch.Tensor:
    """The mean of several networks' probabilities; of one network they stay as they are."""
    return scores[0] if len(scores) == 1 else _mean(torch.stack(list(scores), 1))


def _mean(scores: torch.Tensor) -> torch.Tensor:
    """The logarithm of the mean of K probabilities given as logarithms: N×K×classes, N×classes."""
    return scores.logsumexp(1) - math.log(scores.shape[1])


def _judge(scores: torch.Tensor, target: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """The four Columns of a batch."""
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
