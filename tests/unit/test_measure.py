"""Measuring values while they exist, against recording them; mining by it, against every unit."""

import pytest
import torch
from oracles import randn
from test_top_activations import brute_force, rows_of
from torch import nn

import deconv
from deconv.errors import DeconvError
from deconv.networks import WrappedNet


class Branches(nn.Module):
    """Two convolutions of one map, rectified in place, joined; the sum's ReLU is a function."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(3)
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2), nn.ReLU(inplace=True), nn.MaxPool2d(3, 2))
        self.one, self.three = nn.Conv2d(16, 8, 1), nn.Conv2d(16, 8, 3, padding=1)
        self.relu, self.head = nn.ReLU(inplace=True), nn.Linear(16, 5)

    def forward(self, images):
        below = self.stem(images)
        joined = torch.cat([self.relu(self.one(below)), self.relu(self.three(below))], 1)
        return self.head((joined + below).relu_().mean((2, 3)))


def networks():
    chain = deconv.build("zfnet_mini", 5, init="he_pixels", seed=0, fc_width=8)
    return [chain, deconv.wrap(Branches(), input_px=64)]


NETWORKS = pytest.mark.parametrize("net", networks(), ids=["chain", "wrapped"])
IMAGES = randn(37, 3, 64, 64, seed=6).float() * 50


@NETWORKS
def test_each_function_gets_what_a_record_has(net):
    for layout in (torch.contiguous_format, torch.channels_last):
        images = IMAGES[:3].contiguous(memory_format=layout)
        found = net.measure(images, dict.fromkeys(reversed(net.points), torch.clone))
        assert list(found) == [*reversed(net.points)]
        with torch.no_grad():
            record = net.record(images, net.points)
        assert all(torch.equal(found[point], record.activations[point]) for point in net.points)
        assert torch.equal(images, IMAGES[:3])


@NETWORKS
def test_nothing_runs_above_the_highest_point_and_nothing_stays(net, monkeypatch):
    head = net.get_submodule("module.head" if isinstance(net, WrappedNet) else "fc8")
    monkeypatch.setattr(head, "forward", lambda *_: pytest.fail("the head ran"))
    net.train()
    assert net.measure(IMAGES[:1], {net.points[2]: lambda maps: maps.requires_grad}) == {
        net.points[2]: False
    }
    assert net.training and not any(part._forward_hooks for part in net.modules())


@NETWORKS
def test_two_names_of_a_point_each_have_their_own_function(net):
    first = net.layers[0]
    assert net.measure(IMAGES[:1], {"1": lambda _: "a number", first: lambda _: "a name"}) == {
        "1": "a number",
        first: "a name",
    }


@NETWORKS
def test_an_unknown_point_is_refused(net):
    with pytest.raises(DeconvError, match="unknown layer"):
        net.measure(IMAGES[:1], {"conv77": torch.sum})


@NETWORKS
def test_peaks_are_to_the_bit_those_of_all_units(net):
    values = net.calls.values
    maps = [p for p in net.points if len(values[p].shape) == 3 and values[p].shape[-1] < 20]
    chunks = [IMAGES[:32], torch.cat([IMAGES[32:], IMAGES[32:33].expand(27, -1, -1, -1)])]
    recorded = [
        net.record(chunk.contiguous(memory_format=torch.channels_last), maps).activations
        for chunk in chunks
    ]
    found = deconv.top_activations(net, IMAGES.split(5), maps, k=3, progress=False)
    for point in maps:
        units = torch.cat([one[point] for one in recorded])[: len(IMAGES)]
        assert rows_of(found[point]) == brute_force(units.detach(), 3), point
