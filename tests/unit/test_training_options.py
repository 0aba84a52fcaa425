"""The options of a recipe: against the plain run where they must change nothing, else by hand."""

import functools
import math
import os
import shutil
from collections import OrderedDict

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from mostly_slow import mostly_slow
from oracles import relative_error
from test_training import Bars
from torch import nn
from torch.optim.optimizer import register_optimizer_step_pre_hook

import deconv
from deconv.data import TrainingCrops, mean_image
from deconv.networks.chain import ChainNet
from deconv.networks.dropout import Dropout, dropout_keys, with_keys
from deconv.networks.zfnet import init_weights
from deconv.training import Hooks, Recipe, fit, renormalise

COMPILER = shutil.which(os.environ.get("CXX", "g++")) or shutil.which("clang++")

IMAGES, BATCH = 19, 8
"""Three batches an epoch, the last one smaller."""


def network(dtype=torch.float64):
    """A network whose dropout is on, and whose first filters lie around the limit of 0.1."""
    arguments = {"input_px": 64, "fc_width": 16, "dropout": 0.5, "init": "he_pixels", "seed": 0}
    return deconv.build("zfnet_mini", 2, **arguments).to(dtype)


def recipe(**changes):
    base = {"epochs": 2, "batch_size": BATCH, "lr": 1e-3, "schedule": "fixed"}
    return Recipe(**(base | {"test_crops": "centre"} | changes))


def run(folder, net, images=IMAGES, hooks=None, **changes):
    """Train `net`; the last snapshot."""
    side = net.input_px + 10
    data, held_out = Bars(images, seed=1, side=side), Bars(6, seed=2, side=side)
    mean = mean_image(data).to(next(net.parameters()).dtype)
    return fit(net, data, held_out, mean, recipe(**changes), folder, hooks=hooks)


def mean_cross_entropy(logits, labels):
    return F.cross_entropy(logits, labels)


def momentum(rule):
    """v ← m v + g + d w, w ← w − rate v."""
    velocity = {}

    def move(name, w, g, rate):
        velocity[name] = rule.momentum * velocity.get(name, 0) + g + rule.weight_decay * w
        w -= rate * velocity[name]

    return move


def adamw(rule):
    """Adam with the decay apart from the gradient (Loshchilov & Hutter 2019, algorithm 2)."""
    first, second, times = {}, {}, {}

    def move(name, w, g, rate):
        t = times[name] = times.get(name, 0) + 1
        first[name] = rule.momentum * first.get(name, 0) + (1 - rule.momentum) * g
        second[name] = 0.999 * second.get(name, 0) + 0.001 * g**2
        mean, square = first[name] / (1 - rule.momentum**t), second[name] / (1 - 0.999**t)
        w -= rate * (mean / (square.sqrt() + 1e-8) + rule.weight_decay * w)

    return move


def by_hand(net, data, rule, loss=mean_cross_entropy, rate=None, optimizer=momentum):
    """Train `net` by `optimizer`, its filters brought back to the limit after each update.

    loss: of the logits and labels of a batch. rate: of (epoch, update of the epoch), else lr.
    """
    net.train()
    view = TrainingCrops(data, mean_image(data).double(), net.input_px, rule.seed)
    move = optimizer(rule)
    for epoch in range(1, rule.epochs + 1):
        order = np.random.default_rng((rule.seed, epoch)).permutation(len(data))
        for number, start in enumerate(range(0, len(data), rule.batch_size)):
            batch = order[start : start + rule.batch_size]
            items = [view[epoch, int(index)] for index in batch]
            images, labels = torch.stack([i for i, _ in items]), torch.tensor([n for _, n in items])
            with with_keys(net, dropout_keys(rule.seed, epoch, torch.from_numpy(batch))):
                value = loss(net(images), labels)
            gradients = torch.autograd.grad(value, list(net.parameters()))
            with torch.no_grad():
                for (name, w), g in zip(net.named_parameters(), gradients, strict=True):
                    move(name, w, g, rate(epoch, number) if rate else rule.lr)
            if rule.max_rms is not None:
                renormalise(net, rule.max_rms)


