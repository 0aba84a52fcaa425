"""A figure as a thesis wants it: width, letters, no caption, own style, vectors with text."""

import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from command_line import assert_refused, command
from golden import LOOKS, assert_golden, assert_words_apart

from experiments.kit.command import compose, settings_of
from experiments.kit.plans import PLANS, step_of
from experiments.kit.settings import Drawn


@pytest.fixture(scope="module")
def figure(tmp_path_factory):
    """The folder of one figure at size=smoke that needs no training."""
    cwd = tmp_path_factory.mktemp("thesis")
    lines, _ = command("fig3_architecture", "size=smoke", cwd=cwd)
    return Path(lines[-1])


STYLE = "font.family: DejaVu Serif\nfont.size: 9\nfigure.figsize: 7, 5\naxes.facecolor: none\n"
OPTIONS = {
    "thesis_160_mm": (
        ["figure.width_mm=160", "figure.font_pt=8", "figure.title='The layers'"],
        1890,
    ),
    "thesis_bare": (["figure.caption=false", "figure.width_mm=120", "figure.dpi=200"], 945),
    "thesis_own_style": (["figure.style=mine.mplstyle"], 2100),
}


@pytest.mark.parametrize("name", OPTIONS)
def test_it_is_drawn_again_as_asked_for(figure, tmp_path, name):
    (tmp_path / "mine.mplstyle").write_text(STYLE)
    asked, width = OPTIONS[name]
    lines, _ = command("fig3_architecture", f"redraw={figure}", *asked, cwd=tmp_path)
    folder = Path(lines[-1])
    assert_golden(folder, name, width)
    assert (folder / "caption.txt").read_bytes() == (figure / "caption.txt").read_bytes()


def test_only_the_formats_asked_for_are_written_and_svg_has_text(figure, tmp_path):
    asked = [f"redraw={figure}", "figure.formats=[svg]", "figure.width_mm=150"]
    lines, _ = command("fig3_architecture", *asked, cwd=tmp_path)
    folder = Path(lines[-1])
    assert {path.name for path in folder.glob("figure.*")} == {"figure.svg"}
    root = ET.parse(folder / "figure.svg").getroot()
    words = {
        "".join(one.itertext()).strip() for one in root.iter("{http://www.w3.org/2000/svg}text")
    }
    assert {"conv1", "pool1", "softmax"} & words >= {"conv1", "pool1"}
    assert float(root.get("width").removesuffix("pt")) == pytest.approx(150 / 25.4 * 72, abs=0.01)


def test_what_makes_no_figure_is_refused_before_anything_is_computed(tmp_path):
    for override, words in (
        ("figure.font='DejaVu Sanz'", "unknown font 'DejaVu Sanz'. Did you mean 'DejaVu Sans"),
        ("figure.cmap=viridi", "unknown colour map 'viridi'. Did you mean 'viridis'"),
        ("figure.formats=[pngs]", "unknown format of figures 'pngs'. Did you mean 'png'"),
        ("figure.width_mm=3", "figure.width_mm is a number from 40 to 1200, got 3"),
        ("figure.style=no.mplstyle", "there is none at no.mplstyle"),
    ):
        assert_refused("fig3_architecture", ["size=smoke", override], words, cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
def test_words_stand_apart_on_every_page_of_a_reproduction(reproduced, look):
    for page in reproduced.glob("*/figure.png"):
        assert_words_apart(page.parent, [look], page.parent.name)


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """The folder with all figures at size=smoke."""
    lines, _ = command("reproduce", "size=smoke", cwd=tmp_path_factory.mktemp("all"))
    return Path(lines[-1])


def test_reproduce_passes_the_look_on_to_all_that_draw():
    cfg = settings_of(compose("reproduce", ["size=smoke"]))
    asked = {"figure.width_mm": "160", "seed": "3"}
    for stem, plan in PLANS.items():
        arguments = step_of(cfg, stem, asked, None).arguments if plan.needs == "nothing" else None
        if arguments is not None:
            assert ("figure.width_mm=160" in arguments) == plan.draws
            assert "seed=3" in arguments


def test_plans_know_what_draws():
    for stem, plan in PLANS.items():
        module = __import__(f"experiments.{stem}", fromlist=["main"])
        assert issubclass(module.main.settings, Drawn) == plan.draws, stem
