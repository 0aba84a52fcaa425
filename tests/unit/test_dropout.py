"""Dropout that is a function of (seed, epoch, image, unit): its hash in whole numbers of Python,
its statistics, and that nothing else has a say in it."""

import math

import pytest
import torch
from oracles import meta
from torch import nn

import deconv
from deconv.networks.dropout import Dropout, dropout_keys, keep, with_keys

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(z):
    """The output function of splitmix64, as its authors write it in C."""
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return z ^ (z >> 31)


def splitmix64(state):
    """The generator's output for a state."""
    return mix((state + GOLDEN) & MASK)


def signed(z):
    return z - (1 << 64) if z >> 63 else z


def key_of(seed, epoch, image):
    """The key of an image: one number hashed into the next."""
    return splitmix64(splitmix64(splitmix64(seed) ^ epoch) ^ image)


def kept_by_hand(key, unit, p, number):
    """Whether a unit stays."""
    hashed = splitmix64(key ^ mix((unit + (number << 32)) * GOLDEN & MASK))
    return (hashed & 0xFFFFFFFF) >= round(p * 2**32)


def test_the_hash_of_these_tests_is_splitmix64():
    """The first outputs for seed 1234567, which are published with many implementations."""
    states = [(1234567 + i * GOLDEN) & MASK for i in range(5)]
    assert [splitmix64(state) for state in states] == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


IMAGES = torch.tensor([0, 1, 2, 127, 50_000, 1_281_166])
SEEDS_EPOCHS = [(0, 1), (1, 1), (7, 70), (2**31, 3)]


@pytest.mark.parametrize(("seed", "epoch"), SEEDS_EPOCHS)
def test_keys_equal_whole_numbers_of_python(seed, epoch):
    keys = dropout_keys(seed, epoch, IMAGES)
    assert keys.dtype == torch.int64
    assert keys.tolist() == [signed(key_of(seed, epoch, i)) for i in IMAGES.tolist()]
    assert torch.equal(dropout_keys(seed, epoch, IMAGES.int()), keys)


