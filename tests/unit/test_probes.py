"""Linear probes against scikit-learn, loops and typed-out cases."""

import math
from itertools import product

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score
from sklearn.preprocessing import StandardScaler, normalize
from sklearn.svm import LinearSVC
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import deconv
from deconv.data import CentreCrops
from deconv.errors import DeconvError
from deconv.scenes import Scenes
from deconv.studies.probes import (
    SCALINGS,
    Reduction,
    Scaling,
    class_accuracies,
    extract,
    fit_linear,
    held_out,
    kept_features,
    probe,
    rotated,
)
from deconv.studies.probes.folds import over_folds, random_folds, sizes_within


def clouds(images=120, features=15, classes=5, seed=0, apart=1.5):
    """Gaussian clouds that overlap, float64, centred, and their labels."""
    random = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    x = random.normal(size=(images, features))
    x[np.arange(images), labels] += apart
    return torch.tensor(x - x.mean(0)), torch.tensor(labels)


# Folds


def test_few_images_are_a_part_of_many_and_what_is_left_out_takes_no_part():
    data = Scenes(17 * 9, 0, 32)
    few, many = random_folds(data, [2, 5], 1, seed=3, test_per_class=50)
    assert set(few.train) < set(many.train) and len(many.train) == 17 * 5
    assert not set(many.train) & set(many.test) and len(many.test) == 17 * 4
    (less,) = random_folds(data, [2], 1, 3, None, without=[0, 7, 20])
    assert not {0, 7, 20} & {*less.train, *less.test} and len(less.train) == 17 * 2
    with pytest.raises(DeconvError, match="is a class of 1 image"):
        sizes_within(Scenes(20, 0, 32), (15, 30))


def test_means_and_spreads_over_folds():
    row = {"network": "n", "classifier": "svm", "layer": "1", "point": "norm1", "per_class": 3}
    table = over_folds(
        [row | {"mean_class": v} for v in (1.0, 2.0, 6.0)]
        + [row | {"layer": "2", "mean_class": 4.0}]
    )
    assert table[0]["mean"] == 3.0
    assert table[0]["std"] == pytest.approx(np.std([1, 2, 6], ddof=1), abs=1e-4)
    assert table[1] == row | {"layer": "2", "mean": 4.0, "std": "", "folds": 1}


# Classifiers


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_the_svm_is_that_of_liblinear(c):
    x, y = clouds()
    ours = fit_linear(x, y, 5, "svm", c, tolerance=1e-9)
    # A large intercept_scaling makes its penalty on the bias vanish.
    theirs = LinearSVC(C=c, intercept_scaling=1e3, tol=1e-10, max_iter=10**6, dual=False)
    theirs.fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(ours.weight.T, theirs.coef_, atol=1e-5)
    np.testing.assert_allclose(ours.bias, theirs.intercept_, atol=1e-5)
    assert (ours.scores(x).argmax(1).numpy() == theirs.predict(x.numpy())).all()


@pytest.mark.parametrize("c", [0.1, 1.0, 10.0])
def test_the_softmax_is_that_of_scikit_learn(c):
    x, y = clouds(seed=1)
    ours = fit_linear(x, y, 5, "softmax", c, tolerance=1e-9)
    theirs = LogisticRegression(C=c, tol=1e-10, max_iter=10**4).fit(x.numpy(), y.numpy())
    np.testing.assert_allclose(ours.weight.T, theirs.coef_, atol=1e-5)
    np.testing.assert_allclose(
        ours.scores(x).log_softmax(1), theirs.predict_log_proba(x.numpy()), atol=1e-4
    )


def test_a_fit_says_how_far_it_converged_and_may_start_anywhere():
    x, y = clouds()
    rough = fit_linear(x, y, 5, "softmax", 1.0, tolerance=1e-1)
    fine = fit_linear(x, y, 5, "softmax", 1.0, tolerance=1e-8)
    assert fine.gradient <= 1e-8 < rough.gradient <= 1e-1
    other = fit_linear(x, y, 5, "softmax", 1.0, start=rough, tolerance=1e-8)
    torch.testing.assert_close(other.weight, fine.weight, atol=1e-6, rtol=0)
    assert not fine.weight.requires_grad


