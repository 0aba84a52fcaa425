"""All pages of an atlas, from its peaks and the boxes of its pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch

from deconv.atlas.contents import Contents
from deconv.atlas.folder import put
from deconv.atlas.overview_pages import classes_pages, images_pages, network_page, search_data
from deconv.atlas.relations import alike
from deconv.atlas.rendering import TEMPLATES
from deconv.atlas.site import Site
from deconv.atlas.unit_pages import UnitPages

ALIKE = 8
"""Maps named beside a unit."""


def write_pages(place: Path, contents: Contents, source: Callable[[int], torch.Tensor]) -> int:
    """Write all pages into `place`, where the sprites are; return their number.

    source: image -> 3×H×W uint8.
    """
    site = Site(place, contents, source)
    images_pages(site)
    pages, near = UnitPages(site), alike(site.units, ALIKE)
    for i, _, units in site.layers():
        pages.layer(i, units)
        for unit in units:
            pages.unit(unit, next(near))
    classes_pages(site)
    network_page(site)
    search_data(site)
    for name in ("atlas.css", "atlas.js"):
        put(place / name, (TEMPLATES / name).read_bytes())
    return site.count