def furthest(one, other):
    """The largest difference of two sets of weights, relative to the largest of a layer."""
    assert one.keys() == other.keys()
    return max(relative_error(one[name], other[name]) for name in one)


def distance(net, other):
    return furthest(net.state_dict(), other.state_dict())


def apart(net, other):
    """The difference of two trained networks as a share of what training changed."""
    start = {name: weight.float() for name, weight in network().state_dict().items()}
    shares = []
    for name, weight in other.state_dict().items():
        moved = weight.float() - start[name]
        shares.append(
            ((net.state_dict()[name].float() - weight.float()).norm() / moved.norm()).item()
        )
    return max(shares)


BY_HAND = 1e-5
"""Between float64 networks: `fit` takes the loss in float32, so that each gradient is off by 1e-7
and more where its parts cancel."""


# What must change nothing, or next to nothing.


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-6), (torch.float32, 1e-3)])
def test_the_memory_layout_changes_the_weights_by_rounding_alone(tmp_path, dtype, tolerance):
    seen, nets = [], []
    for channels_last in (False, True):
        net = network(dtype)
        layouts = set()
        net.conv2.register_forward_pre_hook(
            lambda _, inputs, layouts=layouts: (
                layouts.add(inputs[0].is_contiguous(memory_format=torch.channels_last))
                if torch.is_grad_enabled()
                else None
            )
        )
        last = run(tmp_path / f"{channels_last}", net, channels_last=channels_last)
        assert all(w.is_contiguous() for w in last.weights.values()), "snapshots are plain"
        assert net.conv2.weight.is_contiguous(memory_format=torch.channels_last) is channels_last
        seen.append(layouts), nets.append(net)
    assert seen == [{False}, {True}]
    assert distance(*nets) < tolerance


def losses_of(snapshot):
    return [row[name] for row in snapshot.history for name in ("train_loss", "val_loss")]


def test_bfloat16_stays_near_single_precision(tmp_path):
    exact, rough, other = (network(torch.float32) for _ in range(3))
    outputs = []
    rough.fc8.register_forward_hook(lambda _, inputs, output: outputs.append(output.dtype))
    first = run(tmp_path / "fp32", exact)
    second = run(tmp_path / "bf16", rough, precision="bf16")
    assert set(outputs) == {torch.bfloat16} and len(outputs) > 6, "training and validation"
    assert {w.dtype for w in rough.parameters()} == {torch.float32}, "the weights are not rounded"
    assert losses_of(second) == pytest.approx(losses_of(first), rel=0.01)
    # Eight bits are 0.4 % a layer, there and back; and units near 0 change sides.
    run(tmp_path / "other", other, seed=1)
    assert 1e-3 < apart(rough, exact) < 0.3 < 0.6 < apart(other, exact)


def test_auto_is_one_of_the_two_precisions(tmp_path):
    found = {}
    for precision in ("fp32", "bf16", "auto"):
        net = network(torch.float32)
        run(tmp_path / precision, net, epochs=1, precision=precision)
        found[precision] = net
    assert 0.0 in (distance(found["auto"], found[other]) for other in ("fp32", "bf16"))


def tiny():
    """A convolution, a pool and two layers with dropout between them: soon compiled."""
    stages = OrderedDict(
        conv1=nn.Conv2d(3, 4, 3, stride=2),
        relu1=nn.ReLU(),
        pool1=nn.MaxPool2d(3, 2),
        flatten=nn.Flatten(),
        fc6=nn.Linear(36, 8),
        relu6=nn.ReLU(),
        drop6=Dropout(0.5, 6),
        fc8=nn.Linear(8, 2),
    )
    net = ChainNet("tiny", stages, {}, 16)
    init_weights(net, "he_pixels", torch.Generator().manual_seed(0))
    return net


