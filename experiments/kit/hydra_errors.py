"""What Hydra and OmegaConf refuse, as one line that names the setting and the nearest valid one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from hydra.errors import OverrideParseException

from deconv.errors import unknown

KINDS = {
    "Float": "a number such as 0.01",
    "Integer": "a whole number",
    "Boolean": "true or false",
    "String": "text",
}


def explain(error: Exception, keys: Callable[[], Iterable[str]]) -> str:
    """Return what a person typed wrongly, in words.

    Args:
        error: of Hydra's or OmegaConf's.
        keys: gives the dotted names of all settings.
    """
    text = str(error)
    if error.__cause__ is not None and str(error.__cause__) not in text:
        text += f"\n{error.__cause__}"
    if found := re.search(r"Could not (?:find|load) '([^']*)/([^'/]*)'", text):
        group, choice = found.groups()
        listed = re.search(r"Available options in '.*':\n((?:\t.*\n?)*)", text)
        valid = [line.strip() for line in listed.group(1).splitlines()] if listed else []
        return str(unknown(group, choice, [name for name in valid if name != "recipe"]))
    if found := re.search(r"Could not override '([^']*)'", text):
        return str(unknown("setting", found.group(1), sorted(keys())))
    if isinstance(error, OverrideParseException):
        if "missing EQUAL" in text:
            return f"{error.override!r} is not a setting; write key=value"
        return (
            f"cannot read {error.override}: quote values with special characters for Hydra, such "
            "as 'hydra.run.dir=\"a=b\"', and write $HOME instead of ~"
        )
    if found := re.search(r"Error merging override ([^=]*)=(.*)", text):
        return f"{found.group(1)} takes {_kind(text)}, got {found.group(2)!r}"
    if found := re.search(r"full_key: (\S+)", text):
        key, first = found.group(1), text.splitlines()[0]
        if "not in" in first or "not in struct" in text:
            return str(unknown("setting", key, sorted(keys())))
        if "missing mandatory value" in text.lower() or "???" in text:
            return f"{key} has to be given: {key}=…"
        return f"{key} takes {_kind(text)}: {first}"
    return text.splitlines()[0]


def _kind(text: str) -> str:
    """The kind that a setting takes, by OmegaConf's message about what it got."""
    if found := re.search(r"could not be converted to (\w+)", text):
        return KINDS.get(found.group(1), found.group(1))
    if "ListConfig" in text or "list or tuple" in text:
        return "a list such as [1,2]"
    if "is not optional" in text or "NoneType" in text:
        return "a value, not null"
    return "another kind of value"
