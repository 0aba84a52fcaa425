"""Figure 5's measurements as they are kept: arrays of a course, rows of table.csv and classes.csv.

In: the courses of all images under each transform, and their scores. Out: named arrays and rows;
the caller writes them. The rows of scores.csv are `invariance_findings.summary`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from experiments.invariance_findings import Course, blank
from experiments.kit.chosen_images import ChosenImage, need_label


def course_arrays(course: Course) -> dict[str, np.ndarray]:
    """A course as named arrays."""
    names = ("layer1", "layer7")
    return (
        {"amounts": course.amounts, "probability": course.probability, "clean": course.clean}
        | {f"{n}/distance": values for n, values in zip(names, course.distance, strict=True)}
        | {f"{n}/norm": values for n, values in zip(names, course.norm, strict=True)}
    )


def image_rows(
    images: Sequence[ChosenImage], classes: Sequence[str], courses: dict[str, Course], shown: int
) -> Iterator[dict[str, Any]]:
    """Rows of table.csv. Distances as the paper's, and over the untransformed vector's norm."""
    for kind, course in courses.items():
        relative = [course.relative(layer) for layer in (0, 1)]
        kept = course.kept()
        for i, image in enumerate(images):
            name = {"image": image.name if image.index is None else image.index}
            for t, amount in enumerate(course.amounts):
                row = {"kind": kind, "amount": float(amount)} | name
                row |= {"class": classes[need_label(image)], "shown": i < shown}
                for layer, which in enumerate(("layer1", "layer7")):
                    row[f"{which}_distance"] = blank(course.distance[layer][i, t])
                    row[f"{which}_relative"] = blank(relative[layer][i, t])
                row["probability"] = blank(course.probability[i, t])
                yield row | {"kept": blank(kept[i, t])}


def class_rows(
    scores: dict[str, np.ndarray],
    labels: Sequence[int],
    classes: Sequence[str],
    alike: np.ndarray | None,
) -> list[dict[str, Any]]:
    """Rows of classes.csv: means over a class's images, the class that keeps most first."""
    rows = []
    for label in sorted(set(labels)):
        at = np.flatnonzero(np.array(labels) == label)
        row = {"class": classes[label], "images": len(at)}
        row |= {name: blank(scores[name][at].mean()) for name in ("kept", "right_angles", "dip")}
        rows.append(row | {"symmetric": "" if alike is None else bool(alike[at[0]])})
    return sorted(rows, key=lambda row: -(row["kept"] or 0))
