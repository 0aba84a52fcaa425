"""The atlas's folder: what its pages hold, that they are whole, and that names stay text."""

import io
import json

import numpy as np
import pytest
import torch
from atlas_of_colours import (
    CLASSES,
    IMAGES,
    Page,
    assert_closed,
    bytes_of,
    colour,
    contents,
    data_of,
    drawing,
    peaks_of,
    source,
)
from PIL import Image

from deconv.atlas import Contents, Images, Layer, write_atlas
from deconv.atlas.curves import charts
from deconv.atlas.relations import Unit, alike, by_class, by_image, class_counts
from deconv.atlas.rendering import number, percent
from deconv.errors import DeconvError
from deconv.records import Peaks

SIDE = 32  # of a tile
INPUTS = {"weights": "0123"}


def quiet(_):
    pass


def write(folder, of, draw=None, inputs=INPUTS):
    return write_atlas(folder, of, draw or drawing(of), source, inputs, quiet)


@pytest.fixture(scope="module")
def atlas(tmp_path_factory):
    """(folder, contents, what was measured) of one with two layers and two ways to paint."""
    active = torch.linspace(0, 1, 30)
    layers = [
        Layer("conv1", [peaks_of(3)], "field 8"),
        Layer("conv2", [peaks_of(30, 1)], "", active),
    ]
    of = contents(layers, curves={"loss": [(1, 3.0), (2, 1.0)]}, results={"error": "7.0 %"})
    folder = tmp_path_factory.mktemp("atlas") / "atlas"
    more = {"others": {"guided": torch.ones(30, 3, 8, 8)}, "covered": torch.ones(30, 7, 7)}
    return folder, of, write(folder, of, drawing(of, **more))


def test_every_link_and_picture_is_in_the_folder(atlas):
    folder, _, measured = atlas
    pages = assert_closed(folder)
    assert measured["units"] == 33 and measured["pages"] == len(pages)
    kinds = {"layers/02-conv2/29.html", "images/0.html", "classes/2.html", "index.html"}
    assert kinds <= {p.relative_to(folder.resolve()).as_posix() for p in pages}
    assert not list(folder.rglob(".*")) and not (folder / "work").exists()
    assert not folder.with_name("atlas.unfinished").exists()


def test_a_unit_has_its_numbers_in_the_page_and_as_data(atlas):
    folder, of, _ = atlas
    peaks = of.layers[1].peaks[0]
    data = json.loads((folder / "layers/02-conv2/17.json").read_text())
    rows = data["snapshots"][0]["peaks"]
    assert [row["image"] for row in rows] == peaks.image[17, :9].tolist()
    assert [row["value"] for row in rows] == peaks.value[17, :9].tolist()
    y, x = int(peaks.y[17, 0]) * 4, int(peaks.x[17, 0]) * 4
    assert rows[0]["box"] == [y, x, y + 8, x + 8]
    assert data["active_share"] == pytest.approx(17 / 29) and not data["dead"]
    labels = [CLASSES[i % 3] for i in peaks.image[17].tolist()]
    counts = dict(data["classes"]["strongest"])
    assert counts == {name: labels.count(name) for name in set(labels)}
    text = Page(folder / "layers/02-conv2/17.html").text
    for row in rows:
        assert row["shown"] in text and row["name"] in text
    style = f"top:{100 * y / 32:.2f}%;left:{100 * x / 32:.2f}%;height:25.00%;width:25.00%"
    boxes = [
        g["style"]
        for t, g in Page(folder / "layers/02-conv2/17.html").tags
        if t == "i" and "style" in g
    ]
    assert boxes[0] == style and len(boxes) == 9


def test_tiles_of_a_sprite_are_where_the_pages_look_for_them(atlas):
    folder, of, _ = atlas
    image = Image.open(folder / "layers/01-conv1/2.webp").convert("RGB")
    assert image.size == (9 * SIDE, 4 * SIDE)
    pixels = np.asarray(image).astype(float)

    def mean(row, column):
        tile = pixels[row * SIDE : (row + 1) * SIDE, column * SIDE : (column + 1) * SIDE]
        return tile[8:-8, 8:-8].mean(axis=(0, 1))

    for rank, shown in enumerate(of.layers[0].peaks[0].image[2, :9].tolist()):
        row, column = divmod(rank, 3)
        for block in (3, 6):  # patches, whole images
            assert np.abs(mean(row, block + column) - colour(shown).numpy()).max() < 6
        assert np.abs(mean(row, column) - 128).max() < 3, "a ramp around grey"
    assert mean(3, 1)[0] > mean(3, 1)[2] + 40, "what is covered is vermilion"


