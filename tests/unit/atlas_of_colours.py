"""A small atlas without a network: each peak's patch is of one colour that tells which it is."""

import json
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import torch

from deconv.atlas import Contents, Images, Layer, Pictures
from deconv.mining.peak_views import PeakViews
from deconv.records import Peaks

SIDE, FIELD, IMAGES, K = 32, 8, 30, 12
CLASSES = ["cat", "dog", "owl"]


def peaks_of(maps, seed=0, k=K):
    """Peaks of C×k, every map's of different images."""
    random = torch.Generator().manual_seed(seed)
    value = torch.rand(maps, k, generator=random).sort(dim=1, descending=True).values + 0.5
    image = torch.stack([torch.randperm(IMAGES, generator=random)[:k] for _ in range(maps)])
    y, x = (torch.randint(0, 4, (maps, k), generator=random) for _ in range(2))
    return Peaks(value, image, y, x)


def contents(layers=None, **changes):
    layers = layers or [Layer("conv1", [peaks_of(3)]), Layer("conv2", [peaks_of(30, 1)])]
    images = Images([f"{i}.png" for i in range(IMAGES)], [i % 3 for i in range(IMAGES)], CLASSES)
    given = {"tile_px": 32, "face_px": 16, "images": images, "facts": {"weights": "0123"}} | changes
    return Contents("net", "About it.", layers, image_px=(SIDE, SIDE), **given)


def colour(image):
    """The colour that an image and its patches have."""
    return torch.tensor([8 * image, 255 - 8 * image, 40 * (image % 3)], dtype=torch.uint8)


def source(image):
    return colour(image)[:, None, None].expand(3, SIDE, SIDE)


def drawing(of, drawn=None, fails_at=None, **more):
    """The `draw` of write_atlas; drawn: a list that takes what was asked for."""

    def draw(snapshot, number, maps):
        if fails_at == (snapshot, number):
            raise KeyboardInterrupt
        if drawn is not None:
            drawn.append((snapshot, number, maps))
        peaks = of.layers[number].peaks[snapshot]
        value, image, y, x = (one[maps, :9] for one in vars(peaks).values())
        image = torch.where(value > 0, image, -1)
        box = torch.stack([y * 4, x * 4, y * 4 + FIELD, x * 4 + FIELD], dim=2)
        m, k = value.shape
        patch = torch.stack([colour(int(i)) for i in image.flatten().clamp(min=0)])
        patch = patch.view(m, k, 3, 1, 1).expand(m, k, 3, FIELD, FIELD)
        ramp = torch.linspace(-1, 1, FIELD).expand(m, k, 3, FIELD, FIELD)
        inside = torch.ones(m, k, FIELD, FIELD, dtype=torch.bool)
        views = PeakViews(
            torch.tensor(maps), value, image, y, x, box, box[:, :, :2], ramp, patch, inside
        )
        return Pictures(views, **more)

    return draw


class Page(HTMLParser):
    """The tags of a page, its text, and what it refers to."""

    def __init__(self, path):
        super().__init__()
        self.path, self.tags, self.texts, self.ids = path, [], [], set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.tags.append((tag, given))
        self.ids |= {given["id"]} if "id" in given else set()

    def handle_data(self, data):
        self.texts.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.texts).split())

    def refers(self):
        """(path of the file, fragment) of every link, picture, style and script."""
        for tag, given in self.tags:
            for name in ("href", "src"):
                if given.get(name) and not given[name].startswith("data:"):
                    assert "://" not in given[name] and given[name][0] != "/", (tag, given)
                    parts = urlsplit(given[name])
                    path = (self.path.parent / unquote(parts.path)) if parts.path else self.path
                    yield path.resolve(), parts.fragment


def pages_of(folder):
    return {path: Page(path) for path in sorted(folder.rglob("*.html"))}


def assert_closed(folder):
    """Every link and picture exists in the folder, with the place on its page."""
    pages = pages_of(folder.resolve())
    for page in pages.values():
        for path, fragment in page.refers():
            assert path.is_file() and path.is_relative_to(folder.resolve()), (page.path, path)
            assert not fragment or fragment in pages[path].ids, (page.path, path, fragment)
    return pages


def data_of(path):
    """What a script file assigns."""
    return json.loads(path.read_text().split("=", 2)[2].rstrip(";\n"))


def bytes_of(folder):
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*.*")}
