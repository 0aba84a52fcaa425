"""What --help says of each setting: the comments of the dataclasses that hold them."""

from __future__ import annotations

import dataclasses
import inspect
import io
import re
import textwrap
import tokenize
from collections.abc import Iterator
from typing import Any, get_type_hints

from omegaconf import MISSING

WIDTH, NAME = 100, 26
"""Letters of a line, and of a setting's name with its default where they fit."""


def explained(settings: type, prefix: str = "") -> str:
    """List the settings of a dataclass, nested ones included, one a line."""
    return "\n".join(_lines(settings, prefix))


def _lines(settings: type, prefix: str) -> Iterator[str]:
    words, kinds = comments(settings), get_type_hints(settings)
    for one in dataclasses.fields(settings):
        if one.name in ("defaults", "hydra"):
            continue
        kind = kinds.get(one.name)
        if isinstance(kind, type) and dataclasses.is_dataclass(kind):
            yield from _lines(kind, f"{prefix}{one.name}.")
            continue
        head = f"  {prefix}{one.name}{_default(one)}"
        if one.name not in words:
            yield head
            continue
        first = f"{head:<{NAME + 2}}  "
        yield from textwrap.wrap(
            words[one.name], WIDTH, initial_indent=first, subsequent_indent=" " * 6
        )


def _default(one: dataclasses.Field[Any]) -> str:
    """How the default is written on a command line; "" where it is none or depends on others."""
    value = one.default
    if value is dataclasses.MISSING and one.default_factory is not dataclasses.MISSING:
        value = one.default_factory()
    if value is dataclasses.MISSING or value == MISSING or "${" in str(value):
        return ""
    if isinstance(value, list | tuple | dict):
        text = (
            re.sub(r"['\" ]", "", str(value)).replace("(", "[").replace(",)", "]").replace(")", "]")
        )
        return f"={text}" if len(text) <= NAME else ""
    if value is None or isinstance(value, bool):
        return "=null" if value is None else f"={str(value).lower()}"
    return f"={value}"


def comments(settings: type) -> dict[str, str]:
    """Field -> the comment at its line and on the lines below it, those of its bases included.

    A dataclass that explains its fields under `Attributes:` is read there.
    """
    found: dict[str, str] = {}
    for kind in reversed(settings.__mro__):
        if dataclasses.is_dataclass(kind):
            found |= _attributes(kind) | _beside(kind)
    return found


def _beside(kind: type) -> dict[str, str]:
    """The comments of one class body: on a field's lines, and on those right below."""
    found: dict[str, str] = {}
    field, open_brackets, last = "", 0, 0
    source = textwrap.dedent(inspect.getsource(kind))
    fields = {one.name for one in dataclasses.fields(kind)}
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.OP:
            open_brackets += (token.string in "([{") - (token.string in ")]}")
        at_start = not token.line[: token.start[1]].strip()
        if token.type == tokenize.NAME and at_start and token.start[1] == 4 and not open_brackets:
            field = token.string if token.string in fields else ""
            last = token.start[0]
        if field and (open_brackets or not at_start) and token.type != tokenize.NL:
            last = token.end[0]
        if token.type == tokenize.COMMENT and field and not (open_brackets and field in found):
            text, below = token.string.lstrip("# "), token.start[0] - last
            if below <= 1 and token.start[1] >= 4:
                found[field] = f"{found[field]} {text}" if field in found else text
                last = token.start[0]
    return found


def _attributes(kind: type) -> dict[str, str]:
    """The first sentence for each name under `Attributes:`; names that share a line share it."""
    text = (inspect.getdoc(kind) or "").partition("Attributes:\n")[2]
    found: dict[str, str] = {}
    for names, words in re.findall(r"^    (\w[\w, ]*): ((?:.*\n?)(?:     +.*\n?)*)", text, re.M):
        first = re.split(r"(?<=[\w)])\. (?=\S)", " ".join(words.split()))[0].rstrip(".")
        found |= dict.fromkeys(names.split(", "), first)
    return found