def test_a_fit_in_float32_ends_where_its_objective_cannot_fall_any_more():
    """At a distance d from the optimum the objective is d² higher and its gradient is d: where
    d² is lost in the rounding ε of the objective, d is still √ε."""
    x, y = clouds()
    single = fit_linear(x.float(), y, 5, "softmax", 1.0, tolerance=1e-30)
    fine = fit_linear(x, y, 5, "softmax", 1.0, tolerance=1e-10)

    def objective(fit):
        scores = x @ fit.weight.double() + fit.bias.double()
        loss = -scores.log_softmax(1)[torch.arange(len(y)), y].sum()
        return float(0.5 * fit.weight.double().square().sum() + loss)

    epsilon = torch.finfo(torch.float32).eps
    assert single.weight.dtype == torch.float32 and single.gradient < epsilon**0.5
    assert objective(fine) <= objective(single) <= objective(fine) * (1 + 8 * epsilon)


def test_what_cannot_be_fitted_is_refused():
    x, y = clouds()
    with pytest.raises(DeconvError, match=r"unknown classifier 'svn'\. Did you mean 'svm'"):
        fit_linear(x, y, 5, "svn", 1.0)
    with pytest.raises(DeconvError, match="C must be positive, got 0"):
        fit_linear(x, y, 5, "svm", 0)


# Scaling and rotation


def test_scalings_are_those_of_scikit_learn_with_mean_squared_length_one():
    train = torch.tensor(np.random.default_rng(0).gamma(1.0, size=(30, 8)))
    test = torch.tensor(np.random.default_rng(1).gamma(1.0, size=(5, 8)))
    train[:, 3] = test[:, 3] = 2.5  # a map that never changes
    means = {
        "none": lambda x: x.numpy(),
        "l2": lambda x: normalize(x.numpy()),
        "standardise": StandardScaler().fit(train.numpy()).transform,
    }
    assert set(means) == set(SCALINGS)
    for how, other in means.items():
        scale = Scaling.of(train, how)
        mean = other(train).mean(0)
        factor = math.sqrt(((other(train) - mean) ** 2).sum(1).mean())
        for x in (train, test):
            np.testing.assert_allclose(scale(x), (other(x) - mean) / factor, atol=1e-12)
        assert scale(train).pow(2).sum(1).mean() == pytest.approx(1)


def test_a_dead_image_stays_finite_and_equal_features_are_refused():
    x = torch.rand(6, 4)
    x[2] = 0
    for how in SCALINGS:
        assert Scaling.of(x, how)(x).isfinite().all()
    for how in SCALINGS:
        with pytest.raises(DeconvError, match="all training images have the same features"):
            Scaling.of(torch.full((6, 4), 0.7), how)
    with pytest.raises(DeconvError, match="unknown scaling of features 'l1'"):
        Scaling.of(x, "l1")


def test_rotation_keeps_products_and_what_a_classifier_answers():
    x, y = clouds(images=40, features=90)
    more, _ = clouds(images=25, features=90, seed=9)
    a, b = rotated(x, more)
    assert a.shape == (40, 40) and b.shape == (25, 40)
    torch.testing.assert_close(a @ a.T, x @ x.T)
    torch.testing.assert_close(b @ a.T, more @ x.T)
    for kind in ("svm", "softmax"):
        straight = fit_linear(x, y, 5, kind, 1.0, tolerance=1e-9).scores(more)
        turned = fit_linear(a, y, 5, kind, 1.0, tolerance=1e-9).scores(b)
        torch.testing.assert_close(turned, straight, atol=1e-4, rtol=0)
    wide, other = rotated(x[:, :9], more[:, :9])
    assert wide.shape == (40, 9) and torch.equal(other, more[:, :9])


# Accuracy, and the whole probe


def test_mean_accuracy_per_class_by_a_loop_and_by_scikit_learn():
    random = np.random.default_rng(0)
    labels = np.concatenate([np.arange(7), random.integers(0, 7, 80)])
    found = np.where(random.random(87) < 0.6, labels, random.integers(0, 7, 87))
    each = class_accuracies(torch.tensor(found), torch.tensor(labels), 7)
    for k in range(7):
        right = sum(f == k for f, y in zip(found, labels, strict=True) if y == k)
        assert each[k] == pytest.approx(100 * right / sum(y == k for y in labels))
    assert each.mean() == pytest.approx(100 * balanced_accuracy_score(labels, found))
    assert abs(each.mean() - 100 * (found == labels).mean()) > 0.1, "classes differ in size"
    with pytest.raises(DeconvError, match=r"no test image in the classes \[7\]"):
        class_accuracies(torch.tensor(found), torch.tensor(labels), 8)


