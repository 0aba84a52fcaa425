"""Linear classifiers on a layer: the optimum by its gradient, features image by image."""

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, TensorDataset

import deconv
from deconv.data.average_precision import ABSENT, IGNORED, PRESENT
from deconv.errors import DeconvError
from deconv.studies.probes import Reduction
from deconv.studies.probes.one_vs_rest import (
    average_precisions,
    chance_precisions,
    choose_strength,
    fit_one_vs_rest,
    layer_values,
    mean_of_known,
)


def some_data(images=60, width=7, classes=4, seed=0):
    rng = np.random.default_rng(seed)
    values = rng.normal(3.0, 5.0, (images, width))
    values[:, 2] = 1.5  # a unit that never changes
    truth = values @ rng.normal(size=(width, classes)) + rng.normal(0, 5, (images, classes))
    marks = np.where(truth > np.median(truth, 0), PRESENT, ABSENT)
    marks[rng.random((images, classes)) < 0.2] = IGNORED
    return values, marks


@pytest.mark.parametrize("strength", [0.01, 1.0])
def test_each_classifier_is_the_optimum_of_its_own_images(strength):
    """There the gradient of ½|w|² + strength · Σ log(1 + exp(−y(wx + b))) is zero."""
    values, marks = some_data()
    model = fit_one_vs_rest(values, marks, strength)
    unit = (values - values.mean(0)) / np.where(values.std(0) > 0, values.std(0), 1)
    for number in range(4):
        limit = 1.01e-4 * strength * (marks[:, number] != IGNORED).sum()  # the solver's tolerance
        gradient, offset = model.weights[number].copy(), 0.0
        for x, mark in zip(unit, marks[:, number], strict=True):
            if mark != IGNORED:
                pull = mark / (
                    1 + np.exp(mark * (model.weights[number] @ x + model.offsets[number]))
                )
                gradient -= strength * pull * x
                offset -= strength * pull
        assert np.abs(gradient).max() < limit and abs(offset) < limit
        assert np.abs(model.weights[number]).max() > 0.01
    by_hand = unit[5] @ model.weights[1] + model.offsets[1]
    assert model.scores(values[5:6])[0, 1] == pytest.approx(by_hand)


def test_a_class_with_one_kind_of_image_is_left_out_and_the_others_are_not():
    values, marks = some_data()
    marks[:, 1] = np.where(marks[:, 1] == IGNORED, IGNORED, PRESENT)
    marks[:, 2] = ABSENT
    model = fit_one_vs_rest(values, marks, 0.1)
    scores = model.scores(values)
    assert np.isnan(scores[:, 1:3]).all() and np.isfinite(scores[:, [0, 3]]).all()
    precisions = average_precisions(scores, marks)
    assert np.isnan(precisions[1:3]).all()
    assert mean_of_known(precisions) == pytest.approx((precisions[0] + precisions[3]) / 2)
    assert np.isnan(mean_of_known(precisions[1:3]))


def test_the_strength_is_chosen_on_images_that_are_not_trained_on():
    """One cause seen dimly in many dimensions: what fits every training image learns the noise."""
    rng = np.random.default_rng(3)
    cause = rng.normal(size=(150, 1))
    values = cause + rng.normal(0, 6, (150, 120))
    marks = np.where(cause > 0, PRESENT, ABSENT)
    best, tried = choose_strength(values, marks, [1e-4, 0.01, 100.0], seed=0)
    assert set(tried) == {1e-4, 0.01, 100.0} and tried[best] == max(tried.values())
    assert tried[best] > tried[100.0] + 0.02
    assert choose_strength(values, np.full((150, 1), ABSENT), [1.0, 0.5], 0)[0] == 0.5
    with pytest.raises(DeconvError, match="must be positive, got 0"):
        fit_one_vs_rest(values, marks, 0)


def test_values_are_those_of_each_image_alone():
    net = deconv.build("zfnet_mini", 3, input_px=64, fc_width=16, init="he_pixels", seed=0).train()
    images = 50 * torch.randn(7, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    marks = torch.arange(14).reshape(7, 2).to(torch.int8)
    for layer in ("fc7", "conv5"):
        loader = DataLoader(TensorDataset(images, marks), 3)
        values, same = layer_values(net, loader, layer, Reduction())
        one = torch.cat([net.record(x[None], [layer]).activations[layer] for x in images])
        np.testing.assert_allclose(values, one.flatten(1), rtol=1e-4, atol=1e-5)
        assert np.array_equal(same, marks.numpy()) and net.training


def test_chance_is_what_random_orders_bring():
    """Of one image among n, the mean of 1/rank: the n-th harmonic number over n."""
    n = 5
    marks = np.array([[PRESENT], *[[ABSENT]] * (n - 1)])
    scores = np.arange(n, dtype=float)[:, None]
    wanted = sum(1 / rank for rank in range(1, n + 1)) / n
    found = np.mean([chance_precisions(scores, marks, seed)[0] for seed in range(40)])
    assert found == pytest.approx(wanted, abs=0.04) and found > 1 / n + 0.15
