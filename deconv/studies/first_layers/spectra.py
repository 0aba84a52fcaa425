"""The spectra of layers 1 and 2, and what the stride of layer 1 aliases of them (Figure 6)."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from deconv.networks import Network
from deconv.studies.first_layers.features import FIRST, SECOND, convolution
from deconv.studies.first_layers.quality import (
    aliased,
    bands,
    responses_aliased,
    share_within,
    square_stride,
)


def spectra(
    net: Network,
    found: Mapping[str, np.ndarray],
    edges: Sequence[float],
    frequencies: Iterable[float],
    images: Iterable[torch.Tensor],
) -> dict[str, np.ndarray]:
    """Measure the spectra of layer 1's filters and of layer 2's projections.

    Args:
        found: what `features` returned.
        edges: two frequencies, where the middle band begins and ends, cycles a pixel.
        frequencies: where the curves are computed, cycles a pixel.
        images: preprocessed, whose responses of layer 1 are taken at every pixel.

    Returns:
        For both layers <layer>/aliased, C, by layer 1's stride; <layer>/bands, C×3; <layer>/within,
        the share of energy up to each frequency, mean over maps; and responses_aliased, C.
    """
    conv, out = convolution(net, FIRST), {}
    stride = square_stride(conv)
    for layer, name in ((FIRST, "filters"), (SECOND, "projection")):
        signals = torch.from_numpy(found[name])
        out[f"{layer}/aliased"] = aliased(signals, stride).numpy()
        out[f"{layer}/bands"] = bands(signals, edges).numpy()
        curve = [share_within(signals, f).nanmean().item() for f in frequencies]
        out[f"{layer}/within"] = np.array(curve)
    out["responses_aliased"] = responses_aliased(conv, images).numpy()
    return out


def spectrum_in_numbers(
    net: Network, found: Mapping[str, np.ndarray], layer: str
) -> dict[str, Any]:
    """Average a layer's spectrum over its filters (layer 1) or projections (layer 2).

    Args:
        found: what `spectra` returned, and random_aliased where it was measured.
    """
    low, mid, high = _mean(found[f"{layer}/bands"]).tolist()
    row = {
        "spectrum_of": "filters" if layer == FIRST else "projections",
        "low": low,
        "mid": mid,
        "high": high,
        "aliased": float(_mean(found[f"{layer}/aliased"])),
        "white_noise_aliased": 1 - 1 / square_stride(convolution(net, FIRST)) ** 2,
    }
    for name, at in (("random_aliased", SECOND), ("responses_aliased", FIRST)):
        row[name] = float(_mean(found[name])) if layer == at and name in found else ""
    return row


def _mean(values: np.ndarray) -> np.ndarray:
    """The mean over filters that are not zero; NaN where all are."""
    known = values[~np.isnan(values.reshape(len(values), -1)).any(axis=1)]
    return known.mean(axis=0) if len(known) else np.full(values.shape[1:], np.nan)


def excess_aliasing(
    coarse: tuple[np.ndarray, np.ndarray], fine: tuple[np.ndarray, np.ndarray]
) -> tuple[float, float]:
    """Compare what two networks alias, each relative to itself with random weights.

    A larger stride aliases more of anything; so compared, a network that has learnt nothing does
    not differ.

    Args:
        coarse, fine: (shares aliased, one a map, NaN where dead; those under random weights, one
            a network).

    Returns:
        The mean of coarse minus that of fine, and two standard deviations of it, over maps and
        over random weights together.
    """
    means, variances = [], []
    for shares, random in (coarse, fine):
        shares = shares[~np.isnan(shares)] / random.mean()
        means.append(shares.mean())
        variances += [shares.var(ddof=1) / len(shares), (random / random.mean()).var(ddof=1)]
    return float(means[0] - means[1]), 2 * math.sqrt(sum(variances))
