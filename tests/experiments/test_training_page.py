"""The page about a training: what is drawn, read back from the drawing, and that it is legible."""

import csv
from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import to_hex

from deconv import figures
from deconv.errors import DeconvError
from deconv.figures.learning_curves import spread
from deconv.figures.training_page import filter_tiles

MAPS = {"conv1": 20, "conv2": 16, "conv3": 24, "conv4": 24, "conv5": 12, "fc6": 40, "fc7": 32}
DEAD = {"conv1": 3, "conv2": 0, "conv3": 24, "conv4": 1, "conv5": 0, "fc6": 10, "fc7": 0}


def watched(layers=tuple(MAPS), filters=20):
    rng = np.random.default_rng(0)
    strongest = {}
    for layer in layers:
        values = rng.uniform(0.1, 9, MAPS[layer]).astype(np.float32)
        values[: DEAD[layer]] = 0
        strongest[layer] = rng.permutation(values)
    return SimpleNamespace(
        filters=rng.normal(0, 0.05, (filters, 3, 5, 5)).astype(np.float32),
        filter_rms={n: rng.uniform(0.01, 0.1, MAPS[n]) for n in layers if n.startswith("conv")},
        strongest=strongest,
        images=64,
    )


def log(epochs, every=1, rescaled=(30, 4, 0, 0, 1)):
    """The rows of a training; the rate falls after epochs 30 and 60."""
    rng, rows = np.random.default_rng(1), []
    for epoch in range(1, epochs + 1):
        rate, left = 0.01 * 0.1 ** sum(epoch > drop for drop in (30, 60)), np.exp(-epoch / 20)
        row = {"epoch": epoch, "lr": rate, "train_loss": 4 * left, "train_error": 96 * left + 2}
        for number, most in enumerate(rescaled, 1):
            row[f"renormalised_conv{number}"] = int(rng.integers(0, most * 10 + 1))
        if epoch % every == 0 or epoch == epochs:
            row |= {"val_top1_error": 90 * left + 8, "val_top5_error": 60 * left + 3}
            row |= {"val_loss": 3 * left + 0.5, "val_mean_class_accuracy": 40.0}
        rows.append(row)
    return rows


def axes(figure, label):
    (found,) = [a for a in figure.axes if a.get_label() == label]
    return found


def line(where, label):
    (found,) = [one for one in where.lines if one.get_label() == label]
    return found


def words(where):
    return " | ".join(text.get_text() for text in where.texts)


@pytest.mark.parametrize(("epochs", "every"), [(1, 1), (7, 3), (90, 1), (90, 5)])
def test_the_curves_are_the_rows(epochs, every):
    rows = log(epochs, every)
    page = figures.training_page(rows, watched(), "title")
    columns = {
        "error": ("train_error", "val_top1_error", "val_top5_error"),
        "loss": ("train_loss", "val_loss"),
    }
    for label, keys in columns.items():
        where = axes(page, label)
        for key in keys:
            with_value = [row for row in rows if key in row]
            drawn = line(where, key)
            assert list(drawn.get_xdata()) == [row["epoch"] for row in with_value]
            assert list(drawn.get_ydata()) == [row[key] for row in with_value]
            assert f"{with_value[-1][key]:.{1 if label == 'error' else 2}f}" in words(where)
            low, high = where.get_ylim()
            assert low == 0 and high >= max(drawn.get_ydata())
            if len(with_value) == 1:
                assert drawn.get_marker() == "o", "a line through one point is not seen"
    colours = {key: to_hex(line(axes(page, "error"), key).get_color()) for key in columns["error"]}
    assert colours["train_error"] != colours["val_top1_error"]
    styles = {line(axes(page, "error"), key).get_linestyle() for key in columns["error"][1:]}
    assert len(styles) == 2


def test_the_rate_is_a_step_and_its_drops_are_marked_in_all_three():
    rows = log(90)
    page = figures.training_page(rows, watched(), "title", snapshot_epochs=(1, 30, 64, 95))
    rate = axes(page, "rate")
    (steps,) = rate.patches
    data = steps.get_data()
    assert list(data.values) == [row["lr"] for row in rows] and rate.get_yscale() == "log"
    assert list(data.edges) == list(range(91)), "a rate ends with its epoch"
    assert words(rate).count("÷10") == 2
    for label in ("error", "loss", "rate"):
        upright = [one.get_xdata() for one in axes(page, label).lines]
        assert [x[0] for x in upright if len(x) == 2 and x[0] == x[1]] == [30, 60]
    assert list(line(axes(page, "error"), "snapshots").get_xdata()) == [1, 30, 64], "95 is to come"
    smooth = [row | {"lr": 0.01 * 0.97 ** row["epoch"]} for row in rows]
    assert "÷" not in words(axes(figures.training_page(smooth, watched(), "t"), "rate"))


