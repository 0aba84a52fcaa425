"""Linear SVM and softmax, fitted for all classes at once.

The objectives are those of scikit-learn's LinearSVC and LogisticRegression (tests compare them),
without LinearSVC's small penalty on the bias:

    svm      ½|W|² + C Σ_images Σ_classes max(0, 1 - t·score)²,   t = ±1, one class against the rest
    softmax  ½|W|² + C Σ_images cross-entropy

LinearSVC fits classes sequentially on one core: minutes for one layer of Caltech-101.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn.functional import cross_entropy, one_hot

from deconv.errors import DeconvError, unknown


@dataclass(frozen=True)
class Linear:
    """A linear classifier: weight D×K, bias K.

    gradient: norm of the objective's gradient at the end of the fit, relative to that at W = 0;
    small if converged.
    """

    weight: torch.Tensor
    bias: torch.Tensor
    gradient: float

    def scores(self, features: torch.Tensor) -> torch.Tensor:
        """N×K scores; the largest in a row is the prediction."""
        return features @ self.weight + self.bias


def _squared_hinge(scores: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    sign = 2 * one_hot(labels, scores.shape[1]).to(scores.dtype) - 1
    return (1 - sign * scores).clamp(min=0).pow(2).sum() / len(scores)


KINDS: dict[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
    "svm": _squared_hinge,
    "softmax": cross_entropy,
}
"""Kind of classifier -> its mean loss, of scores N×K and labels N."""


def fit_linear(
    features: torch.Tensor,
    labels: torch.Tensor,
    classes: int,
    kind: str,
    c: float,
    start: Linear | None = None,
    tolerance: float = 1e-3,
    max_steps: int = 500,
) -> Linear:
    """Minimise the objective above by L-BFGS, from `start` or from zero.

    Stops when the gradient is `tolerance` times that at W = 0, after `max_steps`, or when ROUND
    steps gain nothing.

    Args:
        features: N×D float, roughly centred, or L-BFGS is slow.
        labels: N int64 in 0 … classes-1.
        c: weight of the losses against the penalty; larger fits the training images closer.
    """
    if kind not in KINDS:
        raise unknown("classifier", kind, KINDS)
    if c <= 0:
        raise DeconvError(f"C must be positive, got {c}")
    loss, penalty = KINDS[kind], 0.5 / (c * len(features))
    both = [features.new_zeros(features.shape[1], classes), features.new_zeros(classes)]
    weight, bias = (p.requires_grad_() for p in both)

    def objective() -> torch.Tensor:
        weight.grad = bias.grad = None
        value = loss(features @ weight + bias, labels) + penalty * weight.pow(2).sum()
        value.backward()
        return value

    def steepness() -> float:
        return torch.cat([g.flatten() for p in both if (g := p.grad) is not None]).norm().item()

    with torch.enable_grad():
        objective()
        first = steepness()
        if start is not None:
            with torch.no_grad():
                weight.copy_(start.weight)
                bias.copy_(start.bias)
        # In rounds, because torch's stopping test looks at single entries, whose size depends on D.
        optimizer = torch.optim.LBFGS(
            both,
            max_iter=ROUND,
            history_size=HISTORY,
            line_search_fn="strong_wolfe",
            tolerance_grad=0.0,
            tolerance_change=0.0,
        )
        value = float("inf")
        for _ in range(max(1, max_steps // ROUND)):
            optimizer.step(objective)
            before, value = value, objective().item()
            # A whole round without gain has reached the floating-point precision.
            if steepness() <= tolerance * first or value >= before:
                break
        ended = steepness() / first if first else 0.0
    return Linear(weight.detach(), bias.detach(), ended)


ROUND, HISTORY = 10, 10
"""Steps of L-BFGS between convergence tests; steps in its history."""
