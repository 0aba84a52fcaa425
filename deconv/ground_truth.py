"""Boxes of known objects and parts where a network sees them, and how much of them is covered.

The built-in scenes tell where an object and its parts are in the stored square
(`deconv.data.render(…).box` and `.parts`); the network sees that square's centre crop.
"""

from __future__ import annotations

from deconv.errors import DeconvError
from deconv.types import Box


def crop_box(box: Box, stored_px: int, crop_px: int) -> Box | None:
    """A box of the stored square in pixels of its centre crop, clipped to it; None if outside.

    box: half-open (top, left, bottom, right). stored_px, crop_px: sides of both squares.
    Raises DeconvError for a crop larger than the square and for a box without pixels.
    """
    if not 1 <= crop_px <= stored_px:
        raise DeconvError(f"a crop of {crop_px} px does not lie in a square of {stored_px} px")
    _area(box)
    edge = (stored_px - crop_px) // 2
    top, left, bottom, right = (min(max(side - edge, 0), crop_px) for side in box)
    return (top, left, bottom, right) if top < bottom and left < right else None


def covered_share(square: Box, box: Box) -> float:
    """The share of the box's pixels, 0…1, that lie in the square.

    Both are half-open (top, left, bottom, right) in the same pixels; exchanged, they give the
    share of the square that lies on the box. Raises DeconvError for a box without pixels.
    """
    rows = min(square[2], box[2]) - max(square[0], box[0])
    columns = min(square[3], box[3]) - max(square[1], box[1])
    return max(rows, 0) * max(columns, 0) / _area(box)


def _area(box: Box) -> int:
    rows, columns = box[2] - box[0], box[3] - box[1]
    if rows < 1 or columns < 1:
        raise DeconvError(f"the box (top, left, bottom, right) = {tuple(box)} holds no pixel")
    return rows * columns
