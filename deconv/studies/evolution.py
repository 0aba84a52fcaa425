"""Feature evolution during training, from the peaks of a network at several snapshots (§4.1).

Figure 4 follows a map's strongest activation over epochs; a sudden jump is a change of the image
that it comes from. Turnover measures the same over all maps.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from deconv.errors import DeconvError
from deconv.fields import unclipped_field
from deconv.mining.peak_views import peak_views
from deconv.networks import Network
from deconv.records import Peaks

PeaksOverTime = list[dict[str, Peaks]]
"""Mined peaks at each snapshot: layer -> Peaks."""


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
    """Measure a layer's evolution from its peaks at T snapshots, in order.

    threshold: the turnover (0…1) below which a layer counts as settled.
    """
    strongest, shares = strongest_images(course), turnover(course)
    return Evolution(strongest, jumps(strongest), shares, settled_at(shares, threshold))


def strongest_images(course: Sequence[Peaks]) -> torch.Tensor:
    """T×C int64: the image of each map's strongest peak; -1 if the map is dead (never above 0)."""
    return torch.stack([_live_images(peaks)[:, 0] for peaks in course])


def jumps(images: torch.Tensor) -> torch.Tensor:
    """T×C bool: whether the strongest image changed since the snapshot before.

    images: T×C from `strongest_images`. A map that comes to life jumps, one that dies does not;
    nothing jumps at the first snapshot.
    """
    jumped = torch.zeros_like(images, dtype=torch.bool)
    jumped[1:] = (images[1:] != images[:-1]) & (images[1:] >= 0)
    return jumped


def map_turnover(before: Peaks, now: Peaks) -> torch.Tensor:
    """C float64 in 0…1: the share of each map's top images that were not among them before.

    Only peaks above 0 count, in any order. NaN for a map that is dead now.
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
    """Mean `map_turnover` over the live maps at each snapshot; NaN at the first and without any.

    Values depend on the distance between snapshots.
    """
    means = [
        map_turnover(before, now).nanmean().item() for before, now in itertools.pairwise(course)
    ]
    return [math.nan, *means]


def settled_at(course: Sequence[float], threshold: float) -> int | None:
    """The first snapshot after which turnover stays below `threshold`; None if there is none.

    course: T values from `turnover`; NaN is not below. The last snapshot does not count, as
    nothing is known after it.
    """
    last = len(course) - 1
    first = last
    while first > 0 and course[first] < threshold:
        first -= 1
    return first if first < last else None


def _live_images(peaks: Peaks) -> torch.Tensor:
    """C×k int64: the images of the peaks, -1 for peaks not above 0."""
    return torch.where(peaks.value > 0, peaks.image, -1)


def layer_arrays(
    course: Sequence[Peaks], of: Evolution, shown: torch.Tensor
) -> dict[str, np.ndarray]:
    """Collect a layer's saved arrays: its peaks, its turnover, and the jumps of M shown maps.

    Returns:
        maps (M), jumped (M×T), turnover (T), settled (-1 for never), peaks/<field> (T×C×k).
    """
    arrays = {
        "maps": shown.numpy(),
        "jumped": of.jumped[:, shown].T.numpy(),
        "turnover": np.array(of.turnover),
        "settled": np.array(-1 if of.settled is None else of.settled),
    }
    for name in ("value", "image", "y", "x"):
        arrays[f"peaks/{name}"] = np.stack([getattr(peaks, name).numpy() for peaks in course])
    return arrays


def map_rows(
    layer: str,
    epochs: Sequence[int],
    course: Sequence[Peaks],
    of: Evolution,
    shown: Collection[int],
) -> Iterator[dict[str, Any]]:
    """List every map's strongest unit at every epoch; image, y and x are -1 for a dead map."""
    for number in range(of.strongest.shape[1]):
        for step, epoch in enumerate(epochs):
            image = int(of.strongest[step, number])
            at = [getattr(course[step], name)[number, 0].item() for name in ("value", "y", "x")]
            value, y, x = at if image >= 0 else (0.0, -1, -1)
            row = {"layer": layer, "map": number, "epoch": epoch, "value": value, "image": image}
            jumped = bool(of.jumped[step, number])
            yield row | {"y": y, "x": x, "jumped": jumped, "shown": number in shown}


def layer_rows(layer: str, epochs: Sequence[int], of: Evolution) -> Iterator[dict[str, Any]]:
    """List the turnover of a layer at every epoch; `jumped` and `live` count maps."""
    for step, epoch in enumerate(epochs):
        known = not math.isnan(of.turnover[step])
        yield {
            "layer": layer,
            "epoch": epoch,
            "turnover": round(of.turnover[step], 4) if known else "",
            "settled": of.settled is not None and step >= of.settled,
            "jumped": int(of.jumped[step].sum()),
            "live": int((of.strongest[step] >= 0).sum()),
            "maps": of.strongest.shape[1],
        }


def strongest_views(
    net: Network, crops: Dataset, layer: str, peaks: Peaks, maps: torch.Tensor, **options: Any
) -> dict[str, np.ndarray]:
    """Project the strongest unit of each of M maps at one snapshot; blank for dead maps.

    Args:
        crops: the mined data set, see `peak_views`.
        options: those of `project`.

    Returns:
        Every field of PeakViews except the numbers of the maps, M×…
    """
    side = net.input_px
    top, left, bottom, right = unclipped_field(net, layer, 0, 0, (side, side))
    canvas, count = (bottom - top, right - left), len(maps)
    out = {
        "value": np.zeros(count, np.float32),
        **{name: np.full(count, -1) for name in ("image", "y", "x")},
        "box": np.zeros((count, 4), int),
        "offset": np.zeros((count, 2), int),
        "projection": np.zeros((count, 3, *canvas), np.float32),
        "patch": np.zeros((count, 3, *canvas), np.uint8),
        "inside": np.zeros((count, *canvas), bool),
    }
    best = Peaks(*(field[:, :1] for field in vars(peaks).values()))
    live = (best.value[maps, 0] > 0).nonzero().flatten()
    if len(live):
        views = peak_views(net, crops, layer, best, maps[live], **options)
        for name, values in out.items():
            values[live.numpy()] = getattr(views, name)[:, 0].numpy()
    return out
