"""What a unit is invariant to at its optimum: eigenvectors of its Hessian along the sphere.

Berkes & Wiskott 2006 ("On the analysis and interpretation of inhomogeneous quadratic forms as
receptive fields"); Le et al. 2010 ("Tiled convolutional neural networks"). At the optimum x⁺ of a
unit f on the sphere ‖x‖ = ρ walk along a great circle, x(φ) = x⁺ cos φ + ρ v sin φ with a unit
tangent v. The second derivative at φ = 0 is

    d²f/dφ² = ρ² vᵀHv − ρ (∇f · x̂⁺)

a quadratic form in v. Its eigenvectors with the largest values (least negative: f falls slowest)
are the most invariant directions, those with the smallest the least invariant ones. H is never
formed: Lanczos (ARPACK, in scipy) asks for products with it, two backward passes each.

The Hessian of a network of ReLUs and max-pools is zero almost everywhere. Then all directions have
the sphere's second derivative, −ρ (∇f · x̂⁺), and none is more invariant than another
(`Directions.flat`). With contrast normalisation eigenvectors exist, but they reflect the
normalisation alone, not the ReLUs and pools that switch a few degrees away. The remedy is smooth
ReLUs and pools, see `deconv.studies.single_unit.smoothing`. Finite differences of gradients are
no remedy: on a piecewise linear function they are not linear in the step and have no eigenvectors.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from scipy.sparse.linalg import ArpackNoConvergence, LinearOperator, eigsh

from deconv.errors import DeconvError

Function = Callable[[torch.Tensor], torch.Tensor]
FLAT = 1e-6
"""Share of the sphere's second derivative below which the Hessian's counts as zero."""
PROBES = 3
IMAGES_AT_ONCE = 16


@dataclass(frozen=True)
class Directions:
    """2·count directions at an optimum, most invariant first.

    vectors: (2·count)×…, unit tangents of the image's shape, the first `count` the most invariant,
    the last the least. second_derivative: of f along each, in f's unit per radian². sphere:
    −ρ (∇f · x̂), the second derivative without a Hessian. flat: whether the Hessian is zero and the
    directions therefore arbitrary. error: the largest ‖Av − λv‖ / max|λ|. products: number of
    Hessian products computed.
    """

    vectors: torch.Tensor
    second_derivative: torch.Tensor
    sphere: float
    flat: bool
    error: float
    products: int


class SphereHessian:
    """The second derivative of f along great circles through an image, as a symmetric operator.

    Coordinates are the image's D values under a Householder reflection that maps the image to the
    first axis; the other D − 1 span the tangent space, which excludes the radial direction.

    f: from K×… images to K numbers, twice differentiable by autograd. image: 1×….
    """

    def __init__(self, f: Function, image: torch.Tensor) -> None:
        if len(image) != 1:
            raise DeconvError(f"the Hessian is taken at one image, got {len(image)}")
        self.image = image.detach()
        self.norm = float(image.flatten().double().norm())
        if not self.norm > 0:
            raise DeconvError("the Hessian along a sphere needs an image that is not zero")
        with torch.enable_grad():
            self._pixels = self.image.clone().requires_grad_()
            value = f(self._pixels).sum()
            self.gradient = torch.zeros_like(self.image)
            self._gradient = None
            if value.requires_grad:
                (self._gradient,) = torch.autograd.grad(value, self._pixels, create_graph=True)
                self.gradient = self._gradient.detach()
        self._unit = (self.image / self.norm).flatten().double()
        self.sphere = -self.norm * float(self.gradient.flatten().double() @ self._unit)
        mirror = self._unit.clone()
        self._sign = -1.0 if mirror[0] > 0 else 1.0
        mirror[0] -= self._sign
        self._mirror = mirror / mirror.norm()
        self.size = self.image.numel() - 1
        self.products = 0

    def hessian_product(self, direction: torch.Tensor) -> torch.Tensor:
        """Multiply a direction of the image's shape by H; zeros if f has no second derivative."""
        self.products += 1
        if self._gradient is None or not self._gradient.requires_grad:
            return torch.zeros_like(self.image)
        (product,) = torch.autograd.grad(
            self._gradient,
            self._pixels,
            direction.to(self.image),
            retain_graph=True,
            allow_unused=True,
        )
        return torch.zeros_like(self.image) if product is None else product

    def vector(self, coordinates: np.ndarray) -> torch.Tensor:
        """Convert D − 1 coordinates to a tangent vector 1×…, float64."""
        whole = torch.zeros(self.size + 1, dtype=torch.float64, device=self.image.device)
        whole[1:] = torch.as_tensor(coordinates, dtype=torch.float64).to(whole)
        return self._reflect(whole).view(self.image.shape)

    def coordinates(self, vector: torch.Tensor) -> np.ndarray:
        """Convert the tangent part of a vector of the image's shape to D − 1 coordinates."""
        return self._reflect(vector.flatten().double())[1:].cpu().numpy()

    def bend(self, coordinates: np.ndarray) -> np.ndarray:
        """Multiply D − 1 coordinates by ρ² H restricted to the tangent space."""
        product = self.hessian_product(self.vector(coordinates))
        return self.norm**2 * self.coordinates(product)

    def product(self, coordinates: np.ndarray) -> np.ndarray:
        """Multiply D − 1 coordinates by the operator."""
        flat = np.asarray(coordinates, dtype=float).reshape(-1)
        return self.bend(flat) + self.sphere * flat

    def second_derivative(self, vector: torch.Tensor) -> float:
        """d²f/dφ² along a unit tangent."""
        u = self.coordinates(vector)
        return float(u @ self.product(u))

    def _reflect(self, whole: torch.Tensor) -> torch.Tensor:
        return whole - 2 * self._mirror * (self._mirror @ whole)


