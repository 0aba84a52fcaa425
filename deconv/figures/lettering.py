"""Text on the pages as it is written: no markup, and no letter that no font has.

Scripts that run from right to left are laid out so by matplotlib from 3.11 on.
"""

from __future__ import annotations

import functools
import warnings
from unicodedata import category

from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, findfont, fontManager, get_font
from matplotlib.text import Text


def letter_plainly(figure: Figure) -> None:
    """Draw every text of a figure but the numbers on its axes letter by letter.

    Letters that a text's font lacks are taken from another installed font. For those that none
    has their code points are drawn, such as [U+72AC], and a warning says so once for the figure.
    """
    numbers = {
        id(tick)
        for axes in figure.axes
        for axis in (axes.xaxis, axes.yaxis)
        for tick in axis.get_ticklabels(which="both")
    }
    lost = ""
    for one in figure.findobj(Text):
        if id(one) in numbers:  # a power of ten is markup that matplotlib writes itself
            continue
        one.set_parse_math(False)
        words, families, without = lettered(one.get_text(), one.get_fontproperties())
        one.set_text(words)
        one.set_fontfamily(families)
        lost += without
    if lost:
        letters = list(dict.fromkeys(lost))
        shown = " ".join(letter if letter.isprintable() else _code(letter) for letter in letters)
        warnings.warn(
            f"no installed font has {shown}: code points are drawn, such as {_code(letters[0])}; "
            "install a font that has them, such as Noto Sans",
            stacklevel=3,
        )


def lettered(words: str, font: FontProperties) -> tuple[str, list[str], str]:
    """What is drawn for words, the families it is drawn in, and the letters that none has.

    Control characters become blanks.
    """
    words = "".join(c if c == "\n" or category(c) != "Cc" else " " for c in words)
    families, lost = list(font.get_family()), ""
    own = _letters(findfont(font))
    for letter in dict.fromkeys(words):
        if letter == "\n" or ord(letter) in own:
            continue
        family = _family_with(letter)
        if family is None:
            words, lost = words.replace(letter, _code(letter)), lost + letter
        elif family not in families:
            families.append(family)
    return words, families, lost


def _code(letter: str) -> str:
    return f"[U+{ord(letter):04X}]"


@functools.cache
def _letters(path: str) -> frozenset[int]:
    """The code points that a font file has a glyph for."""
    return frozenset(get_font(path).get_charmap())


@functools.cache
def _installed() -> dict[str, str]:
    """Family -> a file of it, of all fonts but the one whose glyphs stand for missing ones."""
    return {f.name: f.fname for f in fontManager.ttflist if not f.name.startswith("Last Resort")}


def _family_with(letter: str) -> str | None:
    """The first family that has a letter."""
    files = _installed().items()
    return next((family for family, path in files if ord(letter) in _letters(path)), None)
