"""Text on the pages: no markup, font fallback per letter, code points for missing glyphs.

matplotlib lays out right-to-left scripts from 3.11 on.
"""

from __future__ import annotations

import functools
import warnings
from unicodedata import category

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text
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
