"""Distances under transforms against loops; scores of curves worked out by hand."""

import math

import numpy as np
import pytest
import torch

import deconv
from deconv.errors import DeconvError
from deconv.studies.invariance.courses import Course, image_scores
from deconv.studies.invariance.response import BATCH
from deconv.studies.invariance.scores import (
    at_angles,
    difference,
    interval,
    line,
    over_sides,
    sharp,
    sides,
    value_at,
)
from deconv.studies.invariance.tables import score_rows
from experiments.verdicts.invariance import findings

SIDE, CROP = 72, 64


@pytest.fixture(scope="module")
def net():
    return deconv.build("zfnet_mini", 5, input_px=CROP, fc_width=16, init="he", seed=0).double()


@pytest.fixture(scope="module")
def image():
    random = np.random.default_rng(3)
    return torch.from_numpy(random.integers(0, 256, (3, SIDE, SIDE), dtype=np.uint8))


@pytest.fixture(scope="module")
def mean():
    return torch.full((3, SIDE, SIDE), 117.0)


# The response of a network


def test_distances_and_odds_are_those_of_a_loop(net, image, mean):
    shifts = list(range(-9, 10))
    assert len(shifts) > BATCH, "more than one batch"
    layers = ["conv1", "pool2", "fc7"]
    found = deconv.transform_response(net, image, mean, 2, "translation", shifts, layers)
    edge = (SIDE - CROP) // 2

    def seen(down):
        canvas = mean.clone()
        for y in range(SIDE):
            if 0 <= y - down < SIDE:
                canvas[:, y] = image[:, y - down].float()
        return (canvas - mean)[:, edge : edge + CROP, edge : edge + CROP]

    def run(down):
        with torch.no_grad():
            return net.record(seen(down)[None].double(), layers)

    clean = run(0)
    for i, down in enumerate(shifts):
        record = run(down)
        for layer in layers:
            pairs = zip(
                record.activations[layer].flatten().tolist(),
                clean.activations[layer].flatten().tolist(),
                strict=True,
            )
            wanted = math.sqrt(sum((a - b) ** 2 for a, b in pairs))
            assert float(found.distance[layer][i]) == pytest.approx(wanted, rel=1e-6, abs=1e-6)
        odds = record.logits[0].exp() / record.logits[0].exp().sum()
        assert float(found.probability[i]) == pytest.approx(float(odds[2]), rel=1e-6)
        assert int(found.label[i]) == int(odds.argmax())
    values = clean.activations["fc7"].flatten().tolist()
    assert found.norm["fc7"] == pytest.approx(math.sqrt(sum(v * v for v in values)))
    assert found.clean[0] == pytest.approx(float(found.probability[9]))
    assert found.distance["conv1"][9] == pytest.approx(0, abs=1e-6)
    assert min(float(d) for i, d in enumerate(found.distance["conv1"]) if i != 9) > 1


