"""Text on the pages: no markup, font fallback per letter, code points for missing glyphs.

matplotlib lays out right-to-left scripts from 3.11 on.
"""

from __future__ import annotations

import functools
import itertools
import warnings
from collections.abc import Sequence
from unicodedata import category

import matplotlib
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text
from matplotlib.textpath import text_to_path
from matplotlib.ticker import LogFormatter


def letter_plainly(figure: Figure) -> None:
    """Draw every text of a figure literally, falling back to other fonts.

    A letter that its font lacks comes from another installed font. If no font has it, its code
    point is drawn, such as [U+72AC], with one warning a figure. Powers of ten at the ticks of
    logarithmic axes, markup that matplotlib writes itself, stay powers.
    """
    powers = {
        id(tick)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        if isinstance(axis.get_major_formatter(), LogFormatter)
        for tick in axis.get_ticklabels(which="both")
    }
    missing = ""
    for one in figure.findobj(Text):
        if id(one) in powers:
            continue
        one.set_parse_math(False)
        words, families, without = lettered(one.get_text(), one.get_fontproperties())
        one.set_text(words)
        one.set_fontfamily(families)
        missing += without
    if missing:
        letters = list(dict.fromkeys(missing))
        shown = " ".join(letter if letter.isprintable() else _code(letter) for letter in letters)
        warnings.warn(
            f"no installed font has {shown}: code points are drawn, such as {_code(letters[0])}; "
            "install a font that has them, such as Noto Sans",
            stacklevel=4,
        )


def words_width(words: str, size: float, weight: str = "normal") -> float:
    """Measure the longest line of words as they are drawn, in inches; size in points."""
    family = tuple(matplotlib.rcParams["font.family"])
    return max(_line_width(line, family, weight) for line in words.split("\n")) * size


@functools.cache
def _line_width(line: str, family: tuple[str, ...], weight: str) -> float:
    """Inches a point of its size."""
    font = FontProperties(family=family, weight=weight, size=100)
    line, families, _ = lettered(line, font)
    font.set_family(families)
    return text_to_path.get_text_width_height_descent(line, font, False)[0] / 7200


def wrapped(words: str, size: float, room: float, weight: str = "normal") -> list[str]:
    """Break words into lines at most `room` inches wide; a longer word gets its own line."""
    blank, lines = words_width("n n", size, weight) - words_width("nn", size, weight), [""]
    reach = -blank
    for word in words.split():
        width = words_width(word, size, weight)
        if lines[-1] and reach + blank + width > room:
            lines.append("")
            reach = -blank
        lines[-1] = f"{lines[-1]} {word}".lstrip()
        reach += blank + width
    return lines


LEAST_SHARE = 0.68
"""Words are made no smaller than this to fit; beyond it they are cut."""


def fitted(
    words: str, size: float, room: float, weight: str = "normal", least: float = LEAST_SHARE
) -> tuple[str, float]:
    """Make words fit into `room` inches: smaller first, then cut in the middle.

    Returns:
        The words, with an ellipsis if they were cut, and their size in points.
    """
    share = room / max(words_width(words, size, weight), 1e-9)
    if share >= least or len(words) < 4:
        return words, size * min(1.0, max(share, least))
    for length in range(len(words) - 1, 2, -1):
        tail = length // 2
        cut = f"{words[: length - tail].rstrip()}…{words[len(words) - tail :].lstrip()}"
        if words_width(cut, size * least, weight) <= room:
            return cut, size * least
    return words[:1] + "…", size * least


def told_apart(names: Sequence[str], size: float, room: float) -> list[str]:
    """Cut names that are too long to what tells them apart, such as …13… of features.13.conv."""
    long = [name for name in names if words_width(name, size) > room]
    start = _shared(long) if len(long) > 1 else 0
    end = _shared([name[:start:-1] for name in long]) if len(long) > 1 else 0

    def cut(name: str) -> str:
        if name in long and start + end < len(name):
            name = "…" * (start > 0) + name[start : len(name) - end] + "…" * (end > 0)
        return fitted(name, size, room, least=1.0)[0]

    return [cut(name) for name in names]


def _shared(names: Sequence[str]) -> int:
    """How many letters all names begin with."""
    alike = (len(set(letters)) == 1 for letters in zip(*names, strict=False))
    return sum(itertools.takewhile(bool, alike))


def lettered(words: str, font: FontProperties) -> tuple[str, list[str], str]:
    """Find fonts for words.

    Returns:
        The words as drawn (control characters become blanks), the font families that they need,
        and the letters that no installed font has.
    """
    words = "".join(c if c == "\n" or category(c) != "Cc" else " " for c in words)
    families, missing = list(font.get_family()), ""
    own = _letters(findfont(font))
    for letter in dict.fromkeys(words):
        if letter == "\n" or ord(letter) in own:
            continue
        family = _family_with(letter)
        if family is None:
            words, missing = words.replace(letter, _code(letter)), missing + letter
        elif family not in families:
            families.append(family)
    return words, families, missing


def _code(letter: str) -> str:
    return f"[U+{ord(letter):04X}]"


@functools.cache
def _letters(path: str) -> frozenset[int]:
    """Code points with a glyph in a font file."""
    return frozenset(get_font(path).get_charmap())


@functools.cache
def _installed() -> dict[str, str]:
    """Family -> font file; without Last Resort, whose glyphs stand for missing ones."""
    return {f.name: f.fname for f in fontManager.ttflist if not f.name.startswith("Last Resort")}


def _family_with(letter: str) -> str | None:
    files = _installed().items()
    return next((family for family, path in files if ord(letter) in _letters(path)), None)
