"""Accuracies and losses against plain loops over numbers in double precision."""

import math

import numpy as np
import pytest
import torch
from test_training import Bars
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import deconv
from deconv.data import CentreCrops, TenCrops, mean_image
from deconv.errors import DeconvError
from deconv.networks.network import Placed
from deconv.training.evaluation import evaluate, evaluation

CLASSES = 9


class Answers(Placed, nn.Module):
    """A network that knows its logits: those of the row that an image's first pixel names."""

    name = "answers"

    def __init__(self, logits):
        super().__init__()
        self.logits = nn.Parameter(logits)
        self.asked = 0

    def forward(self, images):
        self.asked += 1
        return self.logits[images[:, 0, 0, 0].long()]


def network():
    """A real one, whose answers differ from crop to crop."""
    return deconv.build("zfnet_mini", 2, input_px=64, fc_width=16, init="he_pixels", seed=0)


def numbered(*shape):
    """Images of that many rows (and crops), each with its own number in every pixel."""
    return torch.arange(math.prod(shape)).float().view(*shape, 1, 1, 1).expand(*shape, 3, 2, 2)


def random_logits(rows, classes=CLASSES, scale=2.0, seed=0):
    return scale * torch.randn(rows, classes, generator=torch.Generator().manual_seed(seed))


def unequal_labels(images, seed=1):
    """Labels of which the low classes are many, the high ones few, and class 4 has none."""
    random = np.random.default_rng(seed)
    often = 0.5 ** np.arange(CLASSES) * (np.arange(CLASSES) != 4)
    labels = random.choice(CLASSES, size=images, p=often / often.sum())
    return torch.from_numpy(labels)


def probabilities(logits):
    """Softmax of one row, number by number."""
    powers = [math.exp(value) for value in logits.double().tolist()]
    return [power / sum(powers) for power in powers]


def judged_by_hand(chances, labels):
    """Top-1, top-5, mean per-class accuracy in percent, and loss, image by image."""
    first, five, losses, by_class = 0, 0, [], {}
    for row, label in zip(chances, labels.tolist(), strict=True):
        better = sum(chance > row[label] for chance in row)
        first, five = first + (better < 1), five + (better < 5)
        by_class.setdefault(label, []).append(better < 1)
        losses.append(-math.log(row[label]))
    count = len(losses)
    per_class = [sum(hits) / len(hits) for hits in by_class.values()]
    mean_class = 100 * sum(per_class) / len(per_class)
    return 100 * first / count, 100 * five / count, mean_class, math.fsum(losses) / count


def assert_is(result, expected):
    """Counted values are exact but for the last division; losses come from float32 logits."""
    top1, top5, mean_class, loss = expected
    counted = result.top1, result.top5, result.mean_class
    assert counted == pytest.approx((top1, top5, mean_class), rel=1e-12)
    assert result.loss == pytest.approx(loss, rel=2e-6)


def batches(images, labels, size):
    return DataLoader(TensorDataset(images, labels), batch_size=size)


@pytest.mark.parametrize("size", [1, 7, 100, 128])
def test_one_crop_is_judged_as_by_hand_for_any_batch_size(size):
    logits, labels = random_logits(100), unequal_labels(100)
    expected = judged_by_hand([probabilities(row) for row in logits], labels)
    assert abs(expected[0] - expected[2]) > 1, "else the mean over classes says nothing"
    assert expected[0] < expected[1] < 100
    assert_is(evaluate(Answers(logits), batches(numbered(100), labels, size)), expected)


def averaged(logits):
    """The mean probabilities of the crops of each image: images×crops×classes of logits."""
    return [np.mean([probabilities(crop) for crop in crops], axis=0).tolist() for crops in logits]


@pytest.mark.parametrize("size", [1, 7, 100])
def test_the_probabilities_of_ten_crops_are_averaged(size):
    logits, labels = random_logits(400), unequal_labels(40)
    crops = logits.view(40, 10, CLASSES)
    result = evaluate(Answers(logits), batches(numbered(40, 10), labels, size))
    assert_is(result, judged_by_hand(averaged(crops), labels))

    centre = judged_by_hand([probabilities(row) for row in crops[:, 4]], labels)
    by_logits = judged_by_hand([probabilities(row) for row in crops.double().mean(1)], labels)
    for other in (centre, by_logits):
        assert abs(result.loss - other[3]) > 0.01, "another rule would be seen"


