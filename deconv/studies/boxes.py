"""Boxes: from image file to network input, their geometry, and masks that occlude them.

All boxes are half-open (top, left, bottom, right) in whole pixels.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch

from deconv.errors import DeconvError
from deconv.images import resized_size
from deconv.records import Box


def square_box(box: Box, width: int, height: int, side_px: int) -> Box:
    """Map a box of a `width`×`height` image to pixels of `deconv.images.square(image, side_px)`.

    Rounded outwards to whole pixels; not clipped to the square, which crops the longer side.
    """
    wide, tall = resized_size(width, height, side_px)
    top, left, bottom, right = box
    y, x = (tall - side_px) // 2, (wide - side_px) // 2
    return (
        top * tall // height - y,
        left * wide // width - x,
        -(-bottom * tall // height) - y,
        -(-right * wide // width) - x,
    )


def centre_box(box: Box, stored_px: int, crop_px: int) -> Box:
    """Map a box of the stored square to pixels of its centre crop, without clipping."""
    edge = (stored_px - crop_px) // 2
    top, left, bottom, right = box
    return top - edge, left - edge, bottom - edge, right - edge


def in_crop(box: Box, stored_px: int, crop_px: int) -> Box:
    """Map a box of the stored square to its centre crop, clipped; empty if it lies outside."""
    top, left, bottom, right = (
        min(max(at, 0), crop_px) for at in centre_box(box, stored_px, crop_px)
    )
    return top, left, bottom, right


def crop_box(box: Box, stored_px: int, crop_px: int) -> Box | None:
    """Map a box of the stored square to its centre crop, clipped; None if it lies outside.

    Raises:
        DeconvError: for a crop larger than the square, and for an empty box.
    """
    if not 1 <= crop_px <= stored_px:
        raise DeconvError(f"a crop of {crop_px} px does not lie in a square of {stored_px} px")
    _check_area(box)
    seen = in_crop(box, stored_px, crop_px)
    return seen if area(seen) else None


def covered_share(square: Box, box: Box) -> float:
    """The share of the box's pixels, 0…1, that lie in the square; exchange them for the reverse.

    Raises:
        DeconvError: for an empty box.
    """
    _check_area(box)
    return intersection(square, box) / area(box)


def _check_area(box: Box) -> None:
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        raise DeconvError(f"the box (top, left, bottom, right) = {tuple(box)} holds no pixel")


def inside(box: Box, height: int, width: int) -> bool:
    """Whether a box is not empty and lies within a height×width image."""
    top, left, bottom, right = box
    return 0 <= top < bottom <= height and 0 <= left < right <= width


def intersection(a: Box, b: Box) -> int:
    """The number of pixels in both boxes."""
    rows = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    columns = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return rows * columns


def overlap(a: Box, b: Box) -> float:
    """The intersection of two boxes over their union, 0…1."""
    both = intersection(a, b)
    return both / (area(a) + area(b) - both)


def area(box: Box) -> int:
    """The number of pixels in a box."""
    return (box[2] - box[0]) * (box[3] - box[1])


def centred_box(height: int, width: int, like: Box, size_px: int) -> Box:
    """A height×width box centred on `like`, shifted into the image where it would leave it."""
    middle = like[0] + like[2], like[1] + like[3]
    top, left = (
        min(max((twice - extent) // 2, 0), size_px - extent)
        for twice, extent in zip(middle, (height, width), strict=True)
    )
    return top, left, top + height, left + width


def common_masks(parts: Mapping[str, Box], size_px: int) -> dict[str, Box]:
    """Centre a mask on each part, all as tall and as wide as the largest.

    Raises:
        DeconvError: if the masks do not fit an image of `size_px`.
    """
    height = max(bottom - top for top, _, bottom, _ in parts.values())
    width = max(right - left for _, left, _, right in parts.values())
    if max(height, width) > size_px:
        raise DeconvError(f"a mask of {height}×{width} px does not fit an image of {size_px} px")
    return {name: centred_box(height, width, box, size_px) for name, box in parts.items()}


def random_boxes(
    height: int,
    width: int,
    within: Box,
    avoid: Collection[Box],
    count: int,
    random: np.random.Generator,
) -> list[Box]:
    """Draw `count` height×width boxes inside `within` that overlap none of `avoid`.

    Uniform over all such positions, with replacement only if there are fewer than `count`; empty
    if there is none.
    """
    top, left, bottom, right = within
    rows, columns = bottom - top - height + 1, right - left - width + 1
    if rows < 1 or columns < 1:
        return []
    free = np.ones((rows, columns), bool)
    for box in avoid:
        first = max(0, box[0] - height + 1 - top), max(0, box[1] - width + 1 - left)
        free[first[0] : max(0, box[2] - top), first[1] : max(0, box[3] - left)] = False
    places = np.argwhere(free) + np.array([top, left])
    if not len(places):
        return []
    chosen = random.choice(len(places), count, replace=len(places) < count)
    return [(int(y), int(x), int(y) + height, int(x) + width) for y, x in places[chosen]]


def mask_boxes(
    image: torch.Tensor, boxes: Sequence[Box], fill: float | torch.Tensor
) -> torch.Tensor:
    """Copy a 3×H×W image K times, each with one of K boxes filled: K×3×H×W.

    fill: a value, or 3×1×1.
    """
    copies = image.repeat(len(boxes), 1, 1, 1)
    for copy, (top, left, bottom, right) in zip(copies, boxes, strict=True):
        copy[:, top:bottom, left:right] = fill
    return copies


def masked_pictures(
    image: torch.Tensor, boxes: Sequence[Box], fill: float, mean: torch.Tensor
) -> torch.Tensor:
    """Render a network's inputs, unmasked and with each of K boxes filled: (1+K)×3×c×c uint8.

    image: 3×c×c, the centre crop minus the mean. mean: 3×S×S, added back.
    """
    crop_px = image.shape[-1]
    edge = (mean.shape[-1] - crop_px) // 2
    views = torch.cat([image[None], mask_boxes(image, boxes, fill)])
    shown = views + mean[:, edge : edge + crop_px, edge : edge + crop_px]
    return shown.clamp(0, 255).round().to(torch.uint8)
