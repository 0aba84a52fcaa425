"""What all pages of an atlas share: where they go, and a unit as every page shows it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from deconv.atlas.contents import NINE, Contents, Layer
from deconv.atlas.folder import put
from deconv.atlas.relations import Unit, by_image, class_counts, units_of
from deconv.atlas.rendering import number, templates
from deconv.atlas.sprites import FACES, FACES_ACROSS


class Site:
    """The folder of an atlas whose sprites are there, and what its pages need.

    place: the folder. source: image -> 3×H×W uint8. units: of all layers, in order. count: of the
    pages written.
    """

    def __init__(
        self,
        place: Path,
        contents: Contents,
        source: Callable[[int], torch.Tensor],
    ) -> None:
        self.place, self.contents, self.source = place, contents, source
        self.slugs, self.units = contents.slugs, units_of(contents)
        self.count = 0
        self.common = {
            "atlas": contents,
            "face_px": contents.face_px,
            "tile_px": contents.tile_px,
            "box_style": self._box_style,
        }

    def page(self, path: str, template: str, **values: Any) -> None:
        """Write a page. path: from the atlas's folder."""
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

    def layers(self) -> Iterator[tuple[int, Layer, list[Unit]]]:
        """Yield number, layer and units of each layer."""
        first = 0
        for i, layer in enumerate(self.contents.layers):
            yield i, layer, self.units[first : first + layer.maps]
            first += layer.maps

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
            "layer": layer.title,
            "map": unit.map,
            "value": number(unit.values[0]) if unit.values else "",
            "dead": unit.dead,
            "class": top,
            "of_class": counts[0][1] if counts else 0,
            "nine": len(unit.images[:NINE]),
            "note": note,
        }

    @cached_property
    def pages_of_images(self) -> dict[int, str]:
        """Image -> its page and place, of all that are among a unit's nine."""
        return {
            image: f"images/{i // FACES}.html#i{image}"
            for i, image in enumerate(by_image(self.units))
        }
