"""Average precision by PASCAL VOC's rule since 2010: the area under the envelope of precision."""

from __future__ import annotations

import numpy as np

from deconv.errors import DeconvError

PRESENT, IGNORED, ABSENT = 1, 0, -1
"""The marks of a class in an image, as in VOC's own ImageSets/Main/<class>_<split>.txt."""


def average_precision(scores: np.ndarray, marks: np.ndarray) -> float:
    """The area, in 0…1, under precision as a function of recall, made to fall monotonically.

    scores: N real numbers, higher for images that are thought to show the class. marks: N of
        PRESENT, IGNORED, ABSENT; images that are IGNORED count neither way.
    At each recall the precision is the best that any recall as high or higher has (VOC 2010's
    development kit; until 2009 it was read at eleven points). Images of one score come in
    together, so that their order in the data set does not matter; the kit takes them one by one.
    Raises DeconvError without a PRESENT image and for a score that is no number.
    """
    scores, marks = np.asarray(scores, np.float64), np.asarray(marks)
    if scores.ndim != 1 or scores.shape != marks.shape:
        raise DeconvError(f"one score and one mark an image, got {scores.shape} and {marks.shape}")
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
    taken = np.flatnonzero(last_of_score) + 1
    envelope = np.maximum.accumulate((hits / taken)[::-1])[::-1]
    gained = np.diff(hits, prepend=0) / hits[-1]
    return float((gained * envelope).sum())
