"""Boxes: from the pixels of an image file to those of a network's input, and squares that hide.

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
    """A box of a `width`×`height` image in the pixels of `deconv.images.square(image, side_px)`.

    Grown to whole pixels, so that every pixel it touches is inside; it may reach beyond the
    square's edges, which cut off the ends of the longer side.
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
    """A box of the stored square in the pixels of its centre crop; may reach beyond its edges."""
    edge = (stored_px - crop_px) // 2
    top, left, bottom, right = box
    return top - edge, left - edge, bottom - edge, right - edge


def in_crop(box: Box, stored_px: int, crop_px: int) -> Box:
    """A box of the stored square as seen in its centre crop, clipped; of no area if outside."""
    top, left, bottom, right = (
        min(max(at, 0), crop_px) for at in centre_box(box, stored_px, crop_px)
    )
    return top, left, bottom, right


def crop_box(box: Box, stored_px: int, crop_px: int) -> Box | None:
    """A box of the stored square in pixels of its centre crop, clipped to it; None if outside.

    box: half-open (top, left, bottom, right). stored_px, crop_px: sides of both squares.
    Raises DeconvError for a crop larger than the square and for a box without pixels.
    """
    if not 1 <= crop_px <= stored_px:
        raise DeconvError(f"a crop of {crop_px} px does not lie in a square of {stored_px} px")
    _check_area(box)
    seen = in_crop(box, stored_px, crop_px)
    return seen if area(seen) else None


def covered_share(square: Box, box: Box) -> float:
    """The share of the box's pixels, 0…1, that lie in the square.

    Both are half-open (top, left, bottom, right) in the same pixels; exchanged, they give the
    share of the square that lies on the box. Raises DeconvError for a box without pixels.
    """
    _check_area(box)
    return shared(square, box) / area(box)


def _check_area(box: Box) -> None:
    if box[2] - box[0] < 1 or box[3] - box[1] < 1:
        raise DeconvError(f"the box (top, left, bottom, right) = {tuple(box)} holds no pixel")


def inside(box: Box, height: int, width: int) -> bool:
    """Whether a box holds a pixel and lies wholly within an image."""
    top, left, bottom, right = box
    return 0 <= top < bottom <= height and 0 <= left < right <= width


def shared(a: Box, b: Box) -> int:
    """Pixels that lie in both boxes."""
    rows = max(0, min(a[2], b[2]) - max(a[0], b[0]))
    columns = max(0, min(a[3], b[3]) - max(a[1], b[1]))
    return rows * columns


def overlap(a: Box, b: Box) -> float:
    """The area that two boxes share over the area that they cover together, 0…1."""
    both = shared(a, b)
    return both / (area(a) + area(b) - both)


def area(box: Box) -> int:
    """Pixels inside a box."""
    return (box[2] - box[0]) * (box[3] - box[1])


def placed(height: int, width: int, like: Box, size_px: int) -> Box:
    """A box of height×width with the centre of `like`, shifted as far as the image's edge asks."""
    middle = like[0] + like[2], like[1] + like[3]
    top, left = (
        min(max((twice - extent) // 2, 0), size_px - extent)
        for twice, extent in zip(middle, (height, width), strict=True)
    )
    return top, left, top + height, left + width


def common_masks(parts: Mapping[str, Box], size_px: int) -> dict[str, Box]:
    """For each part a mask of one size for all: as tall and wide as the largest of them.

    Centred on the part. Raises DeconvError if a mask would not fit an image of `size_px`.
    """
    height = max(bottom - top for top, _, bottom, _ in parts.values())
    width = max(right - left for _, left, _, right in parts.values())
    if max(height, width) > size_px:
        raise DeconvError(f"a mask of {height}×{width} px does not fit an image of {size_px} px")
    return {name: placed(height, width, box, size_px) for name, box in parts.items()}


def random_boxes(
    height: int,
    width: int,
    within: Box,
    avoid: Collection[Box],
    count: int,
    random: np.random.Generator,
) -> list[Box]:
    """`count` boxes of height×width inside `within` that touch none of `avoid`.

    Each is drawn evenly over all such places, the same place twice only where there are fewer
    places than boxes. Fewer than one place: an empty list.
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


def hidden(image: torch.Tensor, boxes: Sequence[Box], fill: float | torch.Tensor) -> torch.Tensor:
    """K copies of a 3×H×W image, each with one of K boxes painted over with `fill`.

    fill: a value, or three of shape 3×1×1. Returns K×3×H×W.
    """
    copies = image.repeat(len(boxes), 1, 1, 1)
    for copy, (top, left, bottom, right) in zip(copies, boxes, strict=True):
        copy[:, top:bottom, left:right] = fill
    return copies


def masked_pictures(
    image: torch.Tensor, boxes: Sequence[Box], fill: float, mean: torch.Tensor
) -> torch.Tensor:
    """What a network is fed, for people: whole and with each of K boxes hidden, (1+K)×3×c×c uint8.

    image: 3×c×c, the centre crop minus the mean. mean: 3×S×S, which is put back.
    """
    crop_px = image.shape[-1]
    edge = (mean.shape[-1] - crop_px) // 2
    views = torch.cat([image[None], hidden(image, boxes, fill)])
    shown = views + mean[:, edge : edge + crop_px, edge : edge + crop_px]
    return shown.clamp(0, 255).round().to(torch.uint8)
