"""Training: the update of §3 step by step, the renormalisation, the measures, the snapshots."""

import copy
import math
import sys
from types import SimpleNamespace
from unittest import mock

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.data import DataLoader

import deconv
from deconv import distributed
from deconv.data import CentreCrops, TrainingCrops, mean_image
from deconv.data.crops import Batches
from deconv.errors import DeconvError
from deconv.training import Hooks, Recipe, fit, learning_rate, newest_intact, renormalise
from deconv.training.evaluation import evaluate
from deconv.training.snapshots import weights_hash


class Bars:
    """Squares of horizontal (0) or vertical (1) bars in random colours and phases."""

    classes = ("horizontal", "vertical")

    def __init__(self, length, seed=0, side=74):
        generator = torch.Generator().manual_seed(seed)
        self.targets = [i % 2 for i in range(length)]
        wave = torch.arange(side)
        self.images = []
        for label in self.targets:
            phase, colour = torch.rand(2, generator=generator)
            bars = torch.sin(wave * 0.7 + 6 * phase).expand(3, side, side)
            bars = bars.transpose(1, 2) if label == 0 else bars
            noise = torch.randn(3, side, side, generator=generator) * 20
            self.images.append((128 + 80 * bars * (0.5 + colour) + noise).clamp(0, 255).byte())

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        return self.images[index], self.targets[index]

    def fingerprint(self):
        return "bars"


def small_net(seed=0):
    return deconv.build("zfnet_mini", 2, input_px=64, fc_width=16, seed=seed)


def recipe(**changes):
    base = {"epochs": 2, "batch_size": 8, "lr": 1e-3, "snapshot_epochs": (1,), "schedule": "fixed"}
    return Recipe(**(base | changes))


def test_renormalisation_scales_filters_over_the_limit_and_no_others():
    net = small_net()
    with torch.no_grad():
        net.conv2.weight.normal_(0, 0.02)
        net.conv2.weight[3] *= 100
        net.conv2.weight[7] *= 0
    before = copy.deepcopy(net)
    counts = renormalise(net, 0.1)
    for name in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        old, new = getattr(before, name).weight, getattr(net, name).weight
        over = 0
        for was, now in zip(old, new, strict=True):
            rms = math.sqrt(sum(w * w for w in was.flatten().tolist()) / was.numel())
            over += rms > 0.1
            expected = was * (0.1 / rms) if rms > 0.1 else was
            assert torch.allclose(now, expected, rtol=1e-5, atol=0)
        assert counts[name] == over
    assert counts["conv2"] == 1
    assert torch.equal(net.fc6.weight, before.fc6.weight), "fully connected layers stay"
    assert torch.equal(net.conv2.bias, before.conv2.bias)


def test_two_epochs_equal_momentum_written_out_by_hand(tmp_path):
    """v ← m v + g, w ← w − lr v, then each filter back to the limit; dropout off."""
    data, rule = Bars(20), recipe(lr_drops=(1,), max_rms=0.05, channels_last=False)
    mean = mean_image(data)
    net, hand = small_net(), small_net()
    for module in (*net.modules(), *hand.modules()):
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    fit(net, data, data, mean, rule, tmp_path)

    view = TrainingCrops(data, mean, 64, seed=0)
    velocity = {name: torch.zeros_like(w) for name, w in hand.named_parameters()}
    for epoch, rate in ((1, 1e-3), (2, 1e-4)):
        order = np.random.default_rng((0, epoch)).permutation(20)
        for start in range(0, 20, 8):
            items = [view[epoch, int(i)] for i in order[start : start + 8]]
            images = torch.stack([image for image, _ in items])
            labels = torch.tensor([label for _, label in items])
            loss = F.cross_entropy(hand(images), labels)
            gradients = torch.autograd.grad(loss, list(hand.parameters()))
            with torch.no_grad():
                for (name, w), g in zip(hand.named_parameters(), gradients, strict=True):
                    velocity[name] = 0.9 * velocity[name] + g
                    w -= rate * velocity[name]
                    if w.dim() == 4:
                        for one in w:
                            rms = one.square().mean().sqrt()
                            if rms > 0.05:
                                one *= 0.05 / rms
    for (name, mine), theirs in zip(net.named_parameters(), hand.parameters(), strict=True):
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-5), name


