"""Windows: a unit's picture depends on its receptive field alone, so only that part is run.

A window reaches from a multiple of the layer's stride at or before the field (at a border: from the
border) to the end of the field. Every stage then has its positions where it has them in the whole
image, and a position that the unit depends on reads the same values. Positions beside them read
zeros where the image goes on, but neither the unit nor its picture ever reads those.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch

from deconv.errors import DeconvError
from deconv.networks import Network
from deconv.networks.network import inner_module
from deconv.normalisation import LocalContrastNorm
from deconv.records import Box

LARGEST_SHARE = 0.7
"""Of an image: a larger window saves less than cutting it out costs."""


@dataclass(frozen=True)
class Window:
    """A part of an image, and the place of its unit in the map of that part alone.

    top, left, height, width: in pixels. y, x: the position of the unit.
    """

    top: int
    left: int
    height: int
    width: int
    y: int
    x: int

    def cut(self, image: torch.Tensor) -> torch.Tensor:
        """Return the window of an image or batch …×H×W, a view."""
        rows = slice(self.top, self.top + self.height)
        return image[..., rows, self.left : self.left + self.width]

    def inside(self, painted: torch.Tensor, box: Box) -> torch.Tensor:
        """Return a box of the image, which lies in the window, of what was painted in it."""
        top, left, bottom, right = box
        rows = slice(top - self.top, bottom - self.top)
        return painted[..., rows, left - self.left : right - self.left]


def windows_of(
    net: Network, layer: str, image_size: tuple[int, int]
) -> Callable[[int, int], Window] | None:
    """Make the function from a unit (y, x) to its window.

    Returns:
        None where the whole image has to run: the field is unknown, depends on the image's size or
        is most of it, or a local contrast normalisation reads beyond it (`deconv.fields`).
    """
    if any(isinstance(part, LocalContrastNorm) for part in inner_module(net).modules()):
        return None
    try:
        laws = [net.interior(layer, axis, image_size) for axis in (0, 1)]
    except DeconvError:
        return None
    sides = [extent + start % stride for extent, stride, start in laws]
    share = [min(1.0, side / whole) for side, whole in zip(sides, image_size, strict=True)]
    if share[0] * share[1] > LARGEST_SHARE:
        return None

    def window(y: int, x: int) -> Window:
        top, height, y = _along(laws[0], y, image_size[0])
        left, width, x = _along(laws[1], x, image_size[1])
        return Window(top, left, height, width, y, x)

    return window


def _along(law: tuple[int, int, int], unit: int, size: int) -> tuple[int, int, int]:
    """Find (begin, length, unit's index in the window) along an axis of `size` pixels.

    Windows away from the last border have one length, those at it another, so that many units can
    share a batch.
    """
    extent, stride, start = law
    length = extent + start % stride
    begin = max(0, start + unit * stride - start % stride)
    if begin + length > size:
        begin = max(0, (size - length) // stride * stride)
        length = size - begin
    return begin, length, unit - begin // stride


def in_batches(
    units: torch.Tensor,
    window: Callable[[int, int], Window],
    image_of: Callable[[int], torch.Tensor],
    pixels_at_once: int,
) -> Iterator[tuple[list[int], list[Window], torch.Tensor]]:
    """Cut out the windows of units, those of equal size together.

    Args:
        units: K×4 rows (image, map, y, x).
        window: (y, x) -> the window of a unit.
        image_of: i -> image 3×H×W; each image is asked for once.
        pixels_at_once: of the windows in one batch; memory grows with it.

    Yields:
        (rows of `units`, their windows, N×3×h×w).
    """
    waiting: dict[tuple[int, int], list[tuple[int, Window, torch.Tensor]]] = {}
    order = units[:, 0].argsort(stable=True).tolist()
    seen, image = -1, torch.empty(0)
    for row in order:
        number, _, y, x = units[row].tolist()
        if number != seen:
            seen, image = number, image_of(number)
        one = window(y, x)
        batch = waiting.setdefault((one.height, one.width), [])
        batch.append((row, one, one.cut(image).clone()))  # a view would keep the image
        if (len(batch) + 1) * one.height * one.width > pixels_at_once:
            yield _together(waiting.pop((one.height, one.width)))
    for batch in waiting.values():
        yield _together(batch)


def _together(
    batch: Sequence[tuple[int, Window, torch.Tensor]],
) -> tuple[list[int], list[Window], torch.Tensor]:
    rows, windows, cuts = zip(*batch, strict=True)
    return list(rows), list(windows), torch.stack(cuts)


def placed(units: torch.Tensor, windows: Sequence[Window]) -> torch.Tensor:
    """Return units K×4 as rows (number of the window, map, y, x) of their windows."""
    inside = units.clone()
    inside[:, 0] = torch.arange(len(units))
    inside[:, 2:] = torch.tensor([(window.y, window.x) for window in windows])
    return inside
