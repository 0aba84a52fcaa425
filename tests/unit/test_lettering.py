"""Names that people give classes, folders and files, on the pages: text, letter by letter."""

import csv
import warnings

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.font_manager import findfont, get_font
from matplotlib.text import Text
from PIL import Image

from deconv import figures
from deconv.figures import lettering
from deconv.figures.drawing import save, text
from deconv.figures.lettering import fitted, told_apart, words_width, wrapped
from experiments.kit.index_page import Section, index_page
from experiments.kit.provenance import write_table

MARKUP = [
    "$5_and_$10^bills",
    "$5",
    r"\alpha_\$",
    "a_b^c{d}",
    "100 % & more #1",
    r"C:\new\$x$",
    "_hidden",
    "$$",
    "$\\frac{1}{$",
    "~tilde^2",
]


@figures.own_style()
def page(*words):
    figure = Figure(figsize=(4, 1), facecolor="white")
    for i, one in enumerate(words):
        text(figure, 0.1 + i, 0.3, one, 9, "#222222")
    return figure


def pixels(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())


@pytest.mark.fault("hostile names")
@pytest.mark.parametrize("name", MARKUP)
def test_markup_is_drawn_as_it_is_written(tmp_path, name):
    save(page(name), tmp_path)
    plain = Figure(figsize=(4, 1), facecolor="white")
    plain.text(0.1 / 4, 1 - 0.3, name, size=9, color="#222222", va="top", parse_math=False)
    plain.savefig(tmp_path / "plain.png", dpi=300)
    drawn, expected = (np.asarray(Image.open(tmp_path / f"{n}.png")) for n in ("figure", "plain"))
    assert np.array_equal(drawn, expected) and (drawn < 200).any()
    assert (tmp_path / "figure.pdf").stat().st_size > 1000


@pytest.mark.parametrize("name", [*MARKUP, "tench", "犬", "caf\udce9"])
def test_a_title_is_as_wide_as_it_is_drawn(monkeypatch, name):
    only_dejavu(monkeypatch)
    figure = Figure(figsize=(9, 1), dpi=600)
    shown = "".join(codes(c) if c in "犬\udce9" else c for c in name)
    drawn = figure.text(0, 0.5, shown, size=8.5, weight="bold", parse_math=False)
    FigureCanvasAgg(figure)
    width = drawn.get_window_extent().width / 600
    assert words_width(name, 8.5, "bold") == pytest.approx(width, abs=0.03)


def codes(name):
    """What stands for the letters of a name if no font has them."""
    return "".join(f"[U+{ord(letter):04X}]" for letter in name)


def only_dejavu(monkeypatch):
    """A machine that has two fonts alone, of those which come with matplotlib."""
    fonts = {"DejaVu Sans": findfont("DejaVu Sans"), "STIXGeneral": findfont("STIXGeneral")}
    monkeypatch.setattr(lettering, "_installed", lambda: fonts)


@pytest.mark.parametrize("name", ["犬", "한국", "\U0001f9a9", "\udce9"])
def test_letters_that_no_font_has_are_said_and_drawn_as_code_points(tmp_path, monkeypatch, name):
    only_dejavu(monkeypatch)
    figure = page(f"a {name}", f"{name} b", name)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        save(figure, tmp_path)
    assert len(seen) == 1, [str(w.message) for w in seen]
    assert "no installed font has" in str(seen[0].message) and "U+" in str(seen[0].message)
    drawn = [one.get_text() for one in figure.findobj(Text) if one.get_text()]
    assert drawn == [f"a {codes(name)}", f"{codes(name)} b", codes(name)]


@pytest.mark.parametrize("name", ["café", "Ωμέγα", "собака", "חתול", "قط", "a\tb", "x\x07y"])
def test_letters_that_the_font_has_are_drawn_without_a_warning(tmp_path, monkeypatch, name):
    only_dejavu(monkeypatch)
    figure = page(name)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(figure, tmp_path)
    shown = figure.findobj(Text)[-1].get_text()
    assert shown == name.replace("\t", " ").replace("\x07", " ")


def test_letters_of_another_font_are_taken_from_it(tmp_path, monkeypatch):
    only_dejavu(monkeypatch)
    own, other = (get_font(findfont(f)).get_charmap() for f in ("DejaVu Sans", "STIXGeneral"))
    letter = chr(min(code for code in other if code not in own and chr(code).isprintable()))
    figure = page(f"a {letter} b")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        save(figure, tmp_path)
    (shown,) = (one for one in figure.findobj(Text) if one.get_text())
    assert shown.get_text() == f"a {letter} b"
    assert shown.get_fontfamily() == ["DejaVu Sans", "STIXGeneral"]
    assert (np.asarray(Image.open(tmp_path / "figure.png")) < 200).any()


