"""Tables and lists for people: aligned columns of plain text, and Markdown."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

MISSING = "–"


def number(value: float | None, digits: int = 1) -> str:
    """A number with so many decimals; MISSING where there is none."""
    return MISSING if value is None or value != value else f"{value:.{digits}f}"


CROPS = {"ten": "ten crops", "centre": "centre crop"}


def top1(error: float, crops: str = "centre", digits: int = 1) -> str:
    """The top-1 error in percent by the name that it has everywhere, and on which crops it is."""
    return f"top-1 error {error:.{digits}f} % ({CROPS[crops]})"


def printed(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """`head` above a rule above `rows`; the first `left` columns stand left, the others right.

    Line breaks and other control characters, of names of classes and files, are escaped.
    """
    lines = [[_visible(cell) for cell in row] for row in (head, *rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    text = [
        "  ".join(
            cell.ljust(width) if column < left else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    ]
    return "\n".join([text[0], "-" * (sum(widths) + 2 * len(widths) - 2), *text[1:]])


def _visible(text: str) -> str:
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text)


def literal(text: str) -> str:
    """Text that Markdown, within a paragraph or a cell, shows as it is."""
    return re.sub(r"[\\`*\[\]<>&$~#]|(?<!\w)_", r"\\\g<0>", " ".join(text.split()))


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(
        "| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines
    )


def bullets(texts: Iterable[str]) -> str:
    """A list in Markdown."""
    return "\n".join(f"- {text}" for text in texts)


def rounded(row: Mapping[str, Any], places: int = 5) -> dict[str, Any]:
    """A row of a table with its floats rounded; None for what is not finite."""
    floats = {key: value for key, value in row.items() if isinstance(value, float)}
    return dict(row) | {
        key: round(value, places) if math.isfinite(value) else None for key, value in floats.items()
    }
