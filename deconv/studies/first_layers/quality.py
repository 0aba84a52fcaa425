"""What Figure 6 is about, in numbers: filters that outweigh the rest, that are faint, that alias.

A layer of stride s keeps its responses at every s-th pixel, so it can carry frequencies up to
1/(2s) cycles a pixel, its Nyquist frequency; what lies above comes back as something else. The
shares below are exact integrals over frequencies, not sums over the bins of a DFT.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
import torch.nn.functional as F
from torch import nn

from deconv.errors import DeconvError


def filter_rms(weights: torch.Tensor) -> torch.Tensor:
    """sqrt(mean w²) of each filter, C float64; what §3 keeps at 0.1 or below. weights: C×…."""
    return weights.double().flatten(1).square().mean(dim=1).sqrt()


def effective_filters(rms: torch.Tensor) -> float:
    """How many filters a layer has in effect, 1…C: (Σ e)² / Σ e² of their energies e = rms².

    C where all are equally strong, 1 where a single one has all the energy; 0 if all are zero.
    """
    energy = rms.double().square()
    total = energy.sum()
    return float(total.square() / energy.square().sum()) if total > 0 else 0.0


def filters_of_half(rms: torch.Tensor) -> int:
    """The fewest filters that together hold half of the layer's energy; 0 if all are zero."""
    energy = rms.double().square().sort(descending=True).values
    if energy.sum() == 0:
        return 0
    return int((energy.cumsum(0) < 0.5 * energy.sum()).sum()) + 1


def faint(rms: torch.Tensor, share: float) -> torch.Tensor:
    """C bool: the filters whose RMS is below a share of the strongest filter's.

    Drawn on one scale they are grey. A layer of zeros is faint throughout.
    """
    return (rms < share * rms.max()) | (rms == 0)


def share_within(signals: torch.Tensor, frequency: float) -> torch.Tensor:
    """Share of each signal's spectral energy at |f_y| and |f_x| ≤ frequency, K float64.

    signals: K×channels×h×w, taken as zero outside; the energy is summed over channels.
    frequency: 0…0.5 cycles a pixel; 0.5 holds everything. NaN where a signal is zero.

    By Parseval the energy in the band is Σ s(p) s(q) b(p_y - q_y) b(p_x - q_x) with
    b(d) = sin(2πfd)/(πd), the inverse transform of the band.
    """
    energy = _energy_within(signals, frequency)
    return energy / signals.double().square().sum(dim=(1, 2, 3))


def _energy_within(signals: torch.Tensor, frequency: float) -> torch.Tensor:
    if not 0 <= frequency <= 0.5:
        raise DeconvError(f"a frequency lies within 0…0.5 cycles a pixel, got {frequency}")
    values = signals.double()
    down, across = (_band(n, frequency).to(values.device) for n in values.shape[2:])
    return (down @ values @ across * values).sum(dim=(1, 2, 3))


def _band(n: int, frequency: float) -> torch.Tensor:
    """n×n: b(i - j)."""
    at = torch.arange(n, dtype=torch.float64)
    return 2 * frequency * torch.sinc(2 * frequency * (at[:, None] - at))


def nyquist(stride: int) -> float:
    """The highest frequency, in cycles a pixel, that samples at every `stride`-th pixel carry."""
    return 1 / (2 * stride)


def aliased(signals: torch.Tensor, stride: int) -> torch.Tensor:
    """Share of each signal's spectral energy above the Nyquist frequency of a stride, K float64.

    Signals as for `share_within`: filters, or projections through a layer of that stride. White
    noise has 1 - 1/stride², and a stride of 1 aliases nothing.
    """
    return 1 - share_within(signals, nyquist(stride))


def bands(signals: torch.Tensor, edges: Sequence[float]) -> torch.Tensor:
    """Share of each signal's energy in square bands of frequency, K×(edges + 1) float64.

    edges: rising, between 0 and 0.5 cycles a pixel; a frequency belongs to the band that
    max(|f_y|, |f_x|) lies in.
    """
    within = [share_within(signals, edge) for edge in (0.0, *edges, 0.5)]
    return torch.stack(within, dim=1).diff(dim=1)


@torch.no_grad()
def responses_aliased(conv: nn.Conv2d, images: Iterable[torch.Tensor]) -> torch.Tensor:
    """Share of each map's response energy above the Nyquist frequency of the layer's stride, C.

    What these images bring of the frequencies that the filters let through: the responses of the
    filters at every pixel where they lie wholly inside the image, without bias and ReLU.
    images: each 3×H×W, preprocessed. NaN for a map without response.
    Raises DeconvError if there is no image.
    """
    stride = square_stride(conv)
    below = total = torch.zeros(conv.out_channels, dtype=torch.float64)
    seen = 0
    for image in images:
        batch = image[None].to(conv.weight)
        dense = F.conv2d(batch, conv.weight, groups=conv.groups).transpose(0, 1)
        below = below + _energy_within(dense, nyquist(stride)).cpu()
        total = total + dense.double().square().sum(dim=(1, 2, 3)).cpu()
        seen += 1
    if not seen:
        raise DeconvError("there is no image to look at responses of")
    return 1 - below / total


def square_stride(conv: nn.Conv2d) -> int:
    """The layer's stride. Raises DeconvError if it differs between rows and columns."""
    down, across = conv.stride
    if down != across:
        raise DeconvError(f"a first layer with one stride is needed, got {conv.stride}")
    return down
