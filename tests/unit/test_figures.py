"""Drawing: the display scale and the composed pictures, pixel by pixel."""

import inspect
from dataclasses import replace

import numpy as np
import pytest
from drawn import faults
from golden import LOOKS
from matplotlib.backends.backend_agg import FigureCanvasAgg
from mostly_slow import mostly_slow
from PIL import Image

from deconv import figures
from deconv.figures.drawing import BEYOND, VOID


def test_grey_is_zero_and_the_scale_is_symmetric():
    pixels = np.zeros((3, 2, 2))
    pixels[:, 0, 0], pixels[:, 0, 1], pixels[:, 1, 0] = 4.0, -4.0, 2.0
    shown = figures.grey_centred(pixels, percentile=100)
    assert shown[0, 0].tolist() == [255] * 3 and shown[0, 1].tolist() == [1] * 3
    assert abs(int(shown[1, 0, 0]) - (128 + 63.5)) <= 1 and shown[1, 1].tolist() == [128] * 3
    assert np.array_equal(figures.grey_centred(pixels * 1e-6, 100), shown), "its own scale"


def test_one_extreme_pixel_does_not_fade_the_rest():
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(3, 40, 40))
    calm = figures.grey_centred(pixels)
    pixels[0, 0, 0] = 1000.0
    wild = figures.grey_centred(pixels)
    assert np.abs(calm.astype(int) - wild)[1:, 1:].max() < 15
    assert wild[0, 0, 0] == 255


def test_empty_surroundings_do_not_change_the_scale():
    pixels = np.random.default_rng(1).normal(size=(3, 5, 5))
    padded = np.zeros((3, 50, 50))
    padded[:, :5, :5] = pixels
    assert np.array_equal(figures.grey_centred(padded)[:5, :5], figures.grey_centred(pixels))


def test_a_blank_projection_is_all_grey():
    assert (figures.grey_centred(np.zeros((3, 4, 4))) == 128).all()


def test_tiles_outside_the_image_are_marked():
    pixels = np.full((4, 4, 3), 9, np.uint8)
    inside = np.ones((4, 4), bool)
    inside[:2] = False
    out = figures.tile(pixels, inside, 8)
    tones = {tuple(pixel) for pixel in out[:3].reshape(-1, 3).tolist()}
    assert tones == {VOID, BEYOND} and (out[5:] == 9).all()


