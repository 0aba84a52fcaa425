"""Many units of one layer painted in batches: in windows where that saves time, else whole."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial

import torch

from deconv.deconvnet.way_down import WayDown
from deconv.deconvnet.windows import Window, in_batches, part_of, placed, windows_of
from deconv.networks import ChainNet
from deconv.records import Record

FEW = 8
"""Units of recorded images that are painted whole: to find the law of the fields takes longer."""
Painted = tuple[list[int], list[Window], torch.Tensor]
"""(numbers of some units, the window of each, their pictures N×3×h×w)."""


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
        window, whole = None, [*range(len(self.units))]
        few = self.record is not None and len(self.units) <= FEW
        if self.windows and not few and not self.own_switches and self.way.collisions == "sum":
            window = windows_of(self.way.net, self.way.layer, (height, width))
            if window is None and self.record is None and not self.way.mirrors:
                # The way down runs the images again, so that a record of them would be in vain.
                window = partial(Window, 0, 0, height, width)
        if window is not None:
            whole = []
            at_once = self.chunk * height * width
            for rows, cut, crops in in_batches(self.units, window, self.image_of, at_once):
                painted = self._in_windows(rows, cut, crops)
                if painted is None:
                    whole += rows
                else:
                    yield rows, cut, painted
        for rows, record, units in self._recorded(whole):
            painted = self.way.from_record(record, units, self.seed, self.own_switches)
            yield rows, [Window(0, 0, height, width, *at) for at in units[:, 2:].tolist()], painted

    def _in_windows(
        self, rows: list[int], cut: list[Window], crops: torch.Tensor
    ) -> torch.Tensor | None:
        """Paint in windows; None if the network does not do in them what it does in images."""
        inside = placed(self.units[rows], cut)
        if self.record is not None and self.way.mirrors:
            net, images = self.way.net, self.units[rows, 0]
            assert isinstance(net, ChainNet)
            part = part_of(net, self.record, self.way.layer, images, cut, crops)
            return self.way.from_record(part, inside, self.seed)
        return self.way.from_crops(crops, inside, self.values[rows], self.seed)

    def _recorded(self, rows: list[int]) -> Iterator[tuple[list[int], Record, torch.Tensor]]:
        """Yield some rows, a record of their images, and their units in that record."""
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
            record = net.record(batch, [self.way.layer], logits=False)
            mine = torch.isin(units[:, 0], images).nonzero().flatten()
            for some in mine.split(self.chunk):
                local = units[some].clone()
                local[:, 0] = torch.searchsorted(images, local[:, 0].contiguous())
                yield [rows[i] for i in some.tolist()], record, local
