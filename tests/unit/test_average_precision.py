"""Average precision against typed-out cases, loops over thresholds, and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score, precision_recall_curve

from deconv.data.average_precision import ABSENT, IGNORED, PRESENT, average_precision
from deconv.errors import DeconvError


def by_thresholds(scores, marks):
    """Each gain of recall times the best precision there or beyond, threshold by threshold."""
    kept = [(s, m) for s, m in zip(scores, marks, strict=True) if m != IGNORED]
    wanted = sum(m == PRESENT for _, m in kept)
    points = []
    for threshold in sorted({s for s, _ in kept}, reverse=True):
        taken = [m for s, m in kept if s >= threshold]
        hits = sum(m == PRESENT for m in taken)
        points.append((hits / wanted, hits / len(taken)))
    area, before = 0.0, 0.0
    for recall, _ in points:
        area += (recall - before) * max(p for r, p in points if r >= recall)
        before = recall
    return area


@pytest.mark.parametrize(
    ("scores", "marks", "wanted"),
    [
        ([3, 2, 1], [1, 1, -1], 1.0),
        ([3, 2, 1], [-1, -1, 1], 1 / 3),
        # Precision 1/1, 1/2, 2/3, 2/4, 3/5: the envelope is 1, 2/3, 3/5 at recalls 1/3, 2/3, 1.
        ([5, 4, 3, 2, 1], [1, -1, 1, -1, 1], (1 + 2 / 3 + 3 / 5) / 3),
        # Precision 0, 1/2, 2/3: the envelope lifts the first 1/2 to 2/3.
        ([3, 2, 1], [-1, 1, 1], 2 / 3),
        # The ignored image does not count as an error before the first hit.
        ([3, 2, 1], [0, 1, -1], 1.0),
        # One score for all: they come in together.
        ([7, 7, 7, 7], [1, -1, -1, -1], 1 / 4),
    ],
)
def test_typed_out_cases(scores, marks, wanted):
    assert average_precision(np.array(scores), np.array(marks)) == pytest.approx(wanted)
    assert by_thresholds(scores, marks) == pytest.approx(wanted)


ranking = st.lists(
    st.tuples(st.integers(0, 6), st.sampled_from((PRESENT, IGNORED, ABSENT))), min_size=1
)


@settings(deadline=None)
@given(ranking.filter(lambda pairs: any(mark == PRESENT for _, mark in pairs)))
def test_it_agrees_with_loops_and_with_scikit_learns_curve(pairs):
    scores, marks = (np.array(column) for column in zip(*pairs, strict=True))
    found = average_precision(scores, marks)
    assert found == pytest.approx(by_thresholds(scores, marks))
    kept = marks != IGNORED
    truth = marks[kept] == PRESENT
    precision, recall, _ = precision_recall_curve(truth, scores[kept])
    envelope = np.maximum.accumulate(precision[:-1])  # from the highest recall to the lowest
    assert found == pytest.approx(-(np.diff(recall) * envelope).sum())
    plain = average_precision_score(truth, scores[kept])
    assert plain - 1e-12 <= found <= 1 + 1e-12, "the envelope only lifts precision"


def test_the_envelope_makes_a_difference_to_scikit_learns():
    scores, marks = np.array([3, 2, 1]), np.array([ABSENT, PRESENT, PRESENT])
    assert average_precision_score(marks == PRESENT, scores) == pytest.approx(7 / 12)
    assert average_precision(scores, marks) == pytest.approx(8 / 12)


def test_the_order_of_images_does_not_matter():
    rng = np.random.default_rng(0)
    scores, marks = rng.integers(0, 4, 50), rng.choice([PRESENT, IGNORED, ABSENT], 50)
    values = set()
    for _ in range(5):
        order = rng.permutation(50)
        values.add(round(average_precision(scores[order], marks[order]), 12))
    assert len(values) == 1


def test_what_has_no_average_precision_is_refused():
    for scores, marks, words in (
        ([1.0, 2.0], [ABSENT, IGNORED], "needs an image that shows the class"),
        ([1.0, np.nan], [PRESENT, ABSENT], "finite scores"),
        ([1.0], [PRESENT, ABSENT], "one score and mark per image"),
    ):
        with pytest.raises(DeconvError, match=words):
            average_precision(np.array(scores), np.array(marks))
