"""The image that excites a unit most: gradient ascent under a norm constraint (Erhan et al. 2009).

    x⁺ = argmax f(x)   over   ‖x‖ = ρ

Erhan, Bengio, Courville & Vincent, "Visualizing higher-layer features of a deep network": gradient
ascent on a unit's activation from random starts at a fixed norm. Here f is any function from K
images to K numbers. Each step rotates an image towards its gradient by an angle that decays from
`first_angle_deg` to 0 along half a cosine, never past the gradient; the best image is kept. The
sources state no step size. Taking only steps that gain is no better: at the ridges of ReLUs it gets
stuck far below what decaying angles reach.

Blur and jitter came later, against noise-like patterns. They are off by default, as in Erhan et al.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from deconv.errors import DeconvError

Function = Callable[[torch.Tensor], torch.Tensor]
TINY = 1e-30


@dataclass(frozen=True)
class Ascent:
    """The result of K ascents.

    images: K×…, each of norm ρ: the best, or with blur or jitter the last. value: K, f of them.
    path: K×(steps+1), f before the first step and after each. slope: K, ρ‖tangent gradient‖ / |f|
    at the images, the relative gain a radian; 0 at a smooth optimum, large on a ridge between two
    linear pieces. flat: K bool, starts without a gradient, which did not move.
    """

    images: torch.Tensor
    value: torch.Tensor
    path: torch.Tensor
    slope: torch.Tensor
    flat: torch.Tensor

    @property
    def best(self) -> int:
        """The start with the largest value among those with a gradient."""
        return int(self.value.masked_fill(self.flat, -math.inf).argmax())

    def pair_agreement(self) -> torch.Tensor:
        """Correlations between the images of all pairs of starts with a gradient."""
        same = agreement(self.images[~self.flat])
        rows, columns = torch.triu_indices(len(same), len(same), offset=1)
        return same[rows, columns]


def random_starts(
    shape: tuple[int, ...], count: int, norm: float, seed: int, dtype: torch.dtype = torch.float32
) -> torch.Tensor:
    """Draw `count` images uniformly from the sphere of a norm."""
    if count < 1:
        raise DeconvError(f"ascent needs at least one start, got {count}")
    generator = torch.Generator().manual_seed(seed)
    return on_sphere(torch.randn(count, *shape, generator=generator).to(dtype), norm)


def on_sphere(images: torch.Tensor, norm: float) -> torch.Tensor:
    """Scale each image to a norm, which must be positive."""
    if not (math.isfinite(norm) and norm > 0):
        raise DeconvError(f"the norm of the images is a positive number, got {norm}")
    lengths = images.flatten(1).norm(dim=1).clamp(min=TINY)
    return images * (norm / lengths).view(-1, *[1] * (images.dim() - 1))


def max_activation(
    f: Function,
    starts: torch.Tensor,
    norm: float,
    steps: int = 200,
    first_angle_deg: float = 10.0,
    blur_px: float = 0.0,
    jitter_px: int = 0,
    seed: int = 0,
) -> Ascent:
    """Maximise f on the sphere ‖x‖ = norm from each of K starts.

    Args:
        starts: K×…, scaled to the norm first.
        first_angle_deg: angle of the first step; decays to 0.
        blur_px: standard deviation of a Gaussian blur after every step; its weight decays with the
            angle from 1 to 0.
        jitter_px: largest cyclic shift of the image at which a gradient is taken, drawn by `seed`.

    Raises:
        DeconvError: for invalid numbers, NaN, or no gradient at any start, as of a dead unit.
    """
    from torchvision.transforms.functional import gaussian_blur

    _check(starts, steps, first_angle_deg, blur_px, jitter_px)
    generator = torch.Generator().manual_seed(seed)
    images = on_sphere(starts, norm)
    value, gradient = value_and_gradient(f, images)
    flat = gradient.flatten(1).norm(dim=1) == 0
    if flat.all():
        raise DeconvError(
            f"the unit does not change with the image at any of {len(images)} random starts (its "
            "gradient is zero): it is dead, or none of the starts reaches it. Take another unit, "
            "more starts or another norm"
        )
    best: tuple[torch.Tensor, ...] = (images, value, gradient)
    path = [value]
    for step in range(steps):
        angle = math.radians(first_angle_deg) * (1 + math.cos(math.pi * step / steps)) / 2
        if jitter_px:
            gradient = _moved_gradient(f, images, jitter_px, generator)
        images = rotate_towards(images, gradient, angle, norm)
        if blur_px:
            # As strong against the gradient at the end, where steps are small, as at the start.
            share = angle / math.radians(first_angle_deg)
            blurred = gaussian_blur(images, _taps(blur_px), blur_px)
            images = on_sphere(images.lerp(blurred, share), norm)
        value, gradient = value_and_gradient(f, images)
        path.append(value)
        better = value > best[1] if not (blur_px or jitter_px) else ~flat
        best = tuple(
            torch.where(better.view(-1, *[1] * (new.dim() - 1)), new, old)
            for new, old in zip((images, value, gradient), best, strict=True)
        )
    images, value, gradient = best
    slope = slope_of(images, value, gradient)
    return Ascent(images, value, torch.stack(path, dim=1), slope, flat)


def slope_of(images: torch.Tensor, value: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The slope of f along the sphere: ρ‖tangent gradient‖ / |f|, the relative gain a radian."""
    steep = images.flatten(1).norm(dim=1) * _tangent(images, gradient).flatten(1).norm(dim=1)
    return steep / value.abs().clamp(min=TINY)


