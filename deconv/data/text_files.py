"""Text files: hand-written ones in the encodings of common editors, and JSON."""

from __future__ import annotations

import codecs
import json
import math
from pathlib import Path
from typing import Any

from deconv.errors import DeconvError


def read_text(path: str | Path, what: str) -> str:
    """Read UTF-8, UTF-16 with a byte order mark, or else Latin-1.

    Byte order marks are dropped and line ends become "\\n".

    Args:
        what: the kind of file, for the DeconvError if it cannot be read.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DeconvError(f"cannot read the {what} {path}: {error.strerror}") from error
    utf16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    try:
        text = data.decode("utf-16" if utf16 else "utf-8-sig")
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: str | Path, what: str) -> list[str]:
    """Read the stripped lines of a text file, without blank lines at its end."""
    return [line.strip() for line in read_text(path, what).rstrip().split("\n")]


def json_text(content: Any, indent: int | None = 2, ensure_ascii: bool = True) -> str:
    """Write plain data as JSON; NaN and infinities, which JSON does not have, become null."""
    plain = _without_nan(content)
    return json.dumps(plain, indent=indent, ensure_ascii=ensure_ascii, allow_nan=False)


def _without_nan(content: Any) -> Any:
    if isinstance(content, dict):
        return {key: _without_nan(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_without_nan(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
