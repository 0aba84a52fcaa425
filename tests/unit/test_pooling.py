"""Pooling, unpooling and contrast normalisation against loops, other libraries and gradients."""

import math

import pytest
import torch
import torch.nn.functional as F
from oracles import loop_contrast_norm, loop_max_pool, loop_unpool, randn
from torch import nn

import deconv
from deconv.deconvnet.projection import project
from deconv.errors import DeconvError
from deconv.networks import ChainNet
from deconv.networks.from_torchvision import name_stages
from deconv.normalisation import ContrastNorm, LocalContrastNorm, contrast_norm
from deconv.pooling import COLLISIONS, add_in_order, collision_rate, max_pool, unpool

POOLS = {
    "zfnet": ({"kernel_size": 3, "stride": 2, "ceil_mode": True}, (10, 10)),
    "zfnet, odd": ({"kernel_size": 3, "stride": 2, "ceil_mode": True}, (9, 12)),
    "alexnet": ({"kernel_size": 3, "stride": 2}, (9, 12)),
    "padded": ({"kernel_size": 3, "stride": 2, "padding": 1}, (7, 10)),
    "padded, ceil": ({"kernel_size": 3, "stride": 2, "padding": 1, "ceil_mode": True}, (6, 9)),
    "dense": ({"kernel_size": 3, "stride": 1, "padding": 1}, (5, 6)),
    "dilated": ({"kernel_size": 2, "stride": 1, "dilation": 3}, (7, 8)),
    "gaps": ({"kernel_size": 2, "stride": 3, "ceil_mode": True}, (10, 11)),
    "apart": ({"kernel_size": 2, "stride": 2}, (7, 6)),
    "oblong": ({"kernel_size": (3, 2), "stride": (1, 2), "padding": (1, 0)}, (5, 8)),
}


@pytest.fixture(params=POOLS, ids=list(POOLS))
def case(request):
    """(pool, its arguments, input). Values are whole numbers, so many of them are equal."""
    arguments, size = POOLS[request.param]
    return nn.MaxPool2d(**arguments), arguments, randn(2, 3, *size).mul(2).round()


def switches_of(case):
    pool, _, x = case
    return max_pool(pool, x)[1]


def test_max_pool_equals_loops_and_the_first_of_equal_values_wins(case):
    pool, arguments, x = case
    others = {k: v for k, v in arguments.items() if k not in ("kernel_size", "stride")}
    values, switches = max_pool(pool, x)
    expected = loop_max_pool(x, arguments["kernel_size"], arguments["stride"], **others)
    assert torch.equal(values, expected[0])
    assert torch.equal(switches, expected[1])


def test_max_pool_gives_the_values_of_the_module(case):
    pool, _, x = case
    assert torch.equal(max_pool(pool, x)[0], pool(x))


@pytest.mark.parametrize("collisions", ["sum", "max", "mean", "overwrite"])
def test_unpool_equals_loops_for_signals_of_both_signs(case, collisions):
    size = case[2].shape[2:]
    switches = switches_of(case)
    signal = randn(*switches.shape, seed=1)
    below = unpool(signal, switches, size, collisions)
    assert torch.allclose(below, loop_unpool(signal, switches, size, collisions), atol=1e-14)


def test_unpool_sums_by_default(case):
    size = case[2].shape[2:]
    switches = switches_of(case)
    signal = randn(*switches.shape, seed=1)
    expected = loop_unpool(signal, switches, size, "sum")
    assert torch.allclose(unpool(signal, switches, size), expected, atol=1e-14)


def test_unpool_with_sum_is_the_gradient_of_the_pool(case):
    pool, _, x = case
    x = x.clone().requires_grad_()
    signal = randn(*switches_of(case).shape, seed=1)
    (gradient,) = torch.autograd.grad(pool(x), x, signal)
    below = unpool(signal, switches_of(case), x.shape[2:])
    assert torch.allclose(below, gradient, atol=1e-14)


def test_all_policies_agree_where_windows_do_not_overlap():
    pool, x = nn.MaxPool2d(2), randn(2, 3, 7, 6)
    values, switches = max_pool(pool, x)
    expected = F.max_unpool2d(values, switches, 2, output_size=(7, 6))
    for collisions in COLLISIONS:
        assert torch.equal(unpool(values, switches, (7, 6), collisions), expected)


# Windows of three with stride 2 over a row of seven: the 9 wins the first two, the 7 the third.
ROW = torch.tensor([[[[1.0, 0.0, 9.0, 3.0, 2.0, 0.0, 7.0]]]])


