"""The one style of all pages: matplotlib's defaults and a few settings of our own.

Whatever a matplotlibrc, the environment or the caller has set is neither heeded nor changed.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator


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

from matplotlib import style  # noqa: E402

STYLE = {"pdf.fonttype": 42, "pdf.compression": 6}
"""What differs from matplotlib's defaults: text stays text in a PDF."""


@contextlib.contextmanager
def own_style() -> Iterator[None]:
    """Within it pages are made and saved in the project's style; `@own_style()` for a function."""
    with style.context(["default", STYLE]):
        yield
