"""Network input from stored uint8 squares: crop, flip, subtract the mean (§3).

§3: the 256 px square minus the per-pixel mean of the training set, in ten sub-crops of 224 px (four
corners and the centre, each also mirrored). Values stay in about ±128: there is no division by a
standard deviation. Channels are RGB.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import Dataset, Sampler

from deconv.data.batches import walk_squares
from deconv.data.skipping import SKIPPED, ReadOrSkip, read_or_skip
from deconv.distributed import Share, gather
from deconv.errors import DeconvError, unknown
from deconv.records import Box

CROPS = ("ten", "any", "resized")
RESIZED_AREA, RESIZED_ASPECT = (0.35, 1.0), (3 / 4, 4 / 3)
"""Area (fraction of the square) and aspect ratio (width / height) of "resized" crops. Szegedy et
al. 2015 begin at 0.08 of the area, for a million images and more epochs."""
CENTRE = 4
"""Index of the centre among the five unmirrored sub-crops."""


class Squares(Protocol):
    """Data set of stored squares: item i is (3×S×S uint8 RGB, label)."""

    classes: list[str]
    targets: list[int]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]: ...

    def fingerprint(self) -> str: ...

    def contents(self) -> str: ...

    def cache_key(self) -> str: ...


def paths_of(data: Squares) -> list[str] | None:
    """Return a name for each image, usually its file; None for a data set that is drawn."""
    return getattr(data, "paths", None)


def mean_image(data: Squares, workers: int = 0, progress: bool = False) -> torch.Tensor:
    """Compute the per-pixel mean over a data set (§3): 3×S×S float32 in 0…255.

    Under torchrun each process reads its shard. The sums are integers, so the result does not
    depend on the number of processes and workers. Without what `read_or_skip` leaves out.
    """
    if len(data) == 0:
        raise DeconvError("cannot take the mean image of an empty data set")
    total = torch.zeros(read_or_skip(data, 0)[0].shape, dtype=torch.float64)
    count = 0
    share = Share(ReadOrSkip(data), 64)
    for images, labels in walk_squares(share, "mean image", workers, progress):
        kept = images if torch.is_tensor(labels) and labels.dim() > 1 else images[labels != SKIPPED]
        total += kept.sum(dim=0, dtype=torch.float64)
        count += len(kept)
    if not (images_read := sum(gather(count))):
        raise DeconvError("none of the training images can be read")
    return (torch.stack(gather(total)).sum(dim=0) / images_read).float()


def prepare(
    image: torch.Tensor, mean: torch.Tensor, crop_px: int, crop: int = CENTRE, mirror: bool = False
) -> torch.Tensor:
    """Take one sub-crop of a square minus the mean.

    Args:
        image: 3×S×S uint8.
        mean: 3×S×S, or a colour 3×1×1.
        crop: 0–3 the corners (top left, top right, bottom left, bottom right), 4 the centre.

    Returns:
        3×crop×crop float32 in about ±128.
    """
    _check(image, mean, crop_px)
    top, left = _corner(image.shape[-1], crop_px, crop)
    return _crop(image, mean, (top, left, top + crop_px, left + crop_px), mirror)


def _corner(side: int, crop_px: int, crop: int) -> tuple[int, int]:
    """Top left corner (y, x) of sub-crop 0–4."""
    far, middle = side - crop_px, (side - crop_px) // 2
    return ((0, 0), (0, far), (far, 0), (far, far), (middle, middle))[crop]


def ten_crops(image: torch.Tensor, mean: torch.Tensor, crop_px: int) -> torch.Tensor:
    """Stack the ten sub-crops (§3), the five unmirrored ones first: 10×3×crop×crop."""
    return torch.stack(
        [
            prepare(image, mean, crop_px, crop, mirror)
            for mirror in (False, True)
            for crop in range(5)
        ]
    )


def _crop(
    image: torch.Tensor, mean: torch.Tensor, box: Box, mirror: bool, resize_px: int | None = None
) -> torch.Tensor:
    """Cut a box out of an image minus the mean, resize it if asked, mirror it if asked."""
    top, left, bottom, right = box
    region = (slice(None), slice(top, bottom), slice(left, right))
    pixels = image[region].float() - mean.expand_as(image)[region]
    if resize_px is not None:
        pixels = F.interpolate(
            pixels[None], (resize_px, resize_px), mode="bilinear", antialias=True
        )[0]
    return pixels.flip(-1) if mirror else pixels


def _random_box(random: np.random.Generator, side: int) -> Box:
    """Draw a box of a square of `side` px within RESIZED_AREA and RESIZED_ASPECT."""
    area = side * side * random.uniform(*RESIZED_AREA)
    aspect = np.exp(random.uniform(*np.log(RESIZED_ASPECT)))
    height, width = (
        int(np.clip(round(math.sqrt(v)), 1, side)) for v in (area / aspect, area * aspect)
    )
    top, left = (int(random.integers(side - extent + 1)) for extent in (height, width))
    return top, left, top + height, left + width


def _check(image: torch.Tensor, mean: torch.Tensor, crop_px: int) -> None:
    if not isinstance(image, torch.Tensor):
        raise DeconvError(
            f"a crop needs a 3×S×S uint8 tensor, not {type(image).__name__}: make one with "
            "deconv.images.square"
        )
    if mean.shape not in (image.shape, (3, 1, 1)):
        raise DeconvError(
            f"the images are {tuple(image.shape)}, the mean image is {tuple(mean.shape)}: use the "
            f"side_px that the network was trained with ({mean.shape[-1]})"
        )
    if crop_px > image.shape[-1]:
        raise DeconvError(
            f"a crop of {crop_px} px does not fit an image of {image.shape[-1]} px: raise "
            f"side_px to at least {crop_px}"
        )


class _Crops(Dataset):
    def __init__(self, data: Squares, mean: torch.Tensor, crop_px: int) -> None:
        self.data, self.mean, self.crop_px = data, mean, crop_px

    def __len__(self) -> int:
        return len(self.data)


class CentreCrops(_Crops):
    """Centre crops in order, for validation and mining.

    Item i is (3×crop×crop float32 in about ±128, label).
    """

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image, label = self.data[index]
        return prepare(image, self.mean, self.crop_px), label

    def picture(self, index: int) -> torch.Tensor:
        """Return the same crop as stored, for display: 3×crop×crop uint8."""
        image, _ = self.data[index]
        top, left = _corner(image.shape[-1], self.crop_px, CENTRE)
        return image[:, top : top + self.crop_px, left : left + self.crop_px]


class TenCrops(_Crops):
    """The ten sub-crops of every image in order, for averaged predictions.

    The paper does not say how it tests; this is AlexNet's protocol (Krizhevsky et al. 2012, §4.1).
    Item i is (10×3×crop×crop float32 in about ±128, label).
    """

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image, label = self.data[index]
        return ten_crops(image, self.mean, self.crop_px), label


class TenCropsOfEach(Dataset):
    """The ten sub-crops of every image for each network of an ensemble.

    Item i is (a list with one 10×3×crop×crop float32 per network, label).

    Args:
        data: for each network its data set; networks that share the object share one read.
        means, crops_px: for each network.

    Raises:
        DeconvError: if the data sets have different images.
    """

    def __init__(
        self, data: Sequence[Squares], means: Sequence[torch.Tensor], crops_px: Sequence[int]
    ) -> None:
        self.data, self.means, self.crops_px = list(data), list(means), list(crops_px)
        if any(list(other.targets) != list(self.data[0].targets) for other in self.data):
            raise DeconvError(
                "the networks of an ensemble need the same images, got different images"
            )

    def __len__(self) -> int:
        return len(self.data[0])

    def __getitem__(self, index: int) -> tuple[list[torch.Tensor], int]:
        distinct = {id(squares): squares for squares in self.data}
        items = {key: squares[index] for key, squares in distinct.items()}
        views = [
            ten_crops(items[id(squares)][0], mean, crop_px)
            for squares, mean, crop_px in zip(self.data, self.means, self.crops_px, strict=True)
        ]
        return views, items[id(self.data[0])][1]


class TrainingCrops(_Crops):
    """Random training crops, a pure function of (seed, epoch, index).

    Keys are pairs (epoch, index) from `Batches`, so worker processes hold no state.

    Args:
        crops: "ten": one of the paper's ten sub-crops (§3). "any": any position, mirrored or not
            (Krizhevsky et al. 2012, §4.1). "resized": a box within RESIZED_AREA and RESIZED_ASPECT
            resized to crop×crop (Szegedy et al. 2015). Differs from paper: "any" and "resized".
    """

    def __init__(
        self, data: Squares, mean: torch.Tensor, crop_px: int, seed: int, crops: str = "ten"
    ) -> None:
        if crops not in CROPS:
            raise unknown("way to crop", crops, CROPS)
        super().__init__(data, mean, crop_px)
        self.seed, self.crops = seed, crops

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, int]:
        epoch, index = key
        image, label = read_or_skip(self.data, index)
        random = np.random.default_rng((self.seed, epoch, index))
        mirror = bool(random.integers(2))
        if self.crops == "ten":
            crop = int(random.integers(5))
            return prepare(image, self.mean, self.crop_px, crop, mirror), label
        _check(image, self.mean, self.crop_px)
        side = image.shape[-1]
        if self.crops == "resized":
            box = _random_box(random, side)
            return _crop(image, self.mean, box, mirror, self.crop_px), label
        top, left = (int(v) for v in random.integers(side - self.crop_px + 1, size=2))
        box = top, left, top + self.crop_px, left + self.crop_px
        return _crop(image, self.mean, box, mirror), label


class Batches(Sampler):
    """Batch sampler of keys (epoch, index), a pure function of (seed, epoch).

    Set `epoch`, and `first` to begin at a later batch, before iterating. Each image comes once per
    epoch; the last batch may be smaller. Yields the shard of process `rank` out of `ranks`. If the
    last batch has fewer images than there are processes, an empty shard is replaced by one image,
    so that every process takes the step.
    """

    def __init__(
        self, images: int, batch_size: int, seed: int, rank: int = 0, ranks: int = 1
    ) -> None:
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.rank, self.ranks = rank, ranks
        self.epoch = self.first = 0
        self._order = (-1, np.empty(0, dtype=np.int64))  # (epoch, its permutation)

    @property
    def count(self) -> int:
        """Number of batches in a whole epoch."""
        return -(-self.images // self.batch_size)

    def __len__(self) -> int:
        return self.count - self.first

    def batch(self, number: int) -> np.ndarray:
        """Return the image indices of a batch of this epoch, over all processes."""
        if self._order[0] != self.epoch:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.images)
            self._order = (self.epoch, order)
        return self._order[1][number * self.batch_size : (number + 1) * self.batch_size]

    def shard(self, batch: np.ndarray) -> np.ndarray:
        """Return this process's shard of a batch."""
        return np.array_split(batch, self.ranks)[self.rank]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for number in range(self.first, self.count):
            batch = self.batch(number)
            shard = self.shard(batch)
            yield [(self.epoch, int(index)) for index in (shard if len(shard) else batch[:1])]