@pytest.mark.parametrize(
    ("collisions", "winner"), [("sum", -1.0), ("max", 2.0), ("mean", -0.5), ("overwrite", -3.0)]
)
def test_a_collision_typed_out(collisions, winner):
    values, switches = max_pool(nn.MaxPool2d((1, 3), (1, 2)), ROW)
    assert values.tolist() == [[[[9.0, 9.0, 7.0]]]]
    assert switches.tolist() == [[[[2, 2, 6]]]]
    signal = torch.tensor([[[[2.0, -3.0, 5.0]]]])
    below = unpool(signal, switches, (1, 7), collisions)
    assert below.tolist() == [[[[0.0, 0.0, winner, 0.0, 0.0, 0.0, 5.0]]]]


def test_max_keeps_the_largest_even_if_all_are_negative():
    switches = torch.tensor([[[[1, 1]]]])
    below = unpool(torch.tensor([[[[-4.0, -2.0]]]]), switches, (1, 3), "max")
    assert below.tolist() == [[[[0.0, -2.0, 0.0]]]]


def test_collisions_stay_inside_their_image_and_map():
    switches = torch.zeros(2, 2, 1, 2, dtype=torch.int64)
    signal = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]]).repeat(2, 1, 1)[:, None].view(2, 2, 1, 2)
    assert unpool(signal, switches, (1, 2)).flatten(2).tolist() == [
        [[3.0, 0.0], [7.0, 0.0]],
        [[3.0, 0.0], [7.0, 0.0]],
    ]


def test_an_unknown_policy_is_named_with_the_nearest_ones():
    signal, switches = torch.zeros(1, 1, 1, 1), torch.zeros(1, 1, 1, 1, dtype=torch.int64)
    with pytest.raises(DeconvError, match=r"unknown collision policy 'summ'.*'sum'.*overwrite"):
        unpool(signal, switches, (1, 1), "summ")


def test_collision_rate_equals_counting_pairs(case):
    switches = switches_of(case)
    rows = switches.flatten(2).flatten(0, 1).tolist()
    shared = sum(row.count(at) > 1 for row in rows for at in row)
    expected = shared / switches.numel()
    assert collision_rate(switches) == pytest.approx(expected, abs=1e-15)


def test_collision_rate_typed_out():
    assert collision_rate(max_pool(nn.MaxPool2d((1, 3), (1, 2)), ROW)[1]) == pytest.approx(2 / 3)
    peak = torch.zeros(1, 1, 5, 5)
    peak[..., 2, 2] = 1.0  # in the corner of all four windows
    assert collision_rate(max_pool(nn.MaxPool2d(3, 2), peak)[1]) == 1.0
    # Maps are counted apart: three of eight windows share, all in the first map.
    switches = torch.tensor([[[[4, 4], [4, 7]], [[4, 0], [1, 2]]]])
    assert collision_rate(switches) == 3 / 8


def test_collision_rate_is_zero_where_windows_do_not_overlap():
    assert collision_rate(max_pool(nn.MaxPool2d(2), randn(2, 3, 8, 8))[1]) == 0.0


@pytest.mark.parametrize("maps", [1, 3, 5, 12])
@pytest.mark.parametrize("scale", [0.1, 1.0, 128.0])
def test_contrast_norm_is_torchs_with_alpha_times_five(maps, scale):
    x = randn(2, maps, 4, 3) * scale
    expected = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)(x)
    assert torch.allclose(ContrastNorm()(x), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 9])
@pytest.mark.parametrize("beta", [0.5, 0.75, 1.3])
def test_contrast_norm_equals_loops(size, beta):
    x = randn(2, 7, 3, 2) * 3
    constants = {"size": size, "alpha": 0.2, "beta": beta, "k": 1.5}
    expected = loop_contrast_norm(x, **constants)
    assert torch.allclose(ContrastNorm(**constants)(x), expected, rtol=1e-12, atol=0)
    assert torch.allclose(contrast_norm(x, **constants), expected, rtol=1e-12, atol=0)


@pytest.mark.parametrize("size", [2, 4, 5])
def test_even_windows_lie_as_in_torch(size):
    x = randn(1, 8, 2, 2) * 3
    expected = nn.LocalResponseNorm(size, alpha=0.3 * size, beta=0.75, k=1.0)(x)
    assert torch.allclose(ContrastNorm(size, 0.3, 0.75, 1.0)(x), expected, rtol=1e-12, atol=0)