def test_a_fifth_of_each_class_chooses_c():
    labels = torch.tensor([0] * 14 + [1] * 4 + [2] * 2 + [3])
    aside = held_out(labels, seed=0)
    assert [int(aside[labels == k].sum()) for k in range(4)] == [2, 1, 1, 0]
    assert torch.equal(aside, held_out(labels, seed=0))
    assert any(not torch.equal(aside, held_out(labels, seed)) for seed in range(1, 5))


@pytest.mark.parametrize("kind", ["svm", "softmax"])
def test_a_probe_is_the_same_steps_with_scikit_learn(kind):
    x, y = clouds(images=150, features=200, apart=2.5, seed=3)
    train, test = (x[:100].float(), y[:100]), (x[100:].float(), y[100:])
    grid = (0.01, 0.3, 10.0)
    found = probe(train, test, kind, grid, "standardise", seed=4)

    def theirs(fit, judged, c):
        if kind == "svm":
            model = LinearSVC(C=c, intercept_scaling=1e3, tol=1e-8, max_iter=10**6, dual=False)
        else:
            model = LogisticRegression(C=c, tol=1e-8, max_iter=10**4)
        answers = model.fit(*fit).predict(judged[0])
        return 100 * balanced_accuracy_score(judged[1], answers)

    scale = StandardScaler().fit(train[0].numpy())
    a, b = (scale.transform(part[0].numpy()) / math.sqrt(200) for part in (train, test))
    aside = held_out(train[1], 4).numpy()
    labels = train[1].numpy()
    tried = {c: theirs((a[~aside], labels[~aside]), (a[aside], labels[aside]), c) for c in grid}
    assert found.tried == pytest.approx(tried, abs=5.1), "one held-out image of 20 may fall over"
    assert found.c == max(found.tried, key=found.tried.get)
    assert found.mean_class == pytest.approx(
        theirs((a, labels), (b, test[1].numpy()), found.c), abs=2.1
    )
    assert found.mean_class > 40, "far above the 20 % of guessing"


def test_test_images_decide_nothing_but_the_accuracy():
    x, y = clouds(images=150, features=40, seed=5)
    train, grid = (x[:100], y[:100]), (0.01, 0.3, 10.0)
    found = [
        probe(train, (test, y[100:]), "svm", grid, "standardise")
        for test in (x[100:], 50 * torch.rand_like(x[100:]))
    ]
    assert found[0].tried == found[1].tried and found[0].c == found[1].c
    assert found[0].gradient == found[1].gradient and found[0].mean_class > found[1].mean_class


def test_one_image_a_class_takes_the_middle_c():
    x, y = clouds(images=20)
    found = probe((x[:5], y[:5]), (x[5:], y[5:]), "svm", (1, 10, 100))
    assert found.c == 10 and found.tried == {}


# Features