def test_images_and_classes_lead_to_maps(atlas):
    folder, of, _ = atlas
    seen = {}
    for layer, name in zip(of.layers, of.slugs, strict=True):
        for m, images in enumerate(layer.peaks[0].image[:, :9].tolist()):
            for image in images:
                seen.setdefault(image, set()).add(f"layers/{name}/{m}.html")
    page = folder / "images/0.html"
    text = page.read_text()
    image = min(seen)
    section = text[text.index(f'id="i{image}"') :].partition("</section>")[0]
    assert all(f'href="../{path}"' in section for path in seen[image])
    assert section.count('href="../layers') == len(seen[image])
    assert "layers/02-conv2" in (folder / "classes/1.html").read_text()


def test_data_of_scripts_is_what_the_pages_say(atlas):
    folder, of, _ = atlas
    data = data_of(folder / "layers/02-conv2/layer.js")
    assert data["active"] == pytest.approx(of.layers[1].active.tolist())
    assert data["snapshots"][0]["peak"] == of.layers[1].peaks[0].value[:, 0].tolist()
    found = data_of(folder / "data/search.js")
    assert found["layers"] == [["conv1", "01-conv1", 3], ["conv2", "02-conv2", 30]]
    assert found["classes"] == CLASSES and len(found["images"]) <= IMAGES


def test_the_first_view_is_small(atlas):
    folder, _, _ = atlas
    page = Page(folder / "index.html")
    files = {path for path, _ in page.refers() if path.suffix != ".html"}
    assert sum(path.stat().st_size for path in [page.path, *files]) < 200_000


# The same bytes


def test_the_same_inputs_give_the_same_bytes(atlas, tmp_path):
    folder, of, _ = atlas
    more = {"others": {"guided": torch.ones(30, 3, 8, 8)}, "covered": torch.ones(30, 7, 7)}
    write(tmp_path / "again", of, drawing(of, **more))
    assert bytes_of(tmp_path / "again") == bytes_of(folder)


def test_what_was_killed_between_two_layers_goes_on_to_the_same_bytes(tmp_path):
    of = contents()
    write(tmp_path / "once", of)
    with pytest.raises(KeyboardInterrupt):
        write(tmp_path / "killed", of, drawing(of, fails_at=(0, 1)))
    assert not (tmp_path / "killed").exists()
    assert (tmp_path / "killed.unfinished" / "layers/01-conv1/0.webp").is_file()
    (tmp_path / "killed.unfinished/layers/02-conv2").mkdir()
    (tmp_path / "killed.unfinished/layers/02-conv2/.0.webp.host-0.tmp").write_text("half")
    drawn = []
    assert write(tmp_path / "killed", of, drawing(of, drawn))["units"] == 30
    assert {number for _, number, _ in drawn} == {1}, "the first layer is not drawn again"
    assert bytes_of(tmp_path / "killed") == bytes_of(tmp_path / "once"), "and no half file"
    assert not (tmp_path / "killed.unfinished").exists()


def test_what_is_whole_is_left_as_it_is(atlas):
    folder, of, _ = atlas
    before = bytes_of(folder)
    assert write(folder, of, drawing(of, fails_at=(0, 0))) == {}
    assert bytes_of(folder) == before


# What cannot be used


@pytest.mark.parametrize("end", ["", ".unfinished"])
def test_an_atlas_of_other_inputs_is_refused_by_their_names(tmp_path, end):
    of = contents([Layer("conv1", [peaks_of(1)]), Layer("conv2", [peaks_of(1)])])
    if end:
        with pytest.raises(KeyboardInterrupt):
            write(tmp_path / "a", of, drawing(of, fails_at=(0, 1)))
    else:
        write(tmp_path / "a", of)
    before = bytes_of(tmp_path / f"a{end}")
    with pytest.raises(DeconvError, match=r"other inputs \(weights differ\)"):
        write(tmp_path / "a", of, inputs={"weights": "4567"})
    assert bytes_of(tmp_path / f"a{end}") == before


