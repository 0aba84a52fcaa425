"""Inference of feature maps for given filters: monotone ISTA or FISTA.

The original infers with ISTA (unverified in its details): a gradient step on the error, shrinkage,
then pooling and unpooling, which keeps one value a block and renews the layer's own switches. That
is ISTA under the constraint of one non-zero value a block: shrinkage followed by keeping the
largest is exactly its proximal step, so the cost cannot rise for steps below 1/L. `competition`
switches the constraint on.

Differs from the original: FISTA's momentum (Beck & Teboulle 2009), restarted for each image that
it would make worse (O'Donoghue & Candès 2015); a step size for each image, from L estimated by
power iteration and reduced where it proves too large. solver="ista" has no momentum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from deconv.errors import DeconvError, unknown
from deconv.studies.sparse_coding.network import AdaptiveDeconvNet
from deconv.studies.sparse_coding.pooling import pool_blocks, unpool_blocks

SOLVERS = ("fista", "ista")
POWER_ITERATIONS = 8
MARGIN = 1.1
"""Factor on the power iteration's estimate, a lower bound."""
GROWTH = 1.5
"""Factor on an image's L after a step without momentum that raised its cost."""
ROUNDING = 1e-5
"""Relative rise of the cost that is rounding: the step is refused, but L stays."""


@dataclass(frozen=True)
class Inferred:
    """Inferred feature maps.

    maps: N×K×H×W. cost: (steps + 1)×N float64, C_l of each image before and after each step,
    never rising. error: N float64, ‖R z − y‖². refused: N, steps refused because they would have
    raised the image's cost.
    """

    maps: torch.Tensor
    cost: torch.Tensor
    error: torch.Tensor
    refused: torch.Tensor


def infer(
    net: AdaptiveDeconvNet,
    layer: int,
    images: torch.Tensor,
    switches: Sequence[torch.Tensor],
    steps: int,
    *,
    solver: str = "fista",
    competition: bool = True,
    start: torch.Tensor | None = None,
    seed: int = 0,
) -> Inferred:
    """Infer the feature maps of `layer` that minimise C_l, image by image.

    Args:
        images: N×C×H×W.
        switches: of the layers below.
        competition: allow one non-zero value in a block of the layer's own pooling.
        start: N×K×H×W, zeros if None; with competition it must satisfy the constraint.
        seed: of the power iteration.

    Raises:
        DeconvError: for an unknown solver, no step or no image.
    """
    if solver not in SOLVERS:
        raise unknown("solver", solver, SOLVERS)
    if steps < 1 or len(images) == 0:
        raise DeconvError(f"inference takes a step and an image at least: {steps=}, {len(images)=}")
    weight = net.lambdas[layer - 1]
    curvature = MARGIN * weight * lipschitz(net, layer, images, switches, seed=seed)
    maps = images.new_zeros(net.map_shape(layer, images)) if start is None else start
    painted = net.down(layer, maps, switches)
    last, last_painted = maps, painted
    momentum = torch.ones(len(images), dtype=images.dtype, device=images.device)
    refused = torch.zeros(len(images), dtype=torch.int64, device=images.device)
    costs = [cost(maps, painted - images, weight)]
    for _ in range(steps):
        following = (1 + (1 + 4 * momentum.square()).sqrt()) / 2
        push = (momentum - 1) / following if solver == "fista" else torch.zeros_like(momentum)
        ahead = maps + _each(push) * (maps - last)
        ahead_error = painted + _each(push) * (painted - last_painted) - images
        slope = weight * net.up(layer, ahead_error, switches)
        tried = _proximal(net, ahead - slope / _each(curvature), 1 / curvature, competition)
        tried_painted = net.down(layer, tried, switches)
        reached = cost(tried, tried_painted - images, weight)
        taken = reached <= costs[-1]
        # A plain step that raises the cost was too long; a pushed one lost its way: restart.
        long = ~taken & (push == 0) & (reached > costs[-1] * (1 + ROUNDING))
        curvature = torch.where(long, curvature * GROWTH, curvature)
        momentum = torch.where(taken, following, torch.ones_like(momentum))
        refused += ~taken
        here = _each(taken)
        last, last_painted = maps, painted
        maps = torch.where(here, tried, maps)
        painted = torch.where(here, tried_painted, painted)
        costs.append(torch.where(taken, reached, costs[-1]))
    error = (painted - images).square().flatten(1).sum(1, dtype=torch.float64)
    return Inferred(maps, torch.stack(costs), error, refused)


def lipschitz(
    net: AdaptiveDeconvNet,
    layer: int,
    images: torch.Tensor,
    switches: Sequence[torch.Tensor],
    iterations: int = POWER_ITERATIONS,
    seed: int = 0,
) -> torch.Tensor:
    """Estimate the largest eigenvalue of RᵀR for each image's switches by power iteration: N.

    λ times it is the Lipschitz constant of the error term's gradient.
    """
    alone = layer == 1  # no switches below: the same for all images
    some = images[:1] if alone else images
    generator = torch.Generator().manual_seed(seed)
    vector = torch.randn(net.map_shape(layer, some), generator=generator, dtype=torch.float64)
    vector = vector.to(images)
    for _ in range(iterations):
        vector = vector / _each(vector.flatten(1).norm(dim=1).clamp(min=1e-30))
        vector = net.up(layer, net.down(layer, vector, switches), switches)
    return vector.flatten(1).norm(dim=1).clamp(min=1e-12).expand(len(images))


def cost(maps: torch.Tensor, residual: torch.Tensor, weight: float) -> torch.Tensor:
    """N float64: weight/2 · ‖residual‖² + ‖maps‖₁ of each image."""
    error = residual.square().flatten(1).sum(1, dtype=torch.float64)
    return weight / 2 * error + maps.abs().flatten(1).sum(1, dtype=torch.float64)


def shrink(values: torch.Tensor, by: torch.Tensor) -> torch.Tensor:
    """Soft-threshold values by `by`."""
    return values.sign() * (values.abs() - by).clamp(min=0)


def encode(
    net: AdaptiveDeconvNet,
    images: torch.Tensor,
    steps: int,
    upto: int | None = None,
    *,
    solver: str = "fista",
    competition: bool = True,
    seed: int = 0,
) -> tuple[list[Inferred], list[torch.Tensor]]:
    """Infer all layers up to `upto` (None: all); return each layer's maps and switches."""
    found: list[Inferred] = []
    switches: list[torch.Tensor] = []
    for layer in range(1, (upto or net.layers) + 1):
        one = infer(
            net, layer, images, switches, steps, solver=solver, competition=competition, seed=seed
        )
        found.append(one)
        switches.append(pool_blocks(one.maps, net.pool_px, net.pool_maps)[1])
    return found, switches


def _proximal(
    net: AdaptiveDeconvNet, maps: torch.Tensor, by: torch.Tensor, competition: bool
) -> torch.Tensor:
    shrunk = shrink(maps, _each(by))
    if not competition:
        return shrunk
    return unpool_blocks(
        *pool_blocks(shrunk, net.pool_px, net.pool_maps), net.pool_px, net.pool_maps
    )


def _each(values: torch.Tensor) -> torch.Tensor:
    """One number an image, N×1×1×1."""
    return values.view(-1, 1, 1, 1)