def compiled_run(folder, make, images):
    """A run without and one with compile: (their distance, graphs compiled after each epoch)."""
    from torch._dynamo.utils import counters  # seconds, which only this test needs

    plain, compiled, graphs = make(), make(), []

    def count(row):
        graphs.append(counters["stats"]["unique_graphs"])

    torch._dynamo.reset()
    counters.clear()
    first = run(folder / "plain", plain, images, epochs=3)
    hooks = Hooks(epoch=count)
    last = run(folder / "compiled", compiled, images, hooks, epochs=3, compile=True)
    torch._dynamo.reset()
    assert losses_of(last) == pytest.approx(losses_of(first), rel=1e-5)
    return distance(compiled, plain), graphs


compiles = pytest.mark.skipif(not COMPILER, reason="torch.compile needs a C++ compiler")


@compiles
@pytest.mark.parametrize("backend", mostly_slow(["aot_eager", "inductor"]))
def test_compiling_changes_the_weights_by_rounding_alone(tmp_path, monkeypatch, backend):
    """By default without the compiler of PyTorch's own backend, which takes ten seconds."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=backend))
    difference, graphs = compiled_run(tmp_path, tiny, 2 * BATCH)
    assert difference < 1e-5
    assert graphs == [1, 1, 1], "once for all batches"


@compiles
@pytest.mark.slow
def test_compiling_a_real_network_for_two_sizes_of_batches(tmp_path):
    difference, graphs = compiled_run(tmp_path, lambda: network(torch.float32), IMAGES)
    assert difference < 1e-4
    assert 2 <= graphs[0] <= 4 and graphs[1] <= 4, "a graph may be broken in two"
    assert graphs[2] == graphs[1], "no more once it has seen both sizes"


# What changes the updates.


def plain_and_smoothed(smoothing):
    """The loss with the target spread over all classes, written out."""

    def loss(logits, labels):
        total = 0
        for row, label in zip(logits, labels.tolist(), strict=True):
            logs = row - row.exp().sum().log()
            target = [
                smoothing / len(row) + (1 - smoothing) * (c == label) for c in range(len(row))
            ]
            total = total - sum(q * log for q, log in zip(target, logs, strict=True))
        return total / len(labels)

    return loss


def test_label_smoothing_spreads_the_target_and_leaves_the_measures(tmp_path):
    rule, data = recipe(label_smoothing=0.2), Bars(IMAGES, seed=1)
    net, hand, other = network(), network(), network()
    last = run(tmp_path, net, label_smoothing=0.2)
    plain = []

    def loss(logits, labels):
        plain.append(F.cross_entropy(logits, labels).item())
        return plain_and_smoothed(0.2)(logits, labels)

    by_hand(hand, data, rule, loss)
    assert distance(net, hand) < BY_HAND
    by_hand(other, data, rule)
    assert distance(net, other) > 100 * BY_HAND
    for row, losses in zip(last.history, (plain[:3], plain[3:]), strict=True):
        expected = np.average(losses, weights=[8, 8, 3])
        assert row["train_loss"] == pytest.approx(expected, rel=1e-6), "the loss without smoothing"


def test_weight_decay_pulls_all_weights_and_biases_towards_0(tmp_path):
    net, hand, other = network(), network(), network()
    run(tmp_path, net, weight_decay=0.05)
    by_hand(hand, Bars(IMAGES, seed=1), recipe(weight_decay=0.05))
    by_hand(other, Bars(IMAGES, seed=1), recipe())
    assert distance(net, hand) < BY_HAND
    assert distance(net, other) > 10 * BY_HAND


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_another_momentum_is_taken(tmp_path, share):
    net, hand = network(), network()
    run(tmp_path, net, momentum=share)
    by_hand(hand, Bars(IMAGES, seed=1), recipe(momentum=share))
    assert distance(net, hand) < BY_HAND


def test_adamw_equals_its_formula(tmp_path):
    net, hand, other = network(), network(), network()
    asked = {"optimizer": "adamw", "momentum": 0.8, "weight_decay": 0.5}
    run(tmp_path, net, **asked)
    by_hand(hand, Bars(IMAGES, seed=1), recipe(**asked), optimizer=adamw)
    # It moves a weight as far for a gradient that is next to nothing, rounding included.
    assert distance(net, hand) < 1e-3
    without = recipe(**asked | {"weight_decay": 0.0})
    by_hand(other, Bars(IMAGES, seed=1), without, optimizer=adamw)
    assert distance(net, other) > 0.01


def scaled(snapshot):
    """How many filters were scaled, epoch by epoch."""
    names = [f"renormalised_conv{number}" for number in range(1, 6)]
    return [sum(row[name] for name in names) for row in snapshot.history]


def test_without_a_limit_no_filter_is_ever_scaled(tmp_path):
    limited, free, hand = network(), network(), network()
    counts = scaled(run(tmp_path / "limited", limited, max_rms=0.1))
    assert min(counts) > 0
    assert scaled(run(tmp_path / "free", free, max_rms=None)) == [0, 0]
    by_hand(hand, Bars(IMAGES, seed=1), recipe(max_rms=None))
    assert distance(free, hand) < BY_HAND
    rms = free.conv1.weight.square().mean(dim=(1, 2, 3)).sqrt()
    assert rms.max() > 0.1
    rms = limited.conv1.weight.square().mean(dim=(1, 2, 3)).sqrt()
    assert rms.max() < 0.1 * (1 + 1e-12)


# The rates that are used.


@pytest.fixture
def used():
    """The rates of all updates while the test runs, as the optimizer has them."""
    rates = []

    def note(optimizer, *_):
        [group] = optimizer.param_groups
        rates.append(group["lr"])

    hook = register_optimizer_step_pre_hook(note)
    yield rates
    hook.remove()


def cosine(epoch, number):
    """Two epochs of three updates: half a cosine, of which the first epoch is the warm-up."""
    done = (epoch - 1) + number / 3
    return 2e-3 * (1 + math.cos(math.pi * done / 2)) / 2 * min(1, done)


def test_a_cosine_with_warm_up_is_followed_update_by_update(tmp_path, used):
    net, hand = network(), network()
    asked = {"schedule": "cosine", "warmup_epochs": 1, "lr": 2e-3}
    run(tmp_path, net, **asked)
    expected = [cosine(epoch, number) for epoch in (1, 2) for number in range(3)]
    assert used == pytest.approx(expected, rel=1e-12, abs=1e-18)
    by_hand(hand, Bars(IMAGES, seed=1), recipe(**asked), rate=cosine)
    assert distance(net, hand) < BY_HAND


def test_fixed_drops_are_followed(tmp_path, used):
    run(tmp_path, network(), epochs=3, lr_drops=(1,), lr_factor=0.5)
    assert used == [1e-3] * 3 + [5e-4] * 6


def test_a_stalled_validation_lowers_the_rate(tmp_path, used):
    """No validation but the first brings 101 points, so that each one after it is a stall."""
    asked = {"schedule": "plateau", "patience": 1, "min_improvement": 101.0, "max_drops": 2}
    last = run(tmp_path, network(), epochs=5, lr_factor=0.1, **asked)
    expected = [1e-3, 1e-3, 1e-4, 1e-5, 1e-5]
    assert used == pytest.approx([rate for rate in expected for _ in range(3)], rel=1e-12)
    assert [row["lr"] for row in last.history] == pytest.approx(expected, rel=1e-12)


# Networks of torchvision.


def test_dropout_of_a_torchvision_network_goes_by_keys_too():
    net = deconv.build("torchvision/alexnet", num_classes=2, seed=0).train()
    layers = [m for m in net.modules() if isinstance(m, torch.nn.Dropout)]
    assert len(layers) == 2 and all(type(layer) is Dropout for layer in layers)
    assert len({layer.number for layer in layers}) == 2
    images = 60 * torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))
    answers = []
    for seed, epoch in ((0, 1), (0, 1), (0, 2), (1, 1)):
        with torch.no_grad(), with_keys(net, dropout_keys(seed, epoch, torch.tensor([5, 9]))):
            answers.append(net(images))
    first, again, other_epoch, other_seed = answers
    assert torch.equal(first, again)
    assert not torch.equal(first, other_epoch) and not torch.equal(first, other_seed)
