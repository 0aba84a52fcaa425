"""Photographs under free licences that other packages ship, by name: skimage:cat."""

from __future__ import annotations

import importlib.util
from pathlib import Path

from deconv.errors import DeconvError, unknown

_CC0 = "CC0 by its photographer, {}"
_CC_BY = "CC BY 2.0, flickr.com/photos/danielbuechele"
FREE = {
    "skimage:astronaut": ("data/astronaut.png", "public domain, NASA"),
    "skimage:camera": ("data/camera.png", _CC0.format("Lav Varshney")),
    "skimage:cat": ("data/chelsea.png", _CC0.format("Stefan van der Walt")),
    "skimage:clock": ("data/clock_motion.png", "public domain, Stefan van der Walt"),
    "skimage:coffee": ("data/coffee.png", _CC0.format("Rachel Michetti")),
    "skimage:rocket": ("data/rocket.jpg", "public domain, SpaceX"),
    "sklearn:china": ("datasets/images/china.jpg", _CC_BY),
    "sklearn:flower": ("datasets/images/flower.jpg", "CC BY 2.0, flickr.com/photos/vultilion"),
}
"""Name -> (the file in its package, which is before the colon; its licence, as stated there)."""


def free_photograph(name: str) -> str:
    """Find the file of a name of FREE; a name without its packages' prefix is returned as it is.

    Raises:
        DeconvError: for an unknown name, and where the package is missing.
    """
    package, colon, _ = name.partition(":")
    if not colon or package not in {one.partition(":")[0] for one in FREE}:
        return name
    if name not in FREE:
        raise unknown("photograph", name, FREE)
    found = importlib.util.find_spec(package)
    if found is None or found.origin is None:
        raise DeconvError(f"{name} is a file of the package {package}: install that")
    return str(Path(found.origin).parent / FREE[name][0])