def test_a_block_holds_its_tiles_in_reading_order():
    tiles = [np.full((5, 5, 3), 10 * i, np.uint8) for i in range(9)]
    out = figures.block(tiles, 3, gap=2)
    assert out.shape == (3 * 5 + 4 * 2, 3 * 5 + 4 * 2, 3)
    for i in range(9):
        assert (out[2 + (i // 3) * 7 + 2, 2 + (i % 3) * 7 + 2] == 10 * i).all()
    assert (out[:2] == figures.VOID).all()


def panel(title, rows, columns, colour):
    count = rows * columns
    rng = np.random.default_rng(0)
    return figures.Panel(
        title,
        "note",
        columns,
        np.arange(count),
        {"projections": rng.normal(size=(count, 9, 3, 12, 12))},
        np.full((count, 9, 3, 12, 12), colour, np.uint8),
        np.ones((count, 9, 12, 12), bool),
        np.array([[0, 0, 12, 12]] * count),
    )


def test_the_page_has_projections_left_and_patches_right_and_nothing_overlaps(tmp_path):
    page = [[panel("Layer 1", 1, 1, 10), panel("Layer 2", 1, 1, 20)], [panel("Layer 3", 2, 2, 30)]]
    figure = figures.top_activations(page, "A caption of several words. " * 12)
    boxes = [axes.get_position() for axes in figure.axes]
    assert len(boxes) == 2 * (1 + 1 + 4)
    for i, a in enumerate(boxes):
        assert a.x0 >= 0 and a.x1 <= 1 and a.y0 >= 0 and a.y1 <= 1
        for b in boxes[:i]:
            apart = a.x1 <= b.x0 or b.x1 <= a.x0 or a.y1 <= b.y0 or b.y1 <= a.y0
            assert apart, "two pictures overlap"
    renderer = FigureCanvasAgg(figure).get_renderer()
    edges = figure.bbox
    for text in figure.texts:
        extent = text.get_window_extent(renderer)
        assert extent.x0 >= 0 and extent.x1 <= edges.x1 and extent.y0 >= 0 and extent.y1 <= edges.y1
        for axes in figure.axes:
            assert not extent.overlaps(axes.get_window_extent(renderer)), text.get_text()
    figures.save(figure, tmp_path)
    shown = np.asarray(Image.open(tmp_path / "figure.png").convert("RGB")).astype(int)
    greys = {v: np.argwhere((shown == v).all(axis=2)) for v in (10, 20, 30)}
    assert all(len(found) > 100 for found in greys.values())
    middle = {v: found.mean(axis=0) / shown.shape[:2] for v, found in greys.items()}
    assert middle[10][1] < 0.5 < middle[20][1] < 1 and middle[30][1] > 0.5
    assert middle[30][0] > middle[10][0], "later layers stand further down"
    assert (tmp_path / "figure.pdf").read_bytes().startswith(b"%PDF")


def windowed(columns, first=90, rules=("projections",)):
    """A layer of six maps, one shown whole, the others in part, with long words."""
    rng, shape = np.random.default_rng(0), (6, 4, 3, 40, 40)
    return figures.Panel(
        "features.13.expand3x3",
        "before its ReLU; receptive field 155×155 px, stride 16",
        columns,
        np.arange(first, first + 6),
        {words: rng.normal(size=shape) for words in rules},
        np.full(shape, 90, np.uint8),
        np.ones((6, 4, 40, 40), bool),
        np.array([[0, 0, 40, 40]] + [[3, 9, 21, 27]] * 5),
    )


@pytest.mark.parametrize("look", mostly_slow(["thesis", "usual", "narrow"]))
def test_numbers_and_headings_stand_apart_in_every_grid(look):
    rules = ("deconvnet", "guided backpropagation", "gradient")
    pages = [[[windowed(columns)]] for columns in (1, 3, 6)]
    pages += [[[windowed(3), windowed(columns, 995)]] for columns in (2, 3)]
    pages += [[[windowed(2, rules=rules)]]]
    for page in pages:
        with figures.look(figures.Look(**LOOKS[look])):
            assert not faults(figures.top_activations(page, "A caption. " * 20)), page


def test_projections_and_patches_are_cut_to_the_same_window():
    """Oracle: the page of a layer whose arrays are that window alone."""
    panel = windowed(2)
    rng = np.random.default_rng(2)
    patch = rng.integers(0, 256, panel.patch.shape, dtype=np.uint8)
    inside = rng.random(panel.inside.shape) > 0.1
    window = np.array([[3, 9, 21, 27]] * 6)
    panel = replace(panel, patch=patch, inside=inside, window=window)
    alone = replace(
        panel,
        projections={k: v[..., 3:21, 9:27] for k, v in panel.projections.items()},
        patch=patch[..., 3:21, 9:27],
        inside=inside[..., 3:21, 9:27],
        window=np.array([[0, 0, 18, 18]] * 6),
    )
    pages = [figures.top_activations([[one]], "") for one in (panel, alone)]
    cut, whole = ([axes.images[0].get_array() for axes in page.axes] for page in pages)
    assert len(cut) == 12 and all(map(np.array_equal, cut, whole))


def test_pictures_too_small_for_their_window_get_fewer_columns():
    """Eight blocks across eight inches are too small for windows of 600 px, six are not."""

    def shown(side_px, columns, panels=1):
        canvas = np.zeros((4, 1, 3, side_px, side_px))
        panel = figures.Panel(
            "Layer 5",
            "",
            columns,
            np.arange(4),
            {"projections": canvas},
            canvas.astype(np.uint8),
            canvas[:, :, 0] == 0,
            np.array([[0, 0, side_px, side_px]] * 4),
        )
        figure = figures.top_activations([[panel] * panels], "")
        return len({round(axes.get_position().x0, 3) for axes in figure.axes}), figure

    assert shown(40, 4)[0] == 8 and shown(600, 4)[0] == 6
    across, figure = shown(600, 2, panels=2)
    assert across == 4 and len(figure.axes) == 16, "one panel below the other"


def test_the_same_arrays_give_the_same_files(tmp_path):
    for name in ("a", "b"):
        figures.save(
            figures.top_activations([[panel("Layer 1", 1, 1, 10)]], "text"), tmp_path, name
        )
    for suffix in ("png", "pdf"):
        files = [(tmp_path / f"{name}.{suffix}").read_bytes() for name in ("a", "b")]
        assert files[0] == files[1]


def test_every_page_is_made_in_our_own_style():
    """That the style is whole, each page's test of redrawing shows under a hostile one."""
    made = [getattr(figures, name) for name in figures.__all__]
    pages = [f for f in made if inspect.isfunction(f) and "Figure" in str(inspect.signature(f))]
    assert len(pages) > 20 and figures.save in pages
    assert not [f.__name__ for f in pages if not hasattr(f, "__wrapped__")]
