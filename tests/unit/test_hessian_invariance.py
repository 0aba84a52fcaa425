"""Directions of the Hessian on the sphere against dense matrices and walks on the actual sphere."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import deconv
from deconv.errors import DeconvError
from deconv.studies.single_unit.hessian_invariance import (
    SphereHessian,
    curves,
    fall_deg,
    geodesic,
    hessian_directions,
    random_tangents,
)
from deconv.studies.single_unit.smoothing import smoothed
from deconv.studies.single_unit.unit_function import unit_function

SHAPE = (3, 4, 5)
D = math.prod(SHAPE)
NORM = 2.5


def image(seed=0):
    x = torch.randn(1, *SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    return x * NORM / x.norm()


@pytest.fixture(scope="module")
def quadratic():
    """(f, its symmetric matrix, its linear part): f = ½ xᵀSx + bᵀx."""
    random = np.random.default_rng(3)
    root = random.normal(size=(D, D))
    matrix, linear = root + root.T, random.normal(size=D)

    def f(images):
        flat = images.flatten(1)
        bent = (flat @ torch.from_numpy(matrix) * flat).sum(1) / 2
        return bent + flat @ torch.from_numpy(linear)

    return f, matrix, linear


def dense(matrix, linear, x):
    """All second derivatives along great circles, in any basis of the tangent space."""
    unit = x / NORM
    basis = np.linalg.svd(np.eye(D) - np.outer(unit, unit))[0][:, : D - 1]
    gradient = matrix @ x + linear
    return NORM**2 * basis.T @ matrix @ basis - NORM * (gradient @ unit) * np.eye(D - 1), basis


def test_a_quadratic_forms_directions_are_those_of_the_dense_matrix(quadratic):
    f, matrix, linear = quadratic
    x = image()
    whole, basis = dense(matrix, linear, x.numpy().reshape(-1))
    values, vectors = np.linalg.eigh(whole)
    found = hessian_directions(f, x, count=3, tolerance=1e-10)
    wanted = np.r_[values[::-1][:3], values[:3][::-1]]
    np.testing.assert_allclose(found.second_derivative, wanted, rtol=1e-8)
    chosen = [-1, -2, -3, 2, 1, 0]
    for v, i in zip(found.vectors, chosen, strict=True):
        assert abs(v.numpy().reshape(-1) @ basis @ vectors[:, i]) == pytest.approx(1, abs=1e-6)
    gram = found.vectors.flatten(1) @ found.vectors.flatten(1).T
    np.testing.assert_allclose(gram, np.eye(6), atol=1e-8)
    assert float((found.vectors.flatten(1) @ x.flatten()).abs().max()) < 1e-10, "tangent"
    assert not found.flat and found.error < 1e-8 and found.products > 6


def test_the_operator_is_the_dense_matrix_entry_by_entry(quadratic):
    f, matrix, linear = quadratic
    x = image(4)
    sphere = SphereHessian(f, x)
    columns = np.stack([sphere.product(e) for e in np.eye(D - 1)], axis=1)
    basis = np.stack([sphere.vector(e).numpy().reshape(-1) for e in np.eye(D - 1)], axis=1)
    np.testing.assert_allclose(basis.T @ basis, np.eye(D - 1), atol=1e-12)
    whole, other = dense(matrix, linear, x.numpy().reshape(-1))
    turn = basis.T @ other
    np.testing.assert_allclose(columns, turn @ whole @ turn.T, atol=1e-9)


def test_second_derivatives_are_differences_on_the_actual_sphere(quadratic):
    cubic = torch.randn(D, dtype=torch.float64)

    def f(images):
        return quadratic[0](images) + (images.flatten(1) @ cubic) ** 3 / 9

    x = image(1)
    sphere = SphereHessian(f, x)
    step = 1e-3
    for v in random_tangents(x, 5, seed=2):
        walked = [
            float(f(x * math.cos(a) + NORM * v[None] * math.sin(a))) for a in (-step, 0.0, step)
        ]
        wanted = (walked[0] - 2 * walked[1] + walked[2]) / step**2
        assert sphere.second_derivative(v) == pytest.approx(wanted, rel=1e-4, abs=1e-3)


def test_a_norm_does_not_change_on_its_sphere():
    sphere = SphereHessian(lambda x: x.flatten(1).norm(dim=1), image())
    assert sphere.sphere == pytest.approx(-NORM)
    for v in random_tangents(image(), 3, seed=0):
        assert sphere.second_derivative(v) == pytest.approx(0, abs=1e-12)


def test_a_linear_unit_has_no_hessian_and_it_is_said():
    w = torch.randn(D, dtype=torch.float64)
    x = (w * NORM / w.norm()).view(1, *SHAPE)
    found = hessian_directions(lambda images: images.flatten(1) @ w, x)
    assert found.flat
    wanted = -NORM * float(w.norm())
    assert found.second_derivative.tolist() == pytest.approx([wanted] * 4)
    angles = np.linspace(-60, 60, 13)
    walked = curves(lambda images: images.flatten(1) @ w, x, found.vectors, angles)
    for walk in walked:
        np.testing.assert_allclose(walk, -wanted * np.cos(np.radians(angles)), atol=1e-10)


def small(norm):
    layers = [nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2)]
    layers += [nn.LocalResponseNorm(5, alpha=1.0)] if norm else []
    layers += [nn.Conv2d(8, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 3 * 3, 2)]
    torch.manual_seed(0)
    return deconv.wrap(nn.Sequential(*layers).double(), input_px=12)


def test_relu_and_pool_bend_nothing_and_normalisation_does():
    for norm in (False, True):
        unit = unit_function(small(norm), "4", 1)
        x = torch.randn(1, *unit.shape, dtype=torch.float64)
        assert hessian_directions(unit, x).flat != norm
        assert not hessian_directions(smoothed(unit, x, 0.1), x).flat


def test_the_rounded_networks_second_derivatives_are_differences_on_the_sphere():
    unit = unit_function(small(False), "4", 1)
    x = torch.randn(1, *unit.shape, dtype=torch.float64)
    f = smoothed(unit, x, 0.3)
    found = hessian_directions(f, x, count=2, tolerance=1e-8)
    step = 1e-3
    for v, second in zip(found.vectors, found.second_derivative, strict=True):
        walked = curves(f, x, v[None], np.degrees([-step, 0, step]))[0]
        wanted = float(walked[0] - 2 * walked[1] + walked[2]) / step**2
        assert float(second) == pytest.approx(wanted, rel=1e-3)


def test_walks_stay_on_the_sphere_and_begin_at_the_image():
    x = image()
    v = random_tangents(x, 1, seed=1)[0]
    walk = geodesic(x, v, np.array([-90.0, 0.0, 30.0]))
    assert walk.flatten(1).norm(dim=1).tolist() == pytest.approx([NORM] * 3)
    torch.testing.assert_close(walk[1], x[0])
    torch.testing.assert_close(walk[0], -NORM * v)
    cosine = float((walk[2].flatten() @ x.flatten()) / NORM**2)
    assert cosine == pytest.approx(math.cos(math.pi / 6))


@pytest.mark.parametrize(
    ("values", "degrees"),
    [
        ([4.0, 9.0, 10.0, 9.0, 7.0], 10 + 10 * 1 / 5),  # left: 9 to 4 passes 8 a fifth of the way
        ([9.0, 9.0, 10.0, 6.0, 0.0], 10 * 2 / 4),
        ([9.0, 8.0, 10.0, 8.0, 9.0], math.nan),
        ([-1.0, 0.0, 0.0, 0.0, -1.0], math.nan),
    ],
)
def test_how_far_one_can_walk_by_hand(values, degrees):
    found = fall_deg(np.array(values), np.array([-20.0, -10.0, 0.0, 10.0, 20.0]))
    assert found == pytest.approx(degrees, nan_ok=True)


def test_what_cannot_be_found_is_told(quadratic):
    f = quadratic[0]
    with pytest.raises(DeconvError, match="among the 59 dimensions"):
        hessian_directions(f, image(), count=30)
    with pytest.raises(DeconvError, match="that is not zero"):
        SphereHessian(f, image() * 0)
    with pytest.raises(DeconvError, match="at one image, got 2"):
        SphereHessian(f, torch.cat([image(), image(1)]))
    with pytest.raises(DeconvError, match=r"Lanczos found \d+ of 4 directions"):
        hessian_directions(f, image(), tolerance=1e-14, most_products=1)
