"""Outlines: every function gives points in local units, float32 (N, 2) in the order (x, y).

x grows to the right, y grows down. Angles are in radians and turn x towards y.
"""

from collections.abc import Sequence
from functools import lru_cache

import numpy as np

Outline = np.ndarray


@lru_cache(maxsize=8)
def _circle(count: int) -> np.ndarray:
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    return np.stack([np.cos(angle), np.sin(angle)], 1).astype(np.float32)


@lru_cache(maxsize=8)
def _spline_basis(steps: int) -> np.ndarray:
    """Catmull-Rom weights (steps, 4) of four neighbouring control points."""
    t = np.arange(steps, dtype=np.float32)[:, None] / steps
    powers = np.concatenate([t**0, t, t**2, t**3], 1)
    weights = np.array([[0, 2, 0, 0], [-1, 0, 1, 0], [2, -5, 4, -1], [-1, 3, -3, 1]]) / 2
    return (powers @ weights).astype(np.float32)


@lru_cache(maxsize=64)
def _neighbours(count: int) -> np.ndarray:
    """For each of `count` points in a loop the indices of its four spline controls, (count, 4)."""
    return (np.arange(count)[:, None] + np.arange(-1, 3)) % count


@lru_cache(maxsize=64)
def _rise(count: int) -> np.ndarray:
    return np.linspace(0, 1, count, dtype=np.float32)[:, None]


def ellipse(
    x: float, y: float, rx: float, ry: float | None = None, angle: float = 0.0, count: int = 24
) -> Outline:
    """An ellipse about (x, y) with the radii rx and ry (a circle without ry)."""
    points = _circle(count) * np.array([rx, rx if ry is None else ry], np.float32)
    if angle:
        c, s = np.cos(angle), np.sin(angle)
        points = points @ np.array([[c, s], [-s, c]], np.float32)
    return points + np.array([x, y], np.float32)


def polygon(*points: tuple[float, float]) -> Outline:
    """The polygon through the given (x, y) points."""
    return np.array(points, np.float32)


def rectangle(left: float, top: float, right: float, bottom: float, corner: float = 0.0) -> Outline:
    """An upright rectangle, its corners rounded with the radius `corner`."""
    if corner <= 0:
        return polygon((left, top), (right, top), (right, bottom), (left, bottom))
    arc = _circle(16) * np.float32(corner)
    quarters = [arc[0:5], arc[4:9], arc[8:13], arc[[12, 13, 14, 15, 0]]]
    centres = [
        (right - corner, bottom - corner),
        (left + corner, bottom - corner),
        (left + corner, top + corner),
        (right - corner, top + corner),
    ]
    parts = [
        quarter + np.array(c, np.float32) for quarter, c in zip(quarters, centres, strict=True)
    ]
    return np.concatenate(parts)


def curve(*points: tuple[float, float], steps: int = 5) -> Outline:
    """A smooth closed outline through the given (x, y) points."""
    p = np.array(points, np.float32)
    return np.matmul(_spline_basis(steps), p[_neighbours(len(p))]).reshape(-1, 2)


def path(*points: tuple[float, float], steps: int = 5) -> Outline:
    """A smooth open line through the given (x, y) points, for `stroke`."""
    p = np.array([points[0], *points, points[-1]], np.float32)
    four = np.stack([p[:-3], p[1:-2], p[2:-1], p[3:]], 1)
    return np.concatenate([np.matmul(_spline_basis(steps), four).reshape(-1, 2), p[-1:]])


def stroke(
    points: Sequence[tuple[float, float]] | np.ndarray, width: float, end_width: float | None = None
) -> Outline:
    """The outline of an open line of the given width, tapering to `end_width` at its end."""
    p = np.asarray(points, np.float32)
    along = np.empty_like(p)
    along[1:-1] = p[2:] - p[:-2]
    along[0], along[-1] = p[1] - p[0], p[-1] - p[-2]
    half = width / 2 + ((width if end_width is None else end_width) - width) / 2 * _rise(len(p))
    half /= np.maximum(np.hypot(along[:, :1], along[:, 1:]), 1e-6)
    side = along[:, ::-1] * np.array([-1, 1], np.float32) * half
    return np.concatenate([p + side, (p - side)[::-1]])


def ring(x: float, y: float, outer: float, inner: float, count: int = 28) -> list[Outline]:
    """The two outlines of a ring about (x, y)."""
    return [ellipse(x, y, outer, count=count), ellipse(x, y, inner, count=count)]


def blob(
    rng: np.random.Generator,
    x: float,
    y: float,
    rx: float,
    ry: float,
    rough: float,
    count: int = 12,
) -> Outline:
    """An ellipse whose outline is bumpy: each of `count` bumps is off by up to `rough` × radius."""
    reach = 1 + rough * rng.uniform(-1, 1, (count, 1)).astype(np.float32)
    points = _circle(count) * reach * np.array([rx, ry], np.float32) + np.array([x, y], np.float32)
    return curve(*points, steps=4)
