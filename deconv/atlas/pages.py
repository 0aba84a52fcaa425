"""The pages of an atlas, from its peaks and the boxes of its pictures."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import jinja2
import torch

from deconv.atlas.contents import NINE, Contents, live
from deconv.atlas.curves import charts
from deconv.atlas.folder import WORK, put
from deconv.atlas.relations import Unit, alike, by_class, by_image, class_counts, units_of
from deconv.atlas.sprites import (
    FACES,
    FACES_ACROSS,
    columns,
    encoded,
    face_of,
    in_rows,
    sprite,
    tile,
)
from deconv.records import Peaks

TEMPLATES = Path(__file__).parent / "templates"
ALIKE, OF_A_CLASS, STRIP = 8, 12, 12
"""Maps named beside a unit; maps of a class; maps of a layer on the first page."""


def number(value: float) -> str:
    """Write three digits, without exponents where they can be spared."""
    return f"{value:.0f}" if 100 <= abs(value) < 1e6 else f"{value:.3g}"


def percent(share: float) -> str:
    """Write a share as a percentage of two digits."""
    return f"{100 * share:.2g} %" if share < 0.995 else "100 %"


def script(name: str, content: Any) -> bytes:
    """Write data as a script that sets ATLAS.<name>, safe inside and outside of markup."""
    plain = json.dumps(content, separators=(",", ":")).replace("<", "\\u003c")
    return f"window.ATLAS=window.ATLAS||{{}};ATLAS.{name}={plain};\n".encode()


@lru_cache(maxsize=1)
def templates() -> jinja2.Environment:
    """The pages' templates, in which every name is escaped."""
    found = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    found.filters |= {"number": number, "percent": percent}
    return found


