"""Linear probes: classifiers on frozen features (§4.3, §5.2, Table 7).

features → scaled by training statistics → C chosen on a held-out fifth → classifier → accuracy.
`features` reads the layers, `spaces` scales them, `linear` fits SVM and softmax, `folds` runs
random splits, and `seen_images` finds test images that the network was trained on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

from deconv.errors import DeconvError
from deconv.studies.probes.features import Reduction, check_points, extract
from deconv.studies.probes.linear import KINDS, Linear, fit_linear
from deconv.studies.probes.spaces import SCALINGS, Scaling, rotated

__all__ = [
    "KINDS",
    "SCALINGS",
    "Linear",
    "Probed",
    "Reduction",
    "Scaling",
    "check_points",
    "class_accuracies",
    "extract",
    "fit_linear",
    "held_out",
    "probe",
    "rotated",
]

HELD_OUT = 5
"""One in this many training images of a class is held out to choose C, at least one."""


@dataclass(frozen=True)
class Probed:
    """The result of a probe.

    per_class: test accuracy of each class in percent, float64. c: the chosen C. tried: C -> mean
    accuracy per class in percent on the held-out images, {} if C was not tuned. gradient: of the
    final fit, see `Linear`.
    """

    per_class: np.ndarray
    c: float
    tried: dict[float, float]
    gradient: float

    @property
    def mean_class(self) -> float:
        """Mean accuracy per class in percent, the paper's measure on the Caltech sets."""
        return float(self.per_class.mean())


def class_accuracies(found: torch.Tensor, labels: torch.Tensor, classes: int) -> np.ndarray:
    """The accuracy of each class in percent, float64, from N predicted and N true classes.

    Raises:
        DeconvError: for a class without images.
    """
    images = torch.bincount(labels, minlength=classes)
    if (images == 0).any():
        missing = (images == 0).nonzero().flatten().tolist()
        raise DeconvError(f"no test image in the classes {missing[:5]}: their accuracy is asked")
    right = torch.bincount(labels[found == labels], minlength=classes)
    return (100 * right.double() / images).cpu().numpy()


def held_out(labels: torch.Tensor, seed: int) -> torch.Tensor:
    """Choose the held-out images: N bool, one in HELD_OUT of each class, at least one.

    A class with a single image keeps it for training. Drawn by (seed, class).
    """
    chosen = torch.zeros(len(labels), dtype=torch.bool)
    for label in labels.unique().tolist():
        members = (labels.cpu() == label).nonzero().flatten()
        count = min(len(members) - 1, max(1, len(members) // HELD_OUT))
        order = np.random.default_rng((seed, label)).permutation(len(members))
        chosen[members[order[:count]]] = True
    return chosen.to(labels.device)


def probe(
    train: tuple[torch.Tensor, torch.Tensor],
    test: tuple[torch.Tensor, torch.Tensor],
    kind: str,
    grid: Sequence[float],
    scaling: str = "l2",
    seed: int = 0,
) -> Probed:
    """Train a linear classifier on frozen features and test it.

    Args:
        train, test: (N×D float features, N int64 labels); labels 0 … K-1 all occur in both.
        kind: "svm" or "softmax", see `fit_linear`.
        grid: values of C. The best on held-out training images, the smallest on ties, is used to
            fit all of them. With one image a class nothing can be held out: the middle one is used.
        scaling: see `Scaling`.
        seed: of the held-out images.
    """
    grid = sorted(grid)
    classes = int(train[1].max()) + 1
    scale = Scaling.of(train[0], scaling)
    x, x_test = rotated(scale(train[0]), scale(test[0]))
    aside = held_out(train[1], seed)
    tried: dict[float, float] = {}
    start = None
    if len(grid) > 1 and aside.any():
        for c in grid:
            start = fit_linear(x[~aside], train[1][~aside], classes, kind, c, start)
            found = start.scores(x[aside]).argmax(1)
            ours = train[1][aside]
            # Classes with one image have none held out.
            each = [(found[ours == k] == k).double().mean() for k in ours.unique()]
            tried[c] = 100 * torch.stack(each).mean().item()
    c = max(tried, key=lambda one: tried[one]) if tried else grid[len(grid) // 2]
    final = fit_linear(x, train[1], classes, kind, c, start)
    found = final.scores(x_test).argmax(1)
    return Probed(class_accuracies(found, test[1], classes), c, tried, final.gradient)
