"""Figures as they were last looked at, small: a page that has changed to the eye fails.

Words on them stand apart, at other widths and with long names of layers, too.

Look at the new figure; if it is meant so, DECONV_GOLDEN=write pytest … keeps it.
"""

import importlib
import os
import shutil
import tempfile
import warnings
from pathlib import Path

import numpy as np
from drawn import LongNames, faults
from PIL import Image
from skimage.metrics import structural_similarity

from deconv import figures
from experiments.kit.result import Saved

GOLDEN = Path(__file__).with_name("golden")
WIDTH_PX = 200
ALIKE = 0.9
"""Least structural similarity: other processors change pixels of a tile, not a page."""


LOOKS = {
    "usual": {},
    "thesis": {"width_mm": 160, "font_pt": 8},
    "large letters": {"width_mm": 160, "font_pt": 10},
    "narrow": {"width_mm": 80, "font_pt": 8},
    "narrow, large letters": {"width_mm": 80, "font_pt": 10, "font": "DejaVu Serif"},
}
"""At which words must stand apart; of figures of commands "thesis" in every run."""
OWN_NAMES = ("contrast_normalisation", "fig6_first_layers")
"""Figures of networks of their own, whose layers have no other names."""


def assert_words_apart(folder, looks=("thesis",), stem=None):
    """No two texts of the figure in a folder overlap, and none leaves the page."""
    stem = stem or folder.parent.name
    draw = importlib.import_module(f"experiments.{stem}").draw
    for name in looks:
        with figures.look(figures.Look(**LOOKS[name])), warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # where letters are made smaller
            with tempfile.TemporaryDirectory() as copy:  # a drawing may write beside its files
                for path in filter(Path.is_file, folder.glob("*.[jnc]*")):
                    shutil.copy(path, copy)
                page = draw((Saved if stem in OWN_NAMES else LongNames)(Path(copy)))
        assert not (found := faults(page)), (stem, name, found)


def shrunk(path, width=800):
    """A page in grey, 200 px wide. width: what it must have, in pixels."""
    with Image.open(path) as page:
        assert abs(page.width - width) <= 1
        height = round(page.height * WIDTH_PX / page.width)
        return page.convert("L").resize((WIDTH_PX, height), Image.Resampling.BOX)


def similarity(one, other):
    """Structural similarity of two small pages; 0 where their heights differ by more than 3 %."""
    if abs(one.height - other.height) > 0.03 * other.height:
        return 0.0
    one, other = (np.asarray(page.resize(other.size)) for page in (one, other))
    return structural_similarity(one, other, data_range=255)


def assert_golden(folder, name=None, width=800):
    """The figure of a run is the golden one, and its words stand apart.

    name: of the golden file; by default the experiment's. width: of the figure in pixels.
    """
    if name is None:
        assert_words_apart(folder)
    page, path = shrunk(folder / "figure.png", width), GOLDEN / f"{name or folder.parent.name}.png"
    if os.environ.get("DECONV_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        page.quantize(32).save(path, optimize=True)
    with Image.open(path) as kept:
        found = similarity(page, kept.convert("L"))
    assert found >= ALIKE, f"{folder / 'figure.png'} is {found:.2f} like {path}: look at both"
