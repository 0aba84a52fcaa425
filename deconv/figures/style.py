"""How all pages look: width, letters, formats, and a style file of the user's own.

Whatever a matplotlibrc, the environment or the caller has set is neither heeded nor changed.
"""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import warnings
from collections.abc import Callable, Collection, Iterator, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec

from deconv.errors import DeconvError, unknown


def _import_matplotlib() -> None:
    """Import matplotlib also where MPLBACKEND names a backend that is not installed.

    A notebook's kernel hands its own down to every process it starts. No page needs one.
    """
    if "matplotlib" in sys.modules:
        return
    named = os.environ.pop("MPLBACKEND", None)
    try:
        import matplotlib
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named
    if named:
        with contextlib.suppress(ValueError):
            matplotlib.rcParams["backend"] = named


_import_matplotlib()

import matplotlib  # noqa: E402
from matplotlib import style  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402
from matplotlib.font_manager import fontManager  # noqa: E402
from matplotlib.lines import Line2D  # noqa: E402
from matplotlib.text import Text  # noqa: E402

MM = 25.4
"""An inch."""
PAGE_IN, BODY_PT = 8.0, 6.6
"""What pages are laid out for: their width, and the size of captions and most labels."""
FORMATS = ("png", "pdf", "svg")
LIMITS = {"width_mm": (40, 1200), "font_pt": (4, 30), "dpi": (30, 2400)}
"""Setting -> the least and the largest number that makes a page."""
STYLE: dict[str, Any] = {
    "font.family": ["DejaVu Sans"],
    "font.size": BODY_PT,
    "figure.figsize": [PAGE_IN, PAGE_IN],
    "savefig.dpi": 300,
    "pdf.compression": 6,
}
"""What differs from matplotlib's defaults, and what a style file may change."""
KEPT: dict[str, Any] = {
    "pdf.fonttype": 42,
    "svg.fonttype": "none",
    "svg.hashsalt": "page",
    "text.usetex": False,
    "savefig.bbox": None,
    "figure.autolayout": False,
    "figure.constrained_layout.use": False,
    "image.origin": "upper",
}
"""What no style file changes: text stays text, a page keeps its layout and its bytes."""


@dataclass
class Look:
    """What a person may choose of all pages. None: as the style file has it, else as usual.

    The comments are the help of the settings `figure.…`.
    """

    caption: bool = True  # write the caption below the figure, too; it always is in caption.txt
    width_mm: float | None = None  # of the page; null: 203.2. Text keeps its size
    font: str | None = None  # family of the letters; null: DejaVu Sans
    font_pt: float | None = None  # size of captions and labels, others in proportion; null: 6.6
    dpi: float | None = None  # of PNG, and of pictures within PDF and SVG; null: 300
    formats: list[str] | None = None  # of png, pdf, svg; null: png and pdf
    title: str | None = None  # words above the figure; null: none
    cmap: str | None = None  # colour map of values from low to high, by name; null: viridis
    style: str | None = None  # a style file of your own for matplotlib, such as mine.mplstyle

    def __post_init__(self) -> None:
        self._own = STYLE | ({} if self.style is None else _read(self.style))
        if self.font is not None:
            _check("font", self.font, fontManager.get_font_names())
        _check("colour map", self.colours, matplotlib.colormaps)
        for one in self.endings:
            _check("format of figures", one, FORMATS)
        if not self.endings:
            raise DeconvError(f"figure.formats takes one or more of {', '.join(FORMATS)}, got none")
        numbers = {"width_mm": self.width_in * MM, "font_pt": self.body_pt}
        numbers["dpi"] = self._own["savefig.dpi"] if self.dpi is None else self.dpi
        for name, value in numbers.items():
            least, most = LIMITS[name]
            if not isinstance(value, int | float) or not least <= value <= most:
                raise DeconvError(f"figure.{name} is a number from {least} to {most}, got {value}")

    def parameters(self) -> dict[str, Any]:
        """matplotlib's parameters, of those that differ from its defaults."""
        chosen = {"font.family": self.font and [self.font], "savefig.dpi": self.dpi}
        return self._own | {k: v for k, v in chosen.items() if v is not None} | KEPT

    @property
    def endings(self) -> Sequence[str]:
        """The formats that are written."""
        return ("png", "pdf") if self.formats is None else self.formats

    @property
    def width_in(self) -> float:
        """The width of a page."""
        return self._own["figure.figsize"][0] if self.width_mm is None else self.width_mm / MM

    @property
    def body_pt(self) -> float:
        """The size of captions and most labels."""
        return self._own["font.size"] if self.font_pt is None else self.font_pt

    @property
    def colours(self) -> str:
        """The name of the colour map of values from low to high."""
        return self.cmap or self._own.get("image.cmap", "viridis")


