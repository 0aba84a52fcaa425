"""What a person may choose of the pages: checked at the start, and kept to."""

import xml.etree.ElementTree as ET

import matplotlib
import numpy as np
import pytest
from drawn import faults
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from PIL import Image

from deconv import figures
from deconv.errors import DeconvError
from deconv.figures.drawing import CAPTION, axes_at, captioned, label_in, picture, quiet, text
from deconv.figures.style import BODY_PT, current, page

WORDS = "A caption with several words in it, enough of them for more than one line. " * 3


@page(least_in=3.0)
def small(width_in: float = 8.0):
    """A page with a picture as wide as it is, a label of BODY_PT and an axis."""
    figure = captioned(width_in, 2.0, WORDS)
    text(figure, 0.28, 0.1, "label", BODY_PT, "black")
    picture(figure, np.full((2, 2, 3), 7, np.uint8), 0.28, 0.4, width_in - 0.56, 0.5)
    axes = axes_at(figure, 0.6, 1.1, 1.5, 0.5)
    axes.plot([0, 1], [0, 100])
    axes.set(xticks=[], yticks=[0, 100])
    quiet(axes)
    return figure


def sizes(figure):
    FigureCanvasAgg(figure).draw()
    return {one.get_text(): one.get_fontsize() for one in figure.findobj(Text) if one.get_text()}


def drawn(folder, **chosen):
    with figures.look(figures.Look(**chosen)):
        return small(), {path.name for path in figures.save(small(), folder)}


def test_a_page_has_the_width_and_the_letters_that_were_asked_for(tmp_path):
    shown, names = drawn(tmp_path, width_mm=160, font_pt=8, dpi=100, formats=["png"])
    assert shown.get_figwidth() * 25.4 == pytest.approx(160)
    found = sizes(shown)
    assert found["label"] == pytest.approx(8) and found["0"] == found["100"]
    assert found["100"] == pytest.approx(5.6 * 8 / BODY_PT), "ticks keep their proportion"
    box = shown.axes[0].get_position()
    assert box.width * shown.get_figwidth() == pytest.approx(160 / 25.4 - 0.56 * 8 / BODY_PT)
    assert names == {"figure.png", "caption.txt"}
    with Image.open(tmp_path / "figure.png") as image:
        assert image.width == int(160 / 25.4 * 100)


def test_letters_shrink_below_the_least_width_and_a_warning_says_so():
    said = r"9 pt on 50 mm, it gets 4\.3 pt.*width_mm=104"
    with figures.look(figures.Look(width_mm=50, font_pt=9)), pytest.warns(UserWarning, match=said):
        shown = small()
    assert shown.get_figwidth() * 25.4 == pytest.approx(50)
    assert sizes(shown)["label"] == pytest.approx(BODY_PT * 50 / 76.2)


def test_a_caption_is_always_a_file_and_a_title_stands_above(tmp_path):
    heights = {}
    for name, chosen in {"usual": {}, "bare": {"caption": False}, "own": {"title": "Mine"}}.items():
        (tmp_path / name).mkdir()
        drawn(tmp_path / name, dpi=100, **chosen)
        assert (tmp_path / name / "caption.txt").read_text() == " ".join(WORDS.split()) + "\n"
        with Image.open(tmp_path / name / "figure.png") as image:
            heights[name] = image.height
            rows = np.asarray(image.convert("RGB")).astype(int)
        top = np.flatnonzero((rows == 7).all(axis=(2)).mean(axis=1) > 0.5)[0]
        assert abs(top - 40 - (heights["own"] - heights["usual"] if name == "own" else 0)) <= 1
    assert heights["bare"] == 200, "ends where the caption would begin"
    assert heights["usual"] + 20 < heights["own"]


