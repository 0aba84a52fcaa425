"""Sparse coding with switches against loops, dense matrices, autograd and scikit-learn's Lasso."""

import numpy as np
import pytest
import torch
from sklearn.linear_model import Lasso

from deconv.errors import DeconvError
from deconv.studies.sparse_coding import (
    AdaptiveDeconvNet,
    decompose,
    encode,
    fit_filters,
    infer,
    inside,
    lipschitz,
    pick,
    pool_blocks,
    project_units,
    strongest_units,
    train,
    unpool_blocks,
    view_maps,
)
from deconv.studies.sparse_coding import inference as inference_module


def randn(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def small(lambdas=(2.0, 2.0), seed=0):
    return AdaptiveDeconvNet([4, 6], [3, 3], list(lambdas), seed=seed).double()


@pytest.fixture
def two_layers():
    """(net, images 2×1×8×8, switches of layer 1)."""
    net, images = small(), randn(2, 1, 8, 8, seed=1)
    return net, images, [pool_blocks(randn(2, 4, 8, 8, seed=2), 2, 2)[1]]


def dense(net, layer, switches, image):
    """R_l of one image as a matrix, by loops over filters, switches and pixels alone."""
    side, own = 8, [one[image].numpy() for one in switches]

    def spread(maps, weight):
        _, depth, k, _ = weight.shape
        size = maps.shape[-1]
        out = np.zeros((depth, size, size))
        for m, y, x in zip(*np.nonzero(maps), strict=True):
            for d in range(depth):
                for i in range(k):
                    for j in range(k):
                        a, b = y + i - k // 2, x + j - k // 2
                        if 0 <= a < size and 0 <= b < size:
                            out[d, a, b] += maps[m, y, x] * weight[m, d, i, j]
        return out

    def unpooled(pooled, at):
        k, h, w = pooled.shape
        out = np.zeros((2 * k, 2 * h, 2 * w))
        for m in range(k):
            for y in range(h):
                for x in range(w):
                    which, rest = divmod(int(at[m, y, x]), 4)
                    out[2 * m + which, 2 * y + rest // 2, 2 * x + rest % 2] += pooled[m, y, x]
        return out

    weights = [one.detach().numpy() for one in net.filters]
    shape = (len(weights[layer - 1]), side // 2 ** (layer - 1), side // 2 ** (layer - 1))
    columns = []
    for n in range(int(np.prod(shape))):
        maps = np.zeros(np.prod(shape))
        maps[n] = 1
        maps = maps.reshape(shape)
        for at in range(layer, 0, -1):
            maps = spread(maps, weights[at - 1])
            if at > 1:
                maps = unpooled(maps, own[at - 2])
        columns.append(maps.ravel())
    return np.stack(columns, 1)


def test_pooling_against_loops():
    maps = randn(2, 6, 4, 6, seed=3)
    maps[0, :2, :2, :2] = 0  # equals: the first wins
    maps[0, 2:4, :2, :2] = torch.tensor([-1.0, 1, 1, -1] * 2).view(2, 2, 2)
    for size, across in ((2, 2), (2, 3), (1, 2), (2, 1)):
        pooled, switches = pool_blocks(maps, size, across)
        back = unpool_blocks(pooled, switches, size, across)
        assert back.shape == maps.shape
        places = np.ndindex(*pooled.shape)
        for n, k, y, x in places:
            at = (
                n,
                slice(k * across, (k + 1) * across),
                slice(y * size, (y + 1) * size),
                slice(x * size, (x + 1) * size),
            )
            block = maps[at].flatten()
            best = int(np.argmax(np.abs(block.numpy())))
            assert int(switches[n, k, y, x]) == best
            assert pooled[n, k, y, x] == block[best]
            wanted = torch.zeros_like(block)
            wanted[best] = block[best]
            assert torch.equal(back[at].flatten(), wanted)
        other = randn(*pooled.shape, seed=5)
        torch.testing.assert_close(
            (unpool_blocks(other, switches, size, across) * maps).sum(),
            (other * pick(maps, switches, size, across)).sum(),
        )


def test_blocks_that_do_not_divide_are_refused():
    for shape in ((1, 3, 4, 4), (1, 4, 5, 4), (1, 4, 4, 5)):
        with pytest.raises(DeconvError, match="do not divide"):
            pool_blocks(torch.zeros(shape), 2, 2)


@pytest.mark.parametrize("layer", [1, 2])
def test_reconstruction_is_the_dense_matrix_and_up_its_transpose(two_layers, layer):
    net, images, switches = two_layers
    maps = randn(*net.map_shape(layer, images), seed=7)
    down, up = net.down(layer, maps, switches), net.up(layer, images, switches)
    torch.testing.assert_close((down * images).sum(), (maps * up).sum())
    bounds = lipschitz(net, layer, images, switches, iterations=3000)
    for n in range(2):
        matrix = dense(net, layer, switches, n)
        np.testing.assert_allclose(down[n].numpy().ravel(), matrix @ maps[n].numpy().ravel())
        np.testing.assert_allclose(
            up[n].numpy().ravel(), matrix.T @ images[n].numpy().ravel(), atol=1e-12
        )
        largest = np.linalg.norm(matrix, 2) ** 2
        assert float(bounds[n]) == pytest.approx(largest, rel=1e-3)
        assert float(bounds[n]) <= largest * (1 + 1e-9)


@pytest.mark.parametrize(("solver", "layer"), [("fista", 1), ("fista", 2), ("ista", 1)])
def test_inference_finds_what_scikit_learns_lasso_finds(two_layers, solver, layer):
    net, images, switches = two_layers
    steps = {"fista": 1500, "ista": 5000}[solver]
    found = infer(net, layer, images, switches, steps, solver=solver, competition=False)
    for n in range(2):
        matrix, y = dense(net, layer, switches, n), images[n].numpy().ravel()
        # Lasso: |y - Xw|²/(2·64) + alpha·|w|₁; times 64·λ it is C with alpha = 1/(64·λ).
        other = Lasso(alpha=1 / (64 * 2.0), fit_intercept=False, tol=1e-14, max_iter=200000)
        w = other.fit(matrix, y).coef_
        lowest = 2.0 / 2 * ((matrix @ w - y) ** 2).sum() + np.abs(w).sum()
        assert float(found.cost[-1, n]) == pytest.approx(lowest, rel=1e-5)
        np.testing.assert_allclose(matrix @ found.maps[n].numpy().ravel(), matrix @ w, atol=2e-2)


@pytest.mark.parametrize("competition", [False, True])
@pytest.mark.parametrize("solver", ["fista", "ista"])
def test_cost_never_rises_and_is_what_it_says(two_layers, solver, competition, monkeypatch):
    net, images, switches = two_layers
    for margin in (1.1, 0.2):  # the second: far too long a step, which has to be noticed
        monkeypatch.setattr(inference_module, "MARGIN", margin)
        found = infer(net, 2, images, switches, 60, solver=solver, competition=competition)
        assert (found.cost[1:] <= found.cost[:-1]).all()
        assert (found.cost[-1] < 0.9 * found.cost[0]).all(), (margin, found.cost[[0, -1]])
        if margin < 1:
            assert found.refused.sum() > 0
        for n in range(2):
            residual = dense(net, 2, switches, n) @ found.maps[n].numpy().ravel()
            error = ((residual - images[n].numpy().ravel()) ** 2).sum()
            assert float(found.error[n]) == pytest.approx(error)
            wanted = 2.0 / 2 * error + float(found.maps[n].abs().sum())
            assert float(found.cost[-1, n]) == pytest.approx(wanted)
        if competition:
            back = unpool_blocks(*pool_blocks(found.maps, 2, 2), 2, 2)
            assert torch.equal(back, found.maps)


def test_one_step_is_shrinkage_against_autograds_gradient(two_layers):
    net, images, switches = two_layers
    start = 0.3 * randn(*net.map_shape(2, images), seed=9)
    maps = start.clone().requires_grad_()
    (2.0 / 2 * (net.down(2, maps, switches) - images).square().sum()).backward()
    step = 1 / (1.1 * 2.0 * lipschitz(net, 2, images, switches)).view(-1, 1, 1, 1)
    wanted = torch.nn.functional.softshrink((start - step * maps.grad) / step, 1.0) * step
    found = infer(net, 2, images, switches, 1, competition=False, start=start)
    torch.testing.assert_close(found.maps, wanted)


def test_the_step_with_competition_is_the_best_of_each_block():
    """Its proximal step: the lowest |z - v|²/2 + b·|z| with one non-zero value, by trying all."""
    values, by = randn(1, 2, 2, 2, seed=11), 0.4
    net = AdaptiveDeconvNet([2], [1], [1.0]).double()
    found = inference_module._proximal(net, values, torch.tensor([by]).double(), True).flatten()
    v = values.flatten().numpy()
    tries = [np.zeros(8)]
    for i in range(8):
        one = np.zeros(8)
        one[i] = np.sign(v[i]) * max(abs(v[i]) - by, 0)
        tries.append(one)
    costs = [((z - v) ** 2).sum() / 2 + by * np.abs(z).sum() for z in tries]
    np.testing.assert_allclose(found.numpy(), tries[int(np.argmin(costs))])


@pytest.mark.parametrize("layer", [1, 2])
def test_filters_are_the_least_squares_of_a_dense_matrix(two_layers, layer):
    net, images, switches = two_layers
    count, depth = net.filters[layer - 1].shape[:2]
    maps = randn(*net.map_shape(layer, images), seed=13)
    maps[:, 1] = 0  # a dead map: its filter has nothing to learn
    dead = net.filters[layer - 1][1].clone()
    unit = torch.eye(count * depth * 9, dtype=torch.float64).view(-1, count, depth, 3, 3)
    columns = [net.down(layer, maps, switches, one).flatten().numpy() for one in unit]
    matrix, y = np.stack(columns, 1), images.numpy().ravel()
    best = np.linalg.lstsq(matrix, y, rcond=None)[0]
    lowest = ((matrix @ best - y) ** 2).sum()
    before = float((net.down(layer, maps, switches) - images).square().sum())
    few = fit_filters(small_copy(net), layer, images, maps.clone(), switches, 2)
    left = fit_filters(net, layer, images, maps, switches, 400)
    assert left < few < before
    assert left == pytest.approx(lowest, rel=1e-5, abs=1e-8)
    torch.testing.assert_close(
        net.filters[layer - 1].flatten(1).norm(dim=1), torch.ones(count, dtype=torch.float64)
    )
    if layer == 1:  # above, several filters are equally good
        wanted = torch.from_numpy(best).view(count, -1)[[0, 2, 3]]
        wanted = wanted / wanted.norm(dim=1, keepdim=True)
        torch.testing.assert_close(net.filters[0].flatten(1)[[0, 2, 3]], wanted, atol=1e-3, rtol=0)
    torch.testing.assert_close(net.filters[layer - 1][1], dead)


def small_copy(net):
    other = small()
    other.load_state_dict(net.state_dict())
    return other


def test_slope_of_the_filters_is_autograds(two_layers):
    from deconv.studies.sparse_coding.learning import _weight_slope

    net, images, switches = two_layers
    maps = randn(*net.map_shape(2, images), seed=17)
    weight = net.filters[1].detach().clone().requires_grad_()
    residual = images - net.down(2, maps, switches, weight)
    residual.square().sum().backward()
    slope = _weight_slope(net, 2, [residual.detach()], maps, switches)
    torch.testing.assert_close(slope, -weight.grad / 2)


def test_learning_lowers_the_cost_and_is_the_same_again():
    images = randn(5, 1, 16, 16, seed=19).float()
    images = torch.nn.functional.avg_pool2d(images, 3, 1, 1)
    how = {"epochs": 3, "steps": 5, "filter_steps": 2, "switch_steps": 8}
    nets, histories, told = [], [], []
    for _ in range(2):
        net = AdaptiveDeconvNet([4, 6], [3, 3], [20.0, 20.0], seed=4)
        start = [one.clone() for one in net.filters]
        histories.append(train(net, images, report=told.append, **how))
        nets.append(net)
    assert histories[0] == histories[1] and told == histories[0] + histories[1]
    for one, other, before in zip(nets[0].filters, nets[1].filters, start, strict=True):
        assert torch.equal(one, other) and not torch.allclose(one, before)
    for layer in (1, 2):
        own = [e for e in histories[0] if e.layer == layer]
        assert own[-1].cost[-1] < own[0].cost[-1] < own[0].cost[0]
        assert all(e.learned <= e.error for e in own)
    other = AdaptiveDeconvNet([4, 6], [3, 3], [20.0, 20.0], seed=5)
    assert train(other, images, **how) != histories[0]
    learned, _ = encode(nets[0], images, 20)
    random, _ = encode(AdaptiveDeconvNet([4, 6], [3, 3], [20.0, 20.0], seed=4), images, 20)
    for one, before in zip(learned, random, strict=True):
        assert one.cost[-1].sum() < before.cost[-1].sum()


def test_chunks_change_nothing_but_rounding(monkeypatch):
    from deconv.studies.sparse_coding import learning

    images, how = randn(5, 1, 8, 8, seed=23), {}
    how = {"epochs": 2, "steps": 4, "filter_steps": 2, "switch_steps": 4}
    found = []
    for chunk in (2, 16):
        monkeypatch.setattr(learning, "CHUNK", chunk)
        net = small()
        # Layer 1 alone: its step is the same whatever else is in the chunk.
        net.filters = net.filters[:1]
        train(net, images, **how)
        found.append(net.filters[0].clone())
    torch.testing.assert_close(*found)


def test_field_is_what_a_unit_paints():
    net = AdaptiveDeconvNet([2, 2, 2], [5, 3, 3], [1.0] * 3).double()
    for layer in (1, 2, 3):
        shape = net.map_shape(layer, torch.empty(1, 1, 64, 64))
        size, stride, start = net.field(layer)
        at, reached = shape[-1] // 2, torch.zeros(64, 64, dtype=torch.bool)
        for trial in range(12):  # the switches decide where in its field it paints
            switches = [
                pool_blocks(randn(*net.map_shape(n, torch.empty(1, 1, 64, 64)), seed=trial), 2, 2)[
                    1
                ]
                for n in (1, 2)
            ]
            units = torch.tensor([[0, 1, at, at]])
            one = project_units(net, layer, units, torch.ones(1).double(), switches, (64, 64))
            reached |= one[0, 0] != 0
        rows = reached.any(dim=1).nonzero().flatten()
        assert int(rows[0]) == at * stride + start and int(rows[-1]) - int(rows[0]) + 1 == size


def test_strongest_units_by_hand():
    maps = torch.zeros(3, 2, 2, 2)
    maps[0, 0, 1, 0], maps[1, 0, 0, 1], maps[1, 0, 1, 1], maps[2, 0, 0, 0] = 2.0, -3.0, 1.0, 2.0
    best = strongest_units(maps, 2)
    assert best.value.tolist() == [[-3.0, 2.0], [0.0, 0.0]]
    assert best.image.tolist() == [[1, 0], [-1, -1]]
    assert (best.y.tolist()[0], best.x.tolist()[0]) == ([0, 1], [1, 0])
    with pytest.raises(DeconvError, match="4 units a map"):
        strongest_units(maps, 4)


def test_parts_add_up_to_the_unit(two_layers):
    net, _, switches = two_layers
    unit, value = torch.tensor([1, 2, 2, 1]), torch.tensor(1.5).double()
    whole, all_parts = decompose(net, 2, unit, value, switches, (8, 8), [10**6])
    alone = project_units(net, 2, unit[None], value[None], switches, (8, 8))[0]
    torch.testing.assert_close(whole, alone)
    torch.testing.assert_close(all_parts, alone)
    _, few = decompose(net, 2, unit, value, switches, (8, 8), [1])
    assert 0 < (few != 0).sum() <= 9
    with pytest.raises(DeconvError, match="1 layers, 2 asked"):
        decompose(net, 2, unit, value, switches, (8, 8), [1, 1])


BAD = {
    "layers of different numbers": (([4], [3, 3], [1.0]), "maps has 1, kernels_px has 2"),
    "no layer": (([], [], []), "maps has 0"),
    "odd maps": (([3], [3], [1.0]), "maps=3"),
    "an even filter": (([4], [4], [1.0]), "kernels_px=4"),
    "no weight": (([4], [3], [0.0]), "lambdas=0.0"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_network_refuses(kind):
    arguments, message = BAD[kind]
    with pytest.raises(DeconvError, match=message):
        AdaptiveDeconvNet(*arguments)


def test_inference_and_learning_refuse():
    net = small()
    for height in (6, 4, 2):
        with pytest.raises(DeconvError, match="too small for layer"):
            net.check_size(height, height)
    none = torch.zeros(0, 1, 8, 8).double()
    with pytest.raises(DeconvError, match="an image at least"):
        infer(net, 1, none, [], 3)
    with pytest.raises(DeconvError, match="unknown solver 'fsta'"):
        infer(net, 1, randn(1, 1, 8, 8), [], 3, solver="fsta")
    with pytest.raises(DeconvError, match="learning takes an image"):
        train(net, none, epochs=1, steps=1, filter_steps=1, switch_steps=1)


def test_views_lie_inside_and_are_cut_to_the_field():
    net = AdaptiveDeconvNet([4, 4], [3, 3], [5.0, 5.0])
    images = torch.randn(3, 1, 16, 16, generator=torch.Generator().manual_seed(0))
    found, switches = encode(net, images, 5)
    size, stride, start = net.field(2)
    kept = inside(net, 2, found[1].maps, 16)
    for i in range(8):
        within = i * stride + start >= 0 and i * stride + start + size <= 16
        assert bool((kept[:, :, i] != 0).any()) <= within
    pixels, units = view_maps(net, 2, found[1].maps, switches, (16, 16))
    assert pixels.shape == (4, 1, size, size)
    for one, (image, number, y, x) in zip(pixels, units.tolist(), strict=True):
        alone = torch.zeros_like(found[1].maps[:1])
        alone[0, number, y, x] = found[1].maps[image, number, y, x].abs()
        whole = net.down(2, alone, [s[image : image + 1] for s in switches])[0]
        top, left = (n * stride + start for n in (y, x))
        torch.testing.assert_close(one, whole[:, top : top + size, left : left + size])
        assert one.square().sum() == pytest.approx(float(whole.square().sum()))
