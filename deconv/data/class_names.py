"""Class names: made unique, and looked up."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from deconv.errors import DeconvError, unknown


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
