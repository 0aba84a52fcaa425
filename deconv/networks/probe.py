"""Receptive fields of any module by a probe: the support of one unit's gradient.

The module runs under counting rules (FIELD in the table): filters of equal weights, averages for
max-pools, identities for ReLUs, sums for differences. On the way down every signal is binarised
before paths meet, so nothing cancels, overflows or fades, and the support is exactly what the unit
depends on. A few units of a layer give the law (size, stride, start) of all others; if units at the
borders do not obey it, each unit is probed individually.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from deconv.errors import DeconvError
from deconv.fields import WholeImage
from deconv.records import Box
from deconv.rules import FIELD
from deconv.rules.run import Run, frozen, send_down

if TYPE_CHECKING:
    from deconv.networks.wrapped import WrappedNet

Law = tuple[int, int, int]
"""(size, stride, start) along one axis: unit i sees start + i·stride … + size, then clipped."""
Span = tuple[int, int]
Size = tuple[int, int]
INNER = (2, 5, 6)
"""Indices of `_some_units` away from the borders."""
NOTHING: Box = (0, 0, 0, 0)
LARGEST_PX = 512
"""Side of the largest image that is probed for a law."""
DRAWS = 8
"""Random images for operations without an entry, whose derivative can be 0 for one of them."""


class Fields:
    """The cached receptive fields of one network."""

    def __init__(self, net: WrappedNet) -> None:
        self.net = net
        self._laws: dict[tuple[str, Size], tuple[Law, Law] | None] = {}
        self._boxes: dict[tuple[str, int, int, Size], Box] = {}
        self._maps: dict[tuple[str, Size], Size] = {}
        self._exact: dict[tuple[str, Size], bool] = {}
        self._ends: dict[tuple[str, Size], tuple[Span, Span]] = {}

    def box(self, layer: str, y: int, x: int, image_size: Size) -> Box:
        """Return the box of a unit. Raises DeconvError for one outside its map."""
        image_size = (image_size[0], image_size[1])
        laws = self._find(layer, image_size)
        for unit, count in zip((y, x), self._maps[layer, image_size], strict=True):
            if not 0 <= unit < count:
                raise DeconvError(
                    f"unit {unit} is outside its map, which has {count} positions ({layer})"
                )
        if laws is not None and self._exact[layer, image_size]:
            ends = self._ends[layer, image_size]
            return _box(*(_span(laws[a], (y, x)[a], ends[a]) for a in (0, 1)))
        key = (layer, y, x, image_size)
        if key not in self._boxes:
            self._boxes[key] = _box(*self._probe(layer, [(y, x)], image_size)[0])
        return self._boxes[key]

    def law(self, layer: str, image_size: Size) -> tuple[Law, Law]:
        """Return the laws along rows and columns. Raises WholeImage if there is none."""
        laws = self._find(layer, (image_size[0], image_size[1]))
        if laws is None:
            raise WholeImage(f"a field of {layer} depends on the image's size")
        return laws

    def _find(self, layer: str, image_size: Size) -> tuple[Law, Law] | None:
        key = (layer, image_size)
        if key not in self._laws:
            self._maps[key] = count = self._count(layer, image_size)
            self._laws[key] = self._fit(layer, count, image_size)
        return self._laws[key]

    def _fit(self, layer: str, count: Size, image_size: Size) -> tuple[Law, Law] | None:
        """Find the laws that the outermost, the next and the middle units obey."""
        if len(self.net.calls.values[layer].shape) == 1:
            return None  # a vector has one unit
        units = _some_units(count)
        *seen, ends = self._probe(layer, [*units, None], image_size)
        self._ends[layer, image_size] = ends
        laws = _laws(units, seen, ends) if min(count) > 1 else None
        for scale in (2, 4):
            # All fields are clipped by the image: a larger one shows where they end.
            if laws is None and scale * max(image_size) <= LARGEST_PX:
                laws = self._laws_at(layer, (scale * image_size[0], scale * image_size[1]))
        if laws is None:
            return None
        boxes = [
            (_box(*(_span(laws[a], unit[a], ends[a]) for a in (0, 1))), _box(*spans))
            for unit, spans in zip(units, seen, strict=True)
        ]
        obey = [by_law == found for by_law, found in boxes]
        # A corner that sees padding alone tells nothing of its neighbours along either border.
        nothing = any(found == NOTHING for _, found in boxes)
        self._exact[layer, image_size] = all(obey) and not nothing
        # Padding in between can hide pixels from units at the borders, never show them more.
        within = all(_contains(by_law, found) for by_law, found in boxes)
        return laws if within and all(obey[i] for i in INNER) else None

    def _laws_at(self, layer: str, image_size: Size) -> tuple[Law, Law] | None:
        """Find the laws on images of another size, if the network takes them."""
        try:
            count = self._count(layer, image_size)
            if min(count) < 2:
                return None
            units = _some_units(count)
            *seen, ends = self._probe(layer, [*units, None], image_size)
            return _laws(units, seen, ends)
        except (DeconvError, RuntimeError):
            return None

    def _count(self, layer: str, image_size: Size) -> Size:
        with torch.no_grad():
            noise = self._noise(1, image_size, 0)
            values = self.net.record(noise, [layer], logits=False, finite=False)
        height, width = values.activations[layer].shape[2:] or (1, 1)
        return height, width

    def _noise(self, count: int, image_size: Size, draw: int) -> torch.Tensor:
        noise = torch.randn(1, 3, *image_size, generator=torch.Generator().manual_seed(draw))
        return noise.to(self.net.device, self.net.dtype).repeat(count, 1, 1, 1)

    def _probe(
        self, layer: str, units: Sequence[tuple[int, int] | None], image_size: Size
    ) -> list[tuple[Span, Span]]:
        """Return the half-open (rows, columns) that each unit depends on, over all maps.

        The unit None stands for all units together.
        """
        calls = self.net.calls
        index = calls.values[layer].index
        seen = calls.needed(index) if index is not None else range(len(calls.ran))
        sure = not calls.strangers and all(calls.ran[i].operation is not None for i in seen)
        draws = 1 if sure else DRAWS
        reached = torch.zeros(len(units), *image_size, dtype=torch.bool)
        for draw in range(draws):
            pixels = self._noise(len(units), image_size, draw).requires_grad_()
            run = Run(FIELD, self.net.module)
            with torch.enable_grad(), frozen(self.net), run:
                record = self.net.record(pixels, [layer], logits=False, finite=False)
            values = record.activations[layer]
            if run.lost:
                place, what = next(iter(run.lost.items()))
                raise DeconvError(
                    f"the receptive field of {layer} is not known: at {place} ({what}) it depends "
                    "on values of the image without a gradient (detach, no_grad, a comparison)"
                )
            if not values.requires_grad:
                raise DeconvError(
                    f"the receptive field of {layer} is not known: nothing on the way to it is "
                    "differentiable"
                )
            seed = torch.zeros_like(values)
            for row, unit in enumerate(units):
                own = seed[row]
                if unit is not None and seed.dim() == 4:
                    own = own[:, unit[0], unit[1]]
                own.fill_(1)
            found = send_down(values, pixels, seed)
            reached |= (found != 0).any(1).cpu()
        return [(_ends(one.any(1)), _ends(one.any(0))) for one in reached]


def _ends(along: torch.Tensor) -> Span:
    at = along.nonzero()
    return (int(at[0]), int(at[-1]) + 1) if len(at) else (0, 0)


def _box(rows: Span, columns: Span) -> Box:
    if rows[0] == rows[1] or columns[0] == columns[1]:
        return NOTHING
    return rows[0], columns[0], rows[1], columns[1]


def _contains(outer: Box, inner: Box) -> bool:
    return inner == NOTHING or (
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and inner[2] <= outer[2]
        and inner[3] <= outer[3]
    )


def _span(law: Law, unit: int, ends: Span) -> Span:
    size, stride, start = law
    low, high = max(start + unit * stride, ends[0]), min(start + unit * stride + size, ends[1])
    return (low, high) if low < high else (0, 0)


def _some_units(count: Size) -> list[tuple[int, int]]:
    """List the outermost units, their neighbours and the middle of the diagonal, and two more."""
    along = [[0, min(1, n - 1), n // 2, max(0, n - 2), n - 1] for n in count]
    height, width = count
    beside = [(height // 4, 3 * width // 4), (3 * height // 4, width // 4)]
    return [*zip(*along, strict=True), *beside]


def _laws(
    units: Sequence[tuple[int, int]], seen: Sequence[tuple[Span, Span]], ends: tuple[Span, Span]
) -> tuple[Law, Law] | None:
    """Find the laws along rows and columns. ends: the pixels that any unit sees."""
    laws = []
    for axis in (0, 1):
        spans = {
            unit[axis]: spans[axis]
            for unit, spans in zip(units, seen, strict=True)
            if _box(*spans) != NOTHING
        }
        law = _law(spans, ends[axis])
        if law is None:
            return None
        laws.append(law)
    return laws[0], laws[1]


def _law(spans: dict[int, Span], ends: Span) -> Law | None:
    """Fit a law to the ends that no border clips: upper ends of first units, lower ends of last."""
    highs = {unit: high for unit, (_, high) in spans.items() if 0 < high < ends[1]}
    lows = {unit: low for unit, (low, _) in spans.items() if low > ends[0]}
    steps = {
        (ends[b] - ends[a]) // (b - a)
        for ends in (highs, lows)
        for a, b in zip(sorted(ends), sorted(ends)[1:], strict=False)
    }
    if not highs or not lows or len(steps) != 1:
        return None
    stride = steps.pop()
    unit, last = min(highs), max(lows)
    start = lows[last] - last * stride
    return highs[unit] - unit * stride - start, stride, start