def test_small_shifts_let_real_pixels_in(net, image, mean):
    """Within the margin of the square around the crop, what comes in from outside is no matter."""
    near, far = (
        [
            deconv.transform_response(net, image, mean, 0, "translation", [a], fill=fill).distance
            for fill in ("mean", "edge", "mirror")
        ]
        for a in ((SIDE - CROP) // 2, (SIDE - CROP) // 2 + 1)
    )
    assert near[0]["conv1"] == near[1]["conv1"] == near[2]["conv1"]
    assert len({float(d["conv1"]) for d in far}) == 3


def test_a_whole_turn_is_none(net, image, mean):
    found = deconv.transform_response(net, image, mean, 0, "rotation", [0, 180, 360])
    assert found.distance["fc7"][0] == found.distance["fc7"][2] < 1e-6 < found.distance["fc7"][1]


def test_what_cannot_be_asked_is_refused(net, image, mean):
    ask = deconv.transform_response
    for arguments, message in (
        ((mean, 5, "scale", [1.2]), "there is no class 5"),
        ((mean, 0, "scale", []), "scale needs at least one amount"),
        ((mean, 0, "scale", [1.2, -1]), "a factor above 0"),
        ((mean[:, 1:, 1:], 0, "scale", [1.2]), "side_px"),
        ((mean, 0, "scale", [1.2], ["conv9"]), "conv9"),
    ):
        with pytest.raises(DeconvError, match=message):
            ask(net, image, *arguments)


# Scores of curves


def test_sides_are_the_ways_from_the_identity():
    ((up, x),) = sides(np.array([-4.0, -2, 0, 2]), 0.0)  # one amount below is no side
    assert up.tolist() == [2, 1, 0] and x.tolist() == [0, 2, 4]
    (only,) = sides(np.array([1.0, 1.4, 1.8]), 1.0)
    assert only[0].tolist() == [0, 1, 2]
    np.testing.assert_allclose(only[1], [0, 0.4, 0.8])


def test_a_turn_has_two_sides_of_half_a_circle():
    (left, x), (right, z) = sides(np.arange(0.0, 360, 60), 0.0, 360.0)
    assert left.tolist() == [0, 1, 2, 3] and x.tolist() == [0, 60, 120, 180]
    assert right.tolist() == [0, 5, 4, 3] and z.tolist() == [0, 60, 120, 180]


X = np.array([0.0, 1, 2, 3, 4])


def test_a_straight_line_has_one():
    assert line(X, 7 * X) == pytest.approx(1)
    assert sharp(X, 7 * X) == pytest.approx(0.1)
    assert value_at(X, 7 * X, 0.5) == pytest.approx(14)


def test_a_step_is_no_line_and_is_reached_at_once():
    fine, step = np.arange(11.0), np.array([0.0] + [1.0] * 10)
    # s = 55/385; residual 1·10 − 55²/385 = 15/7; about the mean 10 − 100/11 = 10/11.
    assert line(fine, step) == pytest.approx(1 - (15 / 7) / (10 / 11))
    assert sharp(fine, step) == 1


def test_a_flat_or_dead_curve_has_no_line():
    assert math.isnan(line(X, np.full(5, 3.0)))
    assert math.isnan(line(X, np.zeros(5))) and math.isnan(sharp(X, np.zeros(5)))
    assert sharp(X, np.full(5, 3.0)) == 1


def test_a_root_has_what_the_docstring_says():
    x = np.linspace(0, 1, 20001)
    assert line(x, np.sqrt(x)) == pytest.approx(0.64, abs=0.001)
    assert line(x, x ** (2 / 3)) == pytest.approx(0.9, abs=0.01)
    assert sharp(x, np.sqrt(x)) == pytest.approx(math.sqrt(0.1), abs=1e-3)


def test_a_curve_bent_by_hand():
    x, d = np.array([0.0, 1, 2]), np.array([0.0, 2, 2])
    # s = (2 + 4) / 5 = 1.2; residuals 0.8, −0.4; about the mean 4/3: 16/9 + 4/9 + 4/9 = 24/9.
    assert line(x, d) == pytest.approx(1 - 0.8 / (24 / 9))
    assert sharp(x, d) == pytest.approx(0.4 / 2)  # 0.2 is a fifth of the way to 2


def test_scores_do_not_change_with_the_unit():
    curve = np.array([0.0, 3, 4, 4.5, 6])
    for score in (line, sharp):
        assert score(X, 1000 * curve) == pytest.approx(score(X, curve))
        assert score(X * 17, curve) == pytest.approx(score(X, curve))


def test_the_mean_over_sides_counts():
    curves = np.array([[2.0, 1, 0, 3, 3], [0.0, 0, 0, 0, 0]])  # a line to the left, a step right
    ways = sides(np.array([-2.0, -1, 0, 1, 2]), 0.0)
    found = over_sides(sharp, curves, ways)
    assert found[0] == pytest.approx((0.1 + 0.2) / 2 + 0.0) and math.isnan(found[1])
    with pytest.raises(DeconvError, match="at least two amounts beside the identity"):
        over_sides(sharp, curves, [])


def test_angles_are_read_round_the_circle():
    curve = np.array([[0.0, 10, 20, 30]])
    found = at_angles(np.array([0.0, 90, 180, 270]), curve, [45.0, 270.0, 315.0])
    assert found.tolist() == [[5.0, 30.0, 15.0]]


# Intervals


def test_an_interval_is_what_theory_says():
    values = np.random.default_rng(5).normal(10, 2, 400)
    found = interval(values)
    wanted = 1.96 * values.std() / math.sqrt(400)
    assert found.value == pytest.approx(values.mean()) and found.images == 400
    assert found.half == pytest.approx(wanted, rel=0.08)
    apart = difference(values, values[:100] - 3)
    assert apart.value == pytest.approx(values.mean() - values[:100].mean() + 3)
    wanted = 1.96 * math.hypot(values.std() / 20, values[:100].std() / 10)
    assert apart.half == pytest.approx(wanted, rel=0.08) and apart.images == 500


def test_intervals_of_little():
    assert interval(np.array([4.0, math.nan])).value == 4
    assert math.isnan(interval(np.array([4.0, math.nan])).low)
    assert interval(np.array([math.nan])).images == 0
    same = interval(np.full(7, 3.0), np.median)
    assert (same.value, same.low, same.high) == (3, 3, 3)
    assert math.isnan(difference(np.array([1.0, 2]), np.array([])).value)


# Findings


def course(kind, amounts, lower, upper, kept, images=8):
    """A course in which all images do the same, up to their size."""
    size = np.linspace(1, 3, images)[:, None]
    amounts = np.asarray(amounts, dtype=float)
    return Course(
        kind,
        amounts,
        (size * lower, size * upper),
        (10 * size[:, 0], 4 * size[:, 0]),
        np.broadcast_to(0.8 * np.asarray(kept), (images, len(amounts))).copy(),
        np.full(images, 0.8),
    )


def world(upper_is_line=True, kept_when_turned=0.1, images=8):
    shifts, factors, angles = np.arange(-10.0, 11), np.linspace(1, 1.8, 11), np.arange(0.0, 360, 45)
    step = (shifts != 0).astype(float)
    up = np.abs(shifts) if upper_is_line else step
    turned = np.where(angles == 0, 1.0, kept_when_turned)
    grown = (factors > 1).astype(float)
    return {
        "translation": course("translation", shifts, step, up, np.ones(21), images),
        "scale": course(
            "scale", factors, grown, factors - 1 if upper_is_line else grown, np.ones(11), images
        ),
        "rotation": course(
            "rotation", angles, (angles > 0) * 1.0, (angles > 0) * 1.0, turned, images
        ),
    }


def judged(courses, symmetric=None):
    scores = {kind: image_scores(one) for kind, one in courses.items()}
    return {f.claim: f for f in findings(scores, symmetric, symmetric is not None, 0)}


def test_the_paper_s_world_bears_the_paper_out():
    found = judged(world())
    assert {f.holds for f in found.values()} == {True} and len(found) == 3
    assert found["fig5/layer1_sharp"].value == pytest.approx(1 - 0.1)
    assert found["fig5/quasi_linear"].value == pytest.approx(1)
    assert found["fig5/not_rotation"].value == pytest.approx(0.1)


def test_another_world_does_not():
    found = judged(world(upper_is_line=False, kept_when_turned=0.9))
    assert {f.holds for f in found.values()} == {False}
    assert found["fig5/layer1_sharp"].value == pytest.approx(0)


def bent(power, images=8):
    """A world whose upper layer moves as x to a power, and whose lower layer leaps."""
    courses = world(images=images)
    for kind, start in (("translation", 0.0), ("scale", 1.0)):
        old = courses[kind]
        x = np.abs(old.amounts - start)
        courses[kind] = course(kind, old.amounts, x > 0, x**power, np.ones(len(x)), images)
    return courses


def test_quasi_linear_has_a_threshold():
    """A root is straighter than a step, and not quasi-linear; near enough to a line is."""
    root, nearly = (judged(bent(power)) for power in (0.5, 0.8))
    assert root["fig5/layer1_sharp"].holds and not root["fig5/quasi_linear"].holds
    assert 0.5 < root["fig5/quasi_linear"].value < 0.9 < nearly["fig5/quasi_linear"].value < 1
    assert nearly["fig5/quasi_linear"].holds


def test_a_layer_1_as_straight_as_layer_7_is_no_finding():
    courses = bent(1.0)
    for kind in ("translation", "scale"):
        old = courses[kind]
        courses[kind] = course(
            kind, old.amounts, old.distance[1][0], old.distance[1][0], np.ones(old.amounts.size)
        )
    found = judged(courses)
    assert found["fig5/quasi_linear"].value == pytest.approx(1)
    assert not found["fig5/quasi_linear"].holds and not found["fig5/layer1_sharp"].holds


def test_few_images_are_not_judged():
    assert {f.holds for f in judged(world(images=4)).values()} == {None}


def test_symmetric_objects_and_right_angles_are_scored():
    courses, alike = world(images=12), np.arange(12) < 6
    turned = courses["rotation"].probability
    turned[:6, 1:] = 0.72
    turned[6:, [2, 4, 6]] = 0.4
    found = judged(courses, alike)
    gap = found["control/fig5/rotation_symmetric"]
    # Others keep half at three angles of seven, a tenth at four.
    assert gap.value == pytest.approx(0.9 - (3 * 0.5 + 4 * 0.1) / 7) and gap.holds
    right = found["control/fig5/right_angles"]
    assert right.value == pytest.approx((0 + 0.4) / 2) and right.holds
    few = judged(courses, np.arange(12) < 2)["control/fig5/rotation_symmetric"]
    assert few.holds is None


def test_the_summary_names_each_measure_once():
    scores = {kind: image_scores(one) for kind, one in world().items()}
    rows = score_rows(scores, 0)
    keys = [(row["kind"], row["measure"]) for row in rows]
    assert len(keys) == len(set(keys)) == 3 * 9 + 2
    half = next(r for r in rows if (r["kind"], r["measure"]) == ("translation", "layer7/half"))
    assert half["value"] == pytest.approx(5 / 4)  # half of 10 over a norm of 4
