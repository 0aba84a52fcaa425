"""Table 1: the Δ of each mask at one layer, with intervals.

Masks have names: a part, "random 1", "random 2" …, "borrowed nose" … A row of the table is about
one of them, the mean of all random ones, or `MIXED`: different parts masked in the two faces of a
pair.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from deconv.networks import Network
from deconv.records import Box
from deconv.studies.bootstrap import middle
from deconv.studies.correspondence.consistency import delta, sign_changes, sign_distances
from deconv.studies.correspondence.faces import (
    PARTS,
    Face,
    borrowed_masks,
    part_masks,
    random_masks,
)
from deconv.studies.correspondence.pair_statistics import bootstrap_means, exchange_test, resamples

ROWS = (*PARTS, "random")
"""The rows of the paper's table."""
MIXED = "different parts"
MASKED = (*ROWS, MIXED, *(f"borrowed {part}" for part in PARTS))
"""All rows."""
ZEROS = ("counted", "left out")
"""Whether dimensions count that changed in neither image of a pair."""
Resampled = Mapping[str, np.ndarray]
"""Row -> its Δ for each resample of the images."""


def all_masks(
    faces: Sequence[Face], crop_px: int, randoms: int, seed: int, mask: str = "same"
) -> list[dict[str, Box]]:
    """Name -> mask for each face: its parts, borrowed masks, "random 1" …"""
    borrowed = borrowed_masks(faces, crop_px, np.random.default_rng((seed, 2)), mask)
    found = []
    for i, face in enumerate(faces):
        drawn = random_masks(face, crop_px, randoms, np.random.default_rng((seed, 3, i)), mask)
        found.append(
            part_masks(face, crop_px, mask)
            | {f"borrowed {part}": box for part, box in borrowed[i].items()}
            | {f"random {r}": box for r, box in enumerate(drawn, 1)}
        )
    return found


@dataclass(frozen=True)
class FaceChanges:
    """Changes of N faces under K masks at one layer.

    distance: one of ZEROS -> N×K×N×K, between mask a on face i and mask b on face j. still: N×K
    shares of unchanged values. size: N×K, ‖ε‖ / ‖x‖. dimensions: of the layer.
    """

    distance: dict[str, np.ndarray]
    still: np.ndarray
    size: np.ndarray
    dimensions: int


def face_changes(
    net: Network,
    images: Sequence[torch.Tensor],
    masks: Sequence[Mapping[str, Box]],
    layers: Sequence[str],
    fill: float = 0.0,
) -> dict[str, FaceChanges]:
    """Compare the changes of images (3×H×W, preprocessed) under their masks, layer by layer."""
    found = [
        sign_changes(net, image, list(boxes.values()), layers, fill)
        for image, boxes in zip(images, masks, strict=True)
    ]
    out = {}
    for layer in layers:
        own = [one[layer] for one in found]
        distances = sign_distances(torch.cat([one.sign for one in own]))
        shape = (len(own), len(masks[0])) * 2
        both = zip(ZEROS, (distances.all, distances.moved), strict=True)
        out[layer] = FaceChanges(
            {zeros: values.numpy().reshape(shape) for zeros, values in both},
            torch.stack([one.zeros for one in own]).numpy(),
            torch.stack([one.size for one in own]).numpy(),
            own[0].sign.shape[1],
        )
    return out


@dataclass(frozen=True)
class Sampling:
    """Which faces are compared. kinds: the class of each; only faces of one class are paired.

    groups: the draws, the first of which is the paper's experiment. resamples: of faces, for
    intervals. shuffles: of mask names, for p.
    """

    kinds: Sequence[str]
    groups: Sequence[Sequence[int]]
    resamples: int
    shuffles: int
    seed: int

    @property
    def pairs(self) -> np.ndarray:
        """N×N bool."""
        kinds = np.array(self.kinds)
        return (kinds[:, None] == kinds) & ~np.eye(len(kinds), dtype=bool)


