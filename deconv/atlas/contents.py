"""What an atlas is written from: layers with their peaks, images, facts, pictures on demand."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import torch

from deconv.errors import DeconvError
from deconv.mining.peak_views import PeakViews
from deconv.records import Peaks

NINE = 9
"""Peaks of a map that are shown (Fig. 2)."""
BLOCK_PX = 16
"""Tiles are multiples of the picture codec's blocks, so that neighbours do not bleed."""


@dataclass(frozen=True)
class Layer:
    """One layer's maps.

    name: of the point. note: words about it, such as its receptive field. peaks: C×K at each
    snapshot, K at least NINE where there are as many images; only those above 0 are used. active:
    C shares of values above 0 at the last snapshot, or None. title: what the pages call it; its
    name unless given.
    """

    name: str
    peaks: Sequence[Peaks]
    note: str = ""
    active: torch.Tensor | None = None
    title: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "title", self.title or self.name)

    @property
    def maps(self) -> int:
        """Their number C."""
        return len(self.peaks[-1].value)


@dataclass(frozen=True)
class Images:
    """The images that were mined, in their order.

    names: one each, shown as text. labels: numbers in `classes`, −1 where unknown.
    """

    names: Sequence[str]
    labels: Sequence[int] = ()
    classes: Sequence[str] = ()

    def label(self, image: int) -> int:
        """The class of an image, −1 where unknown."""
        return self.labels[image] if len(self.labels) else -1

    def class_of(self, image: int) -> str:
        """The name of an image's class, "" where unknown."""
        label = self.label(image)
        return self.classes[label] if label >= 0 else ""


@dataclass(frozen=True)
class Contents:
    """A whole atlas without its pictures.

    title: the network's name. about: a sentence on network and images. image_px: height and width
    of the network's input. snapshots: one label for each of the layers' peaks, such as "epoch 5";
    the last is shown first. facts: provenance, on every page. results: of the network page.
    curves: name -> (x, y) points of the training. sources: whether pictures of the images may be
    shown, or projections alone. tile_px, face_px: sides of a unit's tiles on its own page and on
    others, multiples of BLOCK_PX.
    """

    title: str
    about: str
    layers: Sequence[Layer]
    images: Images
    image_px: tuple[int, int]
    snapshots: Sequence[str] = ("",)
    facts: Mapping[str, str] = field(default_factory=dict)
    results: Mapping[str, str] = field(default_factory=dict)
    curves: Mapping[str, Sequence[tuple[float, float]]] = field(default_factory=dict)
    sources: bool = True
    tile_px: int = 128
    face_px: int = 96

    def __post_init__(self) -> None:
        if not self.layers:
            raise DeconvError("an atlas needs at least one layer")
        for side in (self.tile_px, self.face_px):
            if side < BLOCK_PX or side % BLOCK_PX:
                raise DeconvError(f"tiles are multiples of {BLOCK_PX} px wide, not {side}")
        for layer in self.layers:
            if len(layer.peaks) != len(self.snapshots):
                raise DeconvError(
                    f"{layer.name} has peaks of {len(layer.peaks)} snapshots, the atlas has "
                    f"{len(self.snapshots)}"
                )

    @property
    def slugs(self) -> list[str]:
        """A folder name for each layer, safe on every disk and in every address."""
        return [
            f"{i:02d}-{re.sub(r'[^A-Za-z0-9._-]', '_', layer.title)[:60]}"
            for i, layer in enumerate(self.layers, start=1)
        ]


@dataclass(frozen=True)
class Pictures:
    """The pictures of M maps at one snapshot.

    views: projections and patches of their NINE peaks. others: name of another way to paint ->
    its picture of each map's strongest peak, M×3×R×S. covered: M×r×c, how much of the strongest
    unit's activation is lost (0…1) while a square covers that cell of its field; or None.
    """

    views: PeakViews
    others: Mapping[str, torch.Tensor] = field(default_factory=dict)
    covered: torch.Tensor | None = None


def live(peaks: Peaks, k: int | None = None) -> Peaks:
    """The k strongest peaks, those that are not above 0 marked as missing."""
    value, image, y, x = (one[:, :k] for one in vars(peaks).values())
    none = ~(value > 0)
    missing = [one.masked_fill(none, -1) for one in (image, y, x)]
    return Peaks(value.masked_fill(none, -torch.inf), *missing)
