"""Pixels: division and greyscale before the first filter, and the scale they are displayed on."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import nn


class Divide(nn.Module):
    """Divide by one number, or by one per channel, for weights trained on smaller inputs."""

    by: torch.Tensor

    def __init__(self, by: float | Sequence[float]) -> None:
        super().__init__()
        # On the CPU even under another default device or "meta": no state_dict restores it.
        values = torch.tensor(by, dtype=torch.get_default_dtype(), device="cpu").view(-1, 1, 1)
        self.register_buffer("by", values, persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / self.by.to(x.device)

    def extra_repr(self) -> str:
        return f"by=({', '.join(f'{v:g}' for v in self.by.flatten().tolist())})"


LUMA = (0.299, 0.587, 0.114)
"""Shares of red, green and blue in grey (ITU-R BT.601, as in Pillow's mode L); their sum is 1."""


class Grey(nn.Module):
    """Convert N×3×H×W to greyscale N×1×H×W; grey pixels keep their value."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (x * x.new_tensor(LUMA)[:, None, None]).sum(dim=1, keepdim=True)


PERCENTILE = 99.0
"""Percentile of the non-zero absolute values at which colours end, so that outliers do not fade the
rest."""


def display_scale(values: np.ndarray, percentile: float = PERCENTILE) -> float:
    """Return the value at which colours end on a scale around 0; 1 if all values are 0."""
    magnitude = np.abs(values[values != 0])
    return float(np.percentile(magnitude, percentile)) if magnitude.size else 1.0