def agreement(images: torch.Tensor) -> torch.Tensor:
    """K×K: Pearson correlations between images over all their values."""
    rows = images.flatten(1).double()
    rows = rows - rows.mean(dim=1, keepdim=True)
    rows = rows / rows.norm(dim=1, keepdim=True).clamp(min=TINY)
    return rows @ rows.T


def value_and_gradient(f: Function, images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Return f of K images and its gradients, zero if f does not depend on them.

    Raises:
        DeconvError: for values that are not finite.
    """
    with torch.enable_grad():
        pixels = images.detach().clone().requires_grad_()
        value = f(pixels)
        if value.shape != (len(images),):
            raise DeconvError(f"f gives one number per image, got {tuple(value.shape)}")
        gradient = None
        if value.requires_grad:
            (gradient,) = torch.autograd.grad(value.sum(), pixels, allow_unused=True)
    gradient = torch.zeros_like(pixels) if gradient is None else gradient
    if not (value.isfinite().all() and gradient.isfinite().all()):
        raise DeconvError("the unit's value or gradient is no finite number: look at the weights")
    return value.detach(), gradient.detach()


def rotate_towards(
    images: torch.Tensor, gradient: torch.Tensor, angle: float, norm: float
) -> torch.Tensor:
    """Rotate each image towards its gradient by an angle in radians, at most onto the gradient."""
    tangent = _tangent(images, gradient)
    x, g, t = (one.flatten(1) for one in (images, gradient, tangent))
    length = t.norm(dim=1)
    between = torch.atan2(length, (x * g).sum(1) / norm)
    turn = between.clamp(max=angle)[:, None]
    unit = t / length.clamp(min=TINY)[:, None]
    return on_sphere((x * turn.cos() + norm * unit * turn.sin()).view_as(images), norm)


def _tangent(images: torch.Tensor, gradient: torch.Tensor) -> torch.Tensor:
    """The component of each gradient along the sphere."""
    x, g = images.flatten(1), gradient.flatten(1)
    return (g - x * ((x * g).sum(1) / (x * x).sum(1))[:, None]).view_as(images)


def _moved_gradient(
    f: Function, images: torch.Tensor, jitter_px: int, generator: torch.Generator
) -> torch.Tensor:
    """The gradient at randomly shifted images, shifted back."""
    y, x = torch.randint(-jitter_px, jitter_px + 1, (2,), generator=generator).tolist()
    _, gradient = value_and_gradient(f, images.roll((y, x), (-2, -1)))
    return gradient.roll((-y, -x), (-2, -1))


def _taps(blur_px: float) -> int:
    return 2 * math.ceil(3 * blur_px) + 1


def _check(
    starts: torch.Tensor, steps: int, first_angle_deg: float, blur_px: float, jitter_px: int
) -> None:
    if steps < 1:
        raise DeconvError(f"ascent takes at least one step, got {steps}")
    if not 0 < first_angle_deg <= 90:
        raise DeconvError(f"the first step turns by 0 to 90 degrees, got {first_angle_deg}")
    side = min(starts.shape[-2:])
    if blur_px < 0 or (blur_px and _taps(blur_px) // 2 >= side):
        raise DeconvError(
            f"blur_px={blur_px} does not fit images of {side} px: its window reaches "
            f"{_taps(max(blur_px, 0)) // 2} px to each side"
        )
    if not 0 <= jitter_px < side:
        raise DeconvError(f"jitter_px={jitter_px} does not fit images of {side} px")
