"""Errors that name the offending thing and say what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class DeconvError(ValueError):
    """Input that cannot be used. The message names it and says what to do."""


class DataMissing(DeconvError):
    """A data set that is not on this machine. The message says how to get it."""


class Interrupted(Exception):
    """Work was asked to stop, and what is needed to go on has been saved. The message says how."""


class DeadUnitWarning(UserWarning):
    """A projection was asked of a unit with activation 0, so its picture is blank."""


class NoRuleWarning(UserWarning):
    """A projection crosses an operation that the deconvnet has no rule for."""


class RenamedWeightsWarning(UserWarning):
    """Weights in a file lay under a key or had names with a prefix, which was taken off."""


def unknown(kind: str, name: object, valid: Iterable[str]) -> DeconvError:
    """The error for a name that is not among `valid`, with the nearest valid ones first."""
    names = [str(v) for v in valid]
    near = difflib.get_close_matches(str(name), names, n=3, cutoff=0.4)
    hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    # A long list helps only where nothing in it is near.
    valid_names = "" if near and len(names) > 24 else f" Valid: {', '.join(names) or 'none'}."
    return DeconvError(f"unknown {kind} {name!r}.{hint}{valid_names}")