def test_rows_read_from_a_file_draw_the_same_page(tmp_path):
    rows = log(12, every=5)
    with (tmp_path / "metrics.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[-1]))
        writer.writeheader()
        writer.writerows(rows)
    with (tmp_path / "metrics.csv").open(newline="") as file:
        back = list(csv.DictReader(file))
    assert back[0]["val_loss"] == ""
    for name, source in (("a", rows), ("b", back)):
        page = figures.training_page(source, watched(), "title", updates_per_epoch=10)
        figures.save(page, tmp_path, name)
    for suffix in ("png", "pdf"):
        one, two = ((tmp_path / f"{name}.{suffix}").read_bytes() for name in "ab")
        assert one == two


@pytest.mark.parametrize("updates", [None, 10])
def test_the_strips_are_the_rescaled_filters(updates):
    rows = log(40)
    page = figures.training_page(rows, watched(), "title", updates_per_epoch=updates)
    most = max(row["renormalised_conv1"] for row in rows) / (updates or 1)
    for number in range(1, 6):
        strip = axes(page, f"clips conv{number}")
        (bars,) = strip.patches
        expected = [row[f"renormalised_conv{number}"] / (updates or 1) for row in rows]
        np.testing.assert_allclose(bars.get_data().values, expected)
        assert strip.get_ylim() == (0, most), "one scale for all layers"
        shown = words(strip)
        assert shown.startswith(f"at most {max(expected):.2g}"[:9] if max(expected) else "none")
        assert (f"of {MAPS[f'conv{number}']}" in shown) is bool(updates)
    assert f"full height: {most:.0f}" in words(page)
    assert "reached" not in words(page)


def clips(page):
    return [a for a in page.axes if a.get_label().startswith("clips")]


@pytest.mark.parametrize(
    ("rows", "max_rms", "said"),
    [
        ([], 0.1, "no epoch trained yet"),
        ([], None, "not limited"),
        (log(3), None, "at most"),
        (log(1, rescaled=(0,) * 5), 0.1, "in 1 epoch no filter reached RMS 0.1"),
        (log(90, rescaled=(0,) * 5), 0.25, "in 90 epochs no filter reached RMS 0.25"),
        (log(9, rescaled=()), None, "the RMS of filters is not limited"),
    ],
)
def test_that_no_filter_was_rescaled_is_said_in_words(rows, max_rms, said):
    page = figures.training_page(rows, watched(), "title", max_rms=max_rms)
    if said == "at most":
        assert len(clips(page)) == 5
    else:
        assert said in words(page) and not clips(page)


def test_the_dots_are_the_filters_and_the_line_is_the_limit():
    watch = watched()
    where = axes(figures.training_page([], watch, "title"), "rms")
    for row, (layer, rms) in enumerate(watch.filter_rms.items()):
        dots = line(where, layer)
        assert np.array_equal(dots.get_xdata(), np.sort(rms))
        assert len(set(dots.get_ydata())) == len(rms)
        assert (np.abs(np.array(dots.get_ydata()) - row) < 0.5).all(), "in its own row"
    medians = [one.get_xdata()[0] for one in where.lines if one.get_label().startswith("_")]
    np.testing.assert_allclose(medians, [np.median(rms) for rms in watch.filter_rms.values()])
    assert list(line(where, "limit").get_xdata()) == [0.1, 0.1] and "limit 0.1" in words(where)
    watch.filter_rms["conv1"][4] = 0.7
    free = axes(figures.training_page([], watch, "title", max_rms=None), "rms")
    assert not [one for one in free.lines if one.get_label() == "limit"]
    assert free.get_xlim()[1] > 0.7


def test_the_bars_are_the_shares_of_dead_maps():
    where = axes(figures.training_page([], watched(), "title"), "dead")
    assert where.get_xlim() == (0, 100)
    drawn = {bars.get_label(): bars.patches[0] for bars in where.containers}
    assert list(drawn) == list(MAPS)
    for row, (layer, bar) in enumerate(drawn.items()):
        assert bar.get_width() == pytest.approx(100 * DEAD[layer] / MAPS[layer])
        assert bar.get_y() + bar.get_height() / 2 == pytest.approx(row)
    counts = [text.get_text() for text in where.texts]
    assert counts == [f"{DEAD[layer]} of {MAPS[layer]}" for layer in MAPS]


def test_each_layer_s_name_stands_beside_its_row():
    page = figures.training_page(log(3), watched(), "title")
    names = {text.get_text(): text for text in page.texts if text.get_text() in MAPS}
    assert list(names) == list(MAPS)
    height = page.bbox.height
    for row, layer in enumerate(MAPS):
        level = names[layer].get_position()[1] * height
        for label in ("rms", "dead"):
            where = axes(page, label)
            assert where.transData.transform((0, row))[1] == pytest.approx(level)
        if layer.startswith("conv"):
            strip = axes(page, f"clips {layer}").bbox
            assert strip.y0 < level < strip.y1


def test_on_one_scale_a_filter_that_dominates_is_seen_to():
    filters = np.random.default_rng(2).normal(0, 0.01, (6, 3, 4, 4))
    filters[3] *= 20
    tiles = np.stack(filter_tiles(filters, "common")).astype(int)
    shown = tiles[:, ::8, ::8]
    assert (tiles.reshape(6, 4, 8, 4, 8, 3) == shown[:, :, None, :, None]).all(), "whole pixels"
    levels = 128 + 127 * filters.transpose(0, 2, 3, 1) / np.abs(filters).max()
    assert np.abs(shown - levels).max() <= 0.5 + 1e-6, "linear, and nothing saturates"
    assert np.abs(shown[3] - 128).max() == 127 and np.abs(np.delete(shown, 3, 0) - 128).max() < 30
    own = np.stack(filter_tiles(filters, "each")).astype(int)
    each = 128 + 127 * (filters / np.abs(filters).max(axis=(1, 2, 3), keepdims=True))
    assert np.abs(own[:, ::8, ::8] - each.transpose(0, 2, 3, 1)).max() <= 0.5 + 1e-6
    assert (np.stack(filter_tiles(filters * 0, "common")) == 128).all()


def test_the_filters_stand_on_the_page_in_order():
    watch = watched()
    for scale in figures.SCALES:
        page = figures.training_page([], watch, "title", scale=scale)
        (image,) = [image for a in page.axes for image in a.images]
        columns = (image.get_array().shape[1] - 5) // 45
        expected = figures.block(filter_tiles(watch.filters, scale), columns, 5)
        assert np.array_equal(image.get_array(), expected)
        width, height = image.axes.bbox.size
        assert width / height == pytest.approx(expected.shape[1] / expected.shape[0]), "square"
    largest = np.abs(watch.filters).max()
    assert f"one scale, ±{largest:.2g}" in words(figures.training_page([], watch, "title"))
    with pytest.raises(DeconvError, match="scale of filters 'comon'"):
        figures.training_page([], watch, "title", scale="comon")


def visible_texts(page):
    for where in page.axes:
        yield from where.texts
        if where.axison:
            yield from (where.xaxis.label, where.yaxis.label)
            for axis, (low, high) in (
                (where.xaxis, where.get_xlim()),
                (where.yaxis, where.get_ylim()),
            ):
                ticks = [t for t in axis.get_major_ticks() if t.label1.get_visible()]
                yield from (
                    t.label1 for t in ticks if min(low, high) <= t.get_loc() <= max(low, high)
                )
    yield from page.texts


PAGES = {
    "untrained": ([], tuple(MAPS), {}),
    "one epoch": (log(1), tuple(MAPS), {"snapshot_epochs": (1, 2)}),
    "ninety epochs": (log(90), tuple(MAPS), {"snapshot_epochs": (1, 2, 5, 90)}),
    "per update": (log(90), tuple(MAPS), {"updates_per_epoch": 10, "scale": "each"}),
    "none rescaled": (log(50, 5, (0,) * 5), tuple(MAPS), {}),
    "layers removed": (log(12, rescaled=(3, 1)), ("conv1", "conv2", "conv5"), {"max_rms": None}),
    "one layer": (log(2), ("conv1",), {"width_in": 7.0}),
    "no convolution": (log(2), ("fc6",), {}),
}


@pytest.mark.parametrize("kind", PAGES)
def test_every_page_is_legible(kind):
    """All words lie on the page, none on another, none on the filters."""
    rows, layers, options = PAGES[kind]
    watch = watched(layers, filters=0 if kind == "no convolution" else 20)
    page = figures.training_page(rows, watch, "a network on data", "after some epochs", **options)
    page.set_dpi(300)  # as it is saved
    renderer = FigureCanvasAgg(page).get_renderer()
    page.draw(renderer)
    texts = [text for text in visible_texts(page) if text.get_text()]
    boxes = [(text.get_text(), text.get_window_extent(renderer)) for text in texts]
    boxes += [("filters", a.get_window_extent(renderer)) for a in page.axes if a.images]
    assert len(boxes) > 15
    for i, (one, a) in enumerate(boxes):
        assert a.x0 >= 0 and a.y0 >= 0 and a.x1 <= page.bbox.x1 and a.y1 <= page.bbox.y1, one
        for other, b in boxes[:i]:
            assert not a.overlaps(b), f"{one!r} lies on {other!r}"


@pytest.mark.parametrize(
    ("rates", "said"),
    [
        ([0.0, 0.01, 0.01], ["learning rate 0.01", " to 0.01"]),
        ([0.0, 0.0], []),
        ([0.01, 0.005, 0.0], ["learning rate 0", " ÷2", " to 0"]),
    ],
)
def test_a_rate_of_zero_leaves_a_gap(rates, said, recwarn, tmp_path):
    rows = [{"epoch": i, "lr": rate, "train_loss": 1.0} for i, rate in enumerate(rates, 1)]
    page = figures.training_page(rows, watched(), "title")
    figures.save(page, tmp_path)
    assert [text.get_text() for text in axes(page, "rate").texts] == said
    assert not recwarn.list


def test_names_of_curves_move_apart_and_keep_their_order():
    placed = spread([0.5, 0.5, 0.52, 0.99, 1.0, 0.0], 0.1)
    assert np.argsort(placed, kind="stable").tolist() == [5, 0, 1, 2, 3, 4]
    assert np.diff(np.sort(placed)).min() >= 0.1 - 1e-9 and max(placed) <= 1
    assert spread([0.2, 0.8], 0.1) == [0.2, 0.8] and spread([], 0.1) == []
