"""Errors and warnings; their messages name the offending thing and say what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DeconvError(ValueError):
    """Unusable input."""


class DataMissing(DeconvError):
    """A missing data set. The message says how to get it."""


class UnreadableImage(DeconvError):
    """An image file that is missing, damaged or no image. The message names it."""

    @property
    def reason(self) -> str:
        """What is wrong, without the file's name, for lists of such files."""
        return str(self).partition(": ")[2].removesuffix(". Replace or remove it.")


class Interrupted(Exception):
    """Work stopped on request after saving what is needed to resume. The message says how."""


class DeadUnitWarning(UserWarning):
    """A unit to project has activation 0, so its picture is blank."""


class NoRuleWarning(UserWarning):
    """A projection crosses operations that the deconvnet has no rule for.

    operations: their names.
    """

    def __init__(self, message: str, operations: Iterable[str] = ()) -> None:
        super().__init__(message)
        self.operations = tuple(operations)


class RenamedWeightsWarning(UserWarning):
    """Weights in a file were found under a key, or a prefix of their names was removed."""


LONG = 24
"""Names that a message lists in full; of more it lists the nearest."""


def some(names: Iterable[object]) -> str:
    """List the first five names and count the rest, for a message."""
    first, rest = (every := [str(name) for name in names])[:5], len(every[5:])
    return ", ".join(first) + (f" and {rest} more" if rest else "")


def unknown(kind: str, name: object, valid: Iterable[str]) -> DeconvError:
    """Make the error for a name that is not among `valid`, suggesting the nearest ones."""
    names = [str(v) for v in valid]
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    valid_names = f" Valid: {', '.join(names) or 'none'}."
    if len(names) > LONG:  # nobody reads it: the nearest alone
        some_near = difflib.get_close_matches(str(name), names, n=5, cutoff=0)
        valid_names = "" if near else f" The nearest of {len(names)}: {', '.join(some_near)}."
    return DeconvError(f"unknown {kind} {name!r}.{hint}{valid_names}")
