"""Reconstruction of held-out images by each layer, with baselines."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from deconv.studies.sparse_coding.inference import Inferred, encode, infer
from deconv.studies.sparse_coding.learning import Epoch
from deconv.studies.sparse_coding.network import AdaptiveDeconvNet


@dataclass(frozen=True)
class Measured:
    """Codes and errors of N held-out images.

    found, switches: of each layer, for the learned filters. unexplained: "learned", "random"
    (random filters, same inference) and "single_step" (one step of inference from zero, optimally
    scaled) -> for each layer N shares of the images' energy. single_step_nonzero: for each layer
    N shares of non-zero values after that step.
    """

    images: torch.Tensor
    found: list[Inferred]
    switches: list[torch.Tensor]
    unexplained: dict[str, list[np.ndarray]]
    single_step_nonzero: list[np.ndarray]


def measure(
    net: AdaptiveDeconvNet,
    untrained: AdaptiveDeconvNet,
    images: torch.Tensor,
    steps: int,
    **how: Any,
) -> Measured:
    """Encode images by learned and by random filters, and by a single step; how: as for `infer`."""
    found, switches = encode(net, images, steps, **how)
    other, _ = encode(untrained, images, steps, **how)
    energy = images.square().flatten(1).sum(1, dtype=torch.float64)
    single = [single_step(net, i + 1, images, switches, **how) for i in range(net.layers)]
    unexplained = {
        "learned": [(one.error / energy).cpu().numpy() for one in found],
        "random": [(one.error / energy).cpu().numpy() for one in other],
        "single_step": [left for left, _ in single],
    }
    return Measured(images, found, switches, unexplained, [share for _, share in single])


def single_step(
    net: AdaptiveDeconvNet,
    layer: int,
    images: torch.Tensor,
    switches: Sequence[torch.Tensor],
    **how: Any,
) -> np.ndarray:
    """2×N: unexplained share after one optimally scaled step from zero; share of non-zeros."""
    maps = infer(net, layer, images, switches, 1, **how).maps
    painted = net.down(layer, maps, switches).flatten(1).double()
    flat = images.flatten(1).double()
    own = painted.square().sum(1)
    met = (painted * flat).sum(1).square() / own.clamp(min=torch.finfo(own.dtype).tiny)
    left = 1 - met / flat.square().sum(1)
    return torch.stack([left, (maps != 0).double().mean(dim=(1, 2, 3))]).cpu().numpy()


def layer_row(
    net: AdaptiveDeconvNet, i: int, history: Sequence[Epoch], measured: Measured
) -> dict[str, Any]:
    """Summarise layer i + 1; shares are of the images' energy, SNR is of the mean share."""
    size, stride, _ = net.field(i + 1)
    found = measured.found[i]
    own, drawn, single = (
        float(measured.unexplained[name][i].mean()) for name in ("learned", "random", "single_step")
    )
    nonzero = found.maps != 0
    return {
        "layer": i + 1,
        "maps": len(net.filters[i]),
        "live_maps": int(nonzero.any(dim=(0, 2, 3)).sum()),
        "kernel_px": net.filters[i].shape[-1],
        "field_px": size,
        "stride_px": stride,
        "lambda": net.lambdas[i],
        "relative_error": own,
        "snr_db": signal_to_noise_db(own),
        "random_filters": drawn,
        "single_step": single,
        "training_error": [one.error for one in history if one.layer == i + 1][-1],
        "nonzero_share": float(nonzero.double().mean()),
        "nonzero_per_pixel": float(nonzero.sum() / measured.images[:, 0].numel()),
        "cost_start": float(found.cost[0].mean()),
        "cost_end": float(found.cost[-1].mean()),
        "refused_steps": float(found.refused.double().mean() / (len(found.cost) - 1)),
        "single_step_nonzero_share": float(measured.single_step_nonzero[i].mean()),
    }


def epoch_row(one: Epoch) -> dict[str, Any]:
    """Convert an epoch to a table row."""
    return {
        "layer": one.layer,
        "epoch": one.epoch,
        "cost_before": one.cost[0],
        "cost_after": one.cost[-1],
        "error_after_inference": one.error,
        "error_after_filters": one.learned,
        "refused_steps": one.refused,
    }


def learning_curve(history: Sequence[Epoch], layer: int) -> torch.Tensor:
    """A layer's cost after every step of inference, relative to that of zero maps."""
    costs = [one.cost for one in history if one.layer == layer]
    curve = [costs[0][0], *(cost for one in costs for cost in one[1:])]
    return torch.tensor(curve) / costs[0][0]


def signal_to_noise_db(share: float) -> float:
    """Convert an unexplained share of energy to a signal-to-noise ratio in decibels."""
    return -10 * math.log10(max(share, 1e-12))