def test_training_learns_what_can_be_learned(tmp_path):
    data, held_out = Bars(64, seed=1), Bars(32, seed=2)
    rows = []
    net = small_net()
    fit(
        net,
        data,
        held_out,
        mean_image(data),
        recipe(epochs=6, lr=2e-3),
        tmp_path,
        hooks=Hooks(epoch=rows.append),
    )
    assert rows[-1]["val_top1_error"] <= 10, rows
    assert rows[-1]["train_loss"] < rows[0]["train_loss"] / 2
    assert not net.training


def test_snapshots_are_left_where_and_when_they_were_asked_for(tmp_path):
    data = Bars(16)
    net = small_net()
    before = weights_hash(net)
    last = fit(net, data, data, mean_image(data), recipe(epochs=3), tmp_path)
    names = sorted(path.name for path in tmp_path.iterdir() if path.suffix == ".pt")
    assert names == ["epoch_000.pt", "epoch_001.pt", "epoch_002.pt", "epoch_003.pt", "last.pt"]
    load = {name: deconv.load_snapshot(tmp_path / name) for name in names}
    assert weights_hash(load["epoch_000.pt"].network()) == before
    assert weights_hash(load["last.pt"].network()) == weights_hash(net)
    assert (load["epoch_001.pt"].epoch, load["epoch_001.pt"].step) == (1, 2)
    assert load["last.pt"].step == 6 and load["last.pt"].progress == {}
    assert [row["epoch"] for row in load["last.pt"].history] == [1, 2, 3]
    assert load["last.pt"].metrics == last.metrics and last.classes == ["horizontal", "vertical"]


def test_the_same_seed_gives_the_same_weights_for_any_number_of_workers(tmp_path):
    data, hashes = Bars(24), []
    for workers, seed in ((0, 4), (2, 4), (0, 5)):
        net = small_net()
        rule = recipe(epochs=1, workers=workers, seed=seed)
        fit(net, data, data, mean_image(data), rule, tmp_path / f"{workers}{seed}")
        hashes.append(weights_hash(net))
    assert hashes[0] == hashes[1] != hashes[2]


def test_validation_can_be_rarer_but_comes_at_the_end(tmp_path):
    rows = []
    data = Bars(8)
    rule = recipe(epochs=5, eval_every=2)
    fit(small_net(), data, data, mean_image(data), rule, tmp_path, hooks=Hooks(epoch=rows.append))
    assert ["val_top1_error" in row for row in rows] == [False, True, False, True, True]


def test_what_several_processes_have_trained_is_saved_before_they_validate(tmp_path, monkeypatch):
    """They cannot stop within a validation, which may outlast the time between signal and kill."""
    data, module = Bars(16), sys.modules[fit.__module__]
    mean = mean_image(data)
    several = SimpleNamespace(ranks=lambda: 2, rank=lambda: 0, Share=distributed.Share)
    monkeypatch.setattr(module, "distributed", several)

    def killed(*_):
        raise KeyboardInterrupt

    with mock.patch.object(module, "evaluate", killed), pytest.raises(KeyboardInterrupt):
        fit(small_net(), data, data, mean, recipe(epochs=1), tmp_path)
    path, start = newest_intact(tmp_path, print)
    saved = []
    hooks = Hooks(
        update=lambda *_: saved.append("update"), snapshot=lambda _, path: saved.append(path.name)
    )
    last = fit(small_net(), data, data, mean, recipe(epochs=1), tmp_path, start=start, hooks=hooks)
    assert (path.name, saved) == ("epoch_000_step_000002.pt", [path.name, "epoch_001.pt"])
    assert last.epoch == 1 and last.step == start.step


def test_the_rate_falls_after_the_epochs_named():
    rule = Recipe(lr=0.01, schedule="fixed", lr_drops=(2, 4), lr_factor=0.1)
    rates = [learning_rate(rule, epoch) for epoch in range(1, 7)]
    assert rates == pytest.approx([1e-2, 1e-2, 1e-3, 1e-3, 1e-4, 1e-4])


class Fixed(nn.Module):
    """Logits that are handed to it."""

    name, device, dtype = "fixed", torch.device("cpu"), torch.float32

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)

    def forward(self, images):
        return self.logits[images[:, 0, 0, 0].long()]


