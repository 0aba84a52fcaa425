"""Why is it blank: networks made so that each cause is known, and energies by hand."""

from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import assert_refused, command
from torch import nn

import deconv
from deconv.errors import DeadUnitWarning, DeconvError
from deconv.models.chain import ChainNet
from deconv.way_down import visible_share
from experiments.command import compose
from experiments.common import given
from experiments.fig2_top_activations import check


def chain(first, second, pool=None):
    """conv1 → relu → (pool) → conv2, both 1×1 and without bias, of 3 and 2 maps."""
    stages = OrderedDict(conv1=nn.Conv2d(3, 2, 1, bias=False), relu1=nn.ReLU())
    if pool:
        stages["pool1"] = pool
    stages["conv2"] = nn.Conv2d(2, 1, 1, bias=False)
    stages["relu2"] = nn.ReLU()
    net = ChainNet("made", stages, {}, 4)
    net.conv1.weight.data = torch.tensor(first).view(2, 3, 1, 1)
    net.conv2.weight.data = torch.tensor(second).view(1, 2, 1, 1)
    return net


IMAGE = torch.arange(1.0, 49.0).view(1, 3, 4, 4)
UNIT = torch.tensor([0, 0, 1, 2])
ONES = [[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]


def followed(net, layer="conv2", image=IMAGE, unit=UNIT, **options):
    return deconv.trace(net, net.record(image, [layer]), layer, unit, **options)


def test_energies_are_those_computed_by_hand():
    image = IMAGE * torch.tensor([9.0, 1.0, 1.0])[:, None, None]
    found = followed(chain(ONES, [3.0, -1.0]), image=image)
    value = 3 * image[0, 0, 1, 2] - image[0, 1, 1, 2]  # of the unit
    assert found.activation == pytest.approx(float(value)) and value > 0
    kept = [("conv2", "seed"), ("relu2", "rectify"), ("conv2", "filter"), ("relu1", "rectify"),
            ("conv1", "filter")]  # fmt: skip
    assert [(row.stage, row.operation) for row in found.rows] == kept
    # Down the second layer: 3v and −v in its two maps; the rectification takes the second.
    energies = np.array([1, 1, 10, 9, 9]) * float(value) ** 2
    assert [row.energy for row in found.rows] == pytest.approx(energies)
    assert [row.kept for row in found.rows] == pytest.approx([1, 1, 10, 0.9, 1])
    assert [row.negative for row in found.rows] == [None, 0.0, None, pytest.approx(0.1), None]
    assert [row.nonzero for row in found.rows] == pytest.approx([1 / 16, 1 / 16, 2 / 32, 1 / 32,
                                                                 1 / 48])  # fmt: skip
    assert found.visible == pytest.approx(1 / 16) and found.cause == ""
    assert "10.0 % was negative" in str(found) and "not blank: 6.2 % visible" in str(found)


def test_each_cause_is_named():
    with pytest.warns(DeadUnitWarning):
        dead = followed(chain(ONES, [1.0, -1.0]))
    assert dead.cause == "blank: the unit is dead here, its activation is 0"
    negative = followed(chain(ONES, [-1.0, -1.0]), image=-IMAGE + 100, layer="conv2:z", seed="one")
    assert negative.cause == "blank: everything was negative at the rectification of relu1"
    weak = followed(
        chain(ONES, [0.05, -1.0]), image=IMAGE * torch.tensor([1000.0, 1, 1])[:, None, None]
    )
    assert weak.cause.startswith("almost blank: the rectification of relu1 keeps 0.25 %")
    huge = torch.zeros(1, 3, 40, 40)
    huge[0, 0, 0, 0] = 1.0
    assert visible_share(huge[0]) == pytest.approx(1 / 1600)
    one = followed(chain(ONES, [1.0, 0.0]), image=huge, unit=torch.tensor([0, 0, 0, 0]))
    assert one.cause.startswith("looks blank: a few strong pixels") and "0.062 %" in one.cause


def test_signals_that_collisions_cover_are_told():
    """Two overlapping windows share their switch; overwriting leaves the later one, a zero."""
    net = chain(ONES, [1.0, 0.0], nn.MaxPool2d(2, 1))
    image = torch.zeros(1, 3, 4, 4)
    image[0, 0, 1, 1] = 5.0
    unit = torch.tensor([0, 0, 0, 0])
    assert followed(net, image=image, unit=unit).rows[3].kept == 1
    covered = followed(net, image=image, unit=unit, collisions="overwrite")
    assert covered.cause == "blank: nothing passes the unpool of pool1"


def test_what_cannot_be_followed_is_refused():
    net = chain(ONES, [1.0, 1.0])
    with pytest.raises(DeconvError, match="one unit"):
        followed(net, unit=torch.tensor([[0, 0, 1, 2], [0, 0, 1, 1]]))
    with pytest.raises(DeconvError, match="outside conv2"):
        followed(net, unit=torch.tensor([0, 0, 9, 9]))

    class Sum(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.fc = nn.Conv2d(3, 3, 1), nn.Linear(3, 2)

        def forward(self, x):
            return self.fc((self.a(x) + x).mean((2, 3)))

    graph = deconv.wrap(Sum(), input_px=4)
    assert followed(graph, layer="a").rows[-1].operation == "filter"
    with pytest.raises(DeconvError, match="Sum branches on its way up to fc"):
        followed(graph, layer="fc", unit=torch.tensor([0, 0, 0, 0]))


def test_figure_2_traces_what_it_shows(smoke_run, tmp_path):
    lines, _ = command(
        "fig2_top_activations", "size=smoke", f"snapshot={smoke_run / 'last.pt'}", "trace=true",
        "page=[[conv2]]", "grid.conv2=[1,2]", cwd=tmp_path,
    )  # fmt: skip
    text = (Path(lines[-1]) / "trace.txt").read_text()
    assert text.count("conv2, unit (image, map, y, x)") == 2
    assert text.count("pool1      unpool") == 2 and text.count("conv1      filter") == 2


def test_figure_2_refuses_to_trace_a_branch_before_it_mines(tmp_path):
    """At once, though the data set is not there: nothing was opened, nothing is left behind."""
    there = ["model=torchvision/resnet18", "model.weights=random", "model.input_px=64"]
    chosen = ["page=[[maxpool,layer1]]", "grid.other=[1,2]", "trace=true"]
    cfg = compose("fig2_top_activations", [*there, *chosen, "data=scenes_smoke"])
    snapshot = given(cfg)
    with pytest.raises(DeconvError, match="resnet18 branches on its way up to layer1"):
        check(cfg, snapshot)
    check(compose("fig2_top_activations", [*there, *chosen[:2], "data=scenes_smoke"]), snapshot)
    before_the_branch = ["page=[[conv1,maxpool]]", *chosen[1:], "data=scenes_smoke"]
    check(compose("fig2_top_activations", [*there, *before_the_branch]), snapshot)
    missing = ["data=imagefolder", f"data.root={tmp_path}/none"]
    message = "branches on its way up to layer1"
    assert_refused("fig2_top_activations", [*there, *chosen, *missing], message, tmp_path)