@pytest.mark.skipif(matplotlib.__version_info__ < (3, 11), reason="lays out all left to right")
def test_hebrew_is_read_from_the_right(tmp_path):
    """The first letter stands on the right: the pixels there are those of that letter alone."""
    both, first = (pixels(page(word))[..., 0] for word in ("אל", "א"))
    ink = [np.flatnonzero((one < 250).any(0)) for one in (both, first)]
    width = ink[1][-1] - ink[1][0]
    right = both[:, ink[0][-1] - width : ink[0][-1] + 1]
    alone = first[:, ink[1][0] : ink[1][-1] + 1]
    assert np.abs(right.astype(int) - alone).mean() < 6


@pytest.mark.fault("hostile names")
@pytest.mark.parametrize("name", MARKUP)
def test_a_name_at_a_tick_is_drawn_as_it_is_written(tmp_path, name):
    drawn = []
    for plain in (False, True):
        figure = Figure(figsize=(4, 1), facecolor="white")
        axes = figure.add_subplot()
        axes.set_xticks([0, 1], [name, "b"], **({"parse_math": False} if plain else {}))
        if plain:
            drawn.append(pixels(figure))
        else:
            save(figure, tmp_path)
            figure.dpi = 100
            drawn.append(pixels(figure))
    assert np.array_equal(*drawn) and (drawn[0] < 200).any()


def test_powers_on_logarithmic_axes_stay_powers(tmp_path):
    figure = Figure(figsize=(3, 2))
    axes = figure.add_subplot()
    axes.plot([1, 1000])
    axes.set_yscale("log")
    before = pixels(figure)
    save(figure, tmp_path)
    assert np.array_equal(pixels(figure), before)


@pytest.mark.fault("hostile names")
def test_names_in_tables_and_pages_are_escaped(tmp_path):
    names = ['a,"b"', "x\ny", "<b>&", "犬", "caf\udce9"]
    write_table(tmp_path / "t.csv", [{"class": name} for name in names])
    with (tmp_path / "t.csv").open(newline="", encoding="utf-8") as file:
        read = [row["class"] for row in csv.DictReader(file)]
    assert read == [*names[:-1], r"caf\udce9"]
    section = Section("s", "<i>", "a #1/x.png", ["b?.csv"])
    html = index_page("<t>", [section], ["h"], [["<b>|"]], "about")
    assert "<b>|" not in html and "&lt;b&gt;|" in html and "<i>" not in html
    assert 'href="a%20%231/x.png"' in html and 'href="b%3F.csv">b?.csv' in html


LAYERS = ["features.11.expand3x3", "features.12.expand3x3", "features.13.expand1x1", "fc6"]


def test_names_that_are_too_long_are_cut_to_what_tells_them_apart():
    wide = words_width(LAYERS[0], 6) + 0.01
    assert told_apart(LAYERS, 6, wide) == LAYERS
    assert told_apart(LAYERS[:2], 6, 0.5) == ["…1…", "…2…"]
    assert told_apart(LAYERS, 6, 0.9) == ["…1.expand3x3", "…2.expand3x3", "…3.expand1x1", "fc6"]
    short = told_apart(["a.very.long.name.alone"], 6, 0.5)[0]
    assert words_width(short, 6) <= 0.5 and "…" in short


def test_words_are_made_smaller_before_they_are_cut():
    words = "receptive field 41×41 px"
    width = words_width(words, 6)
    assert fitted(words, 6, width + 0.01) == (words, 6)
    assert fitted(words, 6, 0.8 * width) == (words, pytest.approx(4.8))
    cut, size = fitted(words, 6, 0.4 * width)
    assert cut[0] == "r" and cut[-1] == "x" and "…" in cut and 4 < size < 4.2
    assert words_width(cut, size) <= 0.4 * width


def test_lines_are_as_wide_as_there_is_room_and_no_word_is_lost():
    words = "one two three four five six seven eight nine ten " * 4
    lines = wrapped(words, 8, 2.0)
    assert " ".join(lines) == words.strip()
    widths = [words_width(line, 8) for line in lines]
    assert max(widths) <= 2.02 and min(widths[:-1]) > 1.5
    assert wrapped("unbreakable", 8, 0.1) == ["unbreakable"]