def hessian_directions(
    f: Function,
    image: torch.Tensor,
    count: int = 2,
    seed: int = 0,
    tolerance: float = 1e-3,
    most_products: int = 2000,
) -> Directions:
    """Find the `count` most and the `count` least invariant directions of f on the sphere.

    Args:
        image: 1×…, the optimum; its norm is ρ.
        seed: of Lanczos's first vector, and of the directions if the Hessian is zero.
        tolerance: of the eigenvalues, relative.
        most_products: limit of Hessian products, approximately.

    Raises:
        DeconvError: for too few dimensions, and if Lanczos does not converge.
    """
    sphere = SphereHessian(f, image)
    wanted = 2 * count
    if count < 1 or wanted >= sphere.size:
        raise DeconvError(
            f"{wanted} directions cannot be found among the {sphere.size} dimensions of the "
            f"sphere: choose count between 1 and {(sphere.size - 1) // 2}"
        )
    random = np.random.default_rng(seed)
    flat = _is_flat(sphere, random)
    if flat:
        basis = np.linalg.qr(random.normal(size=(sphere.size, wanted)))[0]
        values, vectors = np.full(wanted, sphere.sphere), basis
    else:
        values, vectors = _extremes(sphere, wanted, random, tolerance, most_products)
    order = np.argsort(-values, kind="stable")
    values, vectors = values[order], vectors[:, order]
    scale = np.abs(values).max() or 1.0
    errors = [
        np.linalg.norm(sphere.product(v) - value * v)
        for value, v in zip(values, vectors.T, strict=True)
    ]
    return Directions(
        torch.cat([sphere.vector(v) for v in vectors.T]).to(image),
        torch.from_numpy(values),
        sphere.sphere,
        flat,
        float(max(errors) / scale),
        sphere.products,
    )


def _is_flat(sphere: SphereHessian, random: np.random.Generator) -> bool:
    """Whether Hessian products with a few random directions are negligible."""
    scale = abs(sphere.sphere) or sphere.norm * float(sphere.gradient.norm())
    for _ in range(PROBES):
        u = random.normal(size=sphere.size)
        bend = np.linalg.norm(sphere.bend(u / np.linalg.norm(u)))
        if bend > FLAT * scale:
            return False
    return True


def _extremes(
    sphere: SphereHessian,
    wanted: int,
    random: np.random.Generator,
    tolerance: float,
    most_products: int,
) -> tuple[np.ndarray, np.ndarray]:
    operator = LinearOperator((sphere.size,) * 2, matvec=sphere.product, dtype=np.float64)
    vectors = min(sphere.size, max(2 * wanted + 1, 20))
    try:
        return eigsh(
            operator,
            k=wanted,
            which="BE",
            ncv=vectors,
            tol=tolerance,
            v0=random.normal(size=sphere.size),
            maxiter=max(1, most_products // vectors),
        )
    except ArpackNoConvergence as error:
        raise DeconvError(
            f"Lanczos found {len(error.eigenvalues)} of {wanted} directions within "
            f"{sphere.products} products with the Hessian: take fewer, or a larger tolerance"
        ) from error


# Walking


def geodesic(image: torch.Tensor, direction: torch.Tensor, angles_deg: np.ndarray) -> torch.Tensor:
    """The images at A angles along the great circle from an image 1×… along a unit tangent: A×…."""
    at = torch.as_tensor(np.radians(angles_deg), dtype=torch.float64)
    at = at.to(image).view(-1, *[1] * (image.dim() - 1))
    return image * at.cos() + image.norm() * direction.reshape(image.shape).to(image) * at.sin()


def curves(
    f: Function, image: torch.Tensor, directions: torch.Tensor, angles_deg: np.ndarray
) -> torch.Tensor:
    """Evaluate f along each of K directions, without gradients: K×A."""
    with torch.no_grad():
        walks = []
        for direction in directions:
            images = geodesic(image, direction, angles_deg)
            walks.append(torch.cat([f(some) for some in images.split(IMAGES_AT_ONCE)]))
        return torch.stack(walks).cpu()


def random_tangents(image: torch.Tensor, count: int, seed: int) -> torch.Tensor:
    """Draw `count` unit tangents uniformly, as a baseline."""
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(count, image.numel(), generator=generator, dtype=torch.float64)
    unit = image.flatten().double().cpu()
    unit = unit / unit.norm()
    drawn = drawn - (drawn @ unit)[:, None] * unit
    drawn = drawn / drawn.norm(dim=1, keepdim=True)
    return drawn.view(count, *image.shape[1:]).to(image)


def fall_deg(values: np.ndarray, angles_deg: np.ndarray, share: float = 0.8) -> float:
    """The smallest angle, either way, at which f falls below a share of its value at angle 0.

    values: A, at ascending angles that include 0; interpolated linearly. NaN if f stays above the
    share on both sides, or is not positive at angle 0.
    """
    centre = int(np.flatnonzero(angles_deg == 0)[0])
    limit = share * values[centre]
    if not values[centre] > 0:
        return math.nan
    found = []
    for step, end in ((1, len(values)), (-1, -1)):
        for i in range(centre + step, end, step):
            if values[i] < limit:
                near, far = abs(angles_deg[i - step]), abs(angles_deg[i])
                part = (values[i - step] - limit) / (values[i - step] - values[i])
                found.append(near + part * (far - near))
                break
    return float(min(found)) if found else math.nan
