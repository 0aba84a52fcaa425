"""Classes are numbers; for people each has a name of its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from deconv.errors import unknown


def unique_names(names: Sequence[str]) -> list[str]:
    """Put a class's number behind its name where several classes have that name.

    ImageNet's two cranes, a bird and a machine, become "crane (134)" and "crane (517)".
    """
    names, counts = list(names), Counter(names)
    if len(counts) == len(names):
        return names
    return unique_names([f"{n} ({i})" if counts[n] > 1 else n for i, n in enumerate(names)])


def class_number(name: str | int, names: Sequence[str]) -> int:
    """The number of the class with a name, or with that number where no class is named so.

    Raises DeconvError with the nearest names for one that does not exist.
    """
    if str(name) in names:
        return list(names).index(str(name))
    if type(name) is int and 0 <= name < len(names):
        return name
    raise unknown("class", name, names)
