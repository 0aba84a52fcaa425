"""The tables of Figure 5: by image and amount, by measure over all images, by class."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from deconv.studies.invariance.courses import LAYERS, Course, Scores
from deconv.studies.invariance.scores import cell, interval


def image_rows(
    about: Sequence[Mapping[str, Any]], courses: Mapping[str, Course]
) -> Iterator[dict[str, Any]]:
    """Yield one row per image, transform and amount.

    Distances are Euclidean ("distance") and over the untransformed vector's norm ("relative").
    about: an image each, cells that identify it.
    """
    for kind, one in courses.items():
        curves: dict[str, np.ndarray] = {}
        for i, name in enumerate(LAYERS):
            curves |= {f"{name}_distance": one.distance[i], f"{name}_relative": one.relative(i)}
        curves |= {"probability": one.probability, "kept": one.kept()}
        for i, image in enumerate(about):
            for t, amount in enumerate(one.amounts):
                values = {key: cell(curve[i, t]) for key, curve in curves.items()}
                yield {"kind": kind, "amount": float(amount), **image, **values}


def score_rows(scores: Scores, seed: int) -> list[dict[str, Any]]:
    """Summarise every measure over the images: a row with its statistic and interval.

    Straight lines by the median, because R² has no lower end; everything else by the mean.
    """
    rows = []
    for kind, measures in scores.items():
        pairs = dict(measures)
        for name in ("line", "sharp"):
            gap = measures[f"layer7/{name}"] - measures[f"layer1/{name}"]
            pairs[f"layer7 - layer1/{name}"] = gap
        for measure, values in pairs.items():
            statistic = np.median if measure.endswith("line") else np.mean
            row: dict[str, Any] = {
                "kind": kind,
                "measure": measure,
                "statistic": statistic.__name__,
            }
            rows.append(row | interval(values, statistic, seed).row())
    return rows


def class_rows(
    scores: Mapping[str, np.ndarray],
    labels: Sequence[int],
    classes: Sequence[str],
    alike: np.ndarray | None,
) -> list[dict[str, Any]]:
    """Average the scores of rotation over each class, the class that keeps most first.

    alike: N bool, whether an image's object looks alike when turned; None if unknown.
    """
    rows = []
    for label in sorted(set(labels)):
        at = np.flatnonzero(np.array(labels) == label)
        row = {"class": classes[label], "images": len(at)}
        row |= {name: cell(scores[name][at].mean()) for name in ("kept", "right_angles", "dip")}
        rows.append(row | {"symmetric": "" if alike is None else bool(alike[at[0]])})
    return sorted(rows, key=lambda row: -(row["kept"] or 0))
