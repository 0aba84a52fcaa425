"""Occlusion maps of many images, scored against regions.

Regions are the ground-truth box of the object and its parts (built-in scenes), and the projection
of the watched map's strongest unit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from deconv.deconvnet.projection import project
from deconv.networks import Network
from deconv.scenes import Scene
from deconv.studies.boxes import covered_share, crop_box
from deconv.studies.occlusion.maps import OcclusionMaps, occlude
from deconv.studies.occlusion.scores import (
    Comparison,
    compare,
    contrast,
    hit,
    squares_on,
    squares_over,
    squares_over_most,
)

ON_BOX = 0.5
"""Share of the square that must lie in the object's box to be on the object. (Half of the object
is never under the square: objects are larger.)"""
OVER_PART = 0.5
"""Share of a part's box that must lie under the square to be covered."""
MOST = 0.25
"""Share of all positions that count as on the projection, by the energy that they cover."""


def score_arrays(
    net: Network,
    images: Sequence[tuple[torch.Tensor, int]],
    scenes: Sequence[Scene] | None,
    layer: str,
    collisions: str,
    **options: Any,
) -> dict[str, np.ndarray]:
    """Compute the maps of N images with squares inside the image, and the regions to score by.

    Args:
        images: (preprocessed 3×c×c, true class).
        scenes: of the images; None for photographs.
        collisions: policy of the projections.
        options: of `occlude`; size_px is required.

    Returns:
        score/<name> arrays: probability, activation, label (N×rows×columns), clean (N×3), map (N),
        corners (rows×columns×2), painted (N×rows×columns bool); for scenes also box (N×4), parts
        (K×5: image row, box) and part_names (K).
    """
    fields = ("probability", "activation", "label", "clean", "map")
    out: dict[str, list[Any]] = {name: [] for name in (*fields, "painted")}
    for image, target in images:
        maps = occlude(net, image, target, layer, squares="inside", **options)
        assert isinstance(maps, OcclusionMaps)  # of one image
        corners = maps.positions.numpy()
        for name in fields:
            out[name].append(np.asarray(getattr(maps, name)))
        pixels = strongest_projection(net, image, layer, maps.map, collisions)
        out["painted"].append(squares_over_most(pixels, corners, options["size_px"], MOST))
    arrays = {f"score/{name}": np.stack(values) for name, values in out.items()}
    arrays |= {"score/corners": corners, "score/size_px": np.array(options["size_px"])}
    return arrays | (_truth(scenes, net.input_px) if scenes else {})


def strongest_projection(
    net: Network, image: torch.Tensor, layer: str, number: int, collisions: str
) -> np.ndarray:
    """Project the strongest unit of a map: 3×c×c, around zero."""
    record = net.record(image[None].to(net.device), [layer], logits=False)
    values = record.activations[layer][0, number]
    y, x = divmod(int(values.argmax()), values.shape[-1]) if values.dim() else (0, 0)
    units = torch.tensor([[0, number, y, x]])
    return project(net, record, layer, units, collisions=collisions)[0].cpu().numpy()


def _truth(scenes: Sequence[Scene], crop_px: int) -> dict[str, np.ndarray]:
    boxes, parts, names = [], [], []
    for i, scene in enumerate(scenes):
        stored_px = scene.image.shape[0]
        boxes.append(crop_box(scene.box, stored_px, crop_px) or (-1, -1, -1, -1))
        for part in scene.parts:
            if (box := crop_box(part.box, stored_px, crop_px)) is not None:
                parts.append((i, *box))
                names.append(part.name)
    return {
        "score/box": np.array(boxes),
        "score/parts": np.array(parts, int).reshape(-1, 5),
        "score/part_names": np.array(names, str),
    }


def falls(arrays: Mapping[str, np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The drops of (probability, activation) at each position, N×rows×columns each.

    Absolute for the probability; for the activation relative to the unoccluded image's, NaN if
    that is 0.
    """
    probability, activation = (arrays["score/clean"][:, i, None, None] for i in (0, 1))
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.where(activation > 0, 1 - arrays["score/activation"] / activation, np.nan)
    return probability - arrays["score/probability"], share


def regions(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Region -> N×rows×columns bool: "painted"; for scenes also "object", "parts", "centre".

    centre: whether the square's middle lies in the object's box.
    """
    out = {"painted": arrays["score/painted"]}
    if "score/box" not in arrays:
        return out
    corners, size = arrays["score/corners"], int(arrays["score/size_px"])
    boxes = [[tuple(box)] if box[2] > box[0] else [] for box in arrays["score/box"].tolist()]
    parts = arrays["score/parts"]
    own = [[tuple(row[1:]) for row in parts.tolist() if row[0] == i] for i in range(len(boxes))]
    middle = corners + size // 2
    out["object"] = np.stack([squares_on(box, corners, size, ON_BOX) for box in boxes])
    out["parts"] = np.stack([squares_over(some, corners, size, OVER_PART) for some in own])
    out["centre"] = np.stack([squares_on(box, middle, 1, 1.0) for box in boxes])
    return out


SCORES: dict[str, tuple[str, int, Callable[[np.ndarray, np.ndarray], float]]] = {
    "probability_drop_on_object": ("object", 0, contrast),
    "activation_drop_on_object": ("object", 1, contrast),
    "probability_drop_on_parts": ("parts", 0, contrast),
    "largest_drop_on_object": ("centre", 0, hit),
    "probability_drop_on_projection": ("painted", 0, contrast),
    "activation_drop_on_projection": ("painted", 1, contrast),
}
"""Score -> (region, index into `falls`, measure)."""


def comparisons(arrays: Mapping[str, np.ndarray], seed: int = 0) -> dict[str, Comparison]:
    """Score -> its comparison over the images; scores of fewer than two images are left out."""
    found, areas, fallen = {}, regions(arrays), falls(arrays)
    for name, (region, which, measure) in SCORES.items():
        if region not in areas:
            continue
        scores = [[measure(fall, area) for area in areas[region]] for fall in fallen[which]]
        if (result := compare(np.array(scores), seed)) is not None:
            found[name] = result
    return found


def score_rows(arrays: Mapping[str, np.ndarray]) -> list[dict[str, Any]]:
    """A table row for each image: its scores, and the part under its largest drop."""
    areas, (probability, activation) = regions(arrays), falls(arrays)
    rows = []
    for i, fall in enumerate(probability):
        row: dict[str, Any] = {"map": int(arrays["score/map"][i])}
        for name, (region, which, measure) in SCORES.items():
            if region in areas:
                value = measure((probability, activation)[which][i], areas[region][i])
                row[name] = "" if np.isnan(value) else round(value, 4)
        if "score/parts" in arrays:
            at = arrays["score/corners"].reshape(-1, 2)[fall.argmax()]
            row["part_under_largest_drop"] = _part_under(arrays, i, at)
        rows.append(row)
    return rows


def _part_under(arrays: Mapping[str, np.ndarray], i: int, corner: np.ndarray) -> str:
    """The part of scene i that the square covers most; "" for none."""
    size = int(arrays["score/size_px"])
    y, x = corner.tolist()
    square = (y, x, y + size, x + size)
    shares = [
        (covered_share(square, tuple(row[1:])), str(name))
        for row, name in zip(
            arrays["score/parts"].tolist(), arrays["score/part_names"], strict=True
        )
        if row[0] == i
    ]
    share, name = max(shares, key=lambda pair: pair[0], default=(0.0, ""))
    return name if share > 0 else ""
