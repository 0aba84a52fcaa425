"""Figures as they were last looked at, small: a page that has changed to the eye fails.

Look at the new figure; if it is meant so, DECONV_GOLDEN=write pytest … keeps it.
"""

import os
from pathlib import Path

import numpy as np
from PIL import Image
from skimage.metrics import structural_similarity

GOLDEN = Path(__file__).with_name("golden")
WIDTH_PX = 200
ALIKE = 0.9
"""Least structural similarity: other processors change pixels of a tile, not a page."""


def shrunk(path):
    """A page in grey, 200 px wide."""
    with Image.open(path) as page:
        assert page.width == 2400
        height = round(page.height * WIDTH_PX / page.width)
        return page.convert("L").resize((WIDTH_PX, height), Image.Resampling.BOX)


def similarity(one, other):
    """Structural similarity of two small pages; 0 where their heights differ by more than 3 %."""
    if abs(one.height - other.height) > 0.03 * other.height:
        return 0.0
    one, other = (np.asarray(page.resize(other.size)) for page in (one, other))
    return structural_similarity(one, other, data_range=255)


def assert_golden(folder, name=None):
    """The figure of a run is the golden one. name: of its file; by default the experiment's."""
    page, path = shrunk(folder / "figure.png"), GOLDEN / f"{name or folder.parent.name}.png"
    if os.environ.get("DECONV_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        page.quantize(32).save(path, optimize=True)
    with Image.open(path) as kept:
        found = similarity(page, kept.convert("L"))
    assert found >= ALIKE, f"{folder / 'figure.png'} is {found:.2f} like {path}: look at both"