def _read(path: str) -> dict[str, Any]:
    """Read a style file. Raises DeconvError for one that matplotlib would not take whole."""
    if not Path(path).is_file():
        raise DeconvError(f"figure.style names a file, and there is none at {path}")
    said = _Said()
    log = logging.getLogger("matplotlib")
    before, log.propagate = log.propagate, False
    log.addHandler(said)
    try:
        read = matplotlib.rc_params_from_file(path, use_default_template=False)
    except (OSError, ValueError) as error:
        said.words.append(str(error))
    finally:
        log.removeHandler(said)
        log.propagate = before
    if said.words:
        words = " ".join(said.words[0].split()).partition(" You probably")[0]
        raise DeconvError(f"{path} is no style file of matplotlib: {words}")
    return {key: read[key] for key in read if key not in ("backend", "interactive")}


class _Said(logging.Handler):
    """What matplotlib has against a style file: it logs it and goes on."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.words: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keep a message."""
        self.words.append(record.getMessage())


def _check(kind: str, name: object, valid: Collection[str]) -> None:
    if name not in valid:
        raise unknown(kind, name, sorted(valid))


_LOOK: ContextVar[Look | None] = ContextVar("look", default=None)


def current() -> Look:
    """The look of the pages that are drawn now."""
    return _LOOK.get() or Look()


@contextlib.contextmanager
def look(chosen: Look) -> Iterator[None]:
    """Within it pages are drawn and saved as chosen: `with look(Look(width_mm=160)): …`."""
    token = _LOOK.set(chosen)
    try:
        yield
    finally:
        _LOOK.reset(token)


@contextlib.contextmanager
def own_style() -> Iterator[None]:
    """Within it matplotlib has the parameters of the look; `@own_style()` for a function."""
    with style.context(["default", current().parameters()]):
        yield


P = ParamSpec("P")


def page(least_in: float) -> Callable[[Callable[P, Figure]], Callable[P, Figure]]:
    """Decorate a function that draws a page `width_in` wide for letters of BODY_PT.

    It is asked for the width at which the page, enlarged until its letters have the wanted size,
    has the wanted width: pictures and gaps give way, letters do not.

    Args:
        least_in: the width below which words would overlap; a page that would have to be narrower
            has smaller letters, with a warning.
    """

    def decorate(draw: Callable[P, Figure]) -> Callable[P, Figure]:
        @functools.wraps(draw)
        def drawn(*args: P.args, **kwargs: P.kwargs) -> Figure:
            now = current()
            wanted = now.width_in * BODY_PT / now.body_pt
            kwargs.setdefault("width_in", max(wanted, least_in))
            if wanted < least_in:
                warnings.warn(_smaller(draw.__name__, now, least_in), stacklevel=2)
            with own_style():
                figure = draw(*args, **kwargs)
                _enlarge(figure, now.width_in / max(wanted, least_in))
            return figure

        return drawn

    return decorate


def _smaller(name: str, now: Look, least_in: float) -> str:
    size = BODY_PT * now.width_in / least_in
    return (
        f"{name.replace('_', ' ')} has no room for letters of {now.body_pt:g} pt on "
        f"{now.width_in * MM:.0f} mm, it gets {size:.1f} pt; figure.width_mm="
        f"{least_in * MM * now.body_pt / BODY_PT:.0f} gives room"
    )


def _enlarge(figure: Figure, times: float) -> None:
    """Enlarge a page with its letters and markers; lines keep their width."""
    if abs(times - 1) < 1e-9:
        return
    figure.set_size_inches(*(figure.get_size_inches() * times))
    of_ticks: set[int] = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        ticks = [*axis.get_major_ticks(), *axis.get_minor_ticks()]
        of_ticks |= {id(one) for tick in ticks for one in tick.findobj()}
        if ticks:
            axis.set_tick_params("both", labelsize=float(ticks[0].label1.get_fontsize()) * times)
    for text in figure.findobj(Text):
        if id(text) not in of_ticks:
            text.set_fontsize(float(text.get_fontsize()) * times)
    for line in figure.findobj(Line2D):
        if id(line) not in of_ticks:
            line.set_markersize(line.get_markersize() * times)
