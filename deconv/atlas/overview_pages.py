"""Pages beside those of units: images, classes, the whole network, and what can be searched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from deconv.atlas.curves import charts
from deconv.atlas.folder import put
from deconv.atlas.relations import by_class, by_image
from deconv.atlas.rendering import script
from deconv.atlas.site import Site
from deconv.atlas.sprites import FACES, FACES_ACROSS, encoded, face_of, in_rows, sprite, tile

OF_A_CLASS, STRIP = 12, 12
"""Maps of a class; maps of a layer on the first page."""


def images_pages(site: Site) -> None:
    """Write pages of images that are among a unit's nine, FACES each."""
    found, side = list(by_image(site.units).items()), site.contents.face_px
    pages = -(-len(found) // FACES)
    for k in range(pages):
        some = found[k * FACES : (k + 1) * FACES]
        name = site.place / "images" / f"{k}.webp"
        if site.contents.sources and not name.is_file():
            wholes = (site.source(image).numpy().transpose(1, 2, 0) for image, _ in some)
            tiles = in_rows([tile(whole, None, side) for whole in wholes])
            put(name, encoded(sprite(tiles, side)))
        shown = [
            {
                "image": image,
                "name": site.contents.images.names[image],
                "class": site.contents.images.class_of(image),
                "label": site.contents.images.label(image),
                "column": i % FACES_ACROSS,
                "row": i // FACES_ACROSS,
                "maps": len(of),
                "units": _by_layer(site, of),
            }
            for i, (image, of) in enumerate(some)
        ]
        down = -(-len(some) // FACES_ACROSS)
        site.page(
            f"images/{k}.html",
            "images.html",
            images=shown,
            k=k,
            pages=pages,
            down=down,
            across=FACES_ACROSS,
        )


def _by_layer(
    site: Site, ranked: Sequence[tuple[int, int]]
) -> list[tuple[str, list[tuple[dict[str, Any], int]]]]:
    """Layer's title and (face, rank from 1) of its units, from (number of a unit, rank)."""
    found: dict[int, list[tuple[dict[str, Any], int]]] = {}
    for u, rank in ranked:
        unit = site.units[u]
        found.setdefault(unit.layer, []).append((site.face(unit), rank + 1))
    return [(site.contents.layers[i].title, own) for i, own in found.items()]


def classes_pages(site: Site) -> None:
    """Write the list of classes, and for each the maps that its images excite most."""
    images = site.contents.images
    if not images.classes:
        return
    excited = by_class(site.units, images, OF_A_CLASS)
    of: dict[int, list[int]] = {}
    for image in site.pages_of_images:
        of.setdefault(images.label(image), []).append(image)
    site.page("classes/index.html", "classes.html", excited=excited)
    for c in range(len(images.classes)):
        site.page(
            f"classes/{c}.html",
            "class.html",
            c=c,
            name=images.classes[c],
            faces=[
                site.face(site.units[u], f"{n} of {len(site.units[u].images)}")
                for u, n in excited[c]
            ],
            images=[(image, site.pages_of_images[image]) for image in of.get(c, [])],
        )


def network_page(site: Site) -> None:
    """Write the first page, with one sprite of each layer's strongest maps."""
    rows, side = [], site.contents.face_px
    for i, layer, own in site.layers():
        alive = [unit for unit in own if not unit.dead]
        best = sorted(alive, key=lambda unit: (-unit.values[0], unit.map))[:STRIP]
        faces = [site.face(unit) for unit in best]
        if best:
            cut = [
                face_of((site.place / face["src"]).read_bytes(), unit.map % FACES, side)
                for face, unit in zip(faces, best, strict=True)
            ]
            strip = f"layers/{site.slugs[i]}/strip.webp"
            put(site.place / strip, encoded(sprite([cut], side)))
            for column, face in enumerate(faces):
                face |= {"src": strip, "column": column, "row": 0}
                face |= {"across": len(best), "down": 1}
        active = None if layer.active is None else float(layer.active.mean())
        rows.append(
            {"layer": layer, "slug": site.slugs[i], "faces": faces, "active": active}
            | {"dead": len(own) - len(alive)}
        )
    site.page(
        "index.html",
        "network.html",
        rows=rows,
        charts=charts(site.contents.curves),
        shown_images=len(site.pages_of_images),
    )


def search_data(site: Site) -> None:
    """Write what can be found by name, as a script that is read when it is asked for."""
    layers = [
        [layer.title, slug, layer.maps]
        for layer, slug in zip(site.contents.layers, site.slugs, strict=True)
    ]
    names = site.contents.images.names
    images = [[image, names[image], page] for image, page in site.pages_of_images.items()]
    data = {
        "layers": layers,
        "classes": list(site.contents.images.classes),
        "images": images,
    }
    put(site.place / "data" / "search.js", script("search", data))
