"""One unit of a network as a function of the pixels in its receptive field."""

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
    """Maps patches K×3×h×w of a unit's receptive field to its K values.

    A patch (pixels minus mean) is pasted at its place into the network's input, which is otherwise
    0, the mean image; no other pixel affects the unit. The search space is thus a fraction of the
    input, and the unit keeps its own padding; a crop run as an image would have other borders.

    layer, map, y, x: the unit. climbed: the point that is evaluated, the pre-activation z if the
    layer is a rectification: it ranks images like a = relu(z) where a > 0, and has a gradient where
    a is 0. box: the field in the input, clipped. interior: whether it lies wholly in the input.
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
        """3×h×w, of a patch."""
        top, left, bottom, right = self.box
        return 3, bottom - top, right - left

    def __call__(self, patches: torch.Tensor) -> torch.Tensor:
        """Evaluate the unit at patches K×3×h×w, differentiably: K."""
        return self._read(patches, self.climbed)

    def activation(self, patches: torch.Tensor) -> torch.Tensor:
        """K values of the layer itself, after the rectification."""
        with torch.no_grad():
            return self._read(patches, self.layer)

    def cut(self, images: torch.Tensor) -> torch.Tensor:
        """Crop images …×H×W to the unit's field: …×h×w."""
        top, left, bottom, right = self.box
        return images[..., top:bottom, left:right]

    def pictures(
        self, patches: torch.Tensor, mean: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Add the mean image back: K×3×h×w uint8, and the share of each clipped to 0…255.

        mean: 3×S×S, as stored; the network's input is its centre.
        """
        side = self.net.input_px
        edge = (mean.shape[-1] - side) // 2
        seen = patches.float().cpu() + self.cut(mean[:, edge : edge + side, edge : edge + side])
        clipped = ((seen < 0) | (seen > 255)).flatten(1).float().mean(dim=1)
        return seen.clamp(0, 255).round().byte(), clipped

    def inputs(self, patches: torch.Tensor) -> torch.Tensor:
        """Paste the patches into the mean image: K×3×H×W."""
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
    """Make the function of a map's unit at a position (y, x), by default the map's centre.

    Of a layer that joins the maps of others it is the unit of the one that gives the map.

    Raises:
        DeconvError: for an unknown layer, map or position.
    """
    map = whole_number(map, "map")
    height, width = map_size(net, layer, map)
    centre = height // 2, width // 2
    y, x = (whole_number(at, "position") for at in (centre if position is None else position))
    if not (0 <= y < height and 0 <= x < width):
        raise DeconvError(f"unit ({y}, {x}) is outside its map: {layer} has {height}×{width}")
    size = (net.input_px, net.input_px)
    layer, map = given_by(net, layer, map)
    box = receptive_field(net, layer, y, x, size)
    if box[0] == box[2] or box[1] == box[3]:
        raise DeconvError(f"unit ({y}, {x}) of {layer} sees padding alone")
    interior = has_law(net, layer, size) and box == unclipped_field(net, layer, y, x, size)
    return UnitFunction(net, layer, map, y, x, climbed_point(net, layer), box, interior)


def map_size(net: Network, layer: str, map: int) -> tuple[int, int]:
    """(height, width) of a layer's map, (1, 1) for a vector."""
    maps, *size = net.calls.values[net.check_point(layer)].shape
    if not 0 <= whole_number(map, "map") < maps:
        raise DeconvError(f"{layer} of {net.name} has {maps} maps, no map {map}")
    height, width = size or (1, 1)
    return height, width


def given_by(net: Network, layer: str, map: int) -> tuple[str, int]:
    """Find the layer that gives a map of a joined one, and its number there; else both as named."""
    index = net.calls.values[net.check_point(layer)].index
    if index is None:
        return layer, map
    at, number = net.calls.branch(index, map)
    point = net.calls.ran[at].point
    return (point, number) if at != index and point in net.points else (layer, map)


def climbed_point(net: Network, layer: str) -> str:
    """The pre-activation of a rectified point; any other point itself."""
    index = net.calls.values[net.check_point(layer)].index
    rectified = index is not None and net.calls.ran[index].operation is RECTIFY
    return (net.before(layer) if rectified else None) or layer