def test_text_stays_text_in_vectors_and_files_repeat(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        drawn(tmp_path / name, formats=["svg", "pdf"], width_mm=120)
    svg = (tmp_path / "a" / "figure.svg").read_bytes()
    assert svg == (tmp_path / "b" / "figure.svg").read_bytes()
    root = ET.fromstring(svg)
    words = [
        "".join(one.itertext()).strip() for one in root.iter("{http://www.w3.org/2000/svg}text")
    ]
    assert "label" in words and any("A caption with several" in one for one in words)
    assert float(root.get("width").removesuffix("pt")) == pytest.approx(120 / 25.4 * 72, abs=0.01)
    pdf = (tmp_path / "a" / "figure.pdf").read_bytes()
    assert b"/Type /Font" in pdf and b"/Subtype /Type3" not in pdf
    assert pdf == (tmp_path / "b" / "figure.pdf").read_bytes()


def test_another_font_is_used_for_all_words():
    with figures.look(figures.Look(font="DejaVu Serif")):
        shown = small()
        FigureCanvasAgg(shown).draw()
        families = {tuple(one.get_fontfamily()) for one in shown.findobj(Text) if one.get_text()}
    assert families == {("DejaVu Serif",)}


def test_a_style_file_is_heeded_where_nothing_else_is_said(tmp_path):
    mine = tmp_path / "mine.mplstyle"
    mine.write_text(
        "font.family: DejaVu Serif\nfont.size: 9\nfigure.figsize: 6, 4\nsavefig.dpi: 50\n"
        "image.cmap: cividis\nsavefig.bbox: tight\nsvg.fonttype: path\n"
    )
    chosen = figures.Look(style=str(mine), formats=["png"])
    assert (chosen.width_in, chosen.body_pt, chosen.colours) == (6, 9, "cividis")
    with figures.look(chosen):
        shown = small()
        figures.save(shown, tmp_path)
    assert sizes(shown)["label"] == pytest.approx(9)
    with Image.open(tmp_path / "figure.png") as image:
        assert image.width == 300, "a page keeps its edges"
    assert chosen.parameters()["svg.fonttype"] == "none"
    over = figures.Look(style=str(mine), font_pt=7, width_mm=100, cmap="magma")
    assert (over.body_pt, over.width_in, over.colours) == (7, 100 / 25.4, "magma")
    assert current() == figures.Look(), "outside nothing is left of it"


@pytest.mark.usefixtures("hostile_style")
def test_nothing_else_of_the_environment_counts(tmp_path):
    shown, _ = drawn(tmp_path, font_pt=8)
    assert sizes(shown)["label"] == pytest.approx(8) and matplotlib.rcParams["font.size"] == 30


@pytest.mark.parametrize(
    ("chosen", "words"),
    [
        ({"font": "DejaVu Sanz"}, "Did you mean 'DejaVu Sans"),
        ({"cmap": "viridiss"}, "Did you mean 'viridis'"),
        ({"formats": ["png", "svgs"]}, "Did you mean 'svg'"),
        ({"formats": []}, "one or more of png, pdf, svg"),
        ({"width_mm": 0}, "figure.width_mm is a number from 40 to 1200, got 0"),
        ({"width_mm": float("nan")}, "figure.width_mm is a number"),
        ({"font_pt": 900}, "figure.font_pt is a number from 4 to 30"),
        ({"dpi": 1}, "figure.dpi is a number from 30"),
        ({"style": "none.mplstyle"}, "there is none at none.mplstyle"),
    ],
)
def test_what_makes_no_page_is_refused_in_words(chosen, words):
    with pytest.raises(DeconvError, match=words):
        figures.Look(**chosen)


@pytest.mark.parametrize("line", ["font.sise: 9", "font.size: large words", "lines.linewidth 3"])
def test_a_style_file_with_an_error_is_refused(tmp_path, line):
    (tmp_path / "mine.mplstyle").write_text(f"{line}\n")
    with pytest.raises(DeconvError, match=r"mine\.mplstyle is no style file"):
        figures.Look(style=str(tmp_path / "mine.mplstyle"))


def test_the_check_of_words_finds_what_overlaps_and_what_leaves_the_page():
    figure = captioned(3.0, 1.0, "words")
    text(figure, 0.3, 0.2, "one thing", 8, "black")
    assert faults(figure) == []
    text(figure, 0.5, 0.25, "another", 8, "black")
    text(figure, 2.8, 0.6, "beyond", 8, "black")
    found = faults(figure)
    assert len(found) == 2 and "'one thing' and 'another' overlap" in found[1]
    assert "'beyond' reaches" in found[0]


def test_words_between_two_edges_stay_between_them():
    figure = captioned(3.0, 1.0, "")
    for left, side in ((0.3, "left"), (1.0, "center"), (1.7, "right")):
        long = "features.12.expand3x3.activation"
        label_in(figure, left, left + 0.5, 0.2, long, 8, "black", ha=side)
    assert faults(figure) == [] and len(figure.texts) == 4
    assert [one for one in figure.texts if one.get_gid() == CAPTION] == [figure.texts[0]]
