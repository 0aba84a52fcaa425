"""The view: from local units to pixels, and how much of each pixel an outline covers."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np

Box = tuple[int, int, int, int]  # half-open (top, left, bottom, right), in pixels
_SHIFT = 4


@dataclass(frozen=True)
class View:
    """The homography (3, 3) from local units to pixels; pixel (0, 0) covers [0, 1) × [0, 1)."""

    matrix: np.ndarray

    def at(
        self,
        x: float,
        y: float,
        sx: float = 1.0,
        sy: float | None = None,
        angle: float = 0.0,
    ) -> "View":
        """The view of a local frame at (x, y), scaled (sx < 0 mirrors) and turned by `angle`."""
        sy = abs(sx) if sy is None else sy
        c, s = math.cos(angle), math.sin(angle)
        return View(self.matrix @ np.array([[c * sx, -s * sy, x], [s * sx, c * sy, y], [0, 0, 1]]))

    def pixels(self, points: np.ndarray) -> np.ndarray:
        """(N, 2) local (x, y) → (N, 2) pixel (x, y)."""
        m = self.matrix
        out = points @ m[:2, :2].T + m[:2, 2]
        if m[2, 0] or m[2, 1]:
            out /= (points @ m[2, :2] + m[2, 2])[:, None]
        return out

    @cached_property
    def to_local(self) -> tuple[float, ...]:
        """The affine map from pixels back to local units, exact at the local origin."""
        m = self.matrix / self.matrix[2, 2]
        px, py = m[0, 2], m[1, 2]
        a, b = m[0, 0] - px * m[2, 0], m[0, 1] - px * m[2, 1]
        c, d = m[1, 0] - py * m[2, 0], m[1, 1] - py * m[2, 1]
        det = a * d - b * c
        ia, ib, ic, id_ = d / det, -b / det, -c / det, a / det
        return tuple(map(float, (ia, ib, ic, id_, -ia * px - ib * py, -ic * px - id_ * py)))


def coverage(
    outlines: Sequence[np.ndarray], size_px: int, union: bool = False
) -> tuple[Box, np.ndarray] | None:
    """The share of each pixel that the outlines (pixel x, y; even-odd, or their union) cover.

    Returns the box around them with a rim of one pixel, clipped to the image, and float32 (h, w)
    in [0, 1]; None when nothing lies in the image.
    """
    every = outlines[0] if len(outlines) == 1 else np.concatenate(outlines)
    low, high = every.min(0), every.max(0)
    left, top = max(0, int(low[0]) - 1), max(0, int(low[1]) - 1)
    right, bottom = min(size_px, int(high[0]) + 2), min(size_px, int(high[1]) + 2)
    if right <= left or bottom <= top:
        return None
    # Four by four samples a pixel, which fattens shapes by an eighth of a pixel on each side;
    # cv2's own anti-aliasing would by about half a pixel.
    fine = np.zeros((4 * (bottom - top), 4 * (right - left)), np.uint8)
    offset = np.array([left, top])
    corners = [((p - offset) * 4 - 0.5) * (1 << _SHIFT) for p in outlines]
    whole = [c.round().astype(np.int32) for c in corners]
    for group in [[c] for c in whole] if union else [whole]:
        cv2.fillPoly(fine, group, 255, 8, _SHIFT)
    mask = cv2.resize(fine, (right - left, bottom - top), interpolation=cv2.INTER_AREA)
    return (top, left, bottom, right), mask.astype(np.float32) * np.float32(1 / 255)
