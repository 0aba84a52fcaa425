"""From stored uint8 squares to what a network is fed: crop, flip, subtract the mean.

§3: the 256 px square, minus the per-pixel mean of the training set, in ten sub-crops of 224 px
(four corners and the centre, each with its mirror image). Values stay in about ±128; there is no
division by a standard deviation. Channels are in RGB order.
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
from deconv.distributed import Share, gather
from deconv.errors import DeconvError, unknown
from deconv.records import Box

CROPS = ("ten", "any", "resized")
RESIZED_AREA, RESIZED_ASPECT = (0.35, 1.0), (3 / 4, 4 / 3)
"""Of "resized" crops: their share of the square's area, and width over height. Szegedy et al. 2015
begin at 0.08 of the area, for a million images and more epochs."""
CENTRE = 4
"""Number of the centre among the five plain sub-crops."""


class Squares(Protocol):
    """A data set of stored squares: item i is (3×S×S uint8 RGB, label)."""

    classes: list[str]
    targets: list[int]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]: ...

    def fingerprint(self) -> str: ...

    def cache_key(self) -> str: ...


def mean_image(data: Squares, workers: int = 0, progress: bool = False) -> torch.Tensor:
    """The per-pixel mean over a data set (§3): 3×S×S float32 in 0…255.

    Under torchrun each process reads its share; the sums are whole numbers, so the result is the
    same for any number of processes and workers.
    """
    if len(data) == 0:
        raise DeconvError("the mean of an empty data set is asked for")
    total = torch.zeros(data[0][0].shape, dtype=torch.float64)
    for images in walk_squares(Share(data, 64), "mean image", workers, progress):
        total += images.sum(dim=0, dtype=torch.float64)
    return (torch.stack(gather(total)).sum(dim=0) / len(data)).float()


def prepare(
    image: torch.Tensor, mean: torch.Tensor, crop_px: int, crop: int = CENTRE, mirror: bool = False
) -> torch.Tensor:
    """One sub-crop of a square, minus the mean there: 3×crop×crop float32 in about ±128.

    image: 3×S×S uint8; mean: 3×S×S, or a colour 3×1×1. crop: 0–3 the corners (top left, top right,
    bottom left, bottom right), 4 the centre.
    """
    side = _side(image, mean, crop_px)
    top, left = _corner(side, crop_px, crop)
    return _cut(image, mean, crop_px, top, left, mirror)


def _corner(side: int, crop_px: int, crop: int) -> tuple[int, int]:
    """The upper left corner (y, x) of sub-crop 0–4 of a square of `side` px."""
    far, middle = side - crop_px, (side - crop_px) // 2
    return ((0, 0), (0, far), (far, 0), (far, far), (middle, middle))[crop]


def ten_crops(image: torch.Tensor, mean: torch.Tensor, crop_px: int) -> torch.Tensor:
    """All ten sub-crops (§3), the five plain ones first: 10×3×crop×crop."""
    return torch.stack(
        [
            prepare(image, mean, crop_px, crop, mirror)
            for mirror in (False, True)
            for crop in range(5)
        ]
    )


def _cut(
    image: torch.Tensor, mean: torch.Tensor, crop_px: int, top: int, left: int, mirror: bool
) -> torch.Tensor:
    rows, columns = slice(top, top + crop_px), slice(left, left + crop_px)
    pixels = image[:, rows, columns].float() - mean.expand_as(image)[:, rows, columns]
    return pixels.flip(-1) if mirror else pixels


def _part(random: np.random.Generator, side: int) -> Box:
    """A random part of a square of `side` px, within RESIZED_AREA and RESIZED_ASPECT."""
    area = side * side * random.uniform(*RESIZED_AREA)
    aspect = np.exp(random.uniform(*np.log(RESIZED_ASPECT)))
    height, width = (
        int(np.clip(round(math.sqrt(v)), 1, side)) for v in (area / aspect, area * aspect)
    )
    top, left = (int(random.integers(side - extent + 1)) for extent in (height, width))
    return top, left, top + height, left + width


def _resized_cut(
    image: torch.Tensor, mean: torch.Tensor, crop_px: int, box: Box, mirror: bool
) -> torch.Tensor:
    top, left, bottom, right = box
    there = mean.expand_as(image)[:, top:bottom, left:right]
    part = image[:, top:bottom, left:right].float() - there
    pixels = F.interpolate(
        part[None], (crop_px, crop_px), mode="bilinear", antialias=True, align_corners=False
    )[0]
    return pixels.flip(-1) if mirror else pixels


def _side(image: torch.Tensor, mean: torch.Tensor, crop_px: int) -> int:
    if not isinstance(image, torch.Tensor):
        raise DeconvError(
            f"a crop is cut from a 3×S×S uint8 tensor, not from {type(image).__name__}: make one "
            "with deconv.images.square"
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
    return image.shape[-1]


class CentreCrops(Dataset):
    """What a network is tested and mined on: the centre crop of every image, in order.

    Item i is (3×crop×crop float32 in about ±128, label).
    """

    def __init__(self, data: Squares, mean: torch.Tensor, crop_px: int) -> None:
        self.data, self.mean, self.crop_px = data, mean, crop_px

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image, label = self.data[index]
        return prepare(image, self.mean, self.crop_px), label

    def picture(self, index: int) -> torch.Tensor:
        """The same crop as stored, for people: 3×crop×crop uint8."""
        image, _ = self.data[index]
        top, left = _corner(image.shape[-1], self.crop_px, CENTRE)
        return image[:, top : top + self.crop_px, left : left + self.crop_px]


class TenCrops(Dataset):
    """The ten sub-crops of every image, in order, to average a network's answers over.

    The paper does not say how it tests; this is AlexNet's way (Krizhevsky et al. 2012, §4.1).
    Item i is (10×3×crop×crop float32 in about ±128, label).
    """

    def __init__(self, data: Squares, mean: torch.Tensor, crop_px: int) -> None:
        self.data, self.mean, self.crop_px = data, mean, crop_px

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        image, label = self.data[index]
        return ten_crops(image, self.mean, self.crop_px), label


class TenCropsOfEach(Dataset):
    """The ten sub-crops of every image for several networks, each minus its own mean.

    data: for each network the squares of its side, the same object where they share it, which
        is then read once an image. means, crops_px: of each network.
    Item i is (a list of 10×3×crop×crop float32, one a network, label).
    Raises DeconvError if the data sets are not the same images.
    """

    def __init__(
        self, data: Sequence[Squares], means: Sequence[torch.Tensor], crops_px: Sequence[int]
    ) -> None:
        self.data, self.means, self.crops_px = list(data), list(means), list(crops_px)
        if any(list(other.targets) != list(self.data[0].targets) for other in self.data):
            raise DeconvError("the networks of an ensemble are asked about different images")

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


class TrainingCrops(Dataset):
    """What a network is trained on: a random sub-crop, a pure function of (seed, epoch, index).

    Its keys are pairs (epoch, index), as `Batches` gives them, so that worker processes hold
    no state. crops: "ten", one of the paper's ten (§3); "any", any position and mirror image
    (Krizhevsky et al. 2012, §4.1); "resized", a part of any size and shape within RESIZED_AREA and
    RESIZED_ASPECT, brought to crop×crop (Szegedy et al. 2015). Differs from paper: the last two.
    """

    def __init__(
        self, data: Squares, mean: torch.Tensor, crop_px: int, seed: int, crops: str = "ten"
    ) -> None:
        if crops not in CROPS:
            raise unknown("way to crop", crops, CROPS)
        self.data, self.mean, self.crop_px = data, mean, crop_px
        self.seed, self.crops = seed, crops

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, key: tuple[int, int]) -> tuple[torch.Tensor, int]:
        epoch, index = key
        image, label = self.data[index]
        random = np.random.default_rng((self.seed, epoch, index))
        mirror = bool(random.integers(2))
        if self.crops == "ten":
            crop = int(random.integers(5))
            return prepare(image, self.mean, self.crop_px, crop, mirror), label
        side = _side(image, self.mean, self.crop_px)
        if self.crops == "resized":
            box = _part(random, side)
            return _resized_cut(image, self.mean, self.crop_px, box, mirror), label
        room = side - self.crop_px + 1
        top, left = (int(v) for v in random.integers(room, size=2))
        return _cut(image, self.mean, self.crop_px, top, left, mirror), label


class Batches(Sampler):
    """The batches of one epoch as keys (epoch, index), a pure function of (seed, epoch).

    Set `epoch`, and `first` to begin at a later batch, before iterating. Each image comes once an
    epoch; the last batch may be smaller. Of each batch this is the part of process `rank` out of
    `ranks`; where there are more processes than images in the last batch, `part` is empty and the
    batch holds one image to keep the process busy.
    """

    def __init__(
        self, images: int, batch_size: int, seed: int, rank: int = 0, ranks: int = 1
    ) -> None:
        self.images, self.batch_size, self.seed = images, batch_size, seed
        self.rank, self.ranks = rank, ranks
        self.epoch = self.first = 0
        self._order = (-1, np.empty(0, dtype=np.int64))  # of the epoch last asked for

    @property
    def count(self) -> int:
        """The batches of a whole epoch."""
        return -(-self.images // self.batch_size)

    def __len__(self) -> int:
        return self.count - self.first

    def batch(self, number: int) -> np.ndarray:
        """The images of a batch of this epoch, over all processes."""
        if self._order[0] != self.epoch:
            order = np.random.default_rng((self.seed, self.epoch)).permutation(self.images)
            self._order = (self.epoch, order)
        return self._order[1][number * self.batch_size : (number + 1) * self.batch_size]

    def part(self, batch: np.ndarray) -> np.ndarray:
        """This process's part of a batch."""
        return np.array_split(batch, self.ranks)[self.rank]

    def __iter__(self) -> Iterator[list[tuple[int, int]]]:
        for number in range(self.first, self.count):
            batch = self.batch(number)
            own = self.part(batch)
            yield [(self.epoch, int(index)) for index in (own if len(own) else batch[:1])]
