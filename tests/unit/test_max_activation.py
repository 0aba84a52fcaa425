"""Ascent on the sphere: optima known by hand, a plain loop beside it, what its options do."""

import math

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from deconv.errors import DeconvError
from deconv.studies.single_unit.max_activation import (
    agreement,
    max_activation,
    on_sphere,
    random_starts,
    rotate_towards,
)

SHAPE = (3, 6, 5)
W = torch.randn(SHAPE, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def linear(images):
    return (images * W).flatten(1).sum(1) + 2.0


def starts(count=4, seed=0, norm=7.0):
    return random_starts(SHAPE, count, norm, seed, torch.float64)


def test_a_linear_units_optimum_is_its_weights_from_every_start():
    found = max_activation(linear, starts(), 7.0, steps=150)
    wanted = 7.0 * W / W.norm()
    for image in found.images:
        torch.testing.assert_close(image, wanted, rtol=0, atol=1e-6)
    assert found.value.tolist() == pytest.approx([7.0 * float(W.norm()) + 2.0] * 4)
    assert agreement(found.images).flatten().tolist() == pytest.approx([1.0] * 16)
    assert float(found.slope.max()) < 1e-5 and found.path.shape == (4, 151)
    assert (found.path.diff(dim=1) > -1e-9).all(), "never past the gradient, so never down"


def test_a_quadratic_units_optimum_is_the_first_eigenvector():
    root = torch.randn(90, 90, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    form = root + root.T
    values, vectors = np.linalg.eigh(form.numpy())

    def f(images):
        flat = images.flatten(1)
        return ((flat @ form) * flat).sum(1)

    found = max_activation(f, starts(2), 3.0, steps=1000)
    assert found.value.tolist() == pytest.approx([9.0 * values[-1]] * 2, rel=1e-4)
    along = np.abs(found.images.flatten(1).numpy() @ vectors[:, -1]) / 3.0
    assert along == pytest.approx([1.0, 1.0], abs=1e-3)


def test_without_options_it_is_plain_ascent_step_by_step():
    """The same by NumPy for one start: rotate in the plane of image and gradient, keep the best."""
    a, b = (np.random.default_rng(s).normal(size=90) / 60 for s in (5, 6))

    def f(images):
        flat = images.flatten(1)
        return (flat @ torch.from_numpy(a)).sin() + (flat @ torch.from_numpy(b)).cos()

    found = max_activation(f, starts(1), 7.0, steps=25, first_angle_deg=8.0)
    x = starts(1).numpy().reshape(-1)
    values, seen = [], []
    for step in range(26):
        values.append(math.sin(x @ a) + math.cos(x @ b))
        seen.append(x)
        gradient = math.cos(x @ a) * a - math.sin(x @ b) * b
        unit, steep = x / 7.0, gradient / np.linalg.norm(gradient)
        between = math.acos(unit @ steep)
        angle = min(math.radians(8.0) * 0.5 * (1 + math.cos(math.pi * step / 25)), between)
        plane = steep - (steep @ unit) * unit
        plane /= np.linalg.norm(plane)
        x = 7.0 * (math.cos(angle) * unit + math.sin(angle) * plane)
    np.testing.assert_allclose(found.path[0].numpy(), values, atol=1e-9)
    best = int(np.argmax(values))
    np.testing.assert_allclose(found.images[0].numpy().reshape(-1), seen[best], atol=1e-9)
    assert float(found.value[0]) == pytest.approx(max(values))


@pytest.mark.parametrize("options", [{}, {"blur_px": 0.6}, {"jitter_px": 2}])
def test_the_norm_is_held_whatever_the_options(options):
    found = max_activation(linear, starts(3), 4.5, steps=20, **options)
    assert found.images.flatten(1).norm(dim=1).tolist() == pytest.approx([4.5] * 3)
    other = max_activation(linear, starts(3), 4.5, steps=20, **options)
    assert torch.equal(found.images, other.images), "the same for the same seed"


def test_blur_and_jitter_change_what_comes_out():
    plain = max_activation(linear, starts(2), 7.0, steps=60)
    blurred = max_activation(linear, starts(2), 7.0, steps=60, blur_px=1.0)
    moved = max_activation(linear, starts(2), 7.0, steps=60, jitter_px=2)

    def roughness(images):
        return float(images.diff(dim=-1).square().mean())

    assert roughness(blurred.images) < 0.8 * roughness(plain.images)
    assert (moved.value < plain.value - 0.1).all() and (blurred.value < plain.value - 0.1).all()
    assert (blurred.value > blurred.path[:, 0]).all(), "and yet it climbs"


def test_blur_is_scipys_all_of_it_at_first_and_less_as_the_angle_falls():
    found = max_activation(linear, starts(1), 7.0, steps=2, first_angle_deg=8.0, blur_px=0.6)
    x = starts(1)
    for degrees, share in ((8.0, 1.0), (4.0, 0.5)):
        x = rotate_towards(x, W[None], math.radians(degrees), 7.0)
        blurred = gaussian_filter(x[0].numpy(), (0, 0.6, 0.6), radius=(0, 2, 2), mode="mirror")
        x = (1 - share) * x + share * torch.from_numpy(blurred)
        x = x * 7.0 / x.norm()
    torch.testing.assert_close(found.images, x)


def test_jitter_is_the_gradient_of_the_moved_image_moved_back():
    found = max_activation(linear, starts(1), 7.0, 1, first_angle_deg=5.0, jitter_px=2, seed=3)
    generator = torch.Generator().manual_seed(3)
    y, x = torch.randint(-2, 3, (2,), generator=generator).tolist()
    assert y != x and 0 not in (y, x), "so that exchanged axes are seen"
    gradient = torch.zeros(SHAPE, dtype=torch.float64)
    for c in range(3):
        for i in range(6):
            for j in range(5):
                gradient[c, i, j] = W[c, (i + y) % 6, (j + x) % 5]
    wanted = rotate_towards(starts(1), gradient[None], math.radians(5.0), 7.0)
    torch.testing.assert_close(found.images, wanted)


def test_dead_units_are_told():
    def dead(images):
        return (images.flatten(1).sum(1) * 0 - 1).relu()

    with pytest.raises(DeconvError, match="gradient is zero"):
        max_activation(dead, starts(), 7.0)
    with pytest.raises(DeconvError, match="gradient is zero"):
        max_activation(lambda images: torch.ones(len(images)), starts(), 7.0)

    def some(images):
        return linear(images).relu()

    value = linear(starts(8))
    assert 0 < int((value < 0).sum()) < 8
    found = max_activation(some, starts(8), 7.0, steps=50)
    assert found.flat.tolist() == (value < 0).tolist()
    torch.testing.assert_close(found.images[found.flat], starts(8)[found.flat])
    assert not found.flat[found.best] and float(found.value[found.flat].max()) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"norm": 0.0}, "positive number, got 0"),
        ({"norm": math.inf}, "positive number"),
        ({"steps": 0}, "at least one step"),
        ({"first_angle_deg": 0.0}, "0 to 90 degrees"),
        ({"blur_px": 2.0}, "does not fit images of 5 px"),
        ({"blur_px": -1.0}, "does not fit"),
        ({"jitter_px": 5}, "does not fit images of 5 px"),
    ],
)
def test_numbers_that_cannot_be_used_are_named(options, words):
    with pytest.raises(DeconvError, match=words):
        max_activation(linear, starts(), **({"norm": 7.0} | options))


def test_values_that_are_no_numbers_are_refused():
    with pytest.raises(DeconvError, match="no finite number"):
        max_activation(lambda x: linear(x) * math.nan, starts(), 7.0)
    with pytest.raises(DeconvError, match="one number per image"):
        max_activation(lambda x: x.flatten(1), starts(), 7.0)
    with pytest.raises(DeconvError, match="at least one start"):
        random_starts(SHAPE, 0, 1.0, 0)


def test_agreement_is_numpys_correlation():
    images = on_sphere(torch.randn(5, *SHAPE, dtype=torch.float64) + 0.3, 2.0)
    np.testing.assert_allclose(agreement(images), np.corrcoef(images.flatten(1)), atol=1e-12)
