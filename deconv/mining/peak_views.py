"""The image patch and the projection of a peak, both cropped to its receptive field (Fig. 2)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import torch
from torch.utils.data import Dataset

from deconv.data.batches import image_and_label
from deconv.deconvnet.painting import Painted, paste
from deconv.deconvnet.projection import project_images
from deconv.deconvnet.windows import Window
from deconv.errors import DeconvError
from deconv.fields import receptive_field, unclipped_field
from deconv.networks import Network
from deconv.records import Peaks
from deconv.whole_number import whole_numbers

PICTURES_KEPT = 16


@dataclass(frozen=True)
class PeakViews:
    """Projections and patches of M maps with k peaks each, on canvases of the field's R×S pixels.

    maps: M int64 numbers. value, image, y, x: M×k as in Peaks. box: M×k×4 receptive fields, clipped
    to the image. offset: M×k×2 (y, x) of the canvas in the image, partly outside at a border.
    projection: M×k×3×R×S of the network's dtype, 0 outside the image. patch: M×k×3×R×S uint8.
    inside: M×k×R×S bool, which canvas pixels lie in the image.
    """

    maps: torch.Tensor
    value: torch.Tensor
    image: torch.Tensor
    y: torch.Tensor
    x: torch.Tensor
    box: torch.Tensor
    offset: torch.Tensor
    projection: torch.Tensor
    patch: torch.Tensor
    inside: torch.Tensor


def peak_views(
    net: Network,
    data: Dataset,
    layer: str,
    peaks: Peaks,
    maps: torch.Tensor | Sequence[int],
    picture: Callable[[int], torch.Tensor] | None = None,
    **options: Any,
) -> PeakViews:
    """Project the peaks of some maps, and crop picture and projection to the receptive field.

    Args:
        data: the data set that was mined; item i is a preprocessed image 3×H×W, alone, in
            (image, …) or in a dictionary.
        maps: M numbers.
        picture: i -> 3×H×W uint8, that image for display; None: `data.picture`.
        options: engine, rule, seed, collisions, chunk and windows, as for `project`.

    Returns:
        The views; missing peaks are blank, with image −1.

    Raises:
        DeconvError: for a map that does not exist, and if no map has a peak.
    """
    picture = picture or getattr(data, "picture", None)
    if picture is None:
        raise DeconvError(
            f"{type(data).__name__} has no pictures to show: give picture=, a function from an "
            "image's number to 3×H×W uint8, or use deconv.data.CentreCrops"
        )
    rows = peaks.units(maps)
    if not len(rows):
        raise DeconvError(f"none of these maps of {layer} has a peak: mine at least one image")
    maps = whole_numbers(maps, "maps")
    chosen = {name: field[maps] for name, field in vars(peaks).items()}
    cuts: list[tuple[torch.Tensor, ...] | None] = [None] * chosen["image"].numel()
    places = (chosen["image"] >= 0).flatten().nonzero().flatten().tolist()
    seen = lru_cache(maxsize=PICTURES_KEPT)(picture)
    for some, windows, painted in _painted(net, data, layer, peaks, rows, options):
        for row, window, pixels in zip(some, windows, painted, strict=True):
            image = seen(int(rows[row, 0]))
            cuts[places[row]] = _cut(net, layer, rows[row], window, pixels, image)
    blank = tuple(torch.zeros_like(part) for part in cuts[places[0]])
    stacked = [
        torch.stack(part).unflatten(0, (len(maps), -1))
        for part in zip(*(blank if cut is None else cut for cut in cuts), strict=True)
    ]
    return PeakViews(maps, *chosen.values(), *stacked)


def project_peaks(
    net: Network,
    data: Dataset,
    layer: str,
    peaks: Peaks,
    maps: torch.Tensor | Sequence[int],
    **options: Any,
) -> torch.Tensor:
    """Project the peaks of some maps.

    Args:
        data, maps, options: as for `peak_views`.

    Returns:
        K×3×H×W pixels, one for each row of `peaks.units(maps)`.

    Raises:
        DeconvError: for a map that does not exist.
    """
    rows = peaks.units(maps)
    if not len(rows):
        return torch.zeros(0)
    first = _input(data[int(rows[0, 0])])
    pixels = torch.zeros(len(rows), *first.shape, dtype=net.dtype)
    paste(_painted(net, data, layer, peaks, rows, options), pixels)
    return pixels


def _painted(
    net: Network,
    data: Dataset,
    layer: str,
    peaks: Peaks,
    rows: torch.Tensor,
    options: dict[str, Any],
) -> Iterator[Painted]:
    """Project rows (image, map, y, x) of `peaks.units`; windows of an image are cut together."""
    strongest = peaks.value[rows[:, 1]]
    values = strongest[peaks.image[rows[:, 1]] == rows[:, :1]]
    return project_images(net, layer, rows, values, lambda i: _input(data[i]), **options)


def _input(item: Any) -> torch.Tensor:
    image, _ = image_and_label(item[0] if isinstance(item, list | tuple) else item)
    return torch.as_tensor(image)


def _cut(
    net: Network,
    layer: str,
    row: torch.Tensor,
    window: Window,
    pixels: torch.Tensor,
    picture: torch.Tensor,
) -> tuple[torch.Tensor, ...]:
    """Cut (box, offset, projection, patch, inside) of one peak, painted in a window."""
    y, x = row[2:].tolist()
    size = (picture.shape[1], picture.shape[2])
    box = receptive_field(net, layer, y, x, size)
    top, left, bottom, right = unclipped_field(net, layer, y, x, size)
    rows, columns = slice(box[0] - top, box[2] - top), slice(box[1] - left, box[3] - left)
    canvas = (bottom - top, right - left)
    projection, patch = pixels.new_zeros(3, *canvas), picture.new_zeros(3, *canvas)
    inside = torch.zeros(canvas, dtype=torch.bool)
    projection[:, rows, columns] = window.inside(pixels, box)
    patch[:, rows, columns] = picture[:, box[0] : box[2], box[1] : box[3]]
    inside[rows, columns] = True
    return torch.tensor(box), torch.tensor((top, left)), projection, patch, inside
