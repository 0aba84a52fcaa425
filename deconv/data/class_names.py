"""Class names: ImageNet's in words, made unique, and looked up."""

from __future__ import annotations

import functools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from deconv.data.text_files import read_lines
from deconv.errors import DeconvError, unknown

WNIDS = Path(__file__).with_name("imagenet_wnids.txt")
"""The names of ImageNet's 1,000 class folders, sorted: the order of its networks' logits."""


@functools.cache
def imagenet_words() -> dict[str, str]:
    """Map the name of each of ImageNet's folders to the class, n01440764 -> tench, in order."""
    from torchvision.models import AlexNet_Weights  # when needed: a third of a command's start

    words = unique_names(AlexNet_Weights.DEFAULT.meta["categories"])
    return dict(zip(read_lines(WNIDS, "list of ImageNet's classes"), words, strict=True))


def in_words(names: Sequence[str]) -> list[str]:
    """Replace names of ImageNet's folders by their words; where one is another name, none is."""
    if not names or not all(name[:1] == "n" and name[1:].isdecimal() for name in names):
        return list(names)
    words = imagenet_words()
    return [words[name] for name in names] if words.keys() >= set(names) else list(names)


def shown_names(names: Sequence[str]) -> list[str]:
    """Name classes as they are shown: ImageNet's in words, and each apart from the others."""
    return unique_names(in_words(names))


def unique_names(names: Sequence[str]) -> list[str]:
    """Append the class number to names that several classes share.

    ImageNet's two cranes, a bird and a machine, become "crane (134)" and "crane (517)".
    """
    names, counts = list(names), Counter(names)
    if len(counts) == len(names):
        return names
    return unique_names([f"{n} ({i})" if counts[n] > 1 else n for i, n in enumerate(names)])


def class_number(name: str | int, names: Sequence[str]) -> int:
    """Look up a class by name, or by its number, 3 or "3", if no class has that name.

    Raises:
        DeconvError: if there is no such class; suggests the nearest names.
    """
    if str(name) in names:
        return list(names).index(str(name))
    if type(name) is int or (isinstance(name, str) and name.isdecimal()):
        if 0 <= int(name) < len(names):
            return int(name)
        raise DeconvError(f"unknown class {name}: they are numbered 0 to {len(names) - 1}")
    raise unknown("class", name, names)
