"""Many units of one layer painted in batches: in windows where that saves time, else whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

import torch

from deconv.deconvnet.patches import has_patches, mirror_patches, pool_below, within
from deconv.deconvnet.way_down import WayDown
from deconv.deconvnet.windows import Window, in_batches, placed, windows_of
from deconv.networks import ChainNet
from deconv.records import Record

FEW = 8
"""Units of recorded images that are painted whole: to find the law of the fields takes longer."""
Painted = tuple[list[int], list[Window], torch.Tensor | Sequence[torch.Tensor]]
"""(numbers of some units, the window of each, their pictures 3×h×w)."""


def paste(work: Iterable[Painted], pixels: torch.Tensor) -> None:
    """Put pictures at their places in whole images, K×3×H×W."""
    for rows, windows, painted in work:
        for row, window, picture in zip(rows, windows, painted, strict=True):
            window.cut(pixels[row]).copy_(picture)


@dataclass
class Painting:
    """The units to paint, and how.

    units: K×4 rows (image, map, y, x). values: their K activations. image_of: number of an image ->
    3×H×W, preprocessed, all of one size. seed, chunk, windows: as for `project`. record: of the
    images by the same numbers, or None if there is none. own_switches: whether its switches are not
    those of the images, and every engine has to use them.
    """

    way: WayDown
    units: torch.Tensor
    values: torch.Tensor
    image_of: Callable[[int], torch.Tensor]
    seed: str = "activation"
    chunk: int = 16
    windows: bool = True
    record: Record | None = None
    own_switches: bool = False

    def run(self) -> Iterator[Painted]:
        """Paint all units, in the order that suits.

        Under the other collision policies a window of a pool beside the unit's own takes part in
        what becomes of its signal, so the whole images are run.
        """
        if not len(self.units):
            return
        net, layer = self.way.net, self.way.layer
        height, width = self.image_of(int(self.units[0, 0])).shape[1:]
        window, whole = None, [*range(len(self.units))]
        if self.windows and not self.own_switches and self.way.collisions == "sum":
            if self.way.mirrors and has_patches(net, layer):
                yield from self._patches((height, width))
                return
            if self.record is None or len(self.units) > FEW:
                window = windows_of(net, layer, (height, width))
            if window is None and self.record is None and not self.way.mirrors:
                # The way down runs the images again, so that a record of them would be in vain.
                window = partial(Window, 0, 0, height, width)
        if window is not None:
            whole = []
            at_once = self.chunk * height * width
            for rows, cut, crops in in_batches(self.units, window, self.image_of, at_once):
                inside, values = placed(self.units[rows], cut), self.values[rows]
                painted = self.way.from_crops(crops, inside, values, self.seed)
                if painted is None:
                    whole += rows
                else:
                    yield rows, cut, painted
        for rows, record, units in self._recorded(whole, layer):
            painted = self.way.from_record(record, units, self.seed, self.own_switches)
            yield rows, [Window(0, 0, height, width, *at) for at in units[:, 2:].tolist()], painted

    def _patches(self, size: tuple[int, int]) -> Iterator[Painted]:
        """Paint units of a chain by the part of each map that their signals reach."""
        net = self.way.net
        assert isinstance(net, ChainNet)
        for rows, windows, switches, units in self._switches(net, size):
            seeds = self.values[rows] if self.seed == "activation" else torch.ones(len(rows))
            units = units.to(net.device)
            seeds = seeds.to(net.device, net.dtype)
            corners = torch.tensor([(one.top, one.left) for one in windows], device=net.device)
            run = (windows[0].height, windows[0].width)
            # The patches of few units at a time: `chunk` images' worth of pixels.
            side = [net.interior(self.way.layer, axis)[0] for axis in (0, 1)]
            at_once = max(1, self.chunk * size[0] * size[1] // (side[0] * side[1]))
            for start in range(0, len(rows), at_once):
                some = slice(start, start + at_once)
                pixels, corner = mirror_patches(
                    net, switches, self.way.layer, units[some], seeds[some], run
                )
                corner = corner + corners[some]
                places = within(corner, pixels.shape, size)
                painted = [one[:, y, x] for one, (y, x) in zip(pixels, places, strict=True)]
                cut = [
                    Window(max(0, top), max(0, left), one.shape[1], one.shape[2], 0, 0)
                    for (top, left), one in zip(corner.tolist(), painted, strict=True)
                ]
                yield rows[some], cut, painted

    def _switches(
        self, net: ChainNet, size: tuple[int, int]
    ) -> Iterator[tuple[list[int], list[Window], dict[str, torch.Tensor], torch.Tensor]]:
        """Yield (rows, the part of each image that was run, its switches, the units in them).

        Where no record is given, an image is run as far as the topmost pool; of one with few units
        their windows alone.
        """
        whole, every = Window(0, 0, *size, 0, 0), [*range(len(self.units))]
        pool = pool_below(net, self.way.layer)
        if self.record is not None or pool is None:
            switches = {} if self.record is None else self.record.switches
            yield every, [whole] * len(every), switches, self.units
            return
        window = windows_of(net, self.way.layer, size)
        if window is not None:
            _, image, count = self.units[:, 0].unique(return_inverse=True, return_counts=True)
            one = window(0, 0)
            few = count[image] * one.height * one.width < size[0] * size[1]
            alone = few.nonzero().flatten()
            at_once = self.chunk * size[0] * size[1]
            for some, cut, crops in in_batches(self.units[alone], window, self.image_of, at_once):
                record = net.record(crops.to(net.dtype), [pool], logits=False)
                rows = alone[some]
                yield rows.tolist(), cut, record.switches, placed(self.units[rows], cut)
            every = (~few).nonzero().flatten().tolist()
        for rows, record, units in self._recorded(every, pool):
            yield rows, [whole] * len(rows), record.switches, units

    def _recorded(
        self, rows: list[int], point: str
    ) -> Iterator[tuple[list[int], Record, torch.Tensor]]:
        """Yield some rows, a record of their images up to a point, and their units in it."""
        if self.record is not None:
            for start in range(0, len(rows), self.chunk):
                some = rows[start : start + self.chunk]
                yield some, self.record, self.units[some]
            return
        if not rows:
            return
        net, units = self.way.net, self.units[rows]
        for images in units[:, 0].unique().split(self.chunk):
            batch = torch.stack([self.image_of(int(i)) for i in images]).to(net.device, net.dtype)
            record = net.record(batch, [point], logits=False)
            mine = torch.isin(units[:, 0], images).nonzero().flatten()
            for some in mine.split(self.chunk):
                local = units[some].clone()
                local[:, 0] = torch.searchsorted(images, local[:, 0].contiguous())
                yield [rows[i] for i in some.tolist()], record, local
