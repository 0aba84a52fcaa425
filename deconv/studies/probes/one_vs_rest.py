"""One-vs-rest linear classifiers on the values of a layer, for multi-label images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression
from torch.utils.data import DataLoader

from deconv.data.average_precision import IGNORED, PRESENT, average_precision
from deconv.data.batches import labelled
from deconv.distributed import gather_shares
from deconv.errors import DeconvError
from deconv.networks import Network
from deconv.studies.probes.features import Reduction

MOST_STEPS = 1000
"""Iterations of the solver, for each classifier."""
DEALS = 20
"""Random permutations of the scores that estimate the chance level."""


def layer_values(
    net: Network, loader: DataLoader, layer: str, reduction: Reduction
) -> tuple[np.ndarray, np.ndarray]:
    """Collect (N×D float32 features of a layer, N×C int8 marks) of all images, in order.

    loader: yields (preprocessed images, N×C marks). Over a `deconv.distributed.Share` each process
    runs its shard and all get the whole.
    """
    values, marks = [], []
    for images, target in labelled(net, loader):
        record = net.record(images, [layer], logits=False)
        values.append(reduction(record.activations[layer]).cpu().numpy())
        marks.append(target.numpy())
    values, marks = (list(chain(*gather_shares(loader, part))) for part in (values, marks))
    return np.concatenate(values), np.concatenate(marks)


@dataclass(frozen=True)
class OneVsRest:
    """Classifiers of C classes on D values.

    mean, scale: D, of the training images. weights: C×D and offsets: C act on
    (values - mean) / scale; NaN for a class that could not be learned.
    """

    mean: np.ndarray
    scale: np.ndarray
    weights: np.ndarray
    offsets: np.ndarray

    def scores(self, values: np.ndarray) -> np.ndarray:
        """N×C log odds, NaN for a class that could not be learned."""
        return (values - self.mean) / self.scale @ self.weights.T + self.offsets


def fit_one_vs_rest(values: np.ndarray, marks: np.ndarray, strength: float) -> OneVsRest:
    """Fit a logistic regression a class, on the images where the class is not IGNORED.

    A class that is in no image or in every image cannot be learned.

    Args:
        values: N×D; standardised before fitting.
        marks: N×C of PRESENT, IGNORED, ABSENT.
        strength: inverse regularisation strength (scikit-learn's C).
    """
    if strength <= 0:
        raise DeconvError(f"the strength of a classifier must be positive, got {strength}")
    mean, scale = values.mean(0, dtype=np.float64), values.std(0, dtype=np.float64)
    scale[scale == 0] = 1.0
    unit = (values - mean) / scale
    weights = np.full((marks.shape[1], values.shape[1]), np.nan)
    offsets = np.full(marks.shape[1], np.nan)
    for number, own in enumerate(marks.T):
        counted = own != IGNORED
        present = own[counted] == PRESENT
        if present.any() and not present.all():
            model = LogisticRegression(C=strength, max_iter=MOST_STEPS)
            model.fit(unit[counted], present)
            weights[number], offsets[number] = model.coef_[0], model.intercept_[0]
    return OneVsRest(mean, scale, weights, offsets)


def average_precisions(scores: np.ndarray, marks: np.ndarray) -> np.ndarray:
    """C average precisions in 0…1; NaN for a class without scores or without a PRESENT image."""
    found = np.full(marks.shape[1], np.nan)
    for number, (own, wanted) in enumerate(zip(scores.T, marks.T, strict=True)):
        if (wanted == PRESENT).any() and not np.isnan(own).any():
            found[number] = average_precision(own, wanted)
    return found


def chance_precisions(scores: np.ndarray, marks: np.ndarray, seed: int) -> np.ndarray:
    """C average precisions with scores permuted over images, the mean of DEALS.

    With few images this is well above the share of images that show the class.
    """
    rng = np.random.default_rng(seed)
    orders = [rng.permutation(len(scores)) for _ in range(DEALS)]
    return np.mean([average_precisions(scores[order], marks) for order in orders], axis=0)


def mean_of_known(precisions: np.ndarray) -> float:
    """The mean over the classes that have a value; NaN if none has."""
    known = precisions[~np.isnan(precisions)]
    return float(known.mean()) if len(known) else float("nan")


def choose_strength(
    values: np.ndarray, marks: np.ndarray, strengths: Sequence[float], seed: int
) -> tuple[float, dict[float, float]]:
    """Choose the strength with the best mean average precision on a held-out fifth of the images.

    Returns:
        The strength, the smallest on ties or if no class can be scored; and strength -> mean
        average precision.
    """
    order = torch.randperm(len(values), generator=torch.Generator().manual_seed(seed)).numpy()
    held, kept = np.split(order, [max(1, len(order) // 5)])
    found = {}
    for strength in sorted(strengths):
        model = fit_one_vs_rest(values[kept], marks[kept], strength)
        precisions = average_precisions(model.scores(values[held]), marks[held])
        found[float(strength)] = mean_of_known(precisions)
    best = max(found, key=lambda strength: np.nan_to_num(found[strength], nan=-1.0))
    return best, found
