"""Averages of networks against loops over numbers, and their data set against single crops."""

import math

import pytest
import torch
from test_evaluation import Answers, batches, judged_by_hand, numbered, probabilities, random_logits
from test_training import Bars
from torch.utils.data import DataLoader

import deconv
from deconv.data import TenCrops, TenCropsOfEach, mean_image
from deconv.errors import DeconvError
from deconv.training.evaluation import evaluate, evaluate_ensembles

IMAGES, CLASSES, NETS = 30, 9, 3
MEMBERS = [[0], [1], [2], [0, 2], [0, 1, 2]]


def averaged_by_hand(logits, numbers):
    """Mean probabilities, number by number, of nets×images×crops×classes of logits."""
    chances = []
    for i in range(logits.shape[1]):
        rows = [probabilities(crop) for number in numbers for crop in logits[number, i]]
        chances.append([math.fsum(column) / len(rows) for column in zip(*rows, strict=True)])
    return chances


@pytest.mark.parametrize("size", [1, 7, 30])
def test_probabilities_are_averaged_over_networks_and_crops(size):
    logits = torch.stack([random_logits(IMAGES * 10, seed=n) for n in range(NETS)])
    labels = torch.arange(IMAGES) % CLASSES
    nets = [Answers(rows) for rows in logits]
    loader = (([images] * NETS, y) for images, y in batches(numbered(IMAGES, 10), labels, size))
    crops = logits.view(NETS, IMAGES, 10, CLASSES)
    found = evaluate_ensembles(nets, loader, MEMBERS)
    for numbers, result in zip(MEMBERS, found, strict=True):
        top1, top5, mean_class, loss = judged_by_hand(averaged_by_hand(crops, numbers), labels)
        counted = result.top1, result.top5, result.mean_class
        assert counted == pytest.approx((top1, top5, mean_class), rel=1e-12)
        assert result.loss == pytest.approx(loss, rel=2e-6)
    by_logits = judged_by_hand(
        [probabilities(row) for row in crops.double().mean(dim=(0, 2))], labels
    )
    assert abs(found[-1].loss - by_logits[3]) > 0.01, "another rule would be seen"


def different_networks():
    """Three networks of two classes: two of one size with means of their own, one smaller."""
    sides, crops = (74, 74, 59), (64, 64, 51)
    nets = [
        deconv.build("zfnet_mini", 2, input_px=px, fc_width=16, init="he_pixels", seed=n)
        for n, px in enumerate(crops)
    ]
    data = {side: Bars(11, seed=3, side=side) for side in set(sides)}
    means = [mean_image(data[side]) + 5 * n for n, side in enumerate(sides)]
    return nets, [data[side] for side in sides], means, crops


def test_each_network_gets_its_own_crops_and_alone_is_judged_as_evaluate_does():
    nets, data, means, sides = different_networks()
    view = TenCropsOfEach(data, means, sides)
    found = evaluate_ensembles(nets, DataLoader(view, batch_size=4), MEMBERS)
    for number in range(3):
        own = TenCrops(data[number], means[number], sides[number])
        assert found[number] == evaluate(nets[number], DataLoader(own, batch_size=4)), "to the bit"
        assert torch.equal(view[5][0][number], own[5][0]) and view[5][1] == own[5][1]
    assert len({result.loss for result in found}) == len(MEMBERS)


def test_an_image_is_read_once_for_networks_of_one_size():
    _, data, means, sides = different_networks()
    read = []

    class Told:
        def __init__(self, squares):
            self.squares, self.targets = squares, squares.targets

        def __getitem__(self, index):
            read.append(index)
            return self.squares[index]

    large, small = Told(data[0]), Told(data[2])
    TenCropsOfEach([large, large, small], means, sides)[4]
    assert read == [4, 4], "once a size"


def test_what_is_no_ensemble_is_refused():
    nets, data, means, sides = different_networks()
    for members in ([[]], [[0], [3]], [[-1]]):
        with pytest.raises(DeconvError, match=r"names networks by 0…2, at least one"):
            evaluate_ensembles(nets, [], members)
    with pytest.raises(DeconvError, match="different images"):
        TenCropsOfEach([data[0], Bars(12, seed=4)], means[:2], sides[:2])