@pytest.mark.parametrize("end", ["", ".unfinished"])
def test_a_folder_of_something_else_is_left_alone(tmp_path, end):
    (tmp_path / f"a{end}").mkdir()
    (tmp_path / f"a{end}" / "mine.txt").write_text("mine")
    with pytest.raises(DeconvError, match="is there and is no"):
        write(tmp_path / "a", contents())
    assert [p.name for p in tmp_path.rglob("*")] == [f"a{end}", "mine.txt"]


def test_a_place_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DeconvError, match=r"cannot write an atlas to .*file/a"):
        write(tmp_path / "file" / "a", contents())


def test_contents_without_layers_or_with_missing_snapshots_are_refused():
    with pytest.raises(DeconvError, match="at least one layer"):
        Contents("net", "", [], Images([]), (8, 8))
    with pytest.raises(DeconvError, match="multiples of 16 px wide, not 100"):
        contents(tile_px=100)
    with pytest.raises(DeconvError, match="conv1 has peaks of 1 snapshots"):
        contents(snapshots=["epoch 1", "epoch 2"])


# Little to show


def test_dead_maps_and_dead_layers_are_said_to_be(tmp_path):
    dead = peaks_of(2, 3)
    dead.value[:] = 0
    some = peaks_of(2, 4)
    some.value[0] = 0
    some.value[1, 4:] = 0
    of = contents([Layer("all dead", [dead]), Layer("half", [some])])
    drawn = []
    write(tmp_path / "a", of, drawing(of, drawn))
    assert drawn == [(0, 1, [1])], "dead maps are not asked for"
    assert_closed(tmp_path / "a")
    assert "None of these maps is above 0" in Page(tmp_path / "a/index.html").text
    first, second = of.slugs
    assert "None of these maps" in Page(tmp_path / "a/layers" / first / "index.html").text
    page = Page(tmp_path / "a/layers" / second / "0.html")
    assert "dead" in page.text and not [tag for tag, _ in page.tags if tag == "img"]
    page = Page(tmp_path / "a/layers" / second / "1.html")
    assert "In no other image" in page.text
    assert json.loads((tmp_path / "a/layers" / second / "1.json").read_text())["peaks_counted"] == 4


def test_one_unit_of_one_image_without_classes(tmp_path):
    one = Peaks(*(torch.tensor([[v]]) for v in (2.0, 0, 1, 1)))
    of = contents([Layer("fc", [one])], images=Images(["only.png"]))
    write(tmp_path / "a", of)
    pages = assert_closed(tmp_path / "a")
    assert len(pages) == 4 and not (tmp_path / "a/classes").exists()
    assert "only.png" in Page(tmp_path / "a/layers/01-fc/0.html").text


def test_without_sources_no_picture_shows_an_image(tmp_path):
    of = contents([Layer("conv1", [peaks_of(3)])], sources=False)

    def refuse(image):
        raise AssertionError("an image was asked for")

    write_atlas(tmp_path / "a", of, drawing(of), refuse, INPUTS, quiet)
    assert_closed(tmp_path / "a")
    assert not list((tmp_path / "a/images").glob("*.webp"))
    assert not list((tmp_path / "a").rglob("patches*"))
    for path in (tmp_path / "a").rglob("*.webp"):
        pixels = np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("RGB")).astype(int)
        assert (pixels.max(axis=2) - pixels.min(axis=2)).max() < 12, "projections are grey here"


def test_snapshots_have_pictures_of_their_own(tmp_path):
    early, late = peaks_of(3, 5), peaks_of(3, 6)
    late.value[2] = 0
    of = contents([Layer("conv1", [early, late])], snapshots=["epoch 1", "epoch 9"])
    write(tmp_path / "a", of)
    assert_closed(tmp_path / "a")
    where = tmp_path / "a/layers/01-conv1"
    assert (where / "0.s0.webp").is_file() and (where / "faces-0.s0.webp").is_file()
    data = data_of(where / "2.js")
    assert [one["label"] for one in data] == ["epoch 1", "epoch 9"]
    assert data[1]["sprite"] is None and data[0]["sprite"] == "2.s0.webp"
    assert [row["image"] for row in data[0]["peaks"]] == early.image[2, :9].tolist()
    assert 'max="1"' in (where / "2.html").read_text()
    assert len([tag for tag, _ in Page(where / "2.html").tags if tag == "img"]) == 27


# Names

