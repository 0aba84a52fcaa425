"""Sanity checks: what may not matter changes no bit, and what is exchanged is what it says."""

import contextlib
import itertools
from collections import Counter

import numpy as np
import pytest
import torch
from oracles import window_starts
from torch import nn

import deconv
from deconv.errors import DeconvError
from deconv.mining.top_activations import map_maxima
from deconv.records import Peaks
from deconv.rules.run import Run
from deconv.studies import sanity
from deconv.studies.sanity.shares import GOES, PARTLY, STAYS, kept_of, verdict

PX = 32


class Residual(nn.Module):
    """A small residual network with batch normalisation and a pool by function."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 5, 2, 2)
        self.inner, self.outer = (nn.Conv2d(8, 8, 3, padding=1, bias=False) for _ in range(2))
        self.side = nn.Conv2d(8, 8, 1)
        self.batch = nn.BatchNorm2d(8)
        self.pool = nn.MaxPool2d(3, 2, 1)
        self.top, self.fc = nn.Conv2d(8, 6, 3), nn.Linear(6, 5)

    def forward(self, x):
        x = nn.functional.max_pool2d(self.stem(x).relu(), 3, 2)
        x = (self.side(x) + self.batch(self.outer(self.inner(x).relu()))).relu()
        x = self.top(self.pool(x)).relu()
        return self.fc(x.mean((2, 3)))


@pytest.fixture(scope="module")
def chain():
    return deconv.build("zfnet_mini", 5, init="he", seed=0, fc_width=8, input_px=PX)


@pytest.fixture(scope="module")
def graph():
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return deconv.wrap(Residual().eval(), "residual", PX)


@pytest.fixture(params=["chain", "graph"])
def case(request):
    """A network, a layer of it, images, other images, and live units, one an image."""
    net = request.getfixturevalue(request.param)
    layer = "conv4" if request.param == "chain" else "relu:4"
    draw = torch.Generator().manual_seed(3)
    images, others = (torch.randn(3, 3, PX, PX, generator=draw) * 50 for _ in range(2))
    with torch.no_grad():
        values = net.record(images, [layer], logits=False).activations[layer]
    units = []
    for i in range(3):
        m = int(values[i].amax((1, 2)).argmax())
        units.append([i, m, *divmod(int(values[i, m].argmax()), values.shape[-1])])
    return net, layer, images, others, torch.tensor(units)


def weights(net):
    return {name: value.clone() for name, value in net.state_dict().items()}


def same(one, other):
    return all(torch.equal(one[name], other[name]) for name in one)


# Weights


@pytest.mark.parametrize("how", sanity.WAYS)
def test_what_may_not_matter_changes_no_bit_and_weights_come_back(case, how):
    net, layer, images, others, units = case
    before = weights(net)
    stops = {name: [name] for name in net.layers}
    found = list(sanity.variants(net, layer, images, others, units, stops=stops, how=how, seed=1))
    assert same(before, weights(net))
    original = found[0].pictures
    by = {(one.check, one.name): one.pictures for one in found}
    assert original.flatten(1).abs().amax(1).min() > 0
    assert torch.equal(by["above", "all layers above"], original)
    below = sanity.layers_below(net, layer)
    assert not set(below) & set(sanity.layers_above(net, layer)) and below[-1] in net.layers
    assert [name for check, name in by if check == "cascade"] == below[::-1]
    for check, name in itertools.product(("cascade", "independent"), below):
        assert not torch.equal(by[check, name], original), (check, name)
    # The first halt of the cascade is the unit's own layer alone.
    assert torch.equal(by["cascade", below[-1]], by["independent", below[-1]])
    # Nothing random: the picture itself, and similarity 1 exactly.
    with sanity.randomised(net, [], how):
        record = net.record(images, [layer], logits=False)
        again = deconv.project(net, record, layer, units, seed="one")
    assert torch.equal(again, original)
    boxes = [(0, 0, PX, PX)] * 3
    whole = torch.ones(3, dtype=torch.bool)
    assert (sanity.scores(original, again, boxes, whole) == 1).all()


def test_layers_above_are_those_that_a_walk_up_does_not_need(graph, chain):
    assert sanity.layers_above(chain, "conv3") == ["conv4", "conv5", "fc6", "fc7", "fc8"]
    assert sanity.layers_below(chain, "pool2") == ["conv1", "conv2"]
    # One branch does not need the other; their sum needs both.
    assert sanity.layers_above(graph, "outer") == ["side", "top", "fc"]
    assert sanity.layers_below(graph, "add") == ["stem", "side", "inner", "outer"]


def test_a_cascade_halts_at_the_blocks_of_the_units_and_at_others_spread_over_depth(chain):
    assert sanity.choose_stops(chain, ["conv2", "conv4"], 3) == {
        name: [name] for name in ("conv1", "conv2", "conv4")
    }
    assert list(sanity.choose_stops(chain, ["conv2", "conv4"], 1)) == ["conv4"]
    net = deconv.build("torchvision/squeezenet1_0", input_px=64)
    found = sanity.choose_stops(net, ["features.5", "features.12"], 4)
    assert list(found) == ["features.0", "features.5", "features.10", "features.12"]
    assert found["features.12"] == sanity.layers_below(net, "features.12")[-3:]


def test_permuted_weights_are_the_same_numbers_elsewhere(chain):
    before = chain.conv3.weight.detach().clone()
    with sanity.randomised(chain, ["conv3"], "permute", 1):
        inside = chain.conv3.weight.detach().clone()
        assert torch.equal(chain.conv2.weight, chain.conv2.weight)
    assert not torch.equal(inside, before)
    assert sorted(inside.flatten().tolist()) == sorted(before.flatten().tolist())
    with sanity.randomised(chain, ["conv2", "conv3"], "permute", 1):
        assert torch.equal(chain.conv3.weight, inside), "a layer's draw is its own"
    with sanity.randomised(chain, ["conv3"], "permute", 2):
        assert not torch.equal(chain.conv3.weight, inside)


def test_first_weights_are_those_that_build_draws(chain):
    wanted = deconv.build("zfnet_mini", 5, init="he", seed=7, fc_width=8, input_px=PX)
    with sanity.randomised(chain, ["conv2"], "init", 7):
        assert torch.equal(chain.conv2.weight, wanted.conv2.weight)
        assert not torch.equal(chain.conv3.weight, wanted.conv3.weight)


def test_weights_come_back_after_an_error(chain):
    before = weights(chain)
    with contextlib.suppress(RuntimeError), sanity.randomised(chain, ["conv1", "fc8"]):
        assert not same(before, weights(chain))
        raise RuntimeError
    assert same(before, weights(chain))
    for layers, how, message in (
        (["conv1"], "shuffle", "way to randomise 'shuffle'"),
        (["conv1", "conv9"], "permute", "Did you mean 'conv"),
    ):
        with pytest.raises(DeconvError, match=message):
            sanity.randomised(chain, layers, how).__enter__()
    assert same(before, weights(chain))


# Switches


POOLS = [
    (nn.MaxPool2d(3, 2, ceil_mode=True), (8, 7)),
    (nn.MaxPool2d(3, 2, padding=1), (9, 8)),
    (nn.MaxPool2d((2, 3), (2, 1), dilation=(1, 2)), (6, 9)),
]


@pytest.mark.parametrize(("pool", "size"), POOLS)
def test_shuffled_switches_stay_in_their_windows_and_reach_all_of_them(pool, size):
    x = torch.randn(40, 3, *size, generator=torch.Generator().manual_seed(0))
    switches = deconv.pooling.max_pool(pool, x)[1]
    moved = sanity.shuffled(pool, size, switches, torch.Generator().manual_seed(1))
    assert moved.shape == switches.shape and moved.dtype == torch.int64
    pair = [
        v if isinstance(v, tuple) else (v, v)
        for v in (pool.kernel_size, pool.stride, pool.padding, pool.dilation)
    ]
    starts = [window_starts(size[a], *(p[a] for p in pair), pool.ceil_mode) for a in (0, 1)]
    for i, top in enumerate(starts[0]):
        for j, left in enumerate(starts[1]):
            window = {
                y * size[1] + x
                for y in range(top, top + pair[0][0] * pair[3][0], pair[3][0])
                for x in range(left, left + pair[0][1] * pair[3][1], pair[3][1])
                if 0 <= y < size[0] and 0 <= x < size[1]
            }
            counts = Counter(moved[:, :, i, j].flatten().tolist())
            assert set(counts) == window, (i, j)
            assert max(counts.values()) < 3.2 * 120 / len(window)


def test_an_images_own_switches_change_nothing(case):
    net, layer, images, others, units = case
    own, other = (net.record(batch, [layer], logits=False) for batch in (images, others))
    options = {"seed": "one"}
    plain = deconv.project(net, own, layer, units, **options)
    again = deconv.project(net, own, layer, units, switches=own.switches, **options)
    torch.testing.assert_close(again, plain, rtol=1e-6, atol=0)
    # A unit set to 1 owes its picture to weights and switches alone: with another image's it is
    # that image's picture of the unit, by either engine and any policy.
    for collisions in ("sum", "max", "overwrite"):
        options["collisions"] = collisions
        lent = deconv.project(net, own, layer, units, switches=other.switches, **options)
        theirs = deconv.project(net, other, layer, units, **options)
        torch.testing.assert_close(lent, theirs, rtol=1e-4, atol=1e-5 * float(theirs.abs().max()))
        assert not torch.allclose(lent, plain)
        by_vjp = deconv.project(
            net, own, layer, units, engine="vjp", switches=other.switches, **options
        )
        torch.testing.assert_close(by_vjp, lent, rtol=1e-4, atol=1e-5 * float(lent.abs().max()))


def test_switches_that_do_not_fit_are_refused(chain):
    record = chain.record(torch.zeros(1, 3, PX, PX), ["conv4"], logits=False)
    unit = torch.tensor([[0, 0, 0, 0]])
    own = record.switches["pool1"]
    for switches, words in (
        ({"pool7": own}, "Did you mean 'pool"),
        ({"pool1": own[:, :4]}, "int64 of"),
        ({"pool1": own.int()}, "got torch.int32"),
        ({"pool1": own + 10_000}, "lie outside its plane"),
    ):
        with pytest.raises(DeconvError, match=words):
            deconv.project(chain, record, "conv4", unit, seed="one", switches=switches)
    with pytest.raises(DeconvError, match="more max-pools run"), Run("deconvnet", switches=[]):
        nn.MaxPool2d(2)(torch.zeros(1, 1, 4, 4, requires_grad=True))


# Units


def test_other_units_are_live_units_of_other_maps():
    values = torch.zeros(2, 4, 3, 3)
    values[0, :, 1, 2] = torch.tensor([5.0, 1.0, 0.0, -1.0])
    values[0, 2, 0, 1] = 3.0
    values[1, 3, 2, 2] = 4.0
    units = torch.tensor([[0, 0, 1, 2], [1, 3, 2, 2]])
    random = np.random.default_rng(0)
    found, there = sanity.other_units(values, units, sanity.SAME_POSITION, random)
    # On the second image no other map is live: the unit stays itself, and is told to.
    assert found.tolist() == [[0, 1, 1, 2], [1, 3, 2, 2]] and there.tolist() == [True, False]
    seen = set()
    for _ in range(40):
        found, _ = sanity.other_units(values, units, sanity.OWN_PEAK, random)
        seen.add(tuple(found[0].tolist()))
    assert seen == {(0, 1, 1, 2), (0, 2, 0, 1)}
    flat, there = sanity.other_units(
        values[..., 1, 2], units * torch.tensor([1, 1, 0, 0]), sanity.SAME_POSITION, random
    )
    assert flat.tolist() == [[0, 1, 0, 0], [1, 3, 0, 0]] and there.tolist() == [True, False]


def test_a_unit_in_its_own_place_is_the_picture_itself(case):
    """All maps but one other are 0: the swap's map is that one, and swapping back is identity."""
    net, layer, images, _, units = case
    record = net.record(images, [layer], logits=False)
    values = record.activations[layer].clone()
    once, there = sanity.other_units(values, units, sanity.SAME_POSITION, np.random.default_rng(0))
    assert there.all() and (once[:, 1] != units[:, 1]).all()
    only = torch.zeros_like(values)
    for image, number, y, x in [*units.tolist(), *once.tolist()]:
        only[image, number, y, x] = 1
    back, _ = sanity.other_units(only, once, sanity.SAME_POSITION, np.random.default_rng(1))
    assert torch.equal(back, units)
    pictures = [deconv.project(net, record, layer, u, seed="one") for u in (units, back, once)]
    assert torch.equal(pictures[0], pictures[1]) and not torch.equal(pictures[0], pictures[2])


