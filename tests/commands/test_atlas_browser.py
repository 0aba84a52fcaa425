"""The atlas in a browser, opened from its folder: keys, links, order, snapshots, without scripts.

Skipped where playwright or a browser is missing; nothing is installed or downloaded.
"""

import shutil
from urllib.parse import unquote

import pytest
import torch
from atlas_of_colours import contents, drawing, peaks_of, source

from deconv.atlas import Images, Layer, write_atlas

pytestmark = pytest.mark.xdist_group("browser")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
CLASSES = ["cat", "<img src=x onerror=alert(1)>", "owl"]
IN_VIEW = "[...document.images].filter(i => i.getBoundingClientRect().top < innerHeight)"
FIRST, SECOND = "layers/01-conv1", "layers/02-conv2"
KINDS = [
    "index.html",
    f"{SECOND}/index.html",
    f"{SECOND}/17.html",
    "images/0.html",
    "classes/index.html",
    "classes/1.html",
]


@pytest.fixture(scope="module")
def of():
    """An atlas of two layers at two snapshots; map 3 of the second is dead at the end."""
    early, late = peaks_of(30, 1), peaks_of(30, 2)
    late.value[3] = 0
    active = torch.linspace(1, 0.1, 30)
    layers = [
        Layer("conv1", [peaks_of(5, 3), peaks_of(5, 4)], "field 8×8 px"),
        Layer("conv2", [early, late], "field 20×20 px", active),
    ]
    names = [f"{i} <b>.png" for i in range(30)]
    images = Images(names, [i % 3 for i in range(30)], CLASSES)
    curves = {"loss": [(1, 3.0), (2, 2.0), (3, 1.0)]}
    facts = {"weights": "0123", "data": "colours (val), 30 images"}
    given = {"images": images, "curves": curves, "facts": facts, "results": {"error": "7 %"}}
    return contents(layers, snapshots=["epoch 1", "epoch 9"], **given)


@pytest.fixture(scope="module")
def folder(of, tmp_path_factory):
    path = tmp_path_factory.mktemp("browser") / "an atlas"
    more = {"others": {"guided": torch.ones(30, 3, 8, 8)}}
    write_atlas(path, of, drawing(of, **more), source, {}, lambda _: None)
    return path


@pytest.fixture(scope="module")
def browser():
    sync = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser is installed: looked for {', '.join(BROWSERS)}")
    with sync.sync_playwright() as play:
        started = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


class Opened:
    """A page of the atlas; collects what it asks for and complains of."""

    def __init__(self, browser, folder, **options):
        self.folder, self.asked, self.complaints = folder, [], []
        self.context = browser.new_context(**{"viewport": {"width": 1400, "height": 900}} | options)
        self.page = self.context.new_page()
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("requestfailed", self.failed)
        self.page.on("console", lambda said: self.complaints.append(said.text))
        self.page.on("dialog", lambda shown: self.complaints.append(shown.message))

    def failed(self, request):
        """A file that is not there; a picture that is not waited for is none."""
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(request.url)

    def go(self, path):
        self.page.goto(f"{self.folder.as_uri()}/{path}")
        return self.page

    @property
    def at(self):
        """Where it is, from the folder on."""
        return unquote(self.page.url).partition(f"{self.folder.name}/")[2]

    def press(self, *keys):
        for key in keys:
            self.page.keyboard.press(key)

    def wait_for(self, path):
        self.page.wait_for_url(lambda url: unquote(url).endswith(f"{self.folder.name}/{path}"))

    def focused(self):
        return self.page.evaluate("document.activeElement.querySelector('b').textContent")

    def maps(self):
        """The numbers of the maps that a layer's page shows, in their order."""
        shown = self.page.locator("[data-units] li:not([hidden]) b").all_text_contents()
        return [int(number) for number in shown]


@pytest.fixture
def opened(browser, folder):
    one = Opened(browser, folder)
    yield one
    inside = [url.startswith((folder.as_uri(), "data:,")) for url in one.asked]
    assert all(inside), "a request left the folder"
    assert not one.complaints
    one.context.close()