def test_the_loss_of_ten_crops_stays_finite_where_all_are_wrong_and_certain():
    """e⁻¹⁵⁰ is 0 in single precision, its logarithm is not."""
    logits = torch.zeros(10, 3)
    logits[:, 0] = torch.linspace(150, 240, 10)
    result = evaluate(Answers(logits), [(numbered(1, 10), torch.tensor([2]))])
    assert_is(result, judged_by_hand(averaged(logits[None]), torch.tensor([2])))
    assert result.loss > 150


def test_a_networks_ten_crops_are_those_of_the_data_set():
    """Crop by crop through the network, in double precision from the logits on."""
    data, net = Bars(6, seed=3), network().eval()
    mean = mean_image(data)
    view = TenCrops(data, mean, 64)
    with torch.no_grad():
        logits = torch.stack(
            [torch.cat([net(crop[None]) for crop in view[i][0]]) for i in range(6)]
        )
    labels = torch.tensor(data.targets)
    ten = evaluate(net, DataLoader(view, batch_size=4))
    assert_is(ten, judged_by_hand(averaged(logits), labels))
    centre = evaluate(net, DataLoader(CentreCrops(data, mean, 64), batch_size=4))
    assert_is(centre, judged_by_hand([probabilities(row) for row in logits[:, 4]], labels))
    assert abs(ten.loss - centre.loss) > 1e-3


@pytest.mark.parametrize("crops", [CentreCrops, TenCrops])
def test_the_batch_size_changes_the_loss_by_rounding_alone(crops):
    data, net = Bars(13, seed=5), network()
    view = crops(data, mean_image(data), 64)
    one, *others = [evaluate(net, DataLoader(view, batch_size=n)) for n in (13, 1, 4, 50)]
    for other in others:
        assert (other.top1, other.top5, other.mean_class) == (one.top1, one.top5, one.mean_class)
        assert other.loss == pytest.approx(one.loss, rel=1e-5)


@pytest.mark.parametrize("classes", [1, 2, 4, 5, 6])
def test_with_five_classes_or_fewer_the_label_is_always_among_five(classes):
    logits, labels = random_logits(60, classes), torch.arange(60) % classes
    result = evaluate(Answers(logits), batches(numbered(60), labels, 16))
    assert_is(result, judged_by_hand([probabilities(row) for row in logits], labels))
    assert (result.top5 == 100) == (classes <= 5)


def test_every_batch_is_announced_before_it_is_run():
    net, told = Answers(random_logits(10)), []
    loader = batches(numbered(10), unequal_labels(10), 4)
    evaluate(net, loader, on_batch=lambda: told.append(net.asked))
    assert told == [0, 1, 2] and net.asked == 3


class Enough(Exception):
    pass


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("last", [0, 2])
def test_what_the_announcement_raises_ends_it_and_the_mode_is_put_back(training, last):
    net = Answers(random_logits(10)).train(training)

    def on_batch():
        assert not net.training and not torch.is_grad_enabled()
        if net.asked == last:
            raise Enough

    with pytest.raises(Enough):
        evaluate(net, batches(numbered(10), unequal_labels(10), 2), on_batch=on_batch)
    assert net.asked == last
    assert net.training is training and torch.is_grad_enabled()


def test_nothing_of_it_is_left_in_the_network():
    data = Bars(5)
    net = network().train()
    before = {name: weight.clone() for name, weight in net.state_dict().items()}
    view = CentreCrops(data, mean_image(data), 64)
    first, second = (evaluate(net, DataLoader(view, batch_size=2)) for _ in range(2))
    assert first == second, "no dropout"
    assert all(torch.equal(weight, before[name]) for name, weight in net.state_dict().items())
    assert all(weight.grad is None for weight in net.parameters())
    with pytest.raises(Enough), evaluation(net):
        raise Enough
    assert net.training and torch.is_grad_enabled()


def test_no_image_is_an_error():
    nothing = batches(torch.zeros(0, 3, 2, 2), torch.zeros(0, dtype=torch.int64), 4)
    with pytest.raises(DeconvError, match="yields no image"):
        evaluate(Answers(random_logits(1)), nothing)
