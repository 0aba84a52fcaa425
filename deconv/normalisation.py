"""Contrast normalisation (§3): Krizhevsky's across maps, Jarrett's over windows."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import handle_torch_function, has_torch_function_unary

from deconv.errors import DeconvError


class ContrastNorm(nn.Module):
    """Local contrast normalisation across feature maps: Krizhevsky's response normalisation.

    b_c = a_c · (k + α · Σ a_j²)^(−β), the sum over the `size` maps around c.
    The paper names the operation and gives no constants; these are AlexNet's (Krizhevsky et al.
    2012, §3.3), whose α multiplies the plain sum. torch.nn.LocalResponseNorm divides α by `size`,
    so it computes the same with alpha = size·α = 5e-4.

    Implemented as a 1×1 convolution with a banded matrix of ones, which is several times faster
    than torch.nn.functional.local_response_norm on a CPU and runs in bfloat16.
    """

    def __init__(
        self, size: int = 5, alpha: float = 1e-4, beta: float = 0.75, k: float = 2.0
    ) -> None:
        super().__init__()
        self.size, self.alpha, self.beta, self.k = size, alpha, beta, k

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return contrast_norm(x, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"size={self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"


def contrast_norm(x: torch.Tensor, size: int, alpha: float, beta: float, k: float) -> torch.Tensor:
    """Apply `ContrastNorm` to N×C×H×W; α is not divided by `size`.

    Takes part in PyTorch's override protocol, so that rules can replace it on the way down.
    """
    if has_torch_function_unary(x):
        return handle_torch_function(contrast_norm, (x,), x, size, alpha, beta, k)
    if x.dtype == torch.float16:  # squares of maps in ±128 overflow
        return contrast_norm(x.float(), size, alpha, beta, k).half()
    channel = torch.arange(x.shape[1], device=x.device)
    offset = channel[None, :] - channel[:, None]
    # As in torch.nn.LocalResponseNorm, an even size reaches one map further down than up.
    band = (offset >= -(size // 2)) & (offset <= (size - 1) // 2)
    energy = F.conv2d(x.square(), band.to(x.dtype)[:, :, None, None])
    scale = k + alpha * energy
    if beta == 0.75:  # two square roots are much faster than a general power
        return x * scale.rsqrt() * scale.sqrt().rsqrt()
    return x * scale.pow(-beta)


class LocalContrastNorm(nn.Module):
    """Subtractive and divisive local contrast normalisation (Jarrett et al. 2009, §2.2).

        v = x − Σ_j w ∗ x_j        y = v / max(c, σ)        σ² = Σ_j w ∗ v_j²

    w is a Gaussian window, the same for all maps, that sums to 1 over the window and all maps j;
    c is the mean of σ over the map, image by image. Zeiler & Fergus cite it beside Krizhevsky's
    for their contrast normalisation and state no form; `ContrastNorm` is the default here.
    Not in the paper they cite: at a border windows are zero-padded, without renormalised weights.

    A unit above it depends on more pixels than its field in `deconv.fields`: size // 2 positions
    further on each side through w, twice, and through c on the whole map. On the way down it is
    skipped, so that a projection stays inside that field.

    Args:
        size: side of the window in positions, odd (9 in Jarrett et al.).
        sigma: of the Gaussian, in positions; Jarrett et al. do not state it.
    """

    def __init__(self, size: int = 9, sigma: float = 1.6) -> None:
        super().__init__()
        if size < 1 or size % 2 == 0:
            raise DeconvError(f"the window of contrast normalisation has an odd side, got {size}")
        self.size, self.sigma = size, sigma

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return local_contrast_norm(x, self.size, self.sigma)

    def extra_repr(self) -> str:
        return f"size={self.size}, sigma={self.sigma}"


def local_contrast_norm(x: torch.Tensor, size: int, sigma: float) -> torch.Tensor:
    """Apply `LocalContrastNorm` to N×C×H×W; takes part in PyTorch's override protocol."""
    if has_torch_function_unary(x):
        return handle_torch_function(local_contrast_norm, (x,), x, size, sigma)
    if x.dtype == torch.float16:
        return local_contrast_norm(x.float(), size, sigma).half()
    at = torch.arange(size, dtype=x.dtype, device=x.device) - size // 2
    row = (-(at**2) / (2 * sigma**2)).exp()
    row = row / row.sum()
    centred = x - _window_mean(x, row)
    deviation = _window_mean(centred.square(), row).clamp(min=0).sqrt()
    floor = deviation.mean(dim=(2, 3), keepdim=True)
    scale = torch.maximum(deviation, floor)
    # Constant maps have a deviation of 0: dividing by 1 avoids NaN values and infinite gradients.
    return centred / torch.where(scale > 0, scale, 1)


def _window_mean(x: torch.Tensor, row: torch.Tensor) -> torch.Tensor:
    """Compute the Gaussian mean over windows row × row and all maps: N×1×H×W."""
    pad = len(row) // 2
    mean = x.mean(dim=1, keepdim=True)
    mean = F.conv2d(mean, row.view(1, 1, -1, 1), padding=(pad, 0))
    return F.conv2d(mean, row.view(1, 1, 1, -1), padding=(0, pad))
