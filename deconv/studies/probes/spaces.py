"""Features made comparable before a linear classifier sees them, and the same in fewer axes."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from deconv.errors import DeconvError, unknown

SCALINGS = ("l2", "standardise", "none")


@dataclass(frozen=True)
class Scaling:
    """Features as a linear classifier is fed them; everything in it is learnt from training images.

    how: "l2", each image's vector is divided by its length; "standardise", each feature is
        divided by its standard deviation (one that never changes becomes 0); "none".
    Then the training mean is subtracted, which a classifier with a free bias does not notice, and
    all is divided by one number, so that the training vectors have a mean squared length of 1.
    With that a value of C means about the same for every layer. The paper states none of this.
    """

    how: str
    divisor: torch.Tensor
    mean: torch.Tensor
    length: float

    @classmethod
    def of(cls, train: torch.Tensor, how: str) -> Scaling:
        """Learn it from N×D training features. Raises DeconvError if they are all the same."""
        if how not in SCALINGS:
            raise unknown("scaling of features", how, SCALINGS)
        divisor = train.new_ones(train.shape[1])
        if how == "standardise":
            spread = train.std(0, correction=0)
            # What never changes is all rounding: dividing by its tiny spread would make it noise.
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
        """N×D features, scaled."""
        if self.how == "l2":
            lengths = features.norm(dim=1, keepdim=True)
            features = features / torch.where(lengths > 0, lengths, 1.0)
        return (features / self.divisor - self.mean) / self.length


def rotated(train: torch.Tensor, test: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Both sets in an orthonormal basis of the space that the N training vectors span.

    train: N×D, test: M×D, already scaled. If N < D they become N×N and M×N, else they stay.
    Nothing changes for a linear classifier with a penalty on the length of its weights: the best
    weights lie in that space, and lengths and inner products in it are kept.
    """
    if len(train) >= train.shape[1]:
        return train, test
    basis, coordinates = torch.linalg.qr(train.T)
    return coordinates.T.contiguous(), test @ basis
