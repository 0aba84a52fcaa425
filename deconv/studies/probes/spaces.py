"""Feature scaling before a linear classifier, and an exact reduction of dimensions."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from deconv.errors import DeconvError, unknown

SCALINGS = ("l2", "standardise", "none")


@dataclass(frozen=True)
class Scaling:
    """Feature scaling fitted to training images.

    how: "l2" divides each image's vector by its length; "standardise" divides each feature by its
        standard deviation (constant features become 0); or "none".
    Then the training mean is subtracted, which a classifier with a free bias does not notice, and
    a common factor gives the training vectors a mean squared length of 1, so that a value of C
    means about the same for every layer. The paper states none of this.
    """

    how: str
    divisor: torch.Tensor
    mean: torch.Tensor
    length: float

    @classmethod
    def of(cls, train: torch.Tensor, how: str) -> Scaling:
        """Fit the scaling to N×D training features, which must not all be equal."""
        if how not in SCALINGS:
            raise unknown("scaling of features", how, SCALINGS)
        divisor = train.new_ones(train.shape[1])
        if how == "standardise":
            spread = train.std(0, correction=0)
            # The spread of a constant feature is rounding: dividing by it would amplify noise.
            still = spread <= 1e-6 * train.abs().amax(0)
            divisor = torch.where(still, torch.inf, spread)
        rough = cls(how, divisor, train.new_zeros(train.shape[1]), 1.0)(train)
        mean = rough.mean(0)
        length = float((rough - mean).pow(2).sum(1).mean().sqrt())
        if length <= 1e-6 * float(rough.norm(dim=1).mean()):
            raise DeconvError(
                "all training images have the same features: there is nothing to learn"
            )
        return cls(how, divisor, mean, length)

    def __call__(self, features: torch.Tensor) -> torch.Tensor:
        """Scale N×D features."""
        if self.how == "l2":
            lengths = features.norm(dim=1, keepdim=True)
            features = features / torch.where(lengths > 0, lengths, 1.0)
        return (features / self.divisor - self.mean) / self.length


def rotated(train: torch.Tensor, test: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Express both sets in an orthonormal basis of the span of the N training vectors.

    Exact for a linear classifier with an L2 penalty: its best weights lie in that span, whose
    lengths and inner products are kept.

    Args:
        train, test: N×D and M×D, scaled.

    Returns:
        N×N and M×N if N < D, else the inputs.
    """
    if len(train) >= train.shape[1]:
        return train, test
    basis, coordinates = torch.linalg.qr(train.T)
    return coordinates.T.contiguous(), test @ basis
