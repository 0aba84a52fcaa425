"""What one unit owes to the places of its own receptive field: a square covers them in turn."""

from __future__ import annotations

from collections.abc import Callable

import torch

from deconv.deconvnet.windows import Window, windows_of
from deconv.errors import DeconvError
from deconv.fields import receptive_field
from deconv.networks import Network

BATCH = 32


def covered_unit(
    net: Network,
    layer: str,
    units: torch.Tensor,
    image_of: Callable[[int], torch.Tensor],
    cells: int,
    fill: float = 0.0,
) -> torch.Tensor:
    """Measure what share of a unit's activation is lost while a square covers a part of its field.

    The squares lie around the centres of `cells`×`cells` equal cells of the field and are twice as
    wide as a cell. Differs from paper: Figure 7 covers the whole image and sums the map.

    Args:
        units: K×4 rows (image, map, y, x), each above 0.
        image_of: number of an image -> 3×H×W, preprocessed.
        cells: along each side, 2 or more.
        fill: value of the square on the preprocessed scale; 0 is the mean image.

    Returns:
        K×cells×cells, 0 where nothing is lost and 1 where all is; above 0 is cut to 0…1.

    Raises:
        DeconvError: for fewer than two cells.
    """
    if cells < 2:
        raise DeconvError(f"a field is covered in 2×2 cells or more, got {cells}")
    lost = torch.zeros(len(units), cells, cells)
    for k, (image, number, y, x) in enumerate(units.tolist()):
        pixels = image_of(image)
        size = (pixels.shape[1], pixels.shape[2])
        find = windows_of(net, layer, size)
        window = find(y, x) if find else Window(0, 0, *size, y, x)
        box = receptive_field(net, layer, y, x, size)
        cut = window.cut(pixels).to(net.device)
        squares = [_square(box, window, cells, i) for i in range(cells**2)]
        clean, *covered = _values(net, layer, cut, squares, (number, window.y, window.x), fill)
        share = 1 - torch.tensor(covered) / clean
        lost[k] = share.clamp(0, 1).view(cells, cells)
    return lost


def _square(
    box: tuple[int, int, int, int], window: Window, cells: int, i: int
) -> tuple[slice, slice]:
    """The i-th square in the window's pixels."""
    slices = []
    for axis, begin in ((0, window.top), (1, window.left)):
        low, high = box[axis], box[axis + 2]
        side = (high - low) / cells
        centre = low + (divmod(i, cells)[axis] + 0.5) * side
        first, end = round(centre - side), max(round(centre + side), round(centre - side) + 1)
        slices.append(slice(max(first, low) - begin, min(end, high) - begin))
    return slices[0], slices[1]


def _values(
    net: Network,
    layer: str,
    cut: torch.Tensor,
    squares: list[tuple[slice, slice]],
    unit: tuple[int, int, int],
    fill: float,
) -> list[float]:
    """The unit's activation in the window as it is, then with each square covered."""
    images = [cut]
    for rows, columns in squares:
        images.append(cut.clone())
        images[-1][:, rows, columns] = fill
    found: list[float] = []
    for first in range(0, len(images), BATCH):
        batch = torch.stack(images[first : first + BATCH])
        values = net.record(batch, [layer], logits=False).activations[layer].detach()
        one = values[:, unit[0]] if values.dim() == 2 else values[:, unit[0], unit[1], unit[2]]
        found += one.tolist()
    return found
