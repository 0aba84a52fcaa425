"""Average precision by PASCAL VOC's rule since 2010: the area under the envelope of precision."""

from __future__ import annotations

import numpy as np

from deconv.errors import DeconvError

PRESENT, IGNORED, ABSENT = 1, 0, -1
"""Marks of a class in an image, as in VOC's ImageSets/Main/<class>_<split>.txt."""


def average_precision(scores: np.ndarray, marks: np.ndarray) -> float:
    """Compute the area (0…1) under the monotone envelope of the precision-recall curve.

    At each recall the precision is the best at that or any higher recall (VOC 2010's development
    kit; until 2009 it was sampled at eleven points). Tied images enter together, so their order in
    the data set does not matter; the kit adds them one by one.

    Args:
        scores: N finite numbers, higher for images more likely to show the class.
        marks: N of PRESENT, IGNORED, ABSENT; IGNORED images do not count.

    Raises:
        DeconvError: if no image is PRESENT or a score is not finite.
    """
    scores, marks = np.asarray(scores, np.float64), np.asarray(marks)
    if scores.ndim != 1 or scores.shape != marks.shape:
        raise DeconvError(f"need one score and mark per image, got {scores.shape}, {marks.shape}")
    counted = marks != IGNORED
    scores, present = scores[counted], marks[counted] == PRESENT
    if not present.any():
        raise DeconvError("average precision needs an image that shows the class")
    if not np.isfinite(scores).all():
        raise DeconvError("average precision takes finite scores")
    order = np.argsort(-scores, kind="stable")
    ranked = scores[order]
    last_of_score = np.append(ranked[1:] != ranked[:-1], True)
    hits = np.cumsum(present[order])[last_of_score]
    retrieved = np.flatnonzero(last_of_score) + 1
    envelope = np.maximum.accumulate((hits / retrieved)[::-1])[::-1]
    recall_gain = np.diff(hits, prepend=0) / hits[-1]
    return float((recall_gain * envelope).sum())
