"""Similarity of a layer's projections with their variants, one exchange at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch.utils.data import Dataset

from deconv.fields import receptive_field
from deconv.networks import Network
from deconv.studies.sanity.scores import crop, scores
from deconv.studies.sanity.variants import variants


def exchange(
    net: Network,
    data: Dataset,
    labels: np.ndarray,
    layer: str,
    units: torch.Tensor,
    seed: int,
    example: int | None = None,
    **options: Any,
) -> dict[str, np.ndarray]:
    """Score K units' pictures under every variant; each lender is an image of another class.

    Args:
        data: items (preprocessed 3×c×c, label). labels: of its N images.
        units: K×4 (image, map, y, x).
        example: a unit whose pictures are returned too.
        options: stops, how and collisions of `variants`.

    Returns:
        units; lenders (K images); and for each variant <check>/<variant>/ its scores (K×3), equal
        and blank (K bool) and example, the picture cut to the unit's receptive field.
    """
    random = np.random.default_rng((seed, *layer.encode(), 1))
    images = units[:, 0].tolist()
    lenders = [int(random.choice(np.flatnonzero(labels != labels[image]))) for image in images]
    own, others = (
        torch.stack([data[i][0] for i in numbers]).to(net.device) for numbers in (images, lenders)
    )
    rows = units.clone()
    rows[:, 0] = torch.arange(len(units))
    size = (net.input_px, net.input_px)
    boxes = [receptive_field(net, layer, y, x, size) for y, x in units[:, 2:].tolist()]
    out = {"units": units.numpy(), "lenders": np.array(lenders)}
    original = None
    for one in variants(net, layer, own, others, rows, seed=seed, **options):
        original = one.pictures if original is None else original
        at = f"{one.check}/{one.name}"
        out[f"{at}/scores"] = scores(original, one.pictures, boxes, one.applies)
        out[f"{at}/equal"] = (one.pictures == original).flatten(1).all(dim=1).numpy()
        out[f"{at}/blank"] = (one.pictures == 0).flatten(1).all(dim=1).numpy()
        if example is not None:
            out[f"{at}/example"] = crop(one.pictures[example], boxes[example])
    return out