def test_contrast_norm_typed_out():
    x = torch.tensor([3.0, 4.0, 12.0]).view(1, 3, 1, 1)
    out = contrast_norm(x, size=3, alpha=1.0, beta=0.5, k=0.0)  # divides by the length
    assert torch.allclose(out.flatten(), torch.tensor([3 / 5, 4 / 13, 12 / 160**0.5]))


@pytest.mark.parametrize("beta", [0.75, 0.6])
def test_contrast_norm_has_the_right_gradient(beta):
    x = randn(1, 4, 2, 2).requires_grad_()
    assert torch.autograd.gradcheck(lambda x: contrast_norm(x, 3, 0.5, beta, 1.0), (x,))


def test_contrast_norm_runs_in_bfloat16():
    x = randn(1, 6, 3, 3)
    out = ContrastNorm()(x.bfloat16())
    assert out.dtype == torch.bfloat16
    assert torch.allclose(out.double(), ContrastNorm()(x), rtol=0.03)


# Jarrett's contrast normalisation


def loop_local_contrast_norm(x, size, sigma):
    """The formula of Jarrett et al. 2009, position by position."""
    n, maps, height, width = x.shape
    reach = size // 2
    window = torch.tensor(
        [
            [math.exp(-(p * p + q * q) / (2 * sigma**2)) for q in range(-reach, reach + 1)]
            for p in range(-reach, reach + 1)
        ],
        dtype=x.dtype,
    )
    window = window / window.sum() / maps

    def weighted(values, y, z):
        total = 0.0
        for p in range(-reach, reach + 1):
            for q in range(-reach, reach + 1):
                if 0 <= y + p < height and 0 <= z + q < width:
                    total += float(window[p + reach, q + reach] * values[:, y + p, z + q].sum())
        return total

    out = torch.empty_like(x)
    for i in range(n):
        places = [(y, z) for y in range(height) for z in range(width)]
        means = torch.tensor([weighted(x[i], y, z) for y, z in places], dtype=x.dtype)
        v = x[i] - means.view(height, width)
        sigmas = torch.tensor([weighted(v**2, y, z) ** 0.5 for y, z in places], dtype=x.dtype)
        out[i] = v / sigmas.clamp(min=float(sigmas.mean())).view(height, width)
    return out


@pytest.mark.parametrize(("size", "sigma"), [(3, 0.8), (5, 1.6)])
def test_local_contrast_norm_equals_loops(size, sigma):
    x = randn(2, 3, 6, 7) * 10 + 4
    found = LocalContrastNorm(size, sigma)(x)
    assert (found - loop_local_contrast_norm(x, size, sigma)).abs().max() < 1e-10


def test_local_contrast_norm_takes_off_brightness_and_contrast():
    norm, x = LocalContrastNorm(5), randn(1, 2, 30, 30)
    inner = (..., slice(8, -8), slice(8, -8))
    assert (norm(3 * x) - norm(x)).abs().max() < 1e-10
    brighter, plain = norm(x + 7)[inner], norm(x)[inner]
    # Only the floor c, a mean over the map with its borders, knows the brightness.
    assert (brighter.sign() == plain.sign()).all()
    flat = norm(torch.zeros(1, 2, 9, 9))
    assert torch.equal(flat, torch.zeros_like(flat)), "nothing is divided by nothing"
    with pytest.raises(DeconvError, match="odd side, got 4"):
        LocalContrastNorm(4)


def test_local_contrast_norm_is_skipped_on_the_way_down():
    stages = [nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3)]
    with_norm = [*stages[:2], LocalContrastNorm(3), stages[2]]
    nets = [
        ChainNet(name, name_stages([*modules, nn.Flatten(), nn.Linear(2 * 25, 3)]), {}, 9).double()
        for name, modules in (("plain", stages), ("normalised", with_norm))
    ]
    x = randn(1, 3, 9, 9)
    assert "norm1" in nets[1].points
    pictures = []
    for net in nets:
        record = net.record(x, ["conv2"])
        for engine in ("mirror", "vjp"):
            units = torch.tensor([[0, 1, 2, 2]])
            pictures.append(project(net, record, "conv2", units, seed="one", engine=engine))
    for picture in pictures[1:]:
        assert (picture - pictures[0]).abs().max() < 1e-12


# The contrast normalisation that a network is built with