# Mining by class


def test_classes_are_balanced():
    labels = [0] * 9 + [1] * 4 + [2] * 7 + [3] * 2
    chosen = sanity.balanced(labels, 4, 0)
    assert Counter(labels[i] for i in chosen) == {0: 4, 1: 4, 2: 4} and chosen == sorted(chosen)
    assert chosen != sanity.balanced(labels, 4, 1)
    with pytest.raises(DeconvError, match="1 classes with as many; choose 1 to 7"):
        sanity.balanced(labels, 8, 0)


def test_the_strongest_among_some_are_those_that_mining_them_finds(chain):
    images = torch.randn(7, 3, PX, PX, generator=torch.Generator().manual_seed(0)) * 50
    maxima = map_maxima(chain, [images[:4], images[4:]], ["conv3", "fc6"])
    some = torch.tensor([0, 2, 3, 6])
    allowed = torch.zeros(7, dtype=torch.bool)
    allowed[some] = True
    mined = deconv.top_activations(chain, [images[some]], ["conv3", "fc6"], k=3, progress=False)
    for layer, peaks in mined.items():
        found = sanity.strongest_among(maxima[layer], allowed, 3)
        assert torch.equal(some[peaks.image], found.image)
        assert torch.equal(peaks.y, found.y) and torch.equal(peaks.x, found.x)
        torch.testing.assert_close(peaks.value, found.value)
    every = deconv.top_activations(chain, [images], ["conv3"], k=7, progress=False)["conv3"]
    found = sanity.strongest_among(maxima["conv3"], torch.ones(7, dtype=torch.bool), 7)
    for one, other in zip(vars(every).values(), vars(found).values(), strict=True):
        assert torch.equal(one, other)
    few = sanity.strongest_among(
        Peaks(*(f[:2] for f in vars(maxima["conv3"]).values())), allowed, 6
    )
    assert (few.image[:, 4:] == -1).all() and (few.value[:, 4:] == -torch.inf).all()
    with pytest.raises(DeconvError, match="yields no image"):
        map_maxima(chain, [], ["conv3"])


