"""Mining over all classes against mining over one: the classes of the strongest images.

Nine images of cars suggest a "car detector" even if only cars were mined.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
import torch

from deconv.errors import DeconvError
from deconv.records import Peaks

MINING, SHARES = "mining", "shares"
OTHER_HALF, FAVOURED = "other half of the images", "favoured class alone"
ANOTHER_CLASS, ANOTHER_MAP = "another class alone", "another map"
"""What the strongest images over all classes are compared with: those of the favoured class, the
most frequent among them; of another class; of another map. OTHER_HALF compares two halves."""
HALVES_OVER_CLASS = "likeness of halves minus that of another class"
"""A paired difference over maps of signed correlations."""
OF_NINE = ("of the favoured class", "by chance")
"""Shares of the strongest images over all classes."""


def balanced(labels: Sequence[int], per_class: int, seed: int) -> list[int]:
    """Draw `per_class` images of each class; return their positions in order.

    Classes with fewer images are left out; two classes must remain.
    """
    counts = Counter(labels)
    enough = {label for label, count in counts.items() if count >= per_class}
    if per_class < 1 or len(enough) < 2:
        most = sorted(counts.values())[-2:]
        raise DeconvError(
            f"per_class={per_class} images of each class: the data set has {len(enough)} classes "
            f"with as many; choose 1 to {min(most, default=0)}, or another split"
        )
    taken: Counter[int] = Counter()
    chosen = []
    for i in np.random.default_rng(seed).permutation(len(labels)).tolist():
        if labels[i] in enough and taken[labels[i]] < per_class:
            taken[labels[i]] += 1
            chosen.append(i)
    return sorted(chosen)


def strongest_among(peaks: Peaks, allowed: torch.Tensor, k: int) -> Peaks:
    """The k strongest of each map among allowed images, as mining only these would find.

    peaks: C×N, one a map and image, in image order. allowed: N or C×N bool. Ties go to the lower
    image; missing peaks have value -inf and image -1.
    """
    value = peaks.value.masked_fill(~allowed.expand_as(peaks.value), -torch.inf)
    order = value.sort(dim=1, descending=True, stable=True).indices[:, :k]
    rows = [field.gather(1, order) for field in (value, peaks.image, peaks.y, peaks.x)]
    missing = rows[0] == -torch.inf
    return Peaks(rows[0], *(field.masked_fill(missing, -1) for field in rows[1:]))


def favoured(labels: Sequence[int]) -> tuple[int, float]:
    """The most frequent label and its share, the first on ties."""
    counts = Counter(labels)
    label = max(counts, key=lambda one: counts[one])
    return label, counts[label] / len(labels)


def favoured_by_chance(labels: Sequence[int], k: int, seed: int, draws: int = 2000) -> float:
    """The mean share of the most frequent label among k images drawn at random."""
    random = np.random.default_rng(seed)
    pool = np.asarray(labels)
    shares = [favoured(random.choice(pool, k, replace=False).tolist())[1] for _ in range(draws)]
    return float(np.mean(shares))


def mean_picture(pictures: np.ndarray) -> np.ndarray:
    """Average k pictures k×3×h×w, each scaled to RMS 1 so that none dominates; blank stay 0."""
    sizes = np.sqrt(np.square(pictures, dtype=np.float64).mean(axis=(1, 2, 3), keepdims=True))
    return (pictures / np.where(sizes > 0, sizes, 1)).mean(axis=0)
