"""Text files that people write, in the encodings that their editors use."""

from __future__ import annotations

import codecs
from pathlib import Path

from deconv.errors import DeconvError


def read_text(path: str | Path, what: str) -> str:
    """Read a text file in UTF-8, in UTF-16 with its byte order mark, or else in Latin-1.

    Marks are dropped and every line end is "\\n". what: names the kind of file in errors.
    Raises DeconvError if the file cannot be read.
    """
    try:
        data = Path(path).read_bytes()
    except OSError as error:
        raise DeconvError(f"cannot read the {what} {path}: {error.strerror}") from error
    encoding = "utf-8-sig"
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encoding = "utf-16"
    try:
        text = data.decode(encoding)
    except UnicodeDecodeError:
        text = data.decode("latin-1")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def read_lines(path: str | Path, what: str) -> list[str]:
    """The lines of a text file without the blanks at their ends and the blank lines at its end."""
    return [line.strip() for line in read_text(path, what).rstrip().split("\n")]