def test_the_favoured_class_and_its_share_by_chance():
    assert sanity.favoured([3, 1, 1, 3, 1]) == (1, 0.6)
    # Two of two classes with two images each: of six pairs two are of one class.
    exact = np.mean([1.0 if a == b else 0.5 for a, b in itertools.combinations([0, 0, 1, 1], 2)])
    found = sanity.favoured_by_chance([0, 0, 1, 1], 2, seed=0)
    assert found == pytest.approx(exact, abs=0.02)


def test_mean_pictures_weigh_all_alike():
    one = np.ones((3, 2, 2)) * np.array([1.0, -1.0, 1.0])[:, None, None]
    pictures = np.stack([one, -50 * one, 2 * one, 0 * one])
    np.testing.assert_allclose(sanity.mean_picture(pictures), one / 4)


def test_what_is_kept_lies_between_chance_and_all():
    kept = sanity.kept(np.array([0.2, 0.6, 1.0, 0.9]), np.array([0.2, 0.2, 0.2, 0.97]))
    np.testing.assert_allclose(kept[:3], [0, 0.5, 1])
    assert np.isnan(kept[3])


@pytest.mark.parametrize(
    ("low", "high", "said"),
    [(0.0, 0.19, GOES), (0.0, 0.21, PARTLY), (0.49, 0.9, PARTLY), (0.51, 0.9, STAYS)],
)
def test_verdicts_follow_the_interval(low, high, said):
    assert verdict({"kept_low": low, "kept_high": high}, 0.2, 0.5) == said


def test_what_is_kept_is_paired_unit_by_unit():
    random = np.random.default_rng(1)
    chance = random.uniform(0, 0.6, 40)
    row = kept_of(chance, chance, 0)  # what is exactly chance keeps exactly nothing
    assert row == {"kept": 0.0, "kept_low": 0.0, "kept_high": 0.0}
    assert np.isnan(kept_of(np.full(3, np.nan), chance[:3], 0)["kept"])
