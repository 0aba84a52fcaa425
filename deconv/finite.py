"""Refuse NaN and infinity where a study takes its values from."""

from __future__ import annotations

import torch

from deconv.errors import DeconvError


def is_finite(values: torch.Tensor) -> bool:
    """Whether no value is NaN or infinite."""
    if values.is_meta:
        return True  # shapes without numbers
    # The sum takes a twentieth of the time, but overflows where single values need not.
    return bool(values.sum().isfinite()) or bool(values.isfinite().all())


def check_finite(
    values: torch.Tensor, what: str, first: int = 0, of: str = "the batch", row: str = "image"
) -> None:
    """Raise DeconvError for the first row with a value that is NaN or infinite.

    Args:
        values: N×…, a row for each image.
        what: names the values in the message.
        first: number of the first row in what `of` names.
        row: what a row is.
    """
    if is_finite(values):
        return
    bad = ~values.isfinite().reshape(len(values), -1).all(dim=1)
    at = int(bad.nonzero()[0])
    kind = "NaN" if values[at].isnan().any() else "infinity"
    raise DeconvError(
        f"{what} holds {kind} for {row} {first + at} of {of}: look at that {row} and at "
        "the weights, which a training with too high a rate may have ruined; in half precision "
        "compute in float32"
    )
