"""Errors that name the offending thing and say what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DeconvError(ValueError):
    """Input that cannot be used. The message names it and says what to do."""


class DeadUnitWarning(UserWarning):
    """A projection was asked of a unit with activation 0, so its picture is blank."""


def unknown(kind: str, name: object, valid: Iterable[str]) -> DeconvError:
    """The error for a name that is not among `valid`, with the nearest valid ones first."""
    names = [str(v) for v in valid]
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return DeconvError(f"unknown {kind} {name!r}.{hint} Valid: {', '.join(names) or 'none'}.")
