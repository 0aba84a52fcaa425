"""One unit of a network as a function of the pixels that it sees: to climb, to bend, to walk on."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F

from deconv.errors import DeconvError
from deconv.fields import has_law, receptive_field, unclipped_field
from deconv.networks import Network
from deconv.records import Box
from deconv.rules.rectification import RECTIFY
from deconv.whole_number import whole_number


@dataclass(frozen=True)
class UnitFunction:
    """Patches K×3×h×w of a unit's receptive field to its K values.

    A patch (pixels minus mean) is put in its place in the network's whole input, and the rest of
    the input is 0, the mean image. The rest cannot change the unit: the box holds every pixel that
    it depends on. So the patch alone is searched, at a fraction of the dimensions, and the unit is
    still the network's own, with whatever padding reaches it; a crop run through the network as an
    image of its own would have other borders and another unit.

    layer, map, y, x: the unit. climbed: the point whose value is given, the pre-activation z where
    the layer is a rectification: it orders images as a = relu(z) does wherever a > 0, and it still
    has a gradient where a is 0. box: in the input, clipped. interior: whether the field lies
    wholly in the image.
    """

    net: Network
    layer: str
    map: int
    y: int
    x: int
    climbed: str
    box: Box
    interior: bool

    @property
    def shape(self) -> tuple[int, int, int]:
        """3×h×w, of the patches."""
        top, left, bottom, right = self.box
        return 3, bottom - top, right - left

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        """K values of K×3×h×w patches; differentiable."""
        return self._read(patches, self.climbed)

    def activation(self, patches: torch.Tensor) -> torch.Tensor:
        """K values of the layer itself, behind the rectification."""
        with torch.no_grad():
            return self._read(patches, self.layer)

    def cut(self, images: torch.Tensor) -> torch.Tensor:
        """What the unit sees of images …×H×W: …×h×w."""
        top, left, bottom, right = self.box
        return images[..., top:bottom, left:right]

    def pictures(
        self, patches: torch.Tensor, mean: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Patches as people see them, the mean image added: K×3×h×w uint8; the share cut at 0…255.

        mean: 3×S×S, as stored; the network sees its centre.
        """
        side = self.net.input_px
        edge = (mean.shape[-1] - side) // 2
        seen = patches.float().cpu() + self.cut(mean[:, edge : edge + side, edge : edge + side])
        clipped = ((seen < 0) | (seen > 255)).flatten(1).float().mean(dim=1)
        return seen.clamp(0, 255).round().byte(), clipped

    def inputs(self, patches: torch.Tensor) -> torch.Tensor:
        """K×3×H×W: the patches in their place in the mean image."""
        top, left, bottom, right = self.box
        side = self.net.input_px
        whole = F.pad(patches, (left, side - right, top, side - bottom))
        # Pooling is an order of magnitude faster in this layout on a CPU.
        return whole.contiguous(memory_format=torch.channels_last)

    def _read(self, patches: torch.Tensor, point: str) -> torch.Tensor:
        seen = self.net.record(self.inputs(patches), [point], logits=False).activations[point]
        maps = seen[:, self.map]
        return maps[:, self.y, self.x] if maps.dim() == 3 else maps


def unit_function(
    net: Network, layer: str, map: int, position: tuple[int, int] | None = None
) -> UnitFunction:
    """The unit of a map at a position (y, x); None: the map's centre, away from the borders.

    Raises DeconvError for a layer, map or position that does not exist.
    """
    map = whole_number(map, "map")
    height, width = map_size(net, layer, map)
    centre = height // 2, width // 2
    y, x = (whole_number(at, "position") for at in (centre if position is None else position))
    if not (0 <= y < height and 0 <= x < width):
        raise DeconvError(f"unit ({y}, {x}) is outside its map: {layer} has {height}×{width}")
    size = (net.input_px, net.input_px)
    box = receptive_field(net, layer, y, x, size)
    if box[0] == box[2] or box[1] == box[3]:
        raise DeconvError(f"unit ({y}, {x}) of {layer} sees padding alone")
    interior = has_law(net, layer, size) and box == unclipped_field(net, layer, y, x, size)
    return UnitFunction(net, layer, map, y, x, climbed_point(net, layer), box, interior)


def map_size(net: Network, layer: str, map: int) -> tuple[int, int]:
    """(height, width) of a layer's maps, (1, 1) of a vector. Raises DeconvError for no such map."""
    maps, *size = net.calls.values[net.check_point(layer)].shape
    if not 0 <= whole_number(map, "map") < maps:
        raise DeconvError(f"{layer} of {net.name} has {maps} maps, no map {map}")
    height, width = size or (1, 1)
    return height, width


def climbed_point(net: Network, layer: str) -> str:
    """The pre-activation of a rectified point; any other point itself, monotone or not."""
    index = net.calls.values[net.check_point(layer)].index
    rectified = index is not None and net.calls.ran[index].operation is RECTIFY
    return (net.before(layer) if rectified else None) or layer
