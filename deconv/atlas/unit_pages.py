"""Pages of layers and of units, with the units' data beside them."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from deconv.atlas.contents import NINE, live
from deconv.atlas.folder import WORK, put
from deconv.atlas.relations import Unit, class_counts
from deconv.atlas.rendering import number, script
from deconv.atlas.site import Site
from deconv.atlas.sprites import FACES, columns
from deconv.data.text_files import json_text
from deconv.records import Peaks


class UnitPages:
    """Write the pages of one layer after the other; what is read for a layer is kept for it."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self._shown: dict[tuple[int, int], Peaks] = {}
        self._last: tuple[str, Mapping[str, Any]] = ("", {})

    def layer(self, i: int, units: Sequence[Unit]) -> None:
        """Write a layer's page and the data that it is ordered by."""
        layer, slug = self.site.contents.layers[i], self.site.slugs[i]
        images, active = self.site.contents.images, layer.active
        snapshots = []
        for label, peaks in zip(self.site.contents.snapshots, layer.peaks, strict=True):
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
        put(self.site.place / "layers" / slug / "layer.js", script("layer", data))
        self.site.page(
            f"layers/{slug}/index.html",
            "layer.html",
            layer=layer,
            beside=self._beside(i),
            faces=[self.site.face(unit) for unit in units],
            dead=sum(unit.dead for unit in units),
            active=None if active is None else float(active.mean()),
        )

    def _beside(self, i: int) -> dict[str, str | None]:
        """The layers before and after the i-th."""
        names = {"previous": i - 1, "next": i + 1}
        return {
            k: self.site.slugs[n] if 0 <= n < len(self.site.slugs) else None
            for k, n in names.items()
        }

    def unit(self, unit: Unit, near: Sequence[tuple[int, int]]) -> None:
        """Write a unit's page and its data. near: as from `alike`."""
        layer, slug = self.site.contents.layers[unit.layer], self.site.slugs[unit.layer]
        images = self.site.contents.images
        snapshots = [self._snapshot(unit, s) for s in range(len(self.site.contents.snapshots))]
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
                    "layer": self.site.contents.layers[self.site.units[j].layer].name,
                    "map": self.site.units[j].map,
                    "images": shared,
                }
                for j, shared in near
            ],
            "snapshots": snapshots,
            "facts": dict(self.site.contents.facts),
        }
        where = self.site.place / "layers" / slug
        text = json_text(data) + "\n"
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
        self.site.page(
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
            alike=[self.site.face(self.site.units[j], f"{n} in common") for j, n in near],
            beside=self._beside(unit.layer),
            sequence=sequence,
            extras=extra,
            across=columns(self.site.contents.sources),
            down=4 if extra else 3,
        )

    def _snapshot(self, unit: Unit, s: int) -> dict[str, Any]:
        """A unit's peaks at a snapshot, with their boxes, as data."""
        boxes = self._drawn(self.site.slugs[unit.layer], s, unit.map)["boxes"].get(
            str(unit.map), []
        )
        peaks, images = self._nine(unit.layer, s), self.site.contents.images
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
                "page": self.site.pages_of_images.get(image),
            }
            for (value, image, y, x), box in zip(zip(*fields, strict=True), boxes, strict=False)
            if image >= 0
        ]
        end = "" if s == len(self.site.contents.snapshots) - 1 else f".s{s}"
        return {
            "label": self.site.contents.snapshots[s],
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
            self._shown[layer, s] = live(self.site.contents.layers[layer].peaks[s], NINE)
        return self._shown[layer, s]

    def _drawn(self, slug: str, s: int, m: int) -> Mapping[str, Any]:
        """What was written down when a unit's run of maps was drawn."""
        key = f"{slug}.{s}.{m // FACES}.json"
        if self._last[0] != key:
            self._last = (key, json.loads((self.site.place / WORK / key).read_text()))
        return self._last[1]