HOSTILE = [
    "</script><script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "\"'><b>",
    "{{ 7*7 }}{% raise %}",
    "two\nlines \u2028 and more",
    "../../etc/passwd",
    "\x1b[31m%s",
    "\udcff no text",
]


def test_hostile_names_are_text(tmp_path):
    n = len(HOSTILE)
    layers = [Layer(name, [peaks_of(1, i)]) for i, name in enumerate(HOSTILE)]
    names = [f"{HOSTILE[i % n]}{i}" for i in range(IMAGES)]
    images = Images(names, [i % n for i in range(IMAGES)], HOSTILE)
    of = contents(layers, images=images, facts=dict.fromkeys(HOSTILE, HOSTILE[0]))
    write(tmp_path / "a", of)
    pages = assert_closed(tmp_path / "a")
    for path, page in pages.items():
        assert [g for t, g in page.tags if t == "img" and "onerror" in g] == []
        scripts = [g for t, g in page.tags if t == "script"]
        assert all(g.get("src") for g in scripts) and len(scripts) <= 2, path
    for path in (tmp_path / "a").rglob("*.js"):
        if path.name != "atlas.js":
            assert "<" not in path.read_text(), path
    found = data_of(tmp_path / "a/data/search.js")
    assert found["classes"] == HOSTILE, "and they come back as they are"
    assert {p.parent.parent.name for p in pages if p.name == "0.html"} >= {"layers"}
    text = Page(tmp_path / "a/classes/index.html").text
    assert all(" ".join(name.split()) in text for name in HOSTILE[:7])


def test_names_of_folders_are_safe_and_differ():
    odd = ["a/b", "a b", "A/B", "..", "aux", "é", ""]
    slugs = contents([Layer(name, [peaks_of(1)]) for name in odd]).slugs
    assert len({slug.lower() for slug in slugs}) == len(odd)
    assert all(slug[:2].isdigit() and slug.isascii() and "/" not in slug for slug in slugs)


# Relations


def some_units():
    peaks = peaks_of(40, 9)
    return [
        Unit(0, m, values, images)
        for m, (values, images) in enumerate(
            zip(peaks.value.tolist(), peaks.image.tolist(), strict=True)
        )
    ] + [Unit(1, 0, [], [])]


def test_alike_is_the_largest_overlap(monkeypatch):
    monkeypatch.setattr("deconv.atlas.relations.BLOCK", 7)
    units = some_units()
    sets = [set(unit.images) for unit in units]
    for i, found in enumerate(alike(units, 5)):
        shared = [(-len(sets[i] & sets[j]), j) for j in range(len(units)) if j != i]
        wanted = [(j, -n) for n, j in sorted(shared)[:5] if n]
        assert found == wanted
    assert list(alike(units, 5))[-1] == [], "a dead unit is like none"


def test_units_of_classes_and_images():
    units = some_units()
    images = Images([""] * IMAGES, [-1 if i == 4 else i % 3 for i in range(IMAGES)], CLASSES)
    for label, found in enumerate(by_class(units, images, 100)):
        counts = [sum(images.label(i) == label for i in unit.images) for unit in units]
        assert dict(found) == {u: n for u, n in enumerate(counts) if n}
        assert [n for _, n in found] == sorted((n for _, n in found), reverse=True)
    for image, found in by_image(units).items():
        assert found == [
            (u, unit.images.index(image))
            for u, unit in enumerate(units)
            if image in unit.images[:9]
        ]
    assert class_counts([1, 4, 2, 7], images) == [(1, 2), (2, 1)], "without the unknown one"


# Words


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.01234, "0.0123"), (12.345, "12.3"), (1234.5, "1234"), (2.5e7, "2.5e+07"), (100.4, "100")],
)
def test_numbers_have_three_digits(value, text):
    assert number(value) == text


@pytest.mark.parametrize(("share", "text"), [(0, "0 %"), (0.0412, "4.1 %"), (0.999, "100 %")])
def test_shares_have_two(share, text):
    assert percent(share) == text


def test_charts_skip_what_is_no_number_and_span_their_box():
    (chart,) = charts({"loss": [(1, 4.0), (2, float("nan")), (3, 2.0)], "one": [(1, 1.0)]})
    assert chart.points == "0.0,0.0 240.0,80.0"
    assert (chart.lowest, chart.highest, chart.last_x, chart.last) == (2.0, 4.0, 3, 2.0)
