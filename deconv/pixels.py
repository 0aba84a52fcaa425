"""Pixels: divided or made grey before the first filter, and the scale that they are shown on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn


class Divide(nn.Module):
    """Divide by one number, or by one a channel: for weights that are for smaller inputs."""

    by: torch.Tensor

    def __init__(self, by: float | Sequence[float]) -> None:
        super().__init__()
        # On the CPU also where weights are drawn elsewhere or nowhere: it is not in a state_dict.
        values = torch.tensor(by, dtype=torch.get_default_dtype(), device="cpu").view(-1, 1, 1)
        self.register_buffer("by", values, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / self.by.to(x.device)

    def extra_repr(self) -> str:
        return f"by=({', '.join(f'{v:g}' for v in self.by.flatten().tolist())})"


LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601, as in Pillow's mode L); their sum is 1."""


class Grey(nn.Module):
    """N×3×H×W made grey: N×1×H×W. What is grey already stays as it is."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * x.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)


PERCENTILE = 99.0
"""Of the non-zero absolute values: where colours end, so that a few do not fade the rest."""


def display_scale(values: np.ndarray, percentile: float = PERCENTILE) -> float:
    """The value at which colours end on a scale around 0: a percentile in (0, 100], else 1."""
    magnitude = np.abs(values[values != 0])
    return float(np.percentile(magnitude, percentile)) if magnitude.size else 1.0
