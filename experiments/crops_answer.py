"""A unit's peaks: crops (Donahue et al. 2013, Girshick et al. 2014) and deconvnet projections.

Computed as arrays named crops/<field>, facts and table rows; then in words.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from omegaconf import DictConfig

from deconv import figures
from deconv.mining.peak_views import peak_views
from experiments.kit.facts import deconvnet_choices, describe_field
from experiments.single_unit import Subject
from experiments.unit_answer import Answer


def crops_answer(cfg: DictConfig, one: Subject, pictures: bool) -> Answer:
    """The peaks of the map: patches, projections, boxes; pictures: also the whole images."""
    policy = cfg.get("collisions", "sum")
    number = torch.tensor([one.map])
    views = peak_views(
        one.net, one.crops, one.layer, one.peaks, number, one.crops.picture, collisions=policy
    )
    names = ("value", "image", "y", "x", "box", "projection", "patch", "inside")
    arrays = {f"crops/{name}": getattr(views, name)[0].numpy() for name in names}
    if pictures:
        images = [one.crops.picture(int(i)).numpy() for i in views.image[0]]
        arrays["crops/picture"] = np.stack(images)
    rows = []
    for rank in range(views.value.shape[1]):
        fields = {name: arrays[f"crops/{name}"][rank] for name in ("value", "image", "y", "x")}
        box = zip(("top", "left", "bottom", "right"), arrays["crops/box"][rank], strict=True)
        rows.append({"answer": "crop", "number": rank + 1, **fields, **dict(box)})
    facts = {
        "peaks": "the map's strongest units over the split, one an image, above 0; read where the "
        "layer is named, before pooling",
        "field": describe_field(one.net, one.layer),
        "value_range": [float(arrays["crops/value"][-1]), float(arrays["crops/value"][0])],
    }
    choices = deconvnet_choices(one.net, policy, one.snapshot.mean, [one.layer])
    return Answer(arrays, facts | choices, rows)


def crops_of(arrays: Any) -> figures.UnitCrops:
    """From saved arrays."""
    names = ("patch", "projection", "inside", "value", "box", "image")
    picture = arrays["crops/picture"] if "crops/picture" in arrays else None
    return figures.UnitCrops(*(arrays[f"crops/{name}"] for name in names), picture)


def crops_words(facts: dict[str, Any], count: int) -> str:
    """The crops' sentence of a caption."""
    data, unit = facts["data"], facts["unit"]
    low, high = facts["crops"]["value_range"]
    return (
        f"The {count} image patches that excite map {unit['map']} of {unit['layer']} most over "
        f"{data['images']} images of {data['name']} ({data['split']}), one an image, the strongest "
        f"first ({high:.3g} to {low:.3g}), cut to the exact receptive field (blue-grey lies "
        "outside the image)."
    )
