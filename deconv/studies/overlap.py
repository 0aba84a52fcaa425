"""Images that two data sets share, found by normalised correlation (§4.3 and §5.2).

The paper finds 44 of Caltech-101's 9,144 and 243 of Caltech-256's 30,607 images in ImageNet. It
states neither the resolution nor the threshold; here grey thumbnails of the centre squares are
compared.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.functional import adaptive_avg_pool2d

from deconv.data import Squares
from deconv.data.batches import walk_squares
from deconv.errors import DeconvError
from deconv.pixels import Grey

THRESHOLD = 0.95
THUMB_PX = 32
CHUNK, BATCH = 4096, 256
"""Target images compared at once, images read at once."""


@dataclass(frozen=True)
class Twin:
    """A target image, the most similar source image, and their correlation."""

    target: int
    source: int
    correlation: float


def thumbnails(images: torch.Tensor, side_px: int = THUMB_PX) -> torch.Tensor:
    """Reduce N×3×S×S uint8 to N×side² grey vectors of mean 0 and length 1; plain images to 0."""
    flat = adaptive_avg_pool2d(Grey()(images.float()), side_px).flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    length = flat.norm(dim=1, keepdim=True)
    # Below half a grey level a pixel only rounding is left.
    return torch.where(length > 0.5 * side_px, flat / length, 0.0)


def find_overlap(
    target: Squares,
    source: Squares,
    threshold: float = THRESHOLD,
    side_px: int = THUMB_PX,
    workers: int = 0,
    progress: bool = True,
) -> list[Twin]:
    """Find the images of `target` that correlate with one of `source` by at least `threshold`.

    The target's thumbnails are held in memory (4 KB an image), the source's are streamed. Mirror
    images and other crops of one photograph are not found.

    Returns:
        In target order, each with the most similar source image, the first on ties.

    Raises:
        DeconvError: for a threshold that is not in (0, 1].
    """
    if not 0 < threshold <= 1:
        raise DeconvError(f"threshold must be above 0 and at most 1, got {threshold}")
    ours = torch.cat(list(_thumbnails(target, side_px, workers, "target images", progress)))
    best = torch.full((len(ours),), -2.0)
    where = torch.full((len(ours),), -1)
    first = 0
    for theirs in _thumbnails(source, side_px, workers, "pre-training images", progress):
        for begin in range(0, len(ours), CHUNK):
            rows = slice(begin, begin + CHUNK)
            # Rounded, so that copies of an image correlate equally whatever batch they are in.
            correlation = (ours[rows] @ theirs.T).round(decimals=5)
            at = correlation.argmax(1)
            value = correlation.gather(1, at[:, None])[:, 0]
            better = value > best[rows]
            best[rows] = torch.where(better, value, best[rows])
            where[rows] = torch.where(better, at + first, where[rows])
        first += len(theirs)
    found = (best >= threshold).nonzero().flatten().tolist()
    return [Twin(i, int(where[i]), min(1.0, float(best[i]))) for i in found]


def overlap_facts(twins: Sequence[Twin], images: int, threshold: float) -> dict[str, Any]:
    """Describe an overlap for a sidecar. images: number of target images."""
    return {
        "removed": len(twins),
        "of": images,
        "threshold": threshold,
        "way": f"normalised correlation of {THUMB_PX}×{THUMB_PX} grey thumbnails of the centre "
        "squares; the paper took the pictures out of ImageNet and trained again, here they leave "
        "the target",
        "pairs": [[twin.target, twin.source, round(twin.correlation, 4)] for twin in twins],
    }


def _thumbnails(
    data: Squares, side_px: int, workers: int, name: str, progress: bool
) -> Iterator[torch.Tensor]:
    for images, _ in walk_squares(data, name, workers, progress, BATCH):
        yield thumbnails(images, side_px)