@pytest.mark.parametrize(("side", "most", "grid"), [(13, 8 * 36, 6), (13, 8 * 48, 6), (7, 8, 1)])
def test_maps_are_averaged_over_cells_of_a_grid(side, most, grid):
    maps = torch.rand(2, 8, side, side, dtype=torch.float64)
    wanted = torch.zeros(2, 8, grid, grid)
    for i in range(grid):
        for j in range(grid):
            rows = range(i * side // grid, math.ceil((i + 1) * side / grid))
            columns = range(j * side // grid, math.ceil((j + 1) * side / grid))
            cells = [maps[:, :, y, x] for y in rows for x in columns]
            wanted[:, :, i, j] = sum(cells) / len(cells)
    got = Reduction(most)(maps)
    assert got.dtype == torch.float32
    torch.testing.assert_close(got, wanted.flatten(1).float())


@pytest.mark.parametrize(("size", "pooled"), [((13, 11), [2, 1]), ((7, 7), [3]), ((1, 1), [1, 2])])
def test_maps_are_pooled_to_grids_side_by_side(size, pooled):
    maps, wanted = torch.randn(2, 5, *size), []
    for grid in pooled if size != (1, 1) else [1]:
        for n, channel in product(range(2), range(5)):
            for i, j in product(range(grid), repeat=2):
                rows, columns = (
                    slice(k * side // grid, math.ceil((k + 1) * side / grid))
                    for k, side in zip((i, j), size, strict=True)
                )
                wanted.append(float(maps[n, channel, rows, columns].max()))
    got = Reduction(1, tuple(pooled))(maps)
    grids = [g for g in pooled if g <= min(size)]
    parts = got.split([5 * g * g for g in grids], 1)
    assert torch.cat([part.flatten() for part in parts]).tolist() == pytest.approx(wanted)
    units = torch.randn(2, 5)
    assert torch.equal(Reduction(pooled=tuple(pooled))(units), units)


def test_small_layers_stay_as_they_are():
    maps = torch.rand(2, 8, 6, 6)
    assert torch.equal(Reduction(288)(maps), maps.flatten(1))
    units = torch.rand(2, 40)
    assert torch.equal(Reduction(40)(units), units)
    assert Reduction()(torch.rand(1, 96, 55, 55)).shape == (1, 96 * 10 * 10)
    for shape in ((1, 40), (1, 40, 3, 3)):
        with pytest.raises(DeconvError, match="40 maps or units are more than max_features=39"):
            Reduction(39)(torch.rand(shape))


def test_features_are_those_of_a_plain_forward_pass():
    net = deconv.build("zfnet_mini", num_classes=3, input_px=56, seed=0)
    images = 50 * torch.randn(5, 3, 56, 56)
    loader = DataLoader(TensorDataset(images, torch.zeros(5)), batch_size=2)
    got = extract(net, loader, ["norm2", "fc7"], Reduction(512), progress=False)
    x, wanted = images, {}
    for name, stage in net.named_children():
        x = stage(x)
        wanted[name] = x
    pooled = nn.AdaptiveAvgPool2d(2)(wanted["norm2"]).flatten(1)
    torch.testing.assert_close(got["norm2"], pooled.detach(), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(got["fc7"], wanted["relu7"].detach(), atol=1e-4, rtol=1e-4)
    images[3, 0, 9, 9] = float("nan")
    with pytest.raises(DeconvError, match="norm2 of zfnet_mini holds NaN for image 1 of the batch"):
        extract(net, loader, ["norm2"], progress=False)


def test_features_of_others_are_those_of_a_hook_pooled_by_loops():
    net, seen, hooks = deconv.build("torchvision/squeezenet1_0", 5, input_px=64, seed=0), {}, []
    for i in (3, 12):
        keep = net.module.features[i].register_forward_hook
        hooks.append(keep(lambda module, inputs, value, i=i: seen.update({i: value.clone()})))
    images = 60 * torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        net.module(images / net.divide_by)
    for hook in hooks:
        hook.remove()
    points = [f"features.{i}" for i in seen]
    found = extract(net, [images], points, Reduction(pooled=(1, 2)), progress=False)
    for i, maps in seen.items():
        height, width = maps.shape[2:]
        wanted = [[float(one.max()) for one in image] for image in maps]
        for image, row in zip(maps, wanted, strict=True):
            for one in image:
                for y in (slice(0, -(-height // 2)), slice(height // 2, height)):
                    for x in (slice(0, -(-width // 2)), slice(width // 2, width)):
                        row.append(float(one[y, x].max()))
        torch.testing.assert_close(
            found[f"features.{i}"], torch.tensor(wanted), rtol=1e-4, atol=1e-4
        )


def test_features_are_kept_for_the_same_weights_images_and_reduction(tmp_path, monkeypatch):
    net = deconv.build("zfnet_mini", 3, input_px=56, fc_width=16, seed=0)
    crops = CentreCrops(Scenes(6, 0, 64), torch.full((3, 64, 64), 120.0), 56)
    passes, once = [], kept_features.extract

    def extract(net, loader, points, reduction):
        passes.append(list(points))
        return once(net, loader, points, reduction, progress=False)

    monkeypatch.setattr(kept_features, "extract", extract)

    def features(net=net, points=("conv1", "fc7"), most=500, folder=tmp_path):
        reduction = Reduction(most)
        return kept_features.features_of(net, crops, points, reduction, [4, 1], folder=folder)

    some, images = features(folder=None)
    first, every = features()
    again, _ = features(points=("conv1", "fc7", "conv2"))
    assert passes == [["conv1", "fc7"]] * 2 + [["conv2"]]
    assert list(images) == [4, 1] and list(every) == list(range(6))
    for point, values in first.items():
        assert torch.equal(again[point], values)
        torch.testing.assert_close(some[point], values[[4, 1]])
    features(net=deconv.build(**net.recipe, seed=1))
    features(most=400)
    assert len(passes) == 5, "of other weights and of another reduction anew"