@pytest.mark.parametrize("path", KINDS)
def test_every_picture_in_view_is_there_and_nothing_overflows(opened, path):
    for width in (1400, 390):
        opened.page.set_viewport_size({"width": width, "height": 844})
        page = opened.go(path)
        page.wait_for_function(f"{IN_VIEW}.every(i => i.complete)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert page.evaluate(f"{IN_VIEW}.every(i => i.naturalWidth > 0)")
        assert page.evaluate("[...document.images].every(i => i.alt && i.width && i.height)")


@pytest.mark.parametrize("path", KINDS)
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation(browser, folder, path, scheme):
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    one = Opened(browser, folder, color_scheme=scheme)
    found = axe.Axe().run(one.go(path))
    assert found.violations_count == 0, found.generate_report()
    one.context.close()


def test_axe_finds_no_violation_in_the_dialogs(browser, folder):
    opened = Opened(browser, folder)
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is missing")
    for key in ("?", "/"):
        page = opened.go(KINDS[2])
        opened.press(key)
        page.locator("dialog[open]").wait_for()
        found = axe.Axe().run(page)
        assert found.violations_count == 0, found.generate_report()
    opened.context.close()


# Keys


def test_keys_walk_from_the_network_to_a_map_and_on(opened):
    page = opened.go("index.html")
    opened.press("ArrowRight")
    first = opened.focused()
    opened.press("ArrowRight")
    assert opened.focused() != first
    opened.press("Home", "Enter")
    opened.wait_for(f"{FIRST}/{first}.html")
    opened.press("Home")
    opened.wait_for(f"{FIRST}/0.html")
    opened.press("ArrowRight")
    opened.wait_for(f"{FIRST}/1.html")
    opened.press("End")
    opened.wait_for(f"{FIRST}/4.html")
    opened.press("ArrowLeft")
    opened.wait_for(f"{FIRST}/3.html")
    opened.press("PageDown")
    opened.wait_for(f"{SECOND}/index.html")
    opened.press("End")  # into the grid
    opened.press("End")
    assert opened.focused() == "29"
    opened.press("ArrowUp")
    across = page.evaluate(
        "getComputedStyle(document.querySelector('[data-units]')).gridTemplateColumns.split(' ')"
        ".length"
    )
    assert opened.focused() == str(29 - across)
    opened.press("Home", "ArrowDown")
    assert opened.focused() == str(across)
    opened.press("PageUp")
    opened.wait_for(f"{FIRST}/index.html")


def test_a_grid_is_one_stop_of_tab(opened):
    page = opened.go(f"{SECOND}/index.html")
    script = "[...document.querySelectorAll('[data-units] a')].filter(a => a.tabIndex == 0).length"
    assert page.evaluate(script) == 1
    page.locator("#u7 a").focus()
    assert page.evaluate(script) == 1
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    opened.press("ArrowRight")
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid", "focus can be seen"


def test_up_leads_to_the_layer(opened):
    opened.go(f"{SECOND}/17.html")
    opened.press("u")
    opened.wait_for(f"{SECOND}/index.html")


def test_help_and_search_open_and_close(opened):
    page = opened.go(f"{FIRST}/2.html")
    opened.press("?")
    assert "Page Up" in page.locator("dialog[open]").inner_text()
    opened.press("Escape")
    page.locator("dialog[open]").wait_for(state="detached")
    opened.press("/")
    page.locator("dialog[open] input").fill("conv2 17")
    page.locator("dialog[open] .found a").first.wait_for()
    opened.press("Enter")
    opened.wait_for(f"{SECOND}/17.html")
    opened.press("/")
    page.locator("dialog[open] input").fill("onerror")
    hit = page.locator("dialog[open] .found a").first
    hit.wait_for()
    assert CLASSES[1] in hit.inner_text(), "a name is text"
    opened.press("ArrowDown", "Enter")
    opened.wait_for("classes/1.html")
    assert page.locator("h1").inner_text() == CLASSES[1]


@pytest.mark.parametrize(("first", "then", "title"), [("?", "/", "Search"), ("/", "?", "Keys")])
def test_a_key_counts_at_once_after_a_dialog(opened, first, then, title):
    """In the same frame, in which the closed dialog still has the focus."""
    page = opened.go(f"{FIRST}/2.html")
    opened.press(first)
    page.locator("dialog[open]").wait_for()
    script = """key => {
        const focus = document.activeElement;
        document.querySelector("dialog[open]").close();
        focus.dispatchEvent(new KeyboardEvent("keydown", {key, bubbles: true}));
        return document.querySelector("dialog[open] h2")?.textContent;
    }"""
    assert page.evaluate(script, then) == title


# Order, filter, address


def test_maps_are_ordered_and_filtered(opened, of):
    page = opened.go(f"{SECOND}/index.html")
    peaks, active = of.layers[1].peaks[1], of.layers[1].active
    alive = [m for m in range(30) if m != 3]
    page.select_option("#sort", "strongest")
    assert opened.maps() == [*sorted(alive, key=lambda m: (-peaks.value[m, 0], m)), 3]
    page.select_option("#sort", "sparsest")
    assert opened.maps() == [*sorted(alive, key=lambda m: (active[m], m)), 3]
    page.select_option("#sort", "purest")

    def purity(m):
        labels = [int(i) % 3 for i in peaks.image[m, :9]]
        return max(labels.count(c) for c in range(3)) / 9

    assert opened.maps()[:-1] == sorted(alive, key=lambda m: (-purity(m), -peaks.value[m, 0], m))
    page.select_option("#show", "dead")
    assert opened.maps() == [3]
    assert page.locator(".count").inner_text() == "1 of 30"
    page.select_option("#show", "live")
    page.fill("#q", "owl")
    shown = page.locator("[data-units] li:not([hidden]) .note").all_text_contents()
    assert shown and all("owl" in note for note in shown)
    page.fill("#q", "12")
    assert opened.maps() == [12]


def test_a_deep_link_survives_reload_and_back(opened):
    page = opened.go(f"{SECOND}/index.html#sort=strongest&view=patches")
    order = opened.maps()
    assert order != sorted(order) and page.input_value("#sort") == "strongest"
    assert page.locator("#u5 img").get_attribute("src") == "patches-0.webp"
    page.reload()
    assert opened.maps() == order
    page.select_option("#sort", "number")
    assert opened.maps() == sorted(order)
    page.go_back()
    page.wait_for_function("document.querySelector('#sort').value == 'strongest'")
    assert opened.maps() == order
    page.locator("#u9 a").click()
    opened.wait_for(f"{SECOND}/9.html")
    page.go_back()
    page.wait_for_function("document.activeElement.closest('#u9')")
    assert opened.maps() == order


# Snapshots


def test_the_slider_moves_through_snapshots(opened, of):
    page = opened.go(f"{SECOND}/17.html")
    values = [f"{of.layers[1].peaks[s].value[17, 0]:.3g}" for s in (0, 1)]
    cell = page.locator("tr[data-rank='0'] [data-f='shown']")
    image = page.locator(".nine img").first
    box = page.locator(".nine .box").first
    assert cell.inner_text() == values[1] and image.get_attribute("src") == "17.webp"
    before = box.get_attribute("style")
    opened.press("[")
    page.wait_for_function("document.querySelector('#snapshot').value == '0'")
    assert cell.inner_text() == values[0] and image.get_attribute("src") == "17.s0.webp"
    assert values[0] in image.get_attribute("alt")
    assert page.locator("#snapshot-name").inner_text() == "epoch 1"
    y, x = (4 * int(v[17, 0]) for v in (of.layers[1].peaks[0].y, of.layers[1].peaks[0].x))
    assert box.evaluate("b => [parseFloat(b.style.top), parseFloat(b.style.left)]") == [
        100 * y / 32,
        100 * x / 32,
    ]
    page.reload()
    assert cell.inner_text() == values[0], "the address holds the snapshot"
    opened.press("ArrowRight")
    opened.wait_for(f"{SECOND}/18.html#snapshot=0")
    opened.press("]")
    page.wait_for_function("document.querySelector('#snapshot').value == '1'")
    page.go_back()
    opened.wait_for(f"{SECOND}/17.html#snapshot=0")
    page.locator("#snapshot").focus()
    opened.press("ArrowRight")
    page.wait_for_function("document.querySelector('#snapshot-name').textContent == 'epoch 9'")
    assert box.get_attribute("style").split(";")[0].startswith(before.split(";")[0].split(".")[0])


def test_a_layer_at_an_earlier_snapshot(opened, of):
    page = opened.go(f"{SECOND}/index.html#snapshot=0&show=dead")
    assert opened.maps() == []
    opened.press("]")
    page.wait_for_function("document.querySelector('.count').textContent == '1 of 30'")
    opened.press("[")
    page.select_option("#show", "all")
    page.select_option("#sort", "strongest")
    value = of.layers[1].peaks[0].value[:, 0]
    assert opened.maps() == sorted(range(30), key=lambda m: (-value[m], m))
    assert page.locator("#u5 img").get_attribute("src") == "faces-0.s0.webp"


# Without scripts


def test_it_is_of_use_without_scripts(browser, folder, of):
    one = Opened(browser, folder, java_script_enabled=False)
    page = one.go("index.html")
    assert page.locator("form, .tools button, #snapshot").locator("visible=true").count() == 0
    page.get_by_role("link", name="conv2", exact=True).click()
    one.wait_for(f"{SECOND}/index.html")
    assert one.maps() == list(range(30))
    page.locator("#u17 a").click()
    one.wait_for(f"{SECOND}/17.html")
    rows = page.locator("tbody tr")
    assert rows.count() == 9 and page.locator("img").count() >= 27
    assert f"{of.layers[1].peaks[1].value[17, 0]:.3g}" in rows.first.inner_text()
    page.get_by_role("link", name="epoch 1", exact=True).click()
    one.wait_for(f"{SECOND}/17.s0.webp")
    page.go_back()
    page.locator(".nine a").first.click()
    page.wait_for_url("**/images/*.html#i*")
    assert not one.complaints
    one.context.close()
