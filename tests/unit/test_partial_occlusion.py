"""Occlusion that computes again what a square changes, against covering whole images."""

import pytest
import torch
from oracles import chain, randn
from torch import nn

import deconv
from deconv.errors import DeconvError
from deconv.normalisation import ContrastNorm, LocalContrastNorm
from deconv.studies.occlusion import partial

SIDE = 70


def odd(**above):
    """Paddings, dilation, ceil mode, a stride wider than its kernel, groups, batch norm, ReLU in
    place."""
    torch.manual_seed(5)
    stages = {
        "conv1": nn.Conv2d(3, 8, 5, 2, 3),
        "relu1": nn.ReLU(inplace=True),
        "pool1": nn.MaxPool2d(3, 2, 1, ceil_mode=True),
        "norm1": ContrastNorm(),
        "conv2": nn.Conv2d(8, 8, 3, 1, 2, dilation=2, groups=2),
        "bn2": nn.BatchNorm2d(8),
        "relu2": nn.ReLU(),
        "conv3": nn.Conv2d(8, 6, 1, 2),
        "relu3": nn.ReLU(),
    }
    rest = {
        "avg": nn.AdaptiveAvgPool2d(3),
        "flatten": nn.Flatten(),
        "drop": nn.Dropout(),
        "fc4": nn.Linear(54, 5),
    }
    return chain(**stages, **above, **rest)


def assert_partial_is_whole(net, layer, side=SIDE, **options):
    images = randn(2, 3, side, side, seed=8) * 20
    both = [
        deconv.occlude(net, images, 1, layer=layer, fill=(3.0, 0.0, -5.0), partial=way, **options)
        for way in (True, False)
    ]
    for mine, whole in zip(*both, strict=True):
        assert whole.probability.std() > 0
        for name in ("probability", "activation"):
            torch.testing.assert_close(
                getattr(mine, name), getattr(whole, name), rtol=1e-10, atol=0
            )
        assert torch.equal(mine.label, whole.label)
        assert (mine.map, mine.clean) == (whole.map, whole.clean)


@pytest.mark.parametrize("layer", ["conv1:z", "pool1", "norm1", "conv2", "conv3", "avg", "fc4"])
@pytest.mark.parametrize(("size_px", "stride_px"), [(7, 9), (30, 11)])
@pytest.mark.parametrize("squares", ["inside", "overhang"])
def test_of_a_chain_with_every_kind_of_window(layer, size_px, stride_px, squares):
    options = {"size_px": size_px, "stride_px": stride_px, "squares": squares}
    assert_partial_is_whole(odd(), layer, **options)


def test_of_the_papers_chain(monkeypatch):
    runs = []
    through = partial._through_windows
    monkeypatch.setattr(
        partial, "_through_windows", lambda *a: runs.append(type(a[0])) or through(*a)
    )
    net = deconv.build("zfnet_mini", 5, init="he", seed=0).double()
    assert_partial_is_whole(net, "conv5", net.input_px, size_px=24, stride_px=13)
    assert {nn.Conv2d, nn.MaxPool2d} <= set(runs), "a part of the chain ran on blocks"


def test_single_precision_and_mixed_are_near_the_whole_images():
    net = deconv.build("zfnet_mini", 10, init="he_pixels", seed=1)
    image = randn(3, 64, 64, seed=2).float() * 60
    options = {"target": 3, "layer": "conv5", "size_px": 20, "stride_px": 4}
    whole = deconv.occlude(net, image, partial=False, **options)
    change = (whole.probability - whole.clean[0]).abs().max()
    exact, mixed = (deconv.occlude(net, image, precision=p, **options) for p in ("full", "mixed"))
    assert torch.equal(exact.label, whole.label)
    torch.testing.assert_close(exact.probability, whole.probability, rtol=0, atol=1e-5)
    error = (mixed.probability - whole.probability).abs().max() / change
    assert 1e-6 < error < 0.01


def test_mixed_precision_is_for_changes_alone():
    with pytest.raises(DeconvError, match="precision=mixed is for partial maps of a chain"):
        deconv.occlude(odd(), randn(3, SIDE, SIDE), 1, size_px=9, partial=False, precision="mixed")


def test_of_a_chain_whose_normalisation_reads_the_whole_map():
    assert_partial_is_whole(odd(local=LocalContrastNorm()), "conv3", size_px=9, stride_px=20)


def test_a_square_as_large_as_the_image():
    assert_partial_is_whole(odd(), "conv2", size_px=SIDE, stride_px=9, squares="overhang")
