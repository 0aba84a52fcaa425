"""Images that two data sets share, found by normalised correlation (paper, §4.3 and §5.2).

The paper compares Caltech's images with ImageNet's in this way and finds 44 of 9,144 (Caltech-101)
and 243 of 30,607 (Caltech-256). On what copies, with what threshold, is not stated; here on small
grey thumbnails of the centre squares.
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
"""Target images that are compared at once, images that are read at once."""


@dataclass(frozen=True)
class Twin:
    """An image of the target, the one of the source that is most like it, their correlation."""

    target: int
    source: int
    correlation: float


def thumbnails(images: torch.Tensor, side_px: int = THUMB_PX) -> torch.Tensor:
    """N×3×S×S uint8 as N×side² grey vectors with mean 0 and length 1; plain images become 0."""
    flat = adaptive_avg_pool2d(Grey()(images.float()), side_px).flatten(1)
    flat = flat - flat.mean(1, keepdim=True)
    length = flat.norm(dim=1, keepdim=True)
    # Below half a grey level a pixel all that is left is rounding.
    return torch.where(length > 0.5 * side_px, flat / length, 0.0)


def find_overlap(
    target: Squares,
    source: Squares,
    threshold: float = THRESHOLD,
    side_px: int = THUMB_PX,
    workers: int = 0,
    progress: bool = True,
) -> list[Twin]:
    """The images of `target` whose like is in `source`: correlation at least `threshold`.

    Ordered by target; of each the most similar source image, the first among equals. The target's
    thumbnails are held in memory (4 KB an image), the source's are read in chunks. Mirror images
    and other crops of one photograph are not found.
    Raises DeconvError for a threshold outside 0…1 (0 excluded).
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
            # Rounded, so that copies of one image are equal whatever company they are read in.
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
    """Describe an overlap for a sidecar. images: of the target."""
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
    for images in walk_squares(data, name, workers, progress, BATCH):
        yield thumbnails(images, side_px)