def delta_rows(
    changes: FaceChanges, zeros: str, names: Sequence[str], sampling: Sampling
) -> tuple[list[dict[str, Any]], Resampled]:
    """Make the rows of MASKED, and the Δ of each for every resample of the faces.

    Args:
        names: of the K masks.

    Returns:
        Rows with: Δ of the first draw, its standard deviation over pairs and its interval over
        faces; mean and standard deviation over draws; mean over all pairs and its interval; for
        parts the gap below random, with p; shares and sizes of changes. And row -> Δ of each
        resample.
    """
    distance, pairs, groups = changes.distance[zeros], sampling.pairs, sampling.groups
    random = [np.random.default_rng((sampling.seed, k)) for k in (4, 5)]
    counts = resamples(len(pairs), sampling.resamples, random[0])
    few = resamples(len(groups[0]), sampling.resamples, random[1])
    apart = ~np.eye(len(groups[0]), dtype=bool)
    rows, resampled = [], {}
    for mask in MASKED:
        columns = _columns(names, mask)
        own = _between(distance, columns, mixed=mask == MIXED)
        resampled[mask] = bootstrap_means(own, pairs, counts).mean(axis=0)
        first = bootstrap_means(own[:, groups[0]][:, :, groups[0]], apart, few).mean(axis=0)
        drawn = [_mean_delta(own, group) for group in groups]
        means = [mean for mean, _ in drawn]
        row = {"mask": mask, "first": means[0], "first_sd_pairs": drawn[0][1]}
        row |= _ends("first", first) | {"draws": np.mean(means), "draws_sd": np.std(means)}
        row |= {"all": own[:, pairs].mean()} | _ends("all", resampled[mask])
        if mask in PARTS:
            others, shuffler = _columns(names, "random"), np.random.default_rng((sampling.seed, 6))
            row["below_random"], row["p"] = exchange_test(
                distance, pairs, columns[0], others, sampling.shuffles, shuffler
            )
        rows.append(row)
    for row in rows:
        at = _columns(names, str(row["mask"]))
        if row["mask"] in PARTS:
            row |= _ends("below_random", resampled["random"] - resampled[row["mask"]])
        row |= {"still": changes.still[:, at].mean(), "change": changes.size[:, at].mean()}
        row["dimensions"] = changes.dimensions
    return rows, resampled


def share_below_random(own: Resampled, mask: str) -> np.ndarray:
    """The relative gap of a part's Δ below random, for each resample.

    mask: a part; "random" for the mean of the three parts.
    """
    return 1 - (parts_mean(own) if mask == "random" else own[mask]) / own["random"]


def parts_mean(own: Resampled) -> np.ndarray:
    """The mean Δ of the three parts, for each resample."""
    return np.mean([own[part] for part in PARTS], axis=0)


def _columns(names: Sequence[str], row: str) -> list[int]:
    """Indices of a row's masks: one, all random ones, or all three parts."""
    if row == MIXED:
        return [names.index(part) for part in PARTS]
    return [k for k, name in enumerate(names) if name == row or name.startswith(f"{row} ")]


def _between(distance: np.ndarray, columns: list[int], mixed: bool) -> np.ndarray:
    """R×N×N: distances between faces under one mask, for each mask of a row.

    mixed: under two different masks, for each ordered pair of masks.
    """
    both = [(k, m) for k in columns for m in columns if mixed == (k != m)]
    return np.stack([distance[:, k, :, m] for k, m in both])


def _mean_delta(own: np.ndarray, group: Sequence[int]) -> tuple[float, float]:
    """Δ of a group and its standard deviation over pairs, averaged over masks."""
    both = [delta(torch.from_numpy(one[np.ix_(group, group)])) for one in own]
    means, deviations = zip(*both, strict=True)
    return float(np.mean(means)), float(np.mean(deviations))


def _ends(name: str, values: np.ndarray) -> dict[str, float]:
    return dict(zip((f"{name}_low", f"{name}_high"), middle(values), strict=True))
