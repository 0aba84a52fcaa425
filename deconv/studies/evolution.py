"""How features change during training, read from the peaks of one network at several snapshots.

§4.1 and Figure 4 of the paper follow the strongest activation of a map over epochs: a sudden jump
is a change of the image that it comes from. The numbers here say the same of all maps at once.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from deconv.errors import DeconvError
from deconv.records import Peaks

PeaksOverTime = list[dict[str, Peaks]]
"""What was mined at each snapshot: layer -> Peaks."""


@dataclass(frozen=True)
class Evolution:
    """How a layer's C maps change over T snapshots.

    strongest, jumped: T×C as from `strongest_images` and `jumps`. turnover: T shares as from
    `turnover`. settled: as from `settled_at`, the index of a snapshot or None.
    """

    strongest: torch.Tensor
    jumped: torch.Tensor
    turnover: list[float]
    settled: int | None


def evolution(course: Sequence[Peaks], threshold: float) -> Evolution:
    """All that this module knows of one layer. course: its peaks at T snapshots, in order.

    threshold: the turnover (0…1) below which a layer counts as settled.
    """
    strongest, shares = strongest_images(course), turnover(course)
    return Evolution(strongest, jumps(strongest), shares, settled_at(shares, threshold))


def strongest_images(course: Sequence[Peaks]) -> torch.Tensor:
    """T×C int64: the image of each map's strongest peak at T snapshots; -1 where the map is dead.

    A map is dead at a snapshot if it is nowhere above 0; the image of such a peak means nothing.
    """
    return torch.stack([_live_images(peaks)[:, 0] for peaks in course])


def jumps(images: torch.Tensor) -> torch.Tensor:
    """T×C bool: where the strongest image is not the one of the snapshot before.

    images: T×C as from `strongest_images`. A map that comes to life jumps, one that dies does
    not; nothing jumps at the first snapshot.
    """
    jumped = torch.zeros_like(images, dtype=torch.bool)
    jumped[1:] = (images[1:] != images[:-1]) & (images[1:] >= 0)
    return jumped


def map_turnover(before: Peaks, now: Peaks) -> torch.Tensor:
    """C float64 in 0…1: the share of each map's images that were not among its images before.

    Only peaks above 0 count, and their order does not: 0 is the same images, 1 all others. NaN
    for a map without such a peak now.
    """
    if before.image.shape[0] != now.image.shape[0]:
        raise DeconvError(
            f"one snapshot has {before.image.shape[0]} maps and the next {now.image.shape[0]}: "
            "turnover compares the same layer of one network"
        )
    live = _live_images(now)
    known = (live[:, :, None] == _live_images(before)[:, None, :]).any(dim=2)
    counted = live >= 0
    return (counted & ~known).sum(dim=1).double() / counted.sum(dim=1).double()


def turnover(course: Sequence[Peaks]) -> list[float]:
    """The mean of `map_turnover` over the live maps, at each snapshot against the one before.

    NaN at the first snapshot, and where no map is alive. The steps are as long as the snapshots
    lie apart.
    """
    means = [
        map_turnover(before, now).nanmean().item() for before, now in itertools.pairwise(course)
    ]
    return [math.nan, *means]


def settled_at(course: Sequence[float], threshold: float) -> int | None:
    """The first snapshot after which turnover stays below `threshold`; None if there is none.

    course: T values as from `turnover`. After the last snapshot nothing is known, so it does not
    count; NaN is not below.
    """
    last = len(course) - 1
    first = last
    while first > 0 and course[first] < threshold:
        first -= 1
    return first if first < last else None


def _live_images(peaks: Peaks) -> torch.Tensor:
    """C×k int64: the images of the peaks, -1 for those that are not above 0."""
    return torch.where(peaks.value > 0, peaks.image, -1)
