"""What a peak looked at and what the deconvnet paints for it, cropped to its receptive field."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import Dataset

from deconv.batches import image_and_label
from deconv.errors import DeconvError
from deconv.geometry import field_or_image, unclipped_field
from deconv.models import ChainNet
from deconv.projection import project
from deconv.types import Peaks
from deconv.whole_number import whole_numbers

IMAGES_AT_ONCE = 16


@dataclass(frozen=True)
class PeakViews:
    """The pictures of M maps with k peaks each, on canvases of the layer's field, R×S pixels.

    maps: M int64 numbers. value, image, y, x: M×k as in Peaks.
    box: M×k×4 receptive fields in the image, clipped. offset: M×k×2 (y, x) of the canvas in the
    image; at a border it lies partly outside.
    projection: M×k×3×R×S float32, 0 outside the image. patch: M×k×3×R×S uint8.
    inside: M×k×R×S bool, which canvas pixels belong to the image.
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
    net: ChainNet,
    data: Dataset,
    layer: str,
    peaks: Peaks,
    maps: torch.Tensor | Sequence[int],
    picture: Callable[[int], torch.Tensor],
    **options: str,
) -> PeakViews:
    """Record the winning images again, project their peaks, and cut both to the receptive field.

    data: item i is a preprocessed image 3×H×W, alone, in (image, …) or in a dictionary; the data
    set that was mined. maps: M numbers.
    picture: i -> 3×H×W uint8, that image as a person sees it. options: those of `project`.
    Raises DeconvError for a map that does not exist or has fewer peaks than asked for.
    """
    maps, every = whole_numbers(maps, "maps"), len(peaks.value)
    if maps.dim() != 1 or not len(maps):
        raise DeconvError(f"maps takes a list of maps of {layer}, got {maps.tolist()}")
    if wrong := [m for m in maps.tolist() if not 0 <= m < every]:
        raise DeconvError(f"{layer} has maps 0 to {every - 1}, not {wrong[0]}")
    chosen = {name: field[maps] for name, field in vars(peaks).items()}
    if (chosen["image"] < 0).any():
        raise DeconvError(
            f"some maps of {layer} have fewer peaks than k={peaks.image.shape[1]}: mine with a "
            "smaller k, or more images"
        )
    weights = next(net.parameters())
    count = chosen["image"].numel()
    rows = torch.stack(
        [
            chosen["image"].flatten(),
            maps[:, None].expand_as(chosen["image"]).flatten(),
            chosen["y"].flatten(),
            chosen["x"].flatten(),
        ],
        dim=1,
    )
    cuts: list[tuple[torch.Tensor, ...]] = [()] * count
    for images in rows[:, 0].unique().split(IMAGES_AT_ONCE):
        batch = torch.stack([_input(data[int(i)]) for i in images]).to(weights)
        with torch.no_grad():
            record = net.record(batch, [layer], logits=False)
        mine = torch.isin(rows[:, 0], images).nonzero().flatten()
        units = rows[mine].clone()
        units[:, 0] = torch.searchsorted(images, units[:, 0].contiguous())
        painted = project(net, record, layer, units, **options).cpu()
        for row, pixels in zip(mine.tolist(), painted, strict=True):
            cuts[row] = _cut(net, layer, rows[row], pixels, picture(int(rows[row, 0])))
    shape = (len(maps), -1)
    stacked = [torch.stack(part).unflatten(0, shape) for part in zip(*cuts, strict=True)]
    return PeakViews(maps, *chosen.values(), *stacked)


def _input(item: Any) -> torch.Tensor:
    image, _ = image_and_label(item[0] if isinstance(item, list | tuple) else item)
    return torch.as_tensor(image)


def _cut(
    net: ChainNet, layer: str, row: torch.Tensor, pixels: torch.Tensor, picture: torch.Tensor
) -> tuple[torch.Tensor, ...]:
    """(box, offset, projection, patch, inside) of one peak."""
    y, x = row[2:].tolist()
    size = tuple(pixels.shape[1:])
    box = field_or_image(net, layer, y, x, size)
    top, left, bottom, right = unclipped_field(net, layer, y, x, size)
    in_image = (slice(None), slice(box[0], box[2]), slice(box[1], box[3]))
    rows, columns = slice(box[0] - top, box[2] - top), slice(box[1] - left, box[3] - left)
    canvas = (bottom - top, right - left)
    projection, patch = pixels.new_zeros(3, *canvas), picture.new_zeros(3, *canvas)
    inside = torch.zeros(canvas, dtype=torch.bool)
    projection[:, rows, columns] = pixels[in_image]
    patch[:, rows, columns] = picture[in_image]
    inside[rows, columns] = True
    return torch.tensor(box), torch.tensor((top, left)), projection, patch, inside