@pytest.mark.parametrize("norm", ["response", "local", "none"])
def test_a_network_has_the_normalisation_it_is_built_with(norm):
    """Layer 2 by hand, loops in place of the module; both engines skip it on the way down."""
    net = deconv.build("zfnet_mini", 3, input_px=24, fc_width=4, norm=norm, seed=0).double()
    image = randn(1, 3, 24, 24) * 50
    record = net.record(image, ["pool1", "conv2:z"])
    below = record.activations["pool1"]
    if norm == "local":
        below = loop_local_contrast_norm(below, 9, 1.6)
    elif norm == "response":
        below = nn.LocalResponseNorm(5, alpha=5e-4, beta=0.75, k=2)(below)
    expected = nn.functional.conv2d(below, net.conv2.weight, net.conv2.bias, padding=1)
    assert (record.activations["conv2:z"] - expected).abs().max() < 1e-8
    assert ("norm1" in record.shapes) == (norm != "none") and net.recipe["norm"] == norm
    units = torch.tensor([[0, 5, 2, 2]])
    plain = deconv.build("zfnet_mini", 3, input_px=24, fc_width=4, norm="none", seed=0).double()
    # Without its own switches of layer 2 nothing but the skipped layer can make a difference.
    wanted = project(plain, plain.record(image, ["conv2"]), "conv2", units, seed="one")
    for engine in ("mirror", "vjp"):
        found = project(
            net, net.record(image, ["conv2"]), "conv2", units, seed="one", engine=engine
        )
        assert (found - wanted).abs().max() < 1e-12


def test_a_network_refuses_a_normalisation_that_does_not_exist():
    with pytest.raises(DeconvError, match="unknown contrast normalisation 'lokal'"):
        deconv.build("zfnet_mini", 3, norm="lokal")


def test_local_contrast_norm_of_flat_maps_has_a_finite_gradient():
    x = torch.zeros(2, 3, 12, 12, requires_grad=True)
    with torch.no_grad():
        x[0, :, :4, :4] = 1.0
    (LocalContrastNorm(3)(x) * randn(2, 3, 12, 12, seed=1).float()).sum().backward()
    assert x.grad.isfinite().all()


# Precision


def test_contrast_normalisation_in_float16_does_not_overflow():
    """The square of a map of 300 is beyond float16's largest number."""
    x = 300 * randn(1, 6, 5, 5)
    for norm in (ContrastNorm(), LocalContrastNorm(3)):
        wanted = norm(x)
        found = norm(x.half())
        assert found.dtype == torch.float16
        torch.testing.assert_close(found.double(), wanted, rtol=5e-3, atol=5e-3)
    oracle = loop_contrast_norm(x, 5, 1e-4, 0.75, 2.0)
    torch.testing.assert_close(ContrastNorm()(x.half()).double(), oracle, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("shape", [(3, 2, 1), (3, 1, 1), (5, 2, 2), (2, 2, 0)])
def test_sums_in_a_fixed_order_are_the_sums_of_a_loop(shape):
    """What a GPU does in place of scatter_add_, which adds in any order there."""
    values, switches = loop_max_pool(randn(2, 3, 9, 8).round(), *shape)
    signal = randn(*values.shape, seed=1)
    below = signal.new_zeros(2, 3, 72)
    add_in_order(below, switches.flatten(2), signal.flatten(2))
    wanted = loop_unpool(signal, switches, (9, 8), "sum")
    torch.testing.assert_close(below.view(wanted.shape), wanted)


def test_tf32_is_off_while_a_network_runs_and_as_before_afterwards():
    matmul, seen = torch.backends.cuda.matmul, []
    name = "fp32_precision" if hasattr(torch.backends.cudnn, "conv") else "allow_tf32"
    on, off = ("tf32", "ieee") if name == "fp32_precision" else (True, False)
    before = getattr(matmul, name)
    setattr(matmul, name, on)
    try:
        net = deconv.build("mlp", 3)
        net.fc1.register_forward_hook(lambda *_: seen.append(getattr(matmul, name)))
        net.record(torch.zeros(1, 3, 32, 32))
        assert seen == [off] and getattr(matmul, name) == on
    finally:
        setattr(matmul, name, before)


def test_a_window_in_the_padding_alone_is_refused():
    pool = nn.MaxPool2d((1, 2), 1, (0, 1), 2)
    with pytest.raises(DeconvError, match=r"MaxPool2d\(.* lies in the padding alone on maps of"):
        max_pool(pool, torch.zeros(1, 1, 3, 1))
    assert max_pool(pool, torch.zeros(1, 1, 3, 2))[0].shape == (1, 1, 3, 2)
