"""Shares of a map's projection energy inside the object and inside the part it prefers."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from deconv.errors import DeconvError
from deconv.networks import Network
from deconv.records import Peaks
from deconv.studies.localisation.boxes import Located, Shares, Truth, locate

OWN, RANDOM, CHANCE = "own", "random_map", "chance"
"""Share of the map's own units' energy; of a random other map's unit on the same image; of the
receptive field's area."""

IMAGES_AT_ONCE = 32


def excesses(peaks: Sequence[Shares]) -> dict[str, float]:
    """Part name -> energy share minus area share, averaged over all peaks of a map.

    A peak without the part counts as 0. Subtracting the area keeps large parts from winning for
    their size; averaging over all peaks keeps rare parts from winning for few of them.
    """
    sums: dict[str, float] = defaultdict(float)
    for peak in peaks:
        for name, (energy, area) in peak.items():
            sums[name] += energy - area
    return {name: total / len(peaks) for name, total in sums.items()}


def preferred_part(peaks: Sequence[Shares]) -> str | None:
    """The part with the largest excess, the first name on ties; None without parts."""
    found = excesses(peaks)
    return min(found, key=lambda name: (-found[name], name)) if found else None


def score(
    own: Sequence[Sequence[Located]],
    random: Sequence[Sequence[Located]],
    parts: Sequence[str | None],
) -> dict[str, np.ndarray]:
    """Average each map's shares over its peaks.

    Args:
        own, random: M×k, of the peaks' projections and of other maps' units.
        parts: the part that each map prefers, decided on other images.

    Returns:
        "object/own", "part/chance" … -> M shares. An image without the part counts as 0; nan for
        a map without a preferred part.
    """
    out: dict[str, list[float]] = defaultdict(list)
    for row, others, part in zip(own, random, parts, strict=True):
        pairs = {
            "object": [(o.object, r.object) for o, r in zip(row, others, strict=True)],
            "part": [
                (o.parts.get(part or "", (0.0, 0.0)), r.parts.get(part or "", (0.0, 0.0)))
                for o, r in zip(row, others, strict=True)
            ],
        }
        for what, some in pairs.items():
            means = np.mean([(o[0], r[0], o[1]) for o, r in some], axis=0)
            if what == "part" and part is None:
                means = np.full(3, np.nan)
            for whose, mean in zip((OWN, RANDOM, CHANCE), means, strict=True):
                out[f"{what}/{whose}"].append(float(mean))
    return {key: np.array(values) for key, values in out.items()}


def score_maps(
    net: Network,
    crops: Dataset,
    truth: Callable[[int], Truth],
    layer: str,
    maps: torch.Tensor,
    deciding: Peaks,
    scored: Peaks,
    seed: int,
    **options: Any,
) -> dict[str, np.ndarray]:
    """Score M maps on some images by the parts that they prefer on others.

    Args:
        crops, truth, seed, options: as for `locate_peaks`.
        deciding, scored: C×k peaks over the images of either kind, those of `maps` live.

    Returns:
        The shares of `score`, with "maps" (the M numbers) and "parts" (M names, "" for none).
    """
    first, second = (
        Peaks(*(field[maps] for field in vars(peaks).values())) for peaks in (deciding, scored)
    )
    decided, _ = locate_peaks(net, crops, truth, layer, maps, first, **options)
    own, random = locate_peaks(net, crops, truth, layer, maps, second, seed, **options)
    parts = [preferred_part([one.parts for one in row]) for row in decided]
    names = np.array([part or "" for part in parts])
    return score(own, random, parts) | {"maps": maps.numpy(), "parts": names}


def locate_peaks(
    net: Network,
    crops: Dataset,
    truth: Callable[[int], Truth],
    layer: str,
    maps: torch.Tensor,
    peaks: Peaks,
    seed: int | None = None,
    **options: Any,
) -> tuple[list[list[Located]], list[list[Located]]]:
    """Locate the projection of each peak, and of another map's strongest unit on the same image.

    Args:
        crops: item i is (preprocessed 3×H×W, …).
        truth: number of an image -> its ground truth.
        maps: M numbers.
        peaks: M×k, of these maps, none dead.
        seed: draws the other map among those above 0 on the image; None for no other map.
        options: those of `project`.

    Returns:
        Two lists M×k; the second is empty without a seed.
    """
    count, k = peaks.image.shape
    own: list[dict[int, Located]] = [{} for _ in range(count)]
    random: list[dict[int, Located]] = [{} for _ in range(count if seed is not None else 0)]
    generator = np.random.default_rng((seed or 0, *layer.encode()))
    for images in peaks.image.unique().split(IMAGES_AT_ONCE):
        batch = torch.stack([crops[i][0] for i in images.tolist()])
        with torch.no_grad():
            record = net.record(batch.to(net.device), [layer], logits=False)
        at = torch.isin(peaks.image, images).nonzero()
        numbers, y, x = (field[at[:, 0], at[:, 1]] for field in (peaks.image, peaks.y, peaks.x))
        rows = torch.searchsorted(images, numbers.contiguous())
        units = torch.stack([rows, maps[at[:, 0]], y, x], dim=1)
        wanted = [(own, units)]
        if seed is not None:
            values = record.activations[layer].cpu()
            wanted.append((random, other_units(values, units, generator)))
        truths = [truth(i) for i in images.tolist()]
        for target, some in wanted:
            found = locate(net, record, layer, some, truths, **options)
            for (row, rank), one in zip(at.tolist(), found, strict=True):
                target[row][rank] = one
    ours, others = ([[row[n] for n in range(k)] for row in rows] for rows in (own, random))
    return ours, others


def other_units(
    values: torch.Tensor, units: torch.Tensor, generator: np.random.Generator
) -> torch.Tensor:
    """Draw for each unit the strongest unit of a random other map that is live on its image.

    Args:
        values: N×C×h×w or N×C activations.
        units: K×4, rows (image, map, y, x).

    Returns:
        K×4.

    Raises:
        DeconvError: if no other map is live on an image.
    """
    flat = values.reshape(*values.shape[:2], -1)
    best, at = flat.max(dim=2)
    width = values.shape[-1] if values.dim() == 4 else 1
    out = []
    for image, own, _, _ in units.tolist():
        alive = (best[image] > 0).nonzero().flatten().tolist()
        if not (rest := [number for number in alive if number != own]):
            raise DeconvError(f"map {own} has no other live map on one of its images: train longer")
        number = rest[int(generator.integers(len(rest)))]
        out.append([image, number, *divmod(int(at[image, number]), width)])
    return torch.tensor(out)
