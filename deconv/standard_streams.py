"""What a command prints, in whatever encoding the terminal, the pipe or the log has."""

from __future__ import annotations

import codecs
import io
import sys

SHOW_ALL = "deconv.show_all"


def show_all() -> None:
    """Let standard output and error take every text for as long as the process lives.

    A letter that their encoding lacks is escaped, such as \\xd7. The bytes of a file name that is
    no text in the system's encoding are printed as they are, so that a printed path can be used.
    """
    codecs.register_error(SHOW_ALL, _shown)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors=SHOW_ALL)


def _shown(error: UnicodeError) -> tuple[str | bytes, int]:
    assert isinstance(error, UnicodeEncodeError)
    letter = error.object[error.start]
    if "\udc80" <= letter <= "\udcff":  # a byte, as os.fsdecode holds it
        return bytes([ord(letter) - 0xDC00]), error.start + 1
    return letter.encode("ascii", "backslashreplace").decode("ascii"), error.start + 1