def test_accuracies_are_counted_as_by_hand():
    logits = torch.zeros(4, 6)
    logits[0] = torch.tensor([9.0, 5, 4, 3, 2, 1])  # label 0: right
    logits[1] = torch.tensor([9.0, 5, 4, 3, 2, 1])  # label 4: among five
    logits[2] = torch.tensor([9.0, 5, 4, 3, 2, 1])  # label 5: not even that
    logits[3] = torch.tensor([9.0, 5, 4, 3, 2, 1])  # label 0: right
    labels = torch.tensor([0, 4, 5, 0])
    images = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    net = Fixed(logits).train()
    result = evaluate(net, [(images[:3], labels[:3]), (images[3:], labels[3:])])
    assert result.top1 == 50 and result.top5 == 75
    assert result.mean_class == pytest.approx(100 * (1 + 0 + 0) / 3)
    assert result.loss == pytest.approx(F.cross_entropy(logits, labels).item(), rel=1e-6)
    assert net.training, "the mode is put back"
    with pytest.raises(DeconvError, match="yields no image"):
        evaluate(net, [])


def test_a_loss_that_is_not_finite_stops_before_the_update(tmp_path):
    data = Bars(16)
    net = small_net()
    with torch.no_grad():
        net.fc8.bias[0] = torch.nan
    before = net.conv1.weight.clone()
    with pytest.raises(DeconvError, match="loss is nan in epoch 1, batch 0") as error:
        fit(net, data, data, mean_image(data), recipe(), tmp_path)
    assert torch.equal(net.conv1.weight, before)
    said = str(error.value)
    assert "train anew with a lower rate lr (0.001 here), which is locked when a run is" in said


@pytest.mark.parametrize(
    ("spoiled", "named"),
    [([3, 14], "of images 3, 14 of"), (range(16), "of images 0, 1, 2, 3, 4, 5, 6, 7, … of")],
)
def test_the_images_are_named_whose_own_loss_is_not_finite(tmp_path, spoiled, named):
    data, net = Bars(16), small_net()

    def forward(module, images, logits):
        order = Batches(16, 16, seed=recipe().seed)
        order.epoch = 1
        rows = [i for i, image in enumerate(order.batch(0).tolist()) if image in spoiled]
        logits[rows] = torch.inf
        return logits

    net.register_forward_hook(forward)
    with pytest.raises(DeconvError, match="batch 0") as error:
        fit(net, data, data, mean_image(data), recipe(batch_size=16), tmp_path)
    assert f"{named} the training set" in str(error.value)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"precision": "fp8"}, "fp8"),
        ({"epochs": 0}, "epochs"),
        ({"lr": -1.0}, "lr"),
        ({"batch_size": 0}, "batch_size"),
        ({"max_rms": 0.0}, "max_rms"),
        ({"epochs": 2.5}, "epochs"),
        ({"workers": -1}, "workers"),
        ({"seed": -1}, "seed"),
        ({"momentum": -1}, "momentum"),
        ({"lr_factor": -2}, "lr_factor"),
        ({"crops": "twelve"}, "'ten'"),
        ({"lr": "abc"}, "'abc'"),
        ({"snapshot_epochs": 3}, "list of epochs, got 3"),
        ({"lr_drops": (2.5,)}, "list of epochs"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(changes, message):
    with pytest.raises(DeconvError, match=message):
        recipe(**changes)


def test_bfloat16_gives_nearly_the_same_answers(tmp_path):
    data = Bars(16)
    net = small_net()
    loader = DataLoader(CentreCrops(data, mean_image(data), 64), batch_size=8)
    exact, rough = evaluate(net, loader), evaluate(net, loader, "bf16")
    assert rough.loss == pytest.approx(exact.loss, rel=0.05)
    assert rough.loss != exact.loss, "it did run in bfloat16"


def test_different_classes_in_training_and_validation_are_refused(tmp_path):
    data, other = Bars(8), Bars(8)
    other.classes = ("horizontal", "diagonal")
    with pytest.raises(DeconvError, match="validation images lack the classes vertical"):
        fit(small_net(), data, other, mean_image(data), recipe(), tmp_path)
    other.classes = data.classes[::-1]
    with pytest.raises(DeconvError, match="same classes in another order"):
        fit(small_net(), data, other, mean_image(data), recipe(), tmp_path)
    net = deconv.build("zfnet_mini", 1, input_px=64, fc_width=16, seed=0)
    with pytest.raises(DeconvError, match="1 outputs for 2 classes"):
        fit(net, data, data, mean_image(data), recipe(), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_snapshot_does_not_change_when_training_goes_on(tmp_path):
    data, net = Bars(8), small_net()
    kept = fit(net, data, data, mean_image(data), recipe(epochs=1), tmp_path)
    before = {name: weight.clone() for name, weight in kept.weights.items()}
    with torch.no_grad():
        for weight in net.parameters():
            weight += 1
    assert all(torch.equal(kept.weights[name], before[name]) for name in before)
