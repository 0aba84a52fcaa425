"""What peaks say of units, images and classes: who looks at the same, who at what."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from deconv.atlas.contents import NINE, Contents, Images

BLOCK = 512
"""Units that are compared with all others at once."""


@dataclass(frozen=True)
class Unit:
    """A map of the atlas: number of its layer, its own, and the live peaks, strongest first."""

    layer: int
    map: int
    values: Sequence[float]
    images: Sequence[int]

    @property
    def dead(self) -> bool:
        """Whether it is above 0 nowhere."""
        return not self.values


def units_of(contents: Contents) -> list[Unit]:
    """All maps of all layers at the last snapshot, in order."""
    units = []
    for number, layer in enumerate(contents.layers):
        value, image = layer.peaks[-1].value.tolist(), layer.peaks[-1].image.tolist()
        for m, (values, images) in enumerate(zip(value, image, strict=True)):
            count = sum(v > 0 for v in values)
            units.append(Unit(number, m, values[:count], images[:count]))
    return units


def class_counts(images: Sequence[int], of: Images) -> list[tuple[int, int]]:
    """(class, number of these images in it), the most frequent first, then by number."""
    counts = Counter(label for image in images if (label := of.label(image)) >= 0)
    return sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))


def alike(units: Sequence[Unit], count: int) -> Iterator[list[tuple[int, int]]]:
    """For each unit up to `count` (number of another unit, images that both are strongest on).

    The most images first, then in order. All live peaks are compared.
    """
    rows = np.repeat(np.arange(len(units)), [len(unit.images) for unit in units])
    _, columns = np.unique(
        np.array([i for unit in units for i in unit.images], np.int64), return_inverse=True
    )
    shape = (len(units), int(columns.max(initial=-1)) + 1)
    has = sparse.csr_matrix((np.ones(len(rows), np.int32), (rows, columns)), shape)
    for begin in range(0, len(units), BLOCK):
        shared = (has[begin : begin + BLOCK] @ has.T).toarray()
        for i, row in enumerate(shared):
            row[begin + i] = 0
            order = np.argsort(-row, kind="stable")[:count]
            yield [(int(j), int(row[j])) for j in order if row[j]]


def by_image(units: Sequence[Unit]) -> dict[int, list[tuple[int, int]]]:
    """Image -> (number of a unit, rank from 0) wherever it is among a unit's nine, in order."""
    found: dict[int, list[tuple[int, int]]] = {}
    for number, unit in enumerate(units):
        for rank, image in enumerate(unit.images[:NINE]):
            found.setdefault(image, []).append((number, rank))
    return dict(sorted(found.items()))


def by_class(units: Sequence[Unit], of: Images, count: int) -> list[list[tuple[int, int]]]:
    """For each class up to `count` (number of a unit, how many of its peaks are of the class).

    The most first; among equals those whose peaks are of fewer classes, then in order.
    """
    found: list[list[tuple[int, int, int]]] = [[] for _ in of.classes]
    for number, unit in enumerate(units):
        counts = class_counts(unit.images, of)
        for label, images in counts:
            found[label].append((-images, len(counts), number))
    return [[(number, -images) for images, _, number in sorted(own)[:count]] for own in found]
