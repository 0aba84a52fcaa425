"""Receptive fields: which pixels a unit sees, exact at borders, for any chain of windows.

All windows are rectangles, so rows and columns are independent and everything is arithmetic on one
axis. Sets of positions are propagated rather than intervals: with padding as large as the kernel, a
stride larger than the kernel, or dilation, the clipped interval of a unit can begin or end on a
position that no weight touches.

The field is that of convolutions and pools. Local contrast normalisation
(`deconv.normalisation.LocalContrastNorm`) is left out: through its window, and through its floor c,
a mean over the whole map, a unit above it also depends on pixels outside. The deconvnet passes
normalisations unchanged, so a projection lies inside the field nevertheless and is cropped to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from deconv.errors import DeconvError
from deconv.records import Box
from deconv.whole_number import whole_number


class WholeImage(DeconvError):
    """A receptive field that depends on the size of the image."""


@dataclass(frozen=True)
class Axis:
    """One sliding window along one axis: kernel, stride, padding and dilation in positions.

    padding: before the first position. after: behind the last, None for the same. Negative values
    crop. mode: of PADDINGS, zeros or the image's own positions.
    """

    kernel: int
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    ceil_mode: bool = False
    after: int | None = None
    mode: str = "zeros"

    def output_size(self, size: int) -> int:
        """Compute the number of output positions by PyTorch's rule; may be 0 or less."""
        after = self.padding if self.after is None else self.after
        span = size + self.padding + after - self.dilation * (self.kernel - 1) - 1
        if not self.ceil_mode:
            return span // self.stride + 1
        out = -(-span // self.stride) + 1
        # A last window that would start in the right-hand padding is dropped.
        return out - 1 if (out - 1) * self.stride >= size + self.padding else out

    def seen(self, units: np.ndarray, size: int) -> np.ndarray:
        """Return the sorted input positions, out of `size`, that output positions touch."""
        start = units[:, None] * self.stride - self.padding
        taps = PADDINGS[self.mode](start + np.arange(self.kernel)[None, :] * self.dilation, size)
        return np.unique(taps[(taps >= 0) & (taps < size)])


PADDINGS: dict[str, Callable[[np.ndarray, int], np.ndarray]] = {
    "zeros": lambda taps, size: taps,
    "replicate": lambda taps, size: taps.clip(0, size - 1),
    "circular": lambda taps, size: taps % size,
    "reflect": lambda taps, size: np.where(
        taps < 0, -taps, np.where(taps < size, taps, 2 * (size - 1) - taps)
    ),
}
"""PyTorch's padding mode -> the positions that replace those outside 0…size−1."""


@dataclass(frozen=True)
class AdaptiveAxis:
    """Adaptive average pooling to `out` positions, along one axis."""

    out: int

    def output_size(self, size: int) -> int:
        """Return `out`."""
        return self.out

    def seen(self, units: np.ndarray, size: int) -> np.ndarray:
        """Return the sorted input positions, out of `size`, that output positions average."""
        spans = [np.arange(u * size // self.out, -(-(u + 1) * size // self.out)) for u in units]
        return np.unique(np.concatenate(spans)) if spans else units


@dataclass(frozen=True)
class WholeAxis:
    """A fully connected layer: one position that sees every position below."""

    def output_size(self, size: int) -> int:
        """Return 1."""
        return 1

    def seen(self, units: np.ndarray, size: int) -> np.ndarray:
        """Return every input position, if there is a unit at all."""
        return np.arange(size if len(units) else 0)


AnyAxis = Axis | AdaptiveAxis | WholeAxis
Window = tuple[AnyAxis, AnyAxis]
"""The (rows, columns) axes of one layer."""


class HasFields(Protocol):
    """A network that knows the receptive fields of its units."""

    def field(self, layer: str, y: int, x: int, image_size: tuple[int, int]) -> Box:
        """Return a unit's field, as `receptive_field`."""
        ...

    def interior(
        self, layer: str, axis: int, image_size: tuple[int, int] | None = None
    ) -> tuple[int, int, int]:
        """Return (size, stride, start) along axis 0 (rows) or 1 (columns), as `interior_field`."""
        ...


def sizes(axes: Iterable[AnyAxis], size: int) -> list[int]:
    """List the positions along one axis before the first window and after each: [size, …]."""
    out = [size]
    for axis in axes:
        out.append(axis.output_size(out[-1]))
    return out


def support(axes: Sequence[AnyAxis], unit: int, size: int) -> np.ndarray:
    """Return the sorted input positions that one unit of the last window depends on."""
    along = sizes(axes, size)
    if min(along) < 1:
        raise DeconvError(f"an input of {size} px is too small: the sizes along it are {along}")
    if not 0 <= unit < along[-1]:
        raise DeconvError(f"unit {unit} is outside its map, which has {along[-1]} positions")
    positions = np.array([unit])
    for axis, below in zip(reversed(axes), reversed(along[:-1]), strict=True):
        positions = axis.seen(positions, below)
    return positions


def receptive_field(net: HasFields, layer: str, y: int, x: int, image_size: tuple[int, int]) -> Box:
    """Find the smallest box of pixels that the unit (y, x) of a layer depends on.

    Above a local contrast normalisation it is the box that a projection can reach; the activation
    depends on more pixels, see the module.

    Args:
        net: from `deconv.build` or `deconv.wrap`.
        layer: a point name such as "conv5"; a fully connected layer has the one unit (0, 0).
        image_size: (height, width) in pixels.

    Returns:
        Half-open (top, left, bottom, right), clipped to the image; (0, 0, 0, 0) for a unit that
        sees padding alone.

    Raises:
        DeconvError: if the unit is outside the map, the image is too small for the layer, or the
            field is unknown because the layer depends on pixels without a gradient.
    """
    if not hasattr(image_size, "__len__") or len(image_size) != 2:
        raise DeconvError(f"image_size is (height, width), whole numbers, got {image_size}")
    height, width = (whole_number(n, "image_size") for n in image_size)
    y, x = (whole_number(n, "receptive_field") for n in (y, x))
    return net.field(layer, y, x, (height, width))


def box_of(rows: np.ndarray, columns: np.ndarray) -> Box:
    """Return the bounding box of sorted rows and columns of pixels."""
    if len(rows) == 0 or len(columns) == 0:
        return (0, 0, 0, 0)
    return int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1


def interior_field(axes: Sequence[AnyAxis]) -> tuple[int, int, int]:
    """Compute (size, stride, start) along one axis: unit i sees start + i·stride … + size.

    In input pixels; at a border the interval reaches outside the image. As in `receptive_field`,
    local contrast normalisation is left out.

    Raises:
        WholeImage: for fully connected and adaptive windows.
    """
    size, stride, start = 1, 1, 0
    for axis in axes:
        if not isinstance(axis, Axis):
            raise WholeImage(f"a field through {axis} depends on the size of the image")
        size += (axis.kernel - 1) * axis.dilation * stride
        start -= axis.padding * stride
        stride *= axis.stride
    return size, stride, start


def has_law(net: HasFields, layer: str, image_size: tuple[int, int]) -> bool:
    """Tell whether a layer's fields have a size that does not depend on the image."""
    try:
        return net.interior(layer, 0, image_size)[0] > 0
    except WholeImage:
        return False


def unclipped_field(net: HasFields, layer: str, y: int, x: int, image_size: tuple[int, int]) -> Box:
    """Compute `receptive_field` without clipping, so that all units of a layer have equal boxes.

    Returns the whole image if the field depends on the image's size.
    """
    try:
        height, down, top = net.interior(layer, 0, image_size)
        width, right, left = net.interior(layer, 1, image_size)
    except WholeImage:
        return (0, 0, *image_size)
    top, left = top + y * down, left + x * right
    return top, left, top + height, left + width


def whole_units(
    net: HasFields, layer: str, image_size: tuple[int, int], map_size: tuple[int, int]
) -> Box:
    """Find the units whose receptive field the image's border does not cut.

    Returns:
        Their half-open range (first y, first x, last y, last x); all units of a layer each of which
        sees the whole image.

    Raises:
        DeconvError: if the field of every unit is cut.
    """
    try:
        laws = [net.interior(layer, axis, image_size) for axis in (0, 1)]
    except WholeImage:
        return (0, 0, *map_size)
    firsts, lasts = [], []
    for (size, stride, start), pixels, units in zip(laws, image_size, map_size, strict=True):
        firsts.append(max(0, -(start // stride)))
        lasts.append(min(units, (pixels - size - start) // stride + 1))
        if firsts[-1] >= lasts[-1]:
            raise DeconvError(
                f"the field of every unit of {layer} is cut by the border: it has {size} px of "
                f"{pixels}; take a lower layer, or whole_fields=false"
            )
    return (firsts[0], firsts[1], lasts[0], lasts[1])
