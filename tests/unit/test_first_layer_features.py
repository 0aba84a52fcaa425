"""Layers 1 and 2 looked at: dead maps, and the points around a normalisation."""

import numpy as np
import pytest
import torch

import deconv
from deconv.data import CentreCrops
from deconv.records import Peaks
from deconv.scenes import Scenes
from deconv.studies.first_layers.contrast import around, norm_of
from deconv.studies.first_layers.features import projections


def test_a_dead_map_leaves_an_empty_tile():
    net = deconv.build("zfnet_mini", 3, input_px=64, init="he", first_layer="coarse", seed=0)
    with torch.no_grad():
        net.conv2.weight[1], net.conv2.bias[1] = 0, -1
    crops = CentreCrops(Scenes(4, 0, 74), torch.full((3, 74, 74), 128.0), 64)
    loader = torch.utils.data.DataLoader(crops, batch_size=32)
    peaks = deconv.top_activations(net, loader, ["conv2"], k=1, progress=False)["conv2"]
    views = projections(net, crops, peaks, "sum")
    assert views["image"][1] == views["y"][1] == -1 and views["image"][0] >= 0
    assert not views["inside"][1].any() and views["inside"][0].any()
    assert views["projection"].shape == (96, 3, 32, 32)
    assert np.abs(views["projection"][0]).max() > 0 and not views["projection"][1].any()
    none = Peaks(*(torch.zeros(96, 1, dtype=torch.long) for _ in range(4)))
    assert (projections(net, crops, none, "sum")["image"] == -1).all()


@pytest.mark.parametrize(
    ("name", "norm", "wanted"),
    [
        ("zfnet_mini", "local", ("pool2", "norm2")),
        ("zfnet_mini", None, ("pool2", "norm2")),
        ("zfnet_mini", "none", ("pool2", None)),
        ("alexnet", "local", ("conv2", "norm2")),
        ("alexnet", "none", ("pool2", None)),
    ],
)
def test_points_around_a_normalisation(name, norm, wanted):
    with torch.device("meta"):
        net = deconv.build(name, 3, norm=norm)
    assert around(net, "conv2") == wanted and norm_of(net) == (norm or "response")
