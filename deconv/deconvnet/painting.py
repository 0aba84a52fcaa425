"""Many units of one layer painted in batches: in windows where that saves time, else whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

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
        height, width = self.image_of(int(self.units[0, 0])).shape[1:]
        parts = self.windows and not self.own_switches and self.way.collisions == "sum"
        if not self.way.mirrors:
            yield from self._by_autograd((height, width), parts)
        elif parts and has_patches(self.way.net, self.way.layer):
            yield from self._patches((height, width))
        else:
            numbers = torch.arange(len(self.units))
            for rows, record, units in self._recorded(numbers, self.way.layer):
                painted = self.way.from_record(record, units, self.seed)
                yield rows, [Window(0, 0, height, width, 0, 0)] * len(rows), painted

    def _by_autograd(self, size: tuple[int, int], parts: bool) -> Iterator[Painted]:
        """Paint units of any network: in windows, and of whole images where that is faster."""
        whole = torch.arange(len(self.units))
        if parts and (self.record is None or len(self.units) > FEW):
            alone, window = self._alone(size, down=1.0)
            left = []
            for rows, cut, crops in self._windows(alone, window, size):
                inside = placed(self.units[rows], cut)
                values = self.values[rows]
                painted = self.way.from_crops(crops, inside, values, self.seed)
                if painted is None:
                    left.append(rows)
                else:
                    yield rows.tolist(), cut, painted
            whole = torch.cat([whole[~torch.isin(whole, alone)], *left])
        one, net = Window(0, 0, *size, 0, 0), self.way.net
        for rows, images, units in self._shared(whole):
            batch = torch.stack([self.image_of(i) for i in images.tolist()])
            switches = None
            if self.own_switches and self.record is not None:
                switches = [of_pool[images] for of_pool in self.record.switches.values()]
            batch = batch.to(net.device, net.dtype)
            for some, painted in self.way.from_images(batch, units, self.seed, switches):
                yield rows[some].tolist(), [one] * len(some), painted

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
        alone, window = self._alone(size, down=0.0)
        for some, cut, crops in self._windows(alone, window, size):
            record = net.record(crops.to(net.dtype), [pool], logits=False)
            yield some.tolist(), cut, record.switches, placed(self.units[some], cut)
        numbers = torch.arange(len(self.units))
        for rows, record, units in self._recorded(numbers[~torch.isin(numbers, alone)], pool):
            yield rows, [whole] * len(rows), record.switches, units

    def _alone(
        self, size: tuple[int, int], down: float
    ) -> tuple[torch.Tensor, Callable[[int, int], Window] | None]:
        """Find the units whose windows are less work than their image, which runs up but once.

        down: work of the way down of a whole image, that of the way up being 1.
        """
        window = windows_of(self.way.net, self.way.layer, size)
        if window is None:
            return torch.empty(0, dtype=torch.int64), None
        _, image, count = self.units[:, 0].unique(return_inverse=True, return_counts=True)
        one = window(0, 0)
        count, share = count[image], one.height * one.width / (size[0] * size[1])
        few = count * share * (1 + down) < 1 + count * down
        return few.nonzero().flatten().cpu(), window

    def _windows(
        self,
        alone: torch.Tensor,
        window: Callable[[int, int], Window] | None,
        size: tuple[int, int],
    ) -> Iterator[tuple[torch.Tensor, list[Window], torch.Tensor]]:
        """Yield (some of the units, their windows, N×3×h×w of their images)."""
        if window is None:
            return
        at_once = self.chunk * size[0] * size[1]
        for some, cut, crops in in_batches(self.units[alone], window, self.image_of, at_once):
            yield alone[some], cut, crops

    def _shared(
        self, rows: torch.Tensor
    ) -> Iterator[tuple[torch.Tensor, torch.Tensor, torch.Tensor]]:
        """Yield (some units, numbers of their images, the units K×4 in these images).

        Images with equally many units come together: they are sent down in as many turns.
        """
        if not len(rows):
            return
        units = self.units[rows]
        images, count = units[:, 0].unique(return_counts=True)
        for some in images[count.argsort(stable=True)].split(self.chunk):
            mine = torch.isin(units[:, 0], some).nonzero().flatten()
            local = units[mine].clone()
            local[:, 0] = (local[:, :1] == some).int().argmax(dim=1)
            yield rows[mine.cpu()], some, local

    def _recorded(
        self, rows: torch.Tensor, point: str
    ) -> Iterator[tuple[list[int], Record, torch.Tensor]]:
        """Yield some rows, a record of their images up to a point, and their units in it."""
        if self.record is not None:
            for some in rows.split(self.chunk):
                yield some.tolist(), self.record, self.units[some]
            return
        net = self.way.net
        for mine, images, units in self._shared(rows):
            batch = torch.stack([self.image_of(i) for i in images.tolist()])
            record = net.record(batch.to(net.device, net.dtype), [point], logits=False)
            for some in torch.arange(len(mine)).split(self.chunk):
                yield mine[some].tolist(), record, units[some]
