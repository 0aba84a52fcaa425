"""Pages as they are drawn: the outlines of their words, and whether they stand apart."""

import re
from itertools import combinations
from unittest import mock

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import AxesImage
from matplotlib.path import Path
from matplotlib.text import Text
from matplotlib.transforms import Affine2D

from deconv.figures.lettering import letter_plainly
from deconv.figures.style import own_style
from experiments.kit.result import Saved

WIDTH_PX, SLACK_PX = 1600, 2.5
"""Boxes reach beyond the ink of most letters, so they may touch a little."""


@own_style()
def words_drawn(figure):
    """The words that a page shows, each with the corners of its box (4×2, in pixels)."""
    drawn, draw = {}, Text.draw

    def note(self, renderer):
        drawn[id(self)] = self
        draw(self, renderer)

    figure.set_dpi(WIDTH_PX / figure.get_figwidth())
    letter_plainly(figure)
    canvas = FigureCanvasAgg(figure)
    with mock.patch.object(Text, "draw", note), mock.patch.object(AxesImage, "draw"):
        canvas.draw()
    shown = [one for one in drawn.values() if one.get_visible() and one.get_text().strip()]
    return [(one.get_text(), corners(one, canvas.get_renderer())) for one in shown]


def corners(text, renderer):
    """Of the box of a text, turned with it."""
    angle = text.get_rotation()
    if angle % 90 == 0:
        return rectangle(text.get_window_extent(renderer))
    assert text.get_rotation_mode() == "anchor"
    text.set_rotation(0)
    box = rectangle(text.get_window_extent(renderer))
    text.set_rotation(angle)
    place = text.get_transform().transform(text.get_position())
    return Affine2D().rotate_deg_around(*place, angle).transform(box)


def rectangle(box):
    """The corners of a box, a little smaller."""
    x, y = (
        (low + SLACK_PX / 2, high - SLACK_PX / 2) for low, high in (box.intervalx, box.intervaly)
    )
    return np.array([(x[0], y[0]), (x[1], y[0]), (x[1], y[1]), (x[0], y[1])])


def faults(figure):
    """What is wrong with the words of a page: overlaps, and words beyond its edges."""
    drawn = words_drawn(figure)
    edge, found = figure.bbox.max, []
    for words, box in drawn:
        beyond = max((-box).max(), (box - edge).max())
        if beyond > 0:
            found.append(f"{words!r} reaches {beyond:.0f} px beyond the page")
    for (one, a), (other, b) in combinations(drawn, 2):
        apart = (a.max(0) <= b.min(0)).any() or (b.max(0) <= a.min(0)).any()
        if not apart and Path(a, closed=False).intersects_path(Path(b, closed=False), filled=True):
            by = np.minimum(a.max(0), b.max(0)) - np.maximum(a.min(0), b.min(0))
            found.append(f"{one!r} and {other!r} overlap by {by.round()}")
    return found


class LongNames(Saved):
    """Saved files in which layers have long names, as those of networks of others have."""

    @property
    def arrays(self):
        return {longer(name): values for name, values in super().arrays.items()}

    @property
    def facts(self):
        return longer(super().facts)

    def rows(self, table="table"):
        return longer(super().rows(table))


def longer(value):
    """The same with conv3 named features.13.expand3x3, in keys and in text."""
    if isinstance(value, str):
        return re.sub(r"\bconv(\d)\b", r"features.1\1.expand3x3", value)
    if isinstance(value, dict):
        return {longer(key): longer(one) for key, one in value.items()}
    return [longer(one) for one in value] if isinstance(value, list) else value
