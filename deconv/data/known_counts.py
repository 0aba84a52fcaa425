"""Published counts of well-known data sets, so that half of one is not taken for the whole."""

from __future__ import annotations

from pathlib import Path

from deconv.errors import DeconvError

WITH_CLUTTER = "with clutter"
KNOWN_COUNTS = {
    "caltech101": {"all": (8_677, 101)},  # without the background
    "caltech256": {"all": (29_780, 256), WITH_CLUTTER: (30_607, 257)},
    "imagenet": {"train": (1_281_167, 1000), "val": (50_000, 1000)},
    "imagenette": {"train": (9_469, 10), "val": (3_925, 10)},
    "tiny_imagenet": {"train": (100_000, 200), "val": (10_000, 200)},
    "voc2012": {"train": (5_717, 20), "val": (5_823, 20)},
}
"""Data set -> part -> (images, classes) as published."""


def check_counts(
    name: str,
    part: str,
    where: Path,
    images: int,
    classes: int,
    partial: bool = False,
    override: str = "set partial=true",
) -> None:
    """Raise DeconvError unless a data set has the published numbers of images and classes.

    Args:
        name, part: keys of KNOWN_COUNTS.
        where: its folder, for the message.
        partial: accept any number.
        override: how to ask for that, for the message.
    """
    known = KNOWN_COUNTS[name][part]
    if partial or (images, classes) == known:
        return
    raise DeconvError(
        f"{where} holds {images:,} images of {classes:,} classes, but {name} ({part}) has "
        f"{known[0]:,} of {known[1]:,}: unpack it again, perhaps it was interrupted; if it is to "
        f"be so, {override}"
    )