@pytest.mark.parametrize(("seed", "epoch"), SEEDS_EPOCHS[::3])
@pytest.mark.parametrize("p", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("number", [0, 1, 18])
def test_what_is_kept_equals_whole_numbers_of_python(seed, epoch, p, number):
    mask = keep(dropout_keys(seed, epoch, IMAGES), 200, p, number)
    assert mask.dtype == torch.float32
    for row, image in zip(mask.tolist(), IMAGES.tolist(), strict=True):
        key = key_of(seed, epoch, image)
        for unit, value in enumerate(row):
            scaled = torch.tensor(1.0).div(1 - p).item()
            assert value == (scaled if kept_by_hand(key, unit, p, number) else 0), (image, unit)


def bits(seed=0, epoch=1, first=0, images=400, units=512, p=0.5, number=0):
    """images×units of 0 and 1."""
    keys = dropout_keys(seed, epoch, torch.arange(first, first + images))
    return (keep(keys, units, p, number) > 0).double()


@pytest.mark.parametrize("p", [0.05, 0.3, 0.5, 0.8])
def test_units_are_left_out_with_probability_p(p):
    """In all, of each unit and of each image, within five standard deviations."""
    mask = bits(p=p)
    deviation = math.sqrt(p * (1 - p))
    for mean, count in ((mask.mean(), mask.numel()), (mask.mean(0), 400), (mask.mean(1), 512)):
        assert ((mean - (1 - p)).abs() < 5 * deviation / math.sqrt(count)).all()
    assert ((mask.mean(0) - (1 - p)).abs() > 0.2 * deviation / math.sqrt(400)).any(), "not even"


def agreement(one, other):
    """The correlation of two masks, in standard deviations of that of independent ones."""
    one, other = (2 * mask.flatten() - 1 for mask in (one, other))
    return (one @ other).abs().item() / math.sqrt(one.numel())


OTHERS = {
    "another seed": {"seed": 1},
    "the next epoch": {"epoch": 2},
    "a far epoch": {"epoch": 257},
    "seed and epoch exchanged": {"seed": 1, "epoch": 0},
    "the next layer": {"number": 1},
    "a far layer": {"number": 18},
    "the next image": {"first": 1},
    "other images": {"first": 400},
    "the next unit": {"units": 513},
    "a unit 256 further on": {"units": 512 + 256},
}


@pytest.mark.parametrize("changes", OTHERS.values(), ids=list(OTHERS))
def test_another_seed_epoch_layer_image_or_unit_is_independent(changes):
    assert agreement(bits(), bits(**changes)[:, -512:]) < 5
    assert agreement(bits(), bits()) > 400, "the measure does see sameness"


def test_pairs_of_units_and_of_images_are_independent():
    """Every correlation among 512 units and among 400 images is that of independent coins."""
    mask = 2 * bits() - 1
    for rows in (mask, mask.T):
        correlations = rows.T @ rows / math.sqrt(len(rows))
        pairs = correlations[torch.triu_indices(*correlations.shape, offset=1).unbind()]
        assert pairs.abs().max() < 6
        assert pairs.std().item() == pytest.approx(1, abs=0.02)
        assert pairs.mean().abs().item() < 5 / math.sqrt(len(pairs))


def test_no_two_of_twenty_layers_are_alike():
    keys = dropout_keys(0, 1, torch.arange(64))
    columns = [keep(keys, 64, 0.5, number) for number in range(20)]
    assert len({column.numpy().tobytes() for column in columns}) == 20


def test_an_image_has_the_same_units_in_any_batch():
    layer = Dropout(0.5, number=4).train()
    x, numbers = torch.randn(12, 3, 4, 5), torch.tensor([5, 3, 99, 0, 7, 8, 12, 1, 2, 64, 65, 4])
    layer.keys = dropout_keys(3, 2, numbers)
    whole = layer(x)
    for rows in ([0], [11, 0], [4, 5, 6], list(range(11, -1, -1))):
        layer.keys = dropout_keys(3, 2, numbers[rows])
        assert torch.equal(layer(x[rows]), whole[rows])
    layer.keys = dropout_keys(3, 2, numbers[[2, 2]])
    assert torch.equal(layer(x[[2, 2]]), whole[[2, 2]])


def test_the_layout_and_the_precision_do_not_change_the_choice():
    layer = Dropout(0.4, number=1).train()
    x = torch.rand(6, 8, 5, 5) + 1
    layer.keys = dropout_keys(0, 1, torch.arange(6))
    left_out = layer(x) == 0
    assert 0.3 < left_out.double().mean() < 0.5
    assert torch.equal(layer(x.contiguous(memory_format=torch.channels_last)) == 0, left_out)
    half = layer(x.bfloat16())
    assert half.dtype == torch.bfloat16 and torch.equal(half == 0, left_out)
    assert torch.equal(layer(x.double()) == 0, left_out)


def test_the_expectation_is_preserved_and_the_gradient_follows_the_units():
    layer = Dropout(0.25, number=2).train()
    x = torch.rand(500, 200).add(1).requires_grad_()
    layer.keys = dropout_keys(0, 1, torch.arange(500))
    out = layer(x)
    kept = out != 0
    assert torch.allclose(out[kept], x[kept] / 0.75)
    assert out.mean().item() == pytest.approx(x.mean().item(), rel=0.01)
    (gradient,) = torch.autograd.grad(out.sum(), x)
    assert torch.equal(gradient, kept * torch.tensor(1.0).div(0.75))


def test_without_keys_it_is_dropout_of_pytorch():
    x = torch.ones(50, 60)
    ours, theirs = Dropout(0.3, number=5).train(), nn.Dropout(0.3).train()
    torch.manual_seed(0)
    mine = ours(x)
    torch.manual_seed(0)
    assert torch.equal(mine, theirs(x)) and (mine == 0).any()
    assert not torch.equal(ours(x), mine), "it draws anew"
    assert isinstance(ours, nn.Dropout) and ours.p == 0.3


def test_out_of_training_or_with_p_0_nothing_is_left_out():
    x = torch.randn(4, 10)
    for layer in (Dropout(0.5).eval(), Dropout(0.0).train()):
        layer.keys = dropout_keys(0, 1, torch.arange(4))
        assert torch.equal(layer(x), x)


def test_with_keys_no_generator_is_asked_or_moved():
    layer, x = Dropout(0.5).train(), torch.ones(8, 100)
    layer.keys = dropout_keys(0, 1, torch.arange(8))
    results = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        before = torch.random.get_rng_state()
        results.append(layer(x))
        assert torch.equal(torch.random.get_rng_state(), before)
    assert torch.equal(*results)


def network():
    net = deconv.build("zfnet_mini", 5, input_px=64, fc_width=32, dropout=0.5, seed=0)
    return net.train()


def layers(net):
    return [module for module in net.modules() if isinstance(module, Dropout)]


def test_every_layer_of_a_network_gets_the_keys_and_loses_them_even_on_an_error():
    net, keys = network(), dropout_keys(0, 1, torch.arange(3))
    assert len(layers(net)) == 2
    with with_keys(net, keys):
        assert all(layer.keys is keys for layer in layers(net))
    assert all(layer.keys is None for layer in layers(net))
    with pytest.raises(RuntimeError, match="on the way"), with_keys(net, keys):
        raise RuntimeError("on the way")
    assert all(layer.keys is None for layer in layers(net))


@pytest.mark.parametrize("name", ["zfnet_mini", "alexnet", "torchvision/alexnet"])
def test_the_dropout_layers_of_a_network_have_numbers_of_their_own(name):
    net = meta(name, **({} if "/" in name else {"dropout": 0.5}))
    assert len(layers(net)) == 2 and len({layer.number for layer in layers(net)}) == 2
    assert not any(type(module) is nn.Dropout for module in net.modules())


def test_a_network_answers_alike_for_an_image_in_any_batch():
    net, images = network(), torch.randn(4, 3, 64, 64) * 50
    numbers = torch.tensor([17, 4, 900, 2])
    with torch.no_grad():
        with with_keys(net, dropout_keys(1, 5, numbers)):
            whole = net(images)
        for row in range(4):
            with with_keys(net, dropout_keys(1, 5, numbers[row : row + 1])):
                alone = net(images[row : row + 1])
            assert torch.allclose(alone, whole[row : row + 1], rtol=1e-4, atol=1e-6)
        with with_keys(net, dropout_keys(1, 6, numbers)):
            assert not torch.allclose(net(images), whole, rtol=1e-2)


def test_keys_and_numbers_are_no_part_of_the_weights():
    net = network()
    names = set(net.state_dict())
    with with_keys(net, dropout_keys(0, 1, torch.arange(2))):
        assert set(net.state_dict()) == names
    assert not any("drop" in name for name in names)