class Pages:
    """Write all pages of an atlas into `place`, where its sprites are.

    source: image -> 3×H×W uint8. say: takes lines of progress.
    """

    def __init__(
        self,
        place: Path,
        contents: Contents,
        source: Callable[[int], torch.Tensor],
        say: Callable[[str], None],
    ) -> None:
        self.place, self.contents, self.source, self.say = place, contents, source, say
        self.slugs, self.units = contents.slugs, units_of(contents)
        self.count = 0
        self._shown: dict[tuple[int, int], Peaks] = {}
        self.common = {
            "atlas": contents,
            "slugs": self.slugs,
            "face_px": contents.face_px,
            "tile_px": contents.tile_px,
            "box_style": self._box_style,
        }

    def write(self) -> int:
        """Write everything; return the number of pages."""
        self.say(f"pages of {len(self.units)} maps")
        self._images()
        first = 0
        near = alike(self.units, ALIKE)
        for i, layer in enumerate(self.contents.layers):
            own = self.units[first : first + layer.maps]
            self._layer(i, own)
            for unit in own:
                self._unit(unit, next(near))
            first += layer.maps
        self._classes()
        self._network()
        self._search()
        for name in ("atlas.css", "atlas.js"):
            put(self.place / name, (TEMPLATES / name).read_bytes())
        return self.count

    def _page(self, path: str, template: str, **values: Any) -> None:
        self.count += 1
        root = "../" * path.count("/")
        text = templates().get_template(template).render(root=root, **self.common, **values)
        # A name that is no text holds surrogates, which UTF-8 has not: they are escaped.
        put(self.place / path, text.encode("utf-8", "backslashreplace"))

    def _box_style(self, box: Sequence[int]) -> str:
        """Place a box of pixels on a picture of the whole image, in percent."""
        if not box:
            return "display:none"
        height, width = self.contents.image_px
        top, left, bottom, right = (
            100 * v / side for v, side in zip(box, (height, width) * 2, strict=True)
        )
        size = f"height:{bottom - top:.2f}%;width:{right - left:.2f}%"
        return f"top:{top:.2f}%;left:{left:.2f}%;{size}"

    # What several pages show of a unit

    def face(self, unit: Unit, note: str = "") -> dict[str, Any]:
        """A unit as every page shows it: its strongest projection, number and value."""
        slug, layer = self.slugs[unit.layer], self.contents.layers[unit.layer]
        run, at = divmod(unit.map, FACES)
        maps = min(FACES, layer.maps - run * FACES)
        counts = class_counts(unit.images[:NINE], self.contents.images)
        top = self.contents.images.classes[counts[0][0]] if counts else ""
        return {
            "href": f"layers/{slug}/{unit.map}.html",
            "src": f"layers/{slug}/faces-{run}.webp",
            "column": at % FACES_ACROSS,
            "row": at // FACES_ACROSS,
            "across": FACES_ACROSS,
            "down": -(-maps // FACES_ACROSS),
            "layer": layer.name,
            "map": unit.map,
            "value": number(unit.values[0]) if unit.values else "",
            "dead": unit.dead,
            "class": top,
            "of_class": counts[0][1] if counts else 0,
            "nine": len(unit.images[:NINE]),
            "note": note,
        }

    @cached_property
    def _pages_of_images(self) -> dict[int, str]:
        """Image -> its page and place, of all that are among a unit's nine."""
        return {
            image: f"images/{i // FACES}.html#i{image}"
            for i, image in enumerate(by_image(self.units))
        }

    # One kind of page each

    def _layer(self, i: int, units: Sequence[Unit]) -> None:
        layer, slug = self.contents.layers[i], self.slugs[i]
        images, active = self.contents.images, layer.active
        snapshots = []
        for label, peaks in zip(self.contents.snapshots, layer.peaks, strict=True):
            values, found = peaks.value[:, 0].tolist(), live(peaks, NINE).image.tolist()
            rows = [[image for image in row if image >= 0] for row in found]
            counts = [class_counts(row, images)[:1] for row in rows]
            snapshots.append(
                {
                    "label": label,
                    "value": [
                        number(v) if row else "" for v, row in zip(values, rows, strict=True)
                    ],
                    "peak": [v if row else 0 for v, row in zip(values, rows, strict=True)],
                    "class": [images.classes[c[0][0]] if c else "" for c in counts],
                    "of": [c[0][1] if c else 0 for c in counts],
                    "nine": [len(row) for row in rows],
                }
            )
        data = {
            "faces": FACES,
            "active": None if active is None else active.tolist(),
            "snapshots": snapshots,
        }
        put(self.place / "layers" / slug / "layer.js", script("layer", data))
        self._page(
            f"layers/{slug}/index.html",
            "layer.html",
            layer=layer,
            number_of=i,
            beside=self._beside(i),
            faces=[self.face(unit) for unit in units],
            dead=sum(unit.dead for unit in units),
            active=None if active is None else float(active.mean()),
            peaks=layer.peaks[-1].value.shape[1],
        )

    def _beside(self, i: int) -> dict[str, str | None]:
        """The layers before and after the i-th."""
        names = {"previous": i - 1, "next": i + 1}
        return {k: self.slugs[n] if 0 <= n < len(self.slugs) else None for k, n in names.items()}

    def _unit(self, unit: Unit, near: Sequence[tuple[int, int]]) -> None:
        layer, slug = self.contents.layers[unit.layer], self.slugs[unit.layer]
        images = self.contents.images
        snapshots = [self._snapshot(unit, s) for s in range(len(self.contents.snapshots))]
        counts = {
            "nine": class_counts(unit.images[:NINE], images),
            "strongest": class_counts(unit.images, images),
        }
        named = {
            kind: [[images.classes[label], count] for label, count in own]
            for kind, own in counts.items()
        }
        active = None if layer.active is None else float(layer.active[unit.map])
        data = {
            "layer": layer.name,
            "map": unit.map,
            "dead": unit.dead,
            "active_share": active,
            "peaks_counted": len(unit.images),
            "classes": named,
            "looks_at_the_same": [
                {
                    "layer": self.contents.layers[self.units[j].layer].name,
                    "map": self.units[j].map,
                    "images": shared,
                }
                for j, shared in near
            ],
            "snapshots": snapshots,
            "facts": dict(self.contents.facts),
        }
        where = self.place / "layers" / slug
        text = json.dumps(data, indent=1) + "\n"
        put(where / f"{unit.map}.json", text.encode())
        if len(snapshots) > 1:
            put(where / f"{unit.map}.js", script("unit", snapshots))
        end = layer.maps - 1
        sequence = {
            "first": 0,
            "previous": unit.map - 1 if unit.map else None,
            "next": unit.map + 1 if unit.map < end else None,
            "last": end,
        }
        extra = self._drawn(slug, len(snapshots) - 1, unit.map)["extras"]
        self._page(
            f"layers/{slug}/{unit.map}.html",
            "unit.html",
            layer=layer,
            unit=unit,
            shown=snapshots[-1],
            slots=self._slots(snapshots),
            src=next((s["sprite"] for s in reversed(snapshots) if s["sprite"]), None),
            snapshots=snapshots,
            counts=counts,
            active=active,
            alike=[self.face(self.units[j], f"{n} in common") for j, n in near],
            beside=self._beside(unit.layer),
            sequence=sequence,
            extras=extra,
            across=columns(self.contents.sources),
            down=4 if extra else 3,
        )

    def _snapshot(self, unit: Unit, s: int) -> dict[str, Any]:
        """A unit's peaks at a snapshot, with their boxes, as data."""
        boxes = self._drawn(self.slugs[unit.layer], s, unit.map)["boxes"].get(str(unit.map), [])
        peaks, images = self._nine(unit.layer, s), self.contents.images
        fields = (one[unit.map].tolist() for one in vars(peaks).values())
        rows = [
            {
                "value": value,
                "shown": number(value),
                "image": image,
                "name": images.names[image],
                "class": images.class_of(image),
                "label": images.label(image),
                "y": y,
                "x": x,
                "box": box,
                "page": self._pages_of_images.get(image),
            }
            for (value, image, y, x), box in zip(zip(*fields, strict=True), boxes, strict=False)
            if image >= 0
        ]
        end = "" if s == len(self.contents.snapshots) - 1 else f".s{s}"
        return {
            "label": self.contents.snapshots[s],
            "sprite": f"{unit.map}{end}.webp" if rows else None,
            "peaks": rows,
        }

    @staticmethod
    def _slots(snapshots: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        """The last snapshot's peaks, and empty places where an earlier one has more."""
        empty = dict.fromkeys(("shown", "name", "class", "y", "x", "box", "page"), "")
        most = max(len(one["peaks"]) for one in snapshots)
        shown = snapshots[-1]["peaks"]
        return [*shown, *[empty | {"label": -1}] * (most - len(shown))]

    def _nine(self, layer: int, s: int) -> Peaks:
        """The live peaks of a layer's maps that are shown, of the layer at hand alone."""
        if (layer, s) not in self._shown:
            self._shown = {key: own for key, own in self._shown.items() if key[0] == layer}
            self._shown[layer, s] = live(self.contents.layers[layer].peaks[s], NINE)
        return self._shown[layer, s]

    def _drawn(self, slug: str, s: int, m: int) -> Mapping[str, Any]:
        """What was written down when a unit's run of maps was drawn."""
        key = f"{slug}.{s}.{m // FACES}.json"
        if getattr(self, "_last", ("", {}))[0] != key:
            self._last = (key, json.loads((self.place / WORK / key).read_text()))
        return self._last[1]

    def _images(self) -> None:
        """Pages of images that are among a unit's nine, FACES each."""
        found, side = list(by_image(self.units).items()), self.contents.face_px
        pages = -(-len(found) // FACES)
        for k in range(pages):
            some = found[k * FACES : (k + 1) * FACES]
            name = self.place / "images" / f"{k}.webp"
            if self.contents.sources and not name.is_file():
                wholes = (self.source(image).numpy().transpose(1, 2, 0) for image, _ in some)
                tiles = in_rows([tile(whole, None, side) for whole in wholes])
                put(name, encoded(sprite(tiles, side)))
            shown = [
                {
                    "image": image,
                    "name": self.contents.images.names[image],
                    "class": self.contents.images.class_of(image),
                    "label": self.contents.images.label(image),
                    "column": i % FACES_ACROSS,
                    "row": i // FACES_ACROSS,
                    "maps": len(of),
                    "units": self._by_layer(of),
                }
                for i, (image, of) in enumerate(some)
            ]
            down = -(-len(some) // FACES_ACROSS)
            self._page(
                f"images/{k}.html",
                "images.html",
                images=shown,
                k=k,
                pages=pages,
                down=down,
                across=FACES_ACROSS,
            )

    def _by_layer(
        self, ranked: Sequence[tuple[int, int]]
    ) -> list[tuple[str, list[tuple[dict[str, Any], int]]]]:
        """Layer's name and (face, rank from 1) of its units, from (number of a unit, rank)."""
        found: dict[int, list[tuple[dict[str, Any], int]]] = {}
        for u, rank in ranked:
            unit = self.units[u]
            found.setdefault(unit.layer, []).append((self.face(unit), rank + 1))
        return [(self.contents.layers[i].name, own) for i, own in found.items()]

    def _classes(self) -> None:
        images = self.contents.images
        if not images.classes:
            return
        excited = by_class(self.units, images, OF_A_CLASS)
        of: dict[int, list[int]] = {}
        for image in self._pages_of_images:
            of.setdefault(images.label(image), []).append(image)
        self._page("classes/index.html", "classes.html", excited=excited)
        for c in range(len(images.classes)):
            self._page(
                f"classes/{c}.html",
                "class.html",
                c=c,
                name=images.classes[c],
                faces=[
                    self.face(self.units[u], f"{n} of {len(self.units[u].images)}")
                    for u, n in excited[c]
                ],
                images=[(image, self._pages_of_images[image]) for image in of.get(c, [])],
            )

    def _network(self) -> None:
        """The first page, with one sprite of each layer's strongest maps."""
        rows, first, side = [], 0, self.contents.face_px
        for i, layer in enumerate(self.contents.layers):
            own = self.units[first : first + layer.maps]
            first += layer.maps
            alive = [unit for unit in own if not unit.dead]
            best = sorted(alive, key=lambda unit: (-unit.values[0], unit.map))[:STRIP]
            faces = [self.face(unit) for unit in best]
            if best:
                cut = [
                    face_of((self.place / face["src"]).read_bytes(), unit.map % FACES, side)
                    for face, unit in zip(faces, best, strict=True)
                ]
                strip = f"layers/{self.slugs[i]}/strip.webp"
                put(self.place / strip, encoded(sprite([cut], side)))
                for column, face in enumerate(faces):
                    face |= {"src": strip, "column": column, "row": 0}
                    face |= {"across": len(best), "down": 1}
            active = None if layer.active is None else float(layer.active.mean())
            rows.append(
                {"layer": layer, "slug": self.slugs[i], "faces": faces, "active": active}
                | {"dead": len(own) - len(alive)}
            )
        self._page(
            "index.html",
            "network.html",
            rows=rows,
            charts=charts(self.contents.curves),
            maps=len(self.units),
            shown_images=len(self._pages_of_images),
        )

    def _search(self) -> None:
        """What can be found by name, as a script that is read when it is asked for."""
        layers = [
            [layer.name, slug, layer.maps]
            for layer, slug in zip(self.contents.layers, self.slugs, strict=True)
        ]
        names = self.contents.images.names
        images = [[image, names[image], page] for image, page in self._pages_of_images.items()]
        data = {
            "layers": layers,
            "classes": list(self.contents.images.classes),
            "images": images,
        }
        put(self.place / "data" / "search.js", script("search", data))
