"""What Hydra and OmegaConf refuse, as one line that names the setting and the nearest valid one."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from urllib.parse import unquote

from hydra.core.config_store import ConfigStore
from hydra.errors import OverrideParseException
from yaml import YAMLError

from deconv.errors import unknown
from deconv.networks.sources import SOURCES

KINDS = {
    "Float": "a number such as 0.01",
    "Integer": "a whole number",
    "Boolean": "true or false",
    "String": "text",
}


def explain(error: Exception, keys: Callable[[], Iterable[str]]) -> str:
    """Return what a person typed wrongly, in words.

    Args:
        error: of Hydra's, OmegaConf's or the reader of yaml files.
        keys: gives the dotted names of all settings, Hydra's own included.
    """
    text = str(error)
    if error.__cause__ is not None and str(error.__cause__) not in text:
        text += f"\n{error.__cause__}"
    if isinstance(error, YAMLError):
        return f"cannot read a yaml file: {' '.join(text.split())}"
    if isinstance(error, OverrideParseException):
        return _unreadable(error)
    file, text = _origin(text)
    return file + (
        _choice(text) or _override(text, keys) or _value(text, keys) or text.splitlines()[0]
    )


def _origin(text: str) -> tuple[str, str]:
    """The configuration that an error is in, if its message says so, and the rest of it."""
    pattern = r"In '([^']*)': (?:\w+ raised while composing config:\n)?"
    if found := re.match(pattern, text):
        name = found.group(1)
        ours = name.startswith("hydra/") or f"{name}.yaml" in ConfigStore.instance().repo
        return "" if ours else f"in {name}.yaml: ", text[found.end() :]
    return "", text


def _unreadable(error: OverrideParseException) -> str:
    if "missing EQUAL" in str(error):
        return f"{error.override!r} is not a setting; write key=value"
    return (
        f"cannot read {error.override}: quote values with special characters for Hydra, such "
        "as 'hydra.run.dir=\"a=b\"', and write $HOME instead of ~"
    )


def _choice(text: str) -> str | None:
    """A configuration, or a choice of a group, that is not there."""
    if found := re.search(r"(?:primary config|Could not load) '([^'/]*)'", text):
        folders = [Path(unquote(one)) for one in re.findall(r"path=file://(\S+)", text)]
        files = {path.stem for folder in folders for path in folder.glob("*.yaml")}
        stored = {Path(name).stem for name in ConfigStore.instance().repo if name.endswith(".yaml")}
        known = sorted((files | stored) - {"base", "_dummy_empty_config_"})
        return str(unknown("configuration", found.group(1), known))
    if found := re.search(r"Could not (?:find|load) '([^']*)'", text):
        group, _, choice = found.group(1).rpartition("/")
        listed = re.search(r"Available options in '.*':\n((?:\t.*\n?)*)", text)
        valid = [line.strip() for line in listed.group(1).splitlines()] if listed else []
        valid = [name for name in valid if name != "recipe"]
        if group.startswith("model/"):  # torchvison/resnet18
            source = group.removeprefix("model/") + "/"
            near = difflib.get_close_matches(source, SOURCES, n=1)
            valid += [one + choice for one in near] or [f"{one}…" for one in SOURCES]
            group, choice = "model", source + choice
        return str(unknown(group, choice, valid))
    return None


def _override(text: str, keys: Callable[[], Iterable[str]]) -> str | None:
    """A setting on the command line that is not there, or is there already."""
    pattern = r"Could not (?:override|delete) '([^'=]*)|delete from config. '([^']*)' does not"
    if found := re.search(pattern, text):
        return _unknown(found.group(1) or found.group(2), keys, text)
    if found := re.search(r"An item is already at '([^']*)'", text):
        return f"{found.group(1)} is a setting already: write it without the +"
    if found := re.search(r"Multiple values for (\S+)\. .* 'override (.*): (.*)'", text):
        group, key, choice = found.groups()
        return (
            f"{group} is chosen already: write {key}={choice} without the +, or in a yaml file "
            f"`override {key}: {choice}`"
        )
    if found := re.search(r"Ambiguous value for argument '([^=]*)=(.*)'", text):
        key, value = found.groups()
        return (
            f"{key} takes one value, got {value}: add -m to run a job for each, or write "
            f"{key}=[{value}] where it takes a list"
        )
    return None


def _value(text: str, keys: Callable[[], Iterable[str]]) -> str | None:
    """A setting whose value is of another kind, or that is not there."""
    if found := re.search(r"Error merging override ([^=]*)=(.*)", text):
        return f"{found.group(1)} takes {_kind(text)}, got {found.group(2)!r}"
    if not (found := re.search(r"full_key: (\S+)", text)):
        return None
    key, first = found.group(1), text.splitlines()[0]
    if named := re.search(r"Interpolation key '([^']*)' not found", first):
        if named.group(1) in keys():
            return f"{named.group(1)} cannot be left out, {key} refers to it"
        return f"{key} refers to {named.group(1)}: {_unknown(named.group(1), keys, text)}"
    if "not in" in first or "not in struct" in text:
        return _unknown(key, keys, text)
    if "missing mandatory value" in text.lower() or "???" in text:
        return f"{key} has to be given: {key}=…"
    got = re.search(r"Value '(.*)' of type", first)
    return f"{key} takes {_kind(text)}" + (f", got {got.group(1)!r}" if got else f": {first}")


RENAMED = {"others": "k", "order": "choose", "class": "of_class"}
"""Other names of settings, as people write them -> the setting, where a command has it."""


def _unknown(key: str, keys: Callable[[], Iterable[str]], text: str) -> str:
    if (name := RENAMED.get(key)) in (every := list(keys())):
        return f"unknown setting {key!r}. Did you mean {name!r}?"
    if key in every:  # as another choice of its group has it
        group = key.partition(".")[0]
        if "object_type=dict" not in text:
            return f"the {group} that is chosen has no setting {key!r}"
        return (
            f"the file that {group}= names does not give {key}: write +{key}=…, or begin the file "
            f"with `defaults: [<a {group} of deconv>, _self_]`"
        )
    keys = every.copy
    own = [k for k in keys() if k.startswith("hydra") == key.startswith("hydra")]
    return str(unknown("setting", key, sorted(own)))


def _kind(text: str) -> str:
    """The kind that a setting takes, by OmegaConf's message about what it got."""
    if found := re.search(r"could not be converted to (\w+)", text):
        return KINDS.get(found.group(1), found.group(1))
    if "is not a valid bool" in text:
        return KINDS["Boolean"]
    if "ListConfig" in text or "list or tuple" in text:
        return "a list such as [1,2]"
    if (
        "is not Optional" in text
        or "is not optional" in text
        or "'None' for field" in text
        or "NoneType" in text
    ):
        return "a value, not null"
    return "another kind of value"
